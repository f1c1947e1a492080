//! `ntpguard explain`: why would this packet pass or drop?

use crate::{
    bpf::Running,
    cli::{self, Format},
    compile::{Hardening, Image, ImageRule},
    conf::{self, ConfFile, Place},
    dialect::Daemon,
    engine::{Engine, Judged, Train},
    fault::{Blame as _, Fault},
    frame, host,
    policy::Policy,
    reading, resolve,
};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use network_types::eth::EthHdr;
use ntpguard_common::{
    Action, Reason, decide,
    wire::{self, Located},
};
use serde_json::{Value, json};
use std::{
    io::{self, BufReader, Write as _},
    net::IpAddr,
    path::Path,
    time::Duration,
};

/// Answers on standard output.
///
/// # Errors
/// The configuration or the packet can't be read, or the kernel refuses.
pub(super) fn run(options: &cli::Explain) -> Result<(), Fault> {
    if options.running {
        return running(options);
    }
    let own = reading::local_addresses(&options.local_address)?;
    let engine = || Engine::new(options.engine).environment();
    if let Some(path) = &options.vectors {
        let (daemon, _) = reading::daemon(None, &options.reading);
        let hardening = options.hardened.hardening();
        let file = host::file::open(path)
            .with_context(|| format!("can't read {}", path.display()))
            .configuration()?;
        let answered = vectors(BufReader::new(file), &mut engine()?, daemon, hardening, &own);
        return answered.with_context(|| path.display().to_string()).configuration();
    }
    let read = reading::read(options.config.as_deref(), &options.reading)?;
    let policy = Policy::resolve(&read.conf, &resolve::addresses, &own);
    let image = Image::compile(&policy, &read.conf, options.hardened.hardening());
    let frame = asked(options).configuration()?;
    let train = Train { count: options.repeat, every: options.every.unwrap_or_default() };
    let mut engine = engine()?;
    let judged = engine.judge_train(&image, &frame, train).environment()?;
    let answer = Answer::new(judged, &frame, &image, &policy, &read.conf, &engine);
    let mut out = options.format.stdout();
    match options.format {
        Format::Json => writeln!(out, "{}", answer.json()),
        Format::Text => writeln!(out, "{}\n{}", answer.text(), read.because),
    }
    .environment()
}

/// Asks the guard that runs. It knows no lines, only their rules.
fn running(options: &cli::Explain) -> Result<(), Fault> {
    let frame = asked(options).configuration()?;
    let running = Running::find().environment()?;
    let before = running.counters().environment()?;
    let run = running.test_run(&frame).environment()?;
    let counted = running.counters().environment()?.since(&before);
    let moved = |reason: &&Reason| counted.of(**reason).packets > 0 && reason.action() == run.action;
    let reasons: Vec<_> = Reason::ALL.iter().filter(moved).map(|reason| reason.name()).collect();
    let verdict = verdict(run.action);
    // Traffic moves counters meanwhile; then it is one of several.
    let reason = if reasons.is_empty() { "not-ntp".to_owned() } else { reasons.join(" or ") };
    let engine = "running";
    let mut out = options.format.stdout();
    match options.format {
        Format::Json => {
            let answer = json!({ "verdict": verdict, "reason": reason, "rule": null, "engine": engine });
            writeln!(out, "{answer}")
        }
        Format::Text => {
            writeln!(out, "{verdict}, {reason}\n  asked the ntpguard that runs here, which knows no lines")
        }
    }
    .environment()
}

/// The frame that the options describe.
fn asked(options: &cli::Explain) -> Result<Vec<u8>> {
    if let Some(cli::Bytes(frame)) = &options.frame {
        ensure!(frame.len() >= EthHdr::LEN, "a frame of {} bytes has no whole Ethernet header", frame.len());
        return Ok(frame.clone());
    }
    ensure!(
        options.request.is_none() || matches!(options.mode, Some(6 | 7)),
        "only modes 6 and 7 have a --request"
    );
    let payload = match (&options.payload, options.mode) {
        (Some(cli::Bytes(payload)), _) => payload.clone(),
        (None, mode) => frame::usual(mode.unwrap_or(3), options.request),
    };
    let source = options.source.context("whose packet? --source says it")?;
    frame::build(source, options.source_port, &payload)
}

