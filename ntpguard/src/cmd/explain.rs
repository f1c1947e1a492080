//! `ntpguard explain`: why a packet would pass or be dropped.

#[cfg(test)]
mod fourth;
mod sentence;

use self::sentence::{Known, Packet, sentence};
use crate::{
    bpf::{Pins, Running},
    cli::{self, Judge, Payload},
    compile::{Hardening, Image, ImageRule},
    conf::{AccessList, locate, ntp, place::Place},
    daemon::{detect, dialect::Daemon},
    export::Format,
    host::{
        self,
        fault::{Blame as _, Fault},
    },
    policy::{Policy, resolve},
    simulate::{Engine, Judged, Train, frame},
};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use network_types::eth::EthHdr;
use ntpguard_common::{
    Action, Reason,
    abi::Rule,
    wire::{self, Located},
};
use serde_json::{Value, json};
use std::{
    io::{self, BufReader, Write as _},
    net::IpAddr,
    path::Path,
    time::Duration,
};

/// Prints the answer on standard output.
///
/// # Errors
/// The configuration or the packet can't be read, or the kernel refuses to run the program.
pub(super) fn run(options: &cli::Explain) -> Result<(), Fault> {
    let engine = match &options.judge {
        Judge::Running(pins) => return running(options, pins.as_deref()),
        Judge::Engine(engine) => || Engine::new(*engine).environment(),
    };
    let own = locate::local_addresses(&options.local_addresses)?;
    if let cli::Packet::Vectors(path) = &options.packet {
        let (daemon, _) = options.reading.daemon(detect::daemon(None).as_ref(), None);
        let file = host::file::open(path)
            .with_context(|| format!("can't read {}", path.display()))
            .configuration()?;
        let answered = vectors(BufReader::new(file), &mut engine()?, daemon, options.hardening, &own);
        return answered.with_context(|| path.display().to_string()).configuration();
    }
    let read = locate::read(options.config.as_deref(), &options.reading)?;
    let mut policy = Policy::resolve(&read.conf, &resolve::addresses, &own);
    policy.associations.extend(&options.associated);
    let image = Image::compile(&policy, &read.conf, options.hardening);
    let (frame, train) = (asked(&options.packet).configuration()?, options.train);
    let mut engine = engine()?;
    let judged = engine.judge_train(&image, &frame, train).environment()?;
    let asked = Asked { frame: &frame, train, policy: &policy, conf: &read.conf, own: &own };
    let answer = Answer::new(judged, &asked, &image, &engine);
    let mut out = options.format.stdout();
    match options.format {
        Format::Json => writeln!(out, "{}", answer.json()),
        Format::Text => writeln!(out, "{}\n{}", answer.text(), read.because),
    }
    .environment()
}

/// Asks the filter that is attached here. It knows rules, but not the lines of ntp.conf behind them.
fn running(options: &cli::Explain, pins: Option<&Path>) -> Result<(), Fault> {
    let frame = asked(&options.packet).configuration()?;
    let pins = pins.map(|path| {
        Pins::find(path).with_context(|| format!("no ntpguard is pinned below {}", path.display()))
    });
    let running = Running::find(pins.transpose().environment()?.as_ref()).environment()?;
    let before = running.counters().environment()?;
    let run = running.test_run(&frame).environment()?;
    let counted = running.counters().environment()?.since(&before);
    // A trial lets everything pass, and has separate counters for what it would drop.
    let would = |reason: Reason| counted.trial.of(reason).packets > 0 && run.action == Action::Pass;
    let moved = |reason: &&Reason| {
        would(**reason) || counted.of(**reason).packets > 0 && reason.action() == run.action
    };
    let reasons: Vec<_> = Reason::ALL.iter().filter(moved).collect();
    let verdict = verdict(run.action);
    let names =
        |reasons: &[&Reason]| reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(" or ");
    let (reason, said) = match reasons[..] {
        [] => ("not-ntp".to_owned(), NOT_NTP.to_owned()),
        [reason] => {
            let (hardened, is_own) = (false, false);
            let known = Known { hardened, takes_mode7: true, has_line: true, is_own };
            (reason.name().to_owned(), sentence(*reason, Packet::of(&frame).as_ref(), &known))
        }
        _ => {
            let said = "other packets came meanwhile, so it is one of these reasons: ask again";
            (names(&reasons), said.to_owned())
        }
    };
    let trial = matches!(reasons[..], [reason] if would(*reason));
    let in_trial = if trial { "\n  this is a trial, in which it passes all the same" } else { "" };
    let engine = "running";
    let mut out = options.format.stdout();
    match options.format {
        Format::Json => {
            let answer = json!({ "verdict": verdict, "reason": reason, "rule": null, "trial": trial,
                "engine": engine });
            writeln!(out, "{answer}")
        }
        Format::Text => {
            writeln!(
                out,
                "{verdict}, {reason}: {said}{in_trial}\n  asked the ntpguard that runs here, which knows no lines of ntp.conf"
            )
        }
    }
    .environment()
}

