//! Judges a step by what was answered outside and by what ntpguard reported inside.

use super::{
    course::Course,
    outside::{Count, Flow, Request},
    probe::{ANSWERS, Probe},
    verdict::Verdict,
};
use anyhow::Result;
use std::{
    thread,
    time::{Duration, Instant},
};

/// A source in the network that is limited.
const LIMITED: &str = "198.51.100.7";

impl Course<'_> {
    pub(super) fn judge_prediction(&mut self, predicted: &str) -> Result<()> {
        let mode = self.mode.clone().unwrap_or_default();
        let right = !mode.is_empty() && predicted.starts_with(&mode);
        let verdict = if right { Verdict::Held } else { Verdict::Wrong };
        self.note("prediction", verdict, format!("doctor: {predicted}; attached: {mode}"));
        Ok(())
    }

    /// Kisses come only from the filter: the responder never sends any.
    pub(super) fn kiss(&mut self) -> Result<()> {
        // The first request is served, and at least one of the others gets a kiss, however slow this machine is.
        const REQUESTS: usize = 4;
        let ports = self.outside.send(Request::Time, LIMITED, REQUESTS)?;
        let kissed = || self.outside.count(&ports).kisses > 0;
        let start = Instant::now();
        while !kissed() && start.elapsed() < ANSWERS {
            thread::sleep(Duration::from_millis(20));
        }
        let Count { served, kisses, .. } = self.outside.count(&ports);
        let verdict = match () {
            () if kisses > 0 && served < REQUESTS => Verdict::Held,
            () if Self::not_running(&self.says()?).is_some() => Verdict::Said,
            () => Verdict::Wrong,
        };
        self.note("kiss", verdict, format!("{served} of {REQUESTS} requests served, {kisses} kisses"));
        Ok(())
    }

    pub(super) fn judge(&mut self, name: &'static str, probe: Probe, flow: Flow, before: &str) -> Result<()> {
        let Probe { queries, time } = probe;
        let mut note = format!(
            "{before}{}/{} queries, {}/{} time answered",
            queries.served, queries.sent, time.served, time.sent
        );
        if self.long && time.served < time.sent {
            note += &format!(" ({})", self.baseline.time.words());
        }
        if flow.queries > 0 {
            note += &format!(
                "; meanwhile {}/{} queries, {}/{} time, silent for {} ms",
                flow.leaked,
                flow.queries,
                flow.served,
                flow.time,
                flow.silence.as_millis()
            );
        }
        // Leaks that began before this step were already judged in the previous one.
        let leaked = queries.served > 0 || flow.leaked > 0 && !self.leaking;
        self.leaking = queries.served > 0;
        let verdict = if leaked {
            let said = self.says()?;
            match Self::not_running(&said) {
                Some(line) => {
                    note += &format!("; {line}");
                    Verdict::Said
                }
                None => {
                    note += &format!("; status: {}", said.lines().next().unwrap_or_default());
                    Verdict::Leaked
                }
            }
        } else if self.loses(time) {
            Verdict::Lost
        } else {
            Verdict::Held
        };
        self.note(name, verdict, note);
        Ok(())
    }

    /// Judges whether long frames pass as they do without the filter, or ntpguard reports why they don't.
    pub(super) fn long_frames(&mut self, name: &'static str) -> Result<()> {
        if !self.long {
            self.note(name, Verdict::NotRun, "the driver refuses this MTU while it has a program");
            return Ok(());
        }
        let Count { sent, served, .. } = self.long()?;
        let without = self.baseline.long;
        let mut note = format!("{served}/{sent} long frames answered");
        if served < sent {
            note += &format!(" ({})", without.words());
        }
        let verdict = if served == sent || without.least > 0 && served >= without.least {
            Verdict::Held
        } else if without.least == 0 {
            // Frames that are lost even without the filter prove nothing.
            Verdict::NotRun
        } else {
            let doctor = format!("ntpguard doctor --interface {}", self.card.guarded());
            let said = self.says()? + &self.machine.script(&doctor)?.text;
            let about = |line: &&str| line.contains("MTU") && line.contains("9000");
            match Self::not_running(&said).or_else(|| said.lines().find(about)) {
                Some(line) => {
                    note += &format!("; {}", line.trim());
                    Verdict::Said
                }
                None => Verdict::Lost,
            }
        };
        self.note(name, verdict, note);
        Ok(())
    }
}
