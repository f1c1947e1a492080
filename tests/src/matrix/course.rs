//! The course that each card takes: a sequence of events, each of which is judged from outside.

use super::{
    card::Card,
    looks::Baseline,
    machine::{Machine, line},
    outside::{Flow, Outside},
    verdict::{Step, Verdict},
};
use anyhow::{Context as _, Result, bail};

/// The guest's ntp.conf; a source in 198.51.100.0/24 gets a kiss for the second of two requests in quick succession.
const CONF: &str = "enable mode7\n\
                    restrict default nomodify\n\
                    restrict -6 default nomodify\n\
                    restrict 198.51.100.0 mask 255.255.255.0 limited kod\n\
                    restrict 127.0.0.1\n";

/// A guest and its outside, with the state of the course.
pub struct Course<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) outside: &'a Outside,
    pub(super) card: Card,
    /// The prefix of output lines about this guest.
    label: String,
    /// The steps so far.
    pub steps: Vec<Step>,
    /// The mode in which the filter is attached, as `status` reports it.
    pub mode: Option<String>,
    /// The state of the guest's interfaces before the first attachment.
    pub(super) before: String,
    /// The card's behaviour without a program.
    pub(super) baseline: Baseline,
    /// Programs that an earlier `detach` has left loaded, and has reported.
    pub(super) stayed: Vec<String>,
    /// Whether the MTU allows long frames now.
    pub(super) long: bool,
    /// Whether queries were answered in the last look.
    pub(super) leaking: bool,
    /// Number of lines that `run` had written to standard error when the step began.
    pub(super) heard: usize,
}

impl<'a> Course<'a> {
    /// Prepares a guest that has just booted: builds its interfaces, starts the responder, and checks that everything is
    /// answered.
    ///
    /// # Errors
    /// Something isn't answered although no filter is attached.
    pub fn new(machine: &'a mut Machine, outside: &'a Outside, card: Card, kernel: &str) -> Result<Self> {
        machine.run(&format!(
            "{}{}cat > /etc/ntp.conf <<END\n{CONF}END\nmatrix respond >/tmp/responder 2>&1 &",
            card.build(),
            card.address()
        ))?;
        let mut course = Self {
            machine,
            outside,
            card,
            label: format!("{} on {kernel}", card.name()),
            steps: Vec::new(),
            mode: None,
            before: String::new(),
            baseline: Baseline::default(),
            stayed: Vec::new(),
            long: false,
            leaking: true,
            heard: 0,
        };
        course.reachable().context("before ntpguard came")?;
        course.open().context("before ntpguard came")?;
        course.baseline = course.take_baseline().context("before ntpguard came")?;
        course.before = course.look()?;
        Ok(course)
    }

    /// Runs all steps.
    ///
    /// # Errors
    /// The guest is gone, or ntpguard can't be started.
    pub fn run(&mut self) -> Result<()> {
        let predicted = self.predict()?;
        self.start("attach", "run")?;
        self.judge_prediction(&predicted)?;
        self.drops()?;
        self.kiss()?;
        self.mtu("MTU 9000", 9000)?;
        self.long_frames(Self::LONG_FRAMES)?;
        self.mtu("MTU 1500", 1500)?;
        self.event("link down, up", &self.flap())?;
        self.event("ring size", &self.ethtool("-G eth0 rx 128"))?;
        self.change_channels("channels")?;
        self.event(
            "reload",
            "sed -i '$a restrict 192.0.2.99 ignore' /etc/ntp.conf; ntpguard reload </dev/null",
        )?;
        self.machine.script("kill -9 $(cat /tmp/run.pid)")?;
        self.start("take-over by run", "run")?;
        self.machine.script("kill -TERM $(cat /tmp/run.pid); while kill -0 $(cat /tmp/run.pid); do sleep 0.1; done 2>/dev/null")?;
        self.start("take-over by attach", "attach")?;
        // From here on no process looks after the filter, so `status` has to report what is wrong.
        self.event("alone: link down, up", &self.flap())?;
        self.mtu("alone: MTU 9000", 9000)?;
        self.mtu("alone: MTU 1500", 1500)?;
        self.start("attach again", "attach")?;
        self.detach("detach")?;
        self.start("attach anew", "attach")?;
        self.mtu("MTU 9000 again", 9000)?;
        self.detach("detach at MTU 9000")?;
        self.follow_advice("detach, as advised")
    }

