//! The course that each card takes: what happens to it, and what each step came to, judged from outside.

use super::{
    card::Card,
    machine::Machine,
    outside::{Count, Flow, Outside, Request},
    verdict::{Step, Verdict},
};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Who asks in probes, and a network whose sources are limited.
const CLIENT: &str = "203.0.113.9";
const LIMITED: &str = "198.51.100.7";
const CLIENT6: &str = "2001:db8:9::9";

/// The guest's ntp.conf; sources of 198.51.100.0/24 get a kiss for the second of two quick requests.
const CONF: &str = "enable mode7\n\
                    restrict default nomodify\n\
                    restrict -6 default nomodify\n\
                    restrict 198.51.100.0 mask 255.255.255.0 limited kod\n\
                    restrict 127.0.0.1\n";

/// How long something may take to come about on a busy machine that emulates another.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest and its outside on their way.
pub struct Course<'a> {
    machine: &'a mut Machine,
    outside: &'a Outside,
    card: Card,
    /// The steps so far.
    pub steps: Vec<Step>,
    /// How it is attached, as `status` says.
    pub mode: Option<String>,
    /// What the guest's interfaces were like before the first attachment.
    before: String,
    /// What is answered before ntpguard comes, with long frames allowed: time requests, long frames.
    at_9000: [Count; 2],
    /// Long frames are allowed now.
    long: bool,
    /// The last look saw queries answered.
    leaking: bool,
}

/// The answers to one look from outside.
struct Probe {
    queries: Count,
    time: Count,
}

impl<'a> Course<'a> {
    /// Takes a guest that has just come up: builds its interfaces, starts the responder, and sees that all is answered.
    ///
    /// # Errors
    /// Something isn't answered although nothing filters.
    pub fn new(machine: &'a mut Machine, outside: &'a Outside, card: Card) -> Result<Self> {
        machine.run(&format!(
            "{}{}cat > /etc/ntp.conf <<END\n{CONF}END\nmatrix respond >/tmp/responder 2>&1 &",
            card.build(),
            card.address()
        ))?;
        let mut course = Self {
            machine,
            outside,
            card,
            steps: Vec::new(),
            mode: None,
            before: String::new(),
            at_9000: [Count::default(); 2],
            long: false,
            leaking: true,
        };
        course.reachable().context("before ntpguard came")?;
        course.open().context("before ntpguard came")?;
        course.machine.run(&card.mtu(9000))?;
        course.reachable()?;
        // QEMU's own models lose some of what they get at this MTU.
        course.at_9000 = [course.probe()?.time, course.long()?];
        if course.at_9000[1].served == 0 {
            bail!("no long frame is answered before ntpguard came");
        }
        course.machine.run(&card.mtu(1500))?;
        course.machine.run(&card.address())?;
        course.reachable()?;
        course.before = course.look()?;
        Ok(course)
    }

    /// All steps.
    ///
    /// # Errors
    /// The guest is gone, or ntpguard can't even start.
    pub fn run(&mut self) -> Result<()> {
        let predicted = self.predict()?;
        self.start("attach", "run")?;
        self.judge_prediction(&predicted)?;
        self.drops()?;
        self.kiss()?;
        self.mtu("MTU 9000", 9000)?;
        self.long_frames("MTU 9000, long frames")?;
        self.mtu("MTU 1500", 1500)?;
        self.event("link down, up", &self.flap())?;
        self.event("ring size", &self.ethtool("-G eth0 rx 128"))?;
        self.event("channels", &self.ethtool("-L eth0 combined 2"))?;
        self.event(
            "reload",
            "sed -i '$a restrict 192.0.2.99 ignore' /etc/ntp.conf; ntpguard reload </dev/null",
        )?;
        self.machine.script("kill -9 $(cat /tmp/run.pid)")?;
        self.start("take-over by run", "run")?;
        self.machine.script("kill -TERM $(cat /tmp/run.pid); while kill -0 $(cat /tmp/run.pid); do sleep 0.1; done 2>/dev/null")?;
        self.start("take-over by attach", "attach")?;
        // Nobody is there to mend anything from here on: status must know.
        self.event("alone: link down, up", &self.flap())?;
        self.mtu("alone: MTU 9000", 9000)?;
        self.mtu("alone: MTU 1500", 1500)?;
        self.start("attach again", "attach")?;
        self.detach("detach")?;
        self.start("attach anew", "attach")?;
        self.mtu("MTU 9000 again", 9000)?;
        self.detach("detach at MTU 9000")
    }

    fn flap(&self) -> String {
        let on = self.card.guarded();
        format!("ip link set {on} down\nsleep 0.3\nip link set {on} up\n{}", self.card.address())
    }

    /// A command that not every driver takes; what took effect may have taken addresses away.
    fn ethtool(&self, arguments: &str) -> String {
        format!("ethtool {arguments} || exit {}\n{}", Self::NOT_RUN, self.card.address())
    }