/// The answer for a frame that ntpguard doesn't judge.
const NOT_NTP: &str = "this is no whole UDP datagram to port 123, and nothing to judge";

/// The frame to explain.
fn asked(packet: &cli::Packet) -> Result<Vec<u8>> {
    let (source, port, payload) = match packet {
        cli::Packet::Frame(frame) => {
            let length = frame.len();
            ensure!(length >= EthHdr::LEN, "a frame of {length} bytes has no whole Ethernet header");
            return Ok(frame.clone());
        }
        cli::Packet::Vectors(path) => bail!("{} has many packets", path.display()),
        cli::Packet::Datagram(source, port, Payload::Bytes(payload)) => (source, port, payload.clone()),
        cli::Packet::Datagram(source, port, Payload::Usual(mode, request)) => {
            ensure!(request.is_none() || matches!(mode, 6 | 7), "only modes 6 and 7 have a --request");
            (source, port, frame::usual(*mode, *request))
        }
    };
    frame::build(*source, *port, &payload)
}

/// Prints one JSON verdict for each line of vectors.
fn vectors(
    lines: impl io::BufRead,
    engine: &mut Engine,
    daemon: Daemon,
    hardening: Hardening,
    own: &[IpAddr],
) -> Result<()> {
    let mut out = io::BufWriter::new(Format::Json.stdout());
    for (number, line) in (1..).zip(lines.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = vector(&line, engine, daemon, hardening, own);
        writeln!(out, "{}", answer.with_context(|| format!("line {number}"))?)?;
    }
    Ok(out.flush()?)
}

fn vector(
    line: &str,
    engine: &mut Engine,
    daemon: Daemon,
    hardening: Hardening,
    own: &[IpAddr],
) -> Result<Value> {
    let vector: Value = serde_json::from_str(line).context("no JSON object")?;
    let text = |key: &str| vector[key].as_str().with_context(|| format!("`{key}` is missing, or no string"));
    let source: IpAddr = text("src")?.parse().context("`src` is no address")?;
    let port =
        vector["sport"].as_u64().and_then(|port| u16::try_from(port).ok()).context("`sport` is no port")?;
    let cli::Bytes(payload) =
        cli::hex(text("payload_hex")?).map_err(|error| anyhow!("payload_hex: {error}"))?;
    let conf = ntp::parse(Path::new("ntp.conf"), text("conf")?.as_bytes(), daemon)?;
    let unknown = |_: &str| Err(io::Error::new(io::ErrorKind::NotFound, "names are not looked up here"));
    let policy = Policy::resolve(&conf, &unknown, own);
    let image = Image::compile(&policy, &conf, hardening);
    let frame = frame::build(source, port, &payload)?;
    let (train, judged) = match repeat(&vector["repeat"])? {
        Some(train) => (train, Engine::Host.judge_train(&image, &frame, train)?),
        None => (Train::ONE, engine.judge(&image, &frame)?),
    };
    let asked = Asked { frame: &frame, train, policy: &policy, conf: &conf, own };
    let mut answer = Answer::new(judged, &asked, &image, engine).json();
    if let Some(id) = vector.get("id") {
        answer["id"] = id.clone();
    }
    Ok(answer)
}

/// The `repeat` object of a vector: the packet is repeated, and the verdict on the last one counts. Such vectors are judged
/// on the host only, where the time between packets can be chosen.
fn repeat(repeat: &Value) -> Result<Option<Train>> {
    if repeat.is_null() {
        return Ok(None);
    }
    let count = repeat["count"].as_u64().and_then(|count| u32::try_from(count).ok());
    let every = repeat["interval_s"].as_f64().and_then(|every| Duration::try_from_secs_f64(every).ok());
    match (count, every) {
        (Some(count), Some(every)) if cli::REPEATS.contains(&count) => Ok(Some(Train { count, every })),
        (Some(_), Some(_)) => {
            bail!("`repeat` has a `count` from {} to {}", cli::REPEATS.start(), cli::REPEATS.end())
        }
        _ => bail!("`repeat` is no object with `count` and `interval_s`"),
    }
}

/// The packet to explain, and the policy that judges it.
struct Asked<'a, 'f> {
    frame: &'f [u8],
    train: Train,
    policy: &'f Policy,
    conf: &'a AccessList,
    /// The addresses of the daemon's host.
    own: &'f [IpAddr],
}

/// A verdict, with all that is needed to print it.
struct Answer<'a> {
    judged: Judged,
    packet: Option<Packet>,
    rule: Option<ImageRule<'a>>,
    conf: &'a AccessList,
    /// The packet is dropped, but the daemon by its own reading would have taken it.
    hardened: bool,
    /// The source can't occur on a wire: it is a loopback address or the daemon host's own.
    is_own: bool,
    /// The packet passes, but the daemon drops it for this reason unless its source is an association's, which can't be
    /// known: a server that broadcasts.
    left: Option<Reason>,
    /// Whether the source is an association's. `None` if that makes no difference.
    is_association: Option<bool>,
    engine: &'static str,
}

