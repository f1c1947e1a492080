//! `detach`, and the state in which it leaves the card.

use super::{
    course::Course,
    machine::line,
    verdict::{Step, Verdict},
};
use anyhow::Result;

impl Course<'_> {
    /// Detaches under traffic, and checks that everything is as it was before.
    pub(super) fn detach(&mut self, name: &'static str) -> Result<()> {
        let stream = self.outside.stream();
        let outcome = self.machine.script("ntpguard detach --all")?;
        let flow = stream.end();
        let left = self.left()?;
        let mut problems: Vec<_> = left.iter().map(|program| format!("a program stays: {program}")).collect();
        // When its program is removed, a driver may reinitialise the card, which takes the link down.
        if let Err(error) = self.reachable().and_then(|_| self.open()) {
            problems.push(format!("{error:#}"));
        }
        let again = if self.long { format!("; {}", self.look_again()?) } else { String::new() };
        self.leaking = true;
        self.long = false;
        self.machine.run(&self.card.mtu(1500))?;
        let after = self.look()?;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (lines(&self.before), lines(&after));
        problems
            .extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("now {}", line.trim())));
        let (verdict, note) = match (problems.is_empty(), outcome.code) {
            (true, 0) => (Verdict::Held, "as before".to_owned()),
            (true, code) => (Verdict::Wrong, format!("exit code {code}: {}", line(&outcome.text))),
            (false, 2) => (Verdict::Said, format!("{}; {}", problems.join("; "), line(&outcome.text))),
            (false, _) => (Verdict::Changed, problems.join("; ")),
        };
        self.stayed.extend(left);
        self.note(name, verdict, format!("{note}; silent for {} ms{again}", flow.silence.as_millis()));
        Ok(())
    }

    /// ntpguard's programs that are loaded, as `bpftool` lists them, except those that an earlier detachment has left.
    fn left(&mut self) -> Result<Vec<String>> {
        let shown = self.loaded(self.stayed.len())?;
        Ok(shown.into_iter().filter(|line| !self.stayed.contains(line)).collect())
    }

    /// ntpguard's programs that are loaded, once there are no more than `expected`, or after three seconds.
    fn loaded(&mut self, expected: usize) -> Result<Vec<String>> {
        // The kernel frees a program a little later. The names of both forms begin like this.
        const LOADED: &str = "bpftool prog show | grep 'name ntpguard'";
        let wait = format!(
            "for i in $(seq 30); do [ $({LOADED} | wc -l) -le {expected} ] && break; sleep 0.1; done\n{LOADED}; true"
        );
        let shown = self.machine.script(&wait)?.text;
        Ok(shown.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Follows the advice of the last `detach`, if it gave any, and checks that it helps: everything has to be as before,
    /// except that a program that isn't run may still be loaded if `detach` said so.
    pub(super) fn follow_advice(&mut self, name: &'static str) -> Result<()> {
        let advised = |step: &&Step| step.verdict == Verdict::Said && step.note.contains("once more");
        let Some(advice) = self.steps.last().filter(advised) else { return Ok(()) };
        let is_foretold = advice.note.contains("stays loaded until the next boot");
        // The MTU is 1500 again at this point.
        let on = self.card.guarded();
        let script = format!(
            "set -e\nntpguard attach --interface {on} --dialect ntp-4.2.8 --config /etc/ntp.conf </dev/null\n\
             ntpguard detach --interface {on}"
        );
        let outcome = self.machine.script(&script)?;
        let shown = self.loaded(0)?.join(", ");
        let open = self.reachable().and_then(|_| self.open());
        let stays = match shown.is_empty() {
            true => "no program stays".to_owned(),
            false => format!("loaded, and run by nothing: {shown}"),
        };
        let (verdict, note) = match (outcome.code, shown.is_empty() || is_foretold, open) {
            (_, _, Err(error)) => (Verdict::Lost, format!("{error:#}; {stays}")),
            (0, true, Ok(())) => (Verdict::Held, format!("all is answered; {stays}")),
            (code, ..) => (Verdict::Wrong, format!("exit code {code}: {}; {stays}", line(&outcome.text))),
        };
        self.note(name, verdict, note);
        Ok(())
    }
}
