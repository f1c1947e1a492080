//! What learning associations costs packets that leave (BPF_PROG_TEST_RUN).

use super::{
    Plan,
    report::{Cell, Section},
    sample::Rounds,
};
use crate::{
    bpf::Leave,
    frame::{Frame, payload},
};
use anyhow::Result;

/// The programs that learn, and how each knows a packet of the guarded namespace.
const PROGRAMS: [(&str, &str); 2] =
    [("ntpguard_learn", "by the namespace"), ("ntpguard_learn_v6_1", "by the address")];

/// Measures each program with each kind of packet, over a program that only passes.
///
/// # Errors
/// There is no right to load programs.
pub fn leaving(plan: &Plan) -> Result<Section> {
    let request = || Frame::from("192.0.2.66", 123).payload(&payload::time(3, 4));
    let frames = [
        ("time request", request()),
        ("time request over IPv6", Frame::from("2001:db8::66", 123).payload(&payload::time(3, 4))),
        ("UDP to port 53", Frame::from("192.0.2.66", 40000).payload(&payload::time(3, 4)).to_port(53)),
        ("TCP", request().protocol(6)),
    ];
    let frames: Vec<_> = frames.into_iter().map(|(name, frame)| (name, frame.build())).collect();
    let (mut missing, mut programs) = (Vec::new(), vec![("", Leave::passing()?)]);
    for (name, how) in PROGRAMS {
        match Leave::learning(name) {
            Ok(program) => programs.push((how, program)),
            Err(error) => missing.push(format!("{how}: {error:#}")),
        }
    }
    let per_frame = programs.len();
    let rounds = Rounds::run(frames.len() * per_frame, plan.rounds, |variant| {
        let (frame, program) = (&frames[variant / per_frame].1, &programs[variant % per_frame].1);
        Ok(program.test_run(frame, plan.repeat)?.as_nanos() as f64)
    })?;
    let mut rows = Vec::new();
    for (at, (name, _)) in frames.iter().enumerate() {
        for (number, (how, _)) in programs.iter().enumerate().skip(1) {
            let (variant, floor) = (at * per_frame + number, at * per_frame);
            rows.push(vec![
                Cell::Text(format!("{name}, {how}")),
                Cell::measured(rounds.over(variant, floor)),
                Cell::measured(rounds.total(floor)),
            ]);
        }
    }
    Ok(Section {
        name: "leaving",
        title: "Learning associations (BPF_PROG_TEST_RUN)",
        how: format!(
            "Nanoseconds a packet that leaves, over a program at the same hook that only passes, and that program's own with the \
             test run. {} rounds of {} packets, caches hot.",
            plan.rounds, plan.repeat
        ),
        head: vec!["packet", "over an empty program, ns", "empty program, ns"],
        rows,
        missing,
        ..Section::default()
    })
}