impl<'a> Answer<'a> {
    fn new(judged: Judged, asked: &Asked<'a, '_>, image: &'a Image, engine: &Engine) -> Self {
        let Asked { frame, train, policy, conf, own } = *asked;
        let sender = match wire::locate(frame) {
            Located::Datagram(datagram) => datagram.source(frame).zip(datagram.source_port(frame)),
            _ => None,
        };
        // If a counter names the rule of a drop, that rule is taken. For packets that passed, or were dropped before any
        // look-up, the host looks the rule up.
        let rule = match judged.rule {
            Some(rule) => image.rules.get(rule),
            None => sender.and_then(|(source, port)| image.rule_of(&source, port)),
        };
        let is_own = sender.is_some_and(|(source, _)| {
            let source = crate::policy::network::address(&source);
            source.is_loopback() || own.contains(&source)
        });
        // The verdict without hardening on the same packets, the daemon's rate limit included: what this drops isn't
        // dropped by hardening.
        let bare = |policy: &Policy| {
            Engine::Host.judge_train(&Image::compile(policy, conf, Hardening::NONE), frame, train).ok()
        };
        let hardened =
            judged.action == Action::Drop && bare(policy).is_some_and(|bare| bare.action == Action::Pass);
        let yields =
            |(source, port)| ntpguard_common::Lookup::rule(image, 0, &source, port).has(Rule::YIELDS);
        let is_association =
            sender.filter(|sender| yields(*sender)).map(|(source, _)| image.associations.contains(&source));
        let left = (judged.action == Action::Pass && is_association == Some(false))
            .then(|| bare(&Policy { source: None, ..policy.clone() }))
            .flatten();
        let left = left.filter(|bare| bare.action != Action::Pass).and_then(|bare| bare.reason);
        let (packet, engine) = (Packet::of(frame), engine.name());
        Self { judged, packet, rule, conf, hardened, is_own, left, is_association, engine }
    }

    /// The line to blame for a drop; for a packet that passes, the last line that applies to its source.
    fn line(&self) -> Option<&'a crate::policy::Line> {
        let reason = self.judged.reason?;
        match reason.action() {
            // No line is to blame if the daemon doesn't take mode 7 at all.
            Action::Drop if reason == Reason::Mode7 && !self.conf.takes_mode_7 => None,
            Action::Drop | Action::Transmit => self.rule?.cause(reason),
            Action::Pass => self.rule?.lines.last(),
        }
    }

    fn json(&self) -> Value {
        let rule = self.line().map(|line| {
            let Place { file, span } = self.conf.place(line.index);
            json!({
                "file": self.conf.files[file].path.display().to_string(),
                "line": span.line,
                "text": self.conf.text(line.index),
            })
        });
        json!({
            "verdict": verdict(self.judged.action),
            "reason": self.judged.reason.map_or("not-ntp", Reason::name),
            "rule": rule,
            "hardening": self.hardened,
            "left_to_daemon": self.left.map(Reason::name),
            "association": self.is_association,
            "net": self.rule.map(|rule| rule.net.to_string()),
            "engine": self.engine,
        })
    }

    fn text(&self) -> String {
        let known = Known {
            hardened: self.hardened,
            takes_mode7: self.conf.takes_mode_7,
            has_line: self.line().is_some(),
            is_own: self.is_own,
        };
        let what = match self.judged.reason {
            Some(reason) => {
                format!("{}: {}", reason.name(), sentence(reason, self.packet.as_ref(), &known))
            }
            None => NOT_NTP.to_owned(),
        };
        let line = match (self.line(), self.rule) {
            (Some(line), _) => format!("\n  {}", self.conf.quote(line.index)),
            (None, Some(rule)) if rule.lines.is_empty() => {
                format!("\n  no line speaks of {}; built in", rule.net)
            }
            _ => String::new(),
        };
        let hardening = if self.hardened {
            "\n  the daemon would take it: this is hardening, and --no-hardening lifts it"
        } else {
            ""
        };
        let left = self.left.map_or(String::new(), |reason| {
            let reason = reason.name();
            format!(
                "\n  the daemon drops it ({reason}), unless its source is one of its servers: those that broadcast can't be known"
            )
        });
        let association = match self.is_association {
            Some(true) => {
                "\n  its source is one of the daemon's associations: what `restrict source` doesn't say isn't enforced for it"
            }
            Some(false) if self.judged.action == Action::Drop => {
                "\n  it isn't known as one of the daemon's associations (--associated), for which `restrict source` is"
            }
            Some(false) | None => "",
        };
        format!(
            "{}, {what}{line}{association}{left}{hardening}\n  asked the {}",
            verdict(self.judged.action),
            self.engine
        )
    }
}

/// The word for an action in outputs.
const fn verdict(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Transmit => "kod",
    }
}