    /// The exit code of an event that this driver doesn't have.
    const NOT_RUN: i32 = 77;

    fn note(&mut self, name: &'static str, verdict: Verdict, note: impl Into<String>) {
        let note = note.into();
        println!("    {name:<24} {:<8} {note}", verdict.name());
        self.steps.push(Step { name, verdict, note });
    }

    /// Waits until the guest answers time requests again.
    fn reachable(&mut self) -> Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let ports = self.outside.send(Request::Time, CLIENT, 1)?;
            if self.outside.wait(&ports, Duration::from_millis(300)) {
                return Ok(start.elapsed());
            }
        }
        bail!("the guest answers no time request")
    }

    /// Queries of both modes and families, then time requests, and what came back.
    fn probe(&mut self) -> Result<Probe> {
        const EACH: usize = 16;
        let mut queries = self.outside.send(Request::Monlist, CLIENT, EACH)?;
        queries.extend(self.outside.send(Request::Readvar, CLIENT, EACH)?);
        queries.extend(self.outside.send(Request::Monlist6, CLIENT6, EACH)?);
        let mut time = self.outside.send(Request::Time, CLIENT, EACH)?;
        time.extend(self.outside.send(Request::Time6, CLIENT6, EACH)?);
        self.outside.wait(&time, Duration::from_secs(5));
        // Of several queues, a slower one.
        std::thread::sleep(Duration::from_millis(200));
        Ok(Probe { queries: self.outside.count(&queries), time: self.outside.count(&time) })
    }

    /// As when nothing filters: all is answered.
    fn open(&mut self) -> Result<()> {
        let Probe { queries, time } = self.probe()?;
        let lossy = self.long && self.at_9000[0].served < self.at_9000[0].sent;
        let few = if lossy { queries.served == 0 } else { queries.served < queries.sent };
        if few || self.loses(time) {
            bail!(
                "{} of {} queries and {} of {} time requests are answered",
                queries.served,
                queries.sent,
                time.served,
                time.sent
            );
        }
        Ok(())
    }

    fn long(&mut self) -> Result<Count> {
        let ports = self.outside.send(Request::Long, CLIENT, 8)?;
        self.outside.wait(&ports, Duration::from_secs(5));
        Ok(self.outside.count(&ports))
    }

    /// What `doctor` says about how this card will be guarded.
    fn predict(&mut self) -> Result<String> {
        let on = self.card.guarded();
        let said = self.machine.script(&format!("ntpguard doctor --interface {on} --format json"))?.text;
        let report = json(&said).context("doctor wrote no JSON")?;
        let checks = report["checks"].as_array().context("no checks")?;
        let mode = checks.iter().find(|check| check["check"] == "mode" && check["subject"] == on);
        Ok(mode.and_then(|mode| mode["message"].as_str()).unwrap_or_default().to_owned())
    }

    fn judge_prediction(&mut self, predicted: &str) -> Result<()> {
        let mode = self.mode.clone().unwrap_or_default();
        let right = !mode.is_empty() && predicted.starts_with(&mode);
        let verdict = if right { Verdict::Held } else { Verdict::Wrong };
        self.note("prediction", verdict, format!("doctor: {predicted}; attached: {mode}"));
        Ok(())
    }

    /// Starts `ntpguard run` or `attach` under traffic, and sees that nothing leaks from then on.
    fn start(&mut self, name: &'static str, verb: &str) -> Result<()> {
        let stream = self.outside.stream();
        let options = format!(
            "--interface {} --dialect ntp-4.2.8 --config /etc/ntp.conf --kod xdp",
            self.card.guarded()
        );
        let script = match verb {
            "run" => format!(
                "ntpguard run {options} >/tmp/run.out 2>/tmp/run.err </dev/null &\necho $! >/tmp/run.pid\n\
                 for i in $(seq 300); do grep ^guarding /tmp/run.out && exit 0\n\
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

    /// The mode that `status` shows for the guarded interface, if it shows one.
    fn status(&mut self) -> Option<String> {
        let said = self.machine.script("ntpguard status --format json").ok()?;
        let report = json(&said.text)?;
        Some(report["interfaces"].get(0)?["mode"].as_str()?.to_owned())
    }

    fn drops(&mut self) -> Result<()> {
        let probe = self.probe()?;
        self.judge("drops", probe, Flow::default(), "")
    }

    /// A kiss comes from the filter alone: the responder never sends one.
    fn kiss(&mut self) -> Result<()> {
        // The first is served, and one of the others earns the kiss, whatever the length of a second here.
        const REQUESTS: usize = 4;
        let ports = self.outside.send(Request::Time, LIMITED, REQUESTS)?;
        let kissed = || self.outside.count(&ports).kisses > 0;
        let start = Instant::now();
        while !kissed() && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let Count { served, kisses, .. } = self.outside.count(&ports);
        let verdict = match () {
            () if kisses > 0 && served < REQUESTS => Verdict::Held,
            () if self.says_not_running()?.is_some() => Verdict::Said,
            () => Verdict::Wrong,
        };
        self.note("kiss", verdict, format!("{served} of {REQUESTS} requests served, {kisses} kisses"));
        Ok(())
    }

    /// Something happens to the card under traffic.
    fn event(&mut self, name: &'static str, script: &str) -> Result<()> {
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
        self.judge(name, probe, flow, &refused)
    }

    /// Changes the MTU under traffic.
    fn mtu(&mut self, name: &'static str, mtu: u32) -> Result<()> {
        self.long = mtu > 1500;
        self.event(name, &self.card.mtu(mtu))
    }

    /// Looks until nothing leaks and time is served, or patience is at its end; the last look.
    fn settle(&mut self) -> Result<Probe> {
        const LOOKS: u32 = 4;
        for _ in 1..LOOKS {
            let probe = self.probe()?;
            if probe.queries.served == 0 && !self.loses(probe.time) {
                return Ok(probe);
            }
        }
        self.probe()
    }

    /// Whether so few answers are the filter's fault.
    fn loses(&self, time: Count) -> bool {
        let without = self.at_9000[0];
        time.served < time.sent && !(self.long && without.served < without.sent && time.served > 0)
    }

    fn judge(&mut self, name: &'static str, probe: Probe, flow: Flow, before: &str) -> Result<()> {
        let Probe { queries, time } = probe;
        let mut note = format!(
            "{before}{}/{} queries, {}/{} time answered",
            queries.served, queries.sent, time.served, time.sent
        );
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
        // What leaked before it began to leak no more was judged by the step before.
        let leaked = queries.served > 0 || flow.leaked > 0 && !self.leaking;
        self.leaking = queries.served > 0;
        let verdict = if leaked {
            match self.says_not_running()? {
                Some(said) => {
                    note += &format!("; {said}");
                    Verdict::Said
                }
                None => Verdict::Leaked,
            }
        } else if self.loses(time) {
            Verdict::Lost
        } else {
            Verdict::Held
        };
        self.note(name, verdict, note);
        Ok(())
    }

    /// Long frames go through as before, or ntpguard says why they don't.
    fn long_frames(&mut self, name: &'static str) -> Result<()> {
        let Count { sent, served, .. } = self.long()?;
        let mut note = format!("{served}/{sent} long frames answered");
        let verdict = if served >= self.at_9000[1].served {
            Verdict::Held
        } else {
            let said = self.machine.script(&format!(
                "tail -n 5 /tmp/run.err; ntpguard doctor --interface {}; ntpguard status",
                self.card.guarded()
            ))?;
            match said
                .text
                .lines()
                .find(|line| line.contains("MTU") && line.contains("9000") && line.contains("lost"))
            {
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

    /// What ntpguard says while it is asked under traffic, if it says that the filter doesn't run, or didn't for a while.
    fn says_not_running(&mut self) -> Result<Option<String>> {
        let stream = self.outside.stream();
        let said = self.machine.script("ntpguard status; tail -n 3 /tmp/run.err 2>/dev/null")?.text;
        stream.end();
        let told = said.lines().find(|line| {
            ["doesn't run", "not run", "isn't guarded", "didn't run"].iter().any(|words| line.contains(words))
        });
        Ok(told.map(|line| line.trim().to_owned()))
    }

    /// Detaches under traffic, and sees that all is as before.
    fn detach(&mut self, name: &'static str) -> Result<()> {
        let stream = self.outside.stream();
        let outcome = self.machine.script("ntpguard detach --all")?;
        let flow = stream.end();
        // The kernel frees a program a little later.
        let left = "for i in $(seq 30); do bpftool prog show | grep -qw ntpguard || exit 0; sleep 0.1; done\n\
                    bpftool prog show | grep -w ntpguard";
        let left = self.machine.script(left)?.text;
        let mut problems = Vec::new();
        if !left.is_empty() {
            problems.push(format!("a program stays: {}", line(&left)));
        }
        if let Err(error) = self.open() {
            problems.push(format!("{error:#}"));
        }
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
        self.note(name, verdict, format!("{note}; silent for {} ms", flow.silence.as_millis()));
        Ok(())
    }

    /// Features, MTUs and XDP programs of the guest's interfaces.
    fn look(&mut self) -> Result<String> {
        let each = |name: &str| {
            format!(
                "echo interface {name}\nethtool -k {name} | sed 's/^/{name} /'\n\
                 echo {name} mtu $(cat /sys/class/net/{name}/mtu)\n\
                 ip -details link show dev {name} | grep -o 'xdp.*' | sed 's/^/{name} /'; true\n"
            )
        };
        let all: String = self.card.interfaces().into_iter().map(each).collect();
        self.machine.run(&all)
    }
}

/// The JSON object in an output, with what was said before and after it.
fn json(text: &str) -> Option<Value> {
    text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object))
}

/// The last line that says something.
fn line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).next_back().unwrap_or_default().to_owned()
}