/// One JSON verdict a line of vectors.
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
    let conf = conf::parse(Path::new("ntp.conf"), text("conf")?.as_bytes(), daemon)?;
    let unknown = |_: &str| Err(io::Error::new(io::ErrorKind::NotFound, "names are not looked up here"));
    let policy = Policy::resolve(&conf, &unknown, own);
    let image = Image::compile(&policy, &conf, hardening);
    let frame = frame::build(source, port, &payload)?;
    let judged = match repeat(&vector["repeat"])? {
        Some(train) => Engine::Host.judge_train(&image, &frame, train)?,
        None => engine.judge(&image, &frame)?,
    };
    let mut answer = Answer::new(judged, &frame, &image, &policy, &conf, engine).json();
    if let Some(id) = vector.get("id") {
        answer["id"] = id.clone();
    }
    Ok(answer)
}

/// `repeat` of a vector: what becomes of the last packet is asked. On the host alone, where time is what is said.
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

/// A verdict with what is needed to tell it.
struct Answer<'a> {
    judged: Judged,
    rule: Option<ImageRule<'a>>,
    conf: &'a ConfFile,
    /// Dropped, and by its own reading the daemon would have got it.
    hardened: bool,
    engine: &'static str,
}

impl<'a> Answer<'a> {
    fn new(
        judged: Judged,
        frame: &[u8],
        image: &'a Image,
        policy: &Policy,
        conf: &'a ConfFile,
        engine: &Engine,
    ) -> Self {
        // A counter names the rule of a drop; of what passed, or was dropped before any look-up, the host finds it.
        let rule = match judged.rule {
            Some(rule) => image.rules.get(rule),
            None => match wire::locate(frame) {
                Located::Datagram(datagram) => {
                    let sender = datagram.source(frame).zip(datagram.source_port(frame));
                    sender.and_then(|(source, port)| image.rule_of(&source, port))
                }
                _ => None,
            },
        };
        let bare = || Image::compile(policy, conf, Hardening::NONE);
        let hardened = judged.action == Action::Drop && decide(frame, &bare()).action() == Action::Pass;
        Self { judged, rule, conf, hardened, engine: engine.name() }
    }

    /// The line to blame for a drop; of a packet that passes, the last that speaks of its source.
    fn line(&self) -> Option<&'a crate::policy::Line> {
        let reason = self.judged.reason?;
        match reason.action() {
            // No line is to blame where the daemon has no mode 7.
            Action::Drop if reason == Reason::Mode7 && !self.conf.takes_mode7() => None,
            Action::Drop | Action::Transmit => self.rule?.cause(reason),
            Action::Pass => self.rule?.lines.last(),
        }
    }

    fn json(&self) -> Value {
        let rule = self.line().map(|line| {
            let Place { file, span } = self.conf.place(line.restrict);
            json!({
                "file": self.conf.files[file].path.display().to_string(),
                "line": span.line,
                "text": self.conf.text(line.restrict),
            })
        });
        json!({
            "verdict": verdict(self.judged.action),
            "reason": self.judged.reason.map_or("not-ntp", Reason::name),
            "rule": rule,
            "hardening": self.hardened,
            "net": self.rule.map(|rule| rule.net.to_string()),
            "engine": self.engine,
        })
    }

    fn text(&self) -> String {
        let what = match self.judged.reason {
            Some(reason) => format!("{}: {}", reason.name(), reason.summary()),
            None => "no whole UDP datagram to port 123, and nothing to judge".to_owned(),
        };
        let line = match (self.line(), self.rule) {
            (Some(line), _) => format!("\n  {}", self.conf.quote(line.restrict)),
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
        format!("{}, {what}{line}{hardening}\n  asked the {}", verdict(self.judged.action), self.engine)
    }
}

/// The word for an action.
const fn verdict(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Transmit => "kod",
    }
}
