//! `ntpguard status`: what is guarded, and by which policy.

use crate::{
    bpf::{self, How, Maps, Pins},
    cli::{Format, Status},
    fault::{Blame as _, Fault},
    home,
    interface::{self, Interface},
    state::State,
    stats::Snapshot,
};
use anyhow::{Result, anyhow};
use ntpguard_common::{Action, abi::Settings};
use serde_json::{Value, json};
use std::io::{self, Write as _};

/// What there is to say.
struct Report {
    /// What is held; how it is guarded, if it is, and by which program.
    interfaces: Vec<(Option<(How, u32)>, Interface)>,
    settings: Settings,
    counted: Snapshot,
    state: Option<State>,
}

/// Looks, and says it.
///
/// # Errors
/// Nothing is guarded, or this user may not look.
pub(super) fn run(options: &Status) -> Result<(), Fault> {
    let report = look(options).environment()?;
    let Some(report) = report else {
        if options.format == Format::Json {
            writeln!(io::stdout(), "{}", json!({ "interfaces": [], "policy": null })).environment()?;
        }
        return Err(Fault::Environment(anyhow!(home::NOTHING)));
    };
    match options.format {
        Format::Text => writeln!(io::stdout(), "{}", report.text()),
        Format::Json => writeln!(io::stdout(), "{}", report.json()),
    }
    .environment()
}

fn look(options: &Status) -> Result<Option<Report>> {
    let pins = Pins::open(&options.places.pin_path)?;
    let Some(place) = pins.current()? else { return Ok(None) };
    let (maps, links) = (Maps::open(place)?, pins.links()?);
    let held = interface::all()?.into_iter().filter(|interface| links.contains(&interface.index));
    let look = |interface| Ok((bpf::look(&pins, &interface)?, interface));
    let interfaces = held.map(look).collect::<Result<_>>()?;
    let state = State::load(&options.places.state_dir)?;
    let counted = maps.counters(false)?;
    Ok(Some(Report { interfaces, settings: maps.settings()?, counted, state }))
}

impl Report {
    fn text(&self) -> String {
        let Self { interfaces, settings, counted, state } = self;
        let mut lines: Vec<_> = interfaces
            .iter()
            .map(|(guarded, Interface { name, .. })| match guarded {
                Some((how, program)) => format!("guarding {name}, {how}, program {program}"),
                None => format!("{name} isn't guarded, though it should be"),
            })
            .collect();
        if interfaces.is_empty() {
            lines.push("no interface is guarded".to_owned());
        }
        if settings.has(Settings::MONITOR) {
            lines.push("a trial: everything passes; `ntpguard enforce` ends it".to_owned());
        }
        let known = state.as_ref().and_then(|state| state.known(settings.generation));
        lines.push(match known {
            Some(policy) => policy.to_string(),
            None => format!("policy {}: nobody knows from which file", settings.generation),
        });
        if let Some(failure) = state.as_ref().and_then(|state| state.failure.as_ref()) {
            lines.push(format!("the last attempt at another policy failed: {}", failure.message));
        }
        lines.push(match state.as_ref().and_then(|state| state.run).filter(|run| home::is_alive(*run)) {
            Some(run) => format!("process {run} looks after it"),
            None => {
                "no process looks after it: changes of ntp.conf and of this host's addresses aren't followed"
                    .to_owned()
            }
        });
        for (_, Interface { name, index, .. }) in interfaces.iter().filter(|_| interfaces.len() > 1) {
            let [passed, dropped, answered] = totals(&counted.at(*index));
            lines.push(format!(
                "{name}: {passed} packets passed, {dropped} dropped, {answered} answered so far"
            ));
        }
        let [passed, dropped, answered] = totals(counted);
        lines.push(format!("{passed} packets passed, {dropped} dropped, {answered} answered so far"));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let Self { interfaces, settings, counted, state } = self;
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|(guarded, Interface { name, index, .. })| {
                let [passed, dropped, answered] = totals(&counted.at(*index));
                json!({ "passed": passed, "dropped": dropped, "answered": answered,
                    "interface": name, "index": index,
                    "hook": guarded.map(|(how, _)| how.hook().name()),
                    "mode": guarded.and_then(|(how, _)| how.mode()),
                    "program": guarded.map(|(_, program)| program) })
            })
            .collect();
        let known = state.as_ref().and_then(|state| state.known(settings.generation));
        let [passed, dropped, answered] = totals(counted);
        json!({
            "interfaces": interfaces,
            "policy": {
                "number": settings.generation,
                "rules": known.map(|policy| policy.rules.len()),
                "because": known.map(|policy| &policy.because),
                "since": known.map(|policy| policy.since),
            },
            "monitor": settings.has(Settings::MONITOR),
            "failure": state.as_ref().and_then(|state| state.failure.as_ref()),
            "process": state.as_ref().and_then(|state| state.run).filter(|run| home::is_alive(*run)),
            "passed": passed,
            "dropped": dropped,
            "answered": answered,
        })
    }
}

fn totals(counted: &Snapshot) -> [u64; 3] {
    [Action::Pass, Action::Drop, Action::Transmit].map(|action| counted.total(action).packets)
}