    fn flap(&self) -> String {
        let on = self.card.guarded();
        format!("ip link set {on} down\nsleep 0.3\nip link set {on} up\n{}", self.card.address())
    }

    /// A script with an ethtool command that not every driver supports; it sets the addresses again, which the change may
    /// have removed.
    pub(super) fn ethtool(&self, arguments: &str) -> String {
        format!("ethtool {arguments} || exit {}\n{}", Self::NOT_RUN, self.card.address())
    }

    /// The name of the step that tests long frames.
    pub(super) const LONG_FRAMES: &'static str = "MTU 9000, long frames";

    /// Exit code of an event that this driver doesn't support.
    const NOT_RUN: i32 = 77;

    pub(super) fn note(&mut self, name: &'static str, verdict: Verdict, note: impl Into<String>) {
        let note = note.into();
        println!("{:<21} {name:<24} {:<8} {note}", self.label, verdict.name());
        self.steps.push(Step { name, verdict, note });
    }

    /// Starts `ntpguard run` or `attach` under traffic, and checks that nothing leaks once it is attached.
    fn start(&mut self, name: &'static str, verb: &str) -> Result<()> {
        // Output of an earlier process doesn't belong to this step.
        self.machine.run("rm -f /tmp/run.err")?;
        self.heard = 0;
        let stream = self.outside.stream();
        let options = format!(
            "--interface {} --dialect ntp-4.2.8 --config /etc/ntp.conf --kod xdp",
            self.card.guarded()
        );
        let script = match verb {
            "run" => format!(
                "ntpguard run {options} >/tmp/run.out 2>/tmp/run.err </dev/null &\necho $! >/tmp/run.pid\n\
                 for i in $(seq 5000); do grep ^guarding /tmp/run.out && exit 0\n\
                 kill -0 $! 2>/dev/null || break; sleep 0.1; done\ncat /tmp/run.out /tmp/run.err; exit 1"
            ),
            verb => format!("ntpguard {verb} {options} </dev/null"),
        };
        let outcome = self.machine.script(&script)?;
        let flow = stream.end();
        if outcome.code != 0 {
            self.note(name, Verdict::Wrong, format!("`ntpguard {verb}` failed: {}", line(&outcome.text)));
            bail!("`ntpguard {verb}` failed: {}", outcome.text.trim());
        }
        if self.mode.is_none() {
            self.mode = self.status();
        }
        let probe = self.settle()?;
        let how = outcome.text.lines().find(|line| line.contains("guarding")).unwrap_or_default();
        self.judge(name, probe, flow, &format!("{}; ", how.trim()))
    }

    fn drops(&mut self) -> Result<()> {
        let probe = self.probe()?;
        self.judge("drops", probe, Flow::default(), "")
    }

    /// Runs a script that changes the card under traffic, and judges the result.
    pub(super) fn event(&mut self, name: &'static str, script: &str) -> Result<()> {
        self.hear()?;
        let stream = self.outside.stream();
        let outcome = self.machine.script(script)?;
        let reachable = self.reachable();
        let flow = stream.end();
        if outcome.code == Self::NOT_RUN {
            self.note(name, Verdict::NotRun, line(&outcome.text));
            return Ok(());
        }
        if let Err(error) = reachable {
            self.note(name, Verdict::Lost, format!("{error:#}"));
            return Ok(());
        }
        let refused =
            if outcome.code == 0 { String::new() } else { format!("refused: {}; ", line(&outcome.text)) };
        let probe = self.settle()?;
        let mended = self.mended()?;
        self.judge(name, probe, flow, &format!("{refused}{mended}"))
    }

    /// Changes the MTU under traffic.
    fn mtu(&mut self, name: &'static str, mtu: u32) -> Result<()> {
        self.long = mtu > 1500;
        self.event(name, &self.card.mtu(mtu))?;
        // If the driver refuses the MTU, it keeps the previous one, and with it the limit on frames.
        self.long &= self.machine.script(&format!("grep -qx {mtu} /sys/class/net/eth0/mtu"))?.code == 0;
        Ok(())
    }
}
