//! The filter at both hooks, and with the limits of each daemon (BPF_PROG_TEST_RUN).

use super::{
    Plan,
    policy::{self, SOURCES, monlist},
    report::{Cell, Section},
    sample::Rounds,
};
use crate::{
    bpf::Bare,
    fixture::{DIALECTS, compile},
    frame::{Frame, payload},
};
use anyhow::{Result, ensure};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::Hardening,
};
use ntpguard_common::Action;
use std::fs;

/// A frame for a program, and the expected action.
struct Variant {
    name: String,
    guard: usize,
    frame: Vec<u8>,
    action: Action,
}

/// Measures XDP and tc with the same policy.
///
/// # Errors
/// A frame isn't treated as it should be, or there is no right to do so.
pub fn hooks(plan: &Plan) -> Result<Section> {
    let image = policy::image(&policy::text(0))?;
    let mut guards = Vec::new();
    for object in [Object::Filter, Object::Tc] {
        let mut guard = Guard::load(object, Size::of(&image, SOURCES))?;
        guard.install(&image)?;
        guards.push(guard);
    }
    let frames = [
        ("monlist", monlist(), Action::Drop),
        ("monlist with a VLAN tag", monlist().vlan(0x8100, 7), Action::Drop),
        ("monlist with a VLAN tag and PPPoE", monlist().vlan(0x8100, 7).pppoe(&[0x00, 0x21]), Action::Drop),
        ("UDP to port 53", monlist().to_port(53), Action::Pass),
    ];
    let mut variants = Vec::new();
    for (name, frame, action) in frames {
        let frame = frame.build();
        for guard in 0..guards.len() {
            variants.push(Variant { name: name.to_owned(), guard, frame: frame.clone(), action });
        }
    }
    let rounds = run(plan, &mut guards, &variants, None)?;
    let rows = variants.chunks(2).enumerate().map(|(row, of_frame)| {
        let [xdp, tc] = [2 * row, 2 * row + 1].map(|variant| Cell::measured(rounds.total(variant)));
        vec![Cell::Text(of_frame[0].name.clone()), xdp, tc]
    });
    Ok(Section {
        name: "hooks",
        title: "XDP and tc (BPF_PROG_TEST_RUN)",
        how: format!(
            "Nanoseconds a frame, the test run itself included, which costs more for tc, whose frames get a socket buffer. {} \
             rounds of {} frames, caches hot.",
            plan.rounds, plan.repeat
        ),
        head: vec!["frame", "XDP, ns", "tc, ns"],
        rows: rows.collect(),
        ..Section::default()
    })
}

/// Measures a source over its limit, for which only its account is needed.
///
/// # Errors
/// It isn't dropped, or there is no right to do so.
pub fn limits(plan: &Plan) -> Result<Section> {
    let files = tempfile::tempdir()?;
    let conf = files.path().join("ntp.conf");
    fs::write(&conf, "restrict default limited nomodify noquery\n")?;
    let (mut guards, mut variants) = (Vec::new(), Vec::new());
    for dialect in DIALECTS {
        let image = compile(Some(&conf), dialect, Hardening::ALL)?.image;
        let mut guard = Guard::load(Object::Filter, Size::of(&image, SOURCES))?;
        guard.install(&image)?;
        for source in ["203.0.113.7", "2001:db8::7"] {
            let frame = Frame::from(source, 40000).payload(&payload::time(3, 4)).build();
            // Brings the source over every daemon's limit, beyond the range in which packets pass because of doubt.
            guard.test_run(&frame, 1000, None)?;
            let name = format!("{source}, by {dialect}'s limits");
            variants.push(Variant { name, guard: guards.len(), frame, action: Action::Drop });
        }
        guards.push(guard);
    }
    let rounds = run(plan, &mut guards, &variants, Some(&Bare::dropping()?))?;
    let rows = variants.iter().enumerate().map(|(variant, Variant { name, .. })| {
        vec![Cell::Text(name.clone()), Cell::measured(rounds.over(variant, variants.len()))]
    });
    Ok(Section {
        name: "limits",
        title: "A source over its limit (BPF_PROG_TEST_RUN)",
        how: format!(
            "Nanoseconds a frame over a bare XDP_DROP, {} rounds of {} frames, caches hot.",
            plan.rounds, plan.repeat
        ),
        head: vec!["source", "ns"],
        rows: rows.collect(),
        ..Section::default()
    })
}

/// Measures all variants in turn; last comes the program with which they are compared, on the first one's frame.
fn run(plan: &Plan, guards: &mut [Guard], variants: &[Variant], floor: Option<&Bare>) -> Result<Rounds> {
    Rounds::run(variants.len() + usize::from(floor.is_some()), plan.rounds, |number| {
        let run = match (variants.get(number), floor) {
            (Some(Variant { name, guard, frame, action }), _) => {
                let run = guards[*guard].test_run(frame, plan.repeat, None)?;
                ensure!(run.action == *action, "{name}: {:?}", run.action);
                run
            }
            (None, Some(floor)) => floor.test_run(&variants[0].frame, plan.repeat)?,
            (None, None) => unreachable!("there are as many as were asked for"),
        };
        Ok(run.duration.as_nanos() as f64)
    })
}
