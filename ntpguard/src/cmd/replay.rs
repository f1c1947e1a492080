//! `ntpguard replay`: what would have been dropped of a capture.

use crate::{
    capture::{Error, Frame, Reader, Skipped},
    cli,
    compile::Image,
    conf::{AccessList, locate},
    export::Format,
    host::{
        self,
        fault::{Blame as _, Fault},
        file::Odd,
    },
    policy::{Policy, resolve},
    simulate::replay::{Finder, Own, Tally},
};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use ntpguard_common::{
    Action, Reason,
    abi::{CAUSES, Counter},
};
use serde_json::{Map, Value, json};
use std::{
    io::{self, Read, Write as _},
    net::IpAddr,
    path::Path,
    time::Duration,
};

/// Number of frames between two updates of the progress bar.
const STEP: u64 = 1 << 16;

/// Bytes of frames that are kept until the host's own addresses are known.
const BEGINNING: usize = 32 << 20;

/// Files shorter than this are read before a progress bar could be seen.
const SHORT: u64 = 64 << 20;

/// Reads the capture, and prints the result on standard output.
///
/// # Errors
/// The configuration or the capture can't be read. What precedes a damaged place in the capture is reported nevertheless.
pub(super) fn run(options: &cli::Replay) -> Result<(), Fault> {
    let read = locate::read(options.config.as_deref(), &options.reading)?;
    let name = options.capture.display();
    let (input, bar) =
        open(&options.capture).with_context(|| format!("can't read {name}")).configuration()?;
    let mut reader = Reader::new(input).with_context(|| name.to_string()).configuration()?;
    // The first frames show at which host the capture was taken, and frames can be judged only once that is known.
    let (begun, outcome) = begin(&mut reader);
    let own = own_addresses(&options.local_addresses, &begun)?;
    let policy = Policy::resolve(&read.conf, &resolve::addresses, &own.addresses());
    let image = Image::compile(&policy, &read.conf, options.hardening);
    let mut tally = Tally::new(&image, own.clone());
    begun.iter().for_each(|kept| tally.count(&image, &kept.frame()));
    drop(begun);
    let outcome = outcome.and_then(|()| feed(&mut reader, &mut tally, &image, &bar));
    bar.finish_and_clear();
    let told = Told {
        tally: &tally,
        own: own.addresses(),
        skipped: reader.skipped(),
        image: &image,
        conf: &read.conf,
        top: options.top,
    };
    let mut out = options.format.stdout();
    match options.format {
        Format::Text => writeln!(out, "{}\n{}", read.because, told.text()),
        Format::Json => writeln!(out, "{}", told.json(outcome.as_ref().err())),
    }
    .environment()?;
    outcome.with_context(|| format!("{name}: what came before this is counted above")).configuration()
}

/// Opens the capture, with a bar that shows the progress of reading.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, ProgressBar)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), ProgressBar::hidden()));
    }
    let file = host::file::open(path).map_err(piped)?;
    let length = file.metadata()?.len();
    let bar = if length < SHORT { ProgressBar::hidden() } else { ProgressBar::new(length) };
    let template = "{bar:40} {bytes} of {total_bytes}, {eta} left";
    Ok((
        Box::new(file),
        bar.with_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
    ))
}

/// For a file that isn't a regular one, adds to the error how a pipe can be read.
fn piped(error: io::Error) -> io::Error {
    match Odd::of(&error) {
        Some(odd @ Odd::Kind(_)) => {
            io::Error::other(format!("{odd}; `ntpguard replay -` reads standard input"))
        }
        _ => error,
    }
}

/// A frame from the beginning of the capture.
struct Kept {
    bytes: Vec<u8>,
    length: u32,
    time: Option<Duration>,
    outgoing: bool,
}

impl Kept {
    fn frame(&self) -> Frame<'_> {
        let Self { bytes, length, time, outgoing } = self;
        Frame { bytes, length: *length, time: *time, outgoing: *outgoing }
    }
}

/// The frames at the beginning of a capture, up to [`BEGINNING`] bytes.
fn begin(reader: &mut Reader<Box<dyn Read>>) -> (Vec<Kept>, Result<(), Error>) {
    let (mut begun, mut bytes) = (Vec::new(), 0);
    while bytes < BEGINNING {
        match reader.next() {
            Ok(Some(Frame { bytes: frame, length, time, outgoing })) => {
                bytes += frame.len();
                begun.push(Kept { bytes: frame.to_owned(), length, time, outgoing });
            }
            Ok(None) => break,
            Err(error) => return (begun, Err(error)),
        }
    }
    (begun, Ok(()))
}

/// The addresses of the host at which the capture was taken: those that are given, else those that the frames show, else
/// this host's.
fn own_addresses(given: &[IpAddr], begun: &[Kept]) -> Result<Own, Fault> {
    if !given.is_empty() {
        return Ok(Own::of(given.iter().copied()));
    }
    let mut finder = Finder::default();
    begun.iter().for_each(|kept| finder.look(&kept.bytes));
    let (found, here) = (finder.find(), locate::local_addresses(&[])?);
    let addresses = found.addresses();
    // If the capture was taken on this host, all its other addresses count as own too.
    let is_elsewhere = !addresses.is_empty() && !addresses.iter().any(|address| here.contains(address));
    Ok(if is_elsewhere { found } else { Own::of(here.into_iter().chain(addresses)) })
}

fn feed(
    reader: &mut Reader<Box<dyn Read>>,
    tally: &mut Tally,
    image: &Image,
    bar: &ProgressBar,
) -> Result<(), Error> {
    while let Some(frame) = reader.next()? {
        tally.count(image, &frame);
        if tally.frames.is_multiple_of(STEP) {
            bar.set_position(reader.offset());
        }
    }
    Ok(())
}

/// A tally, with what is needed to print it.
struct Told<'a> {
    tally: &'a Tally,
    own: Vec<IpAddr>,
    skipped: &'a Skipped,
    image: &'a Image,
    conf: &'a AccessList,
    top: usize,
}

impl Told<'_> {
    /// Drops by line: the reason, the rule and the counts.
    fn lines(&self) -> impl Iterator<Item = (Reason, crate::compile::ImageRule<'_>, Counter)> {
        let causes = self.image.rules.iter().flat_map(|rule| CAUSES.map(|cause| (cause, rule)));
        let all = causes.zip(&self.tally.hits).map(|((cause, rule), hits)| (cause, rule, *hits));
        all.filter(|(.., hits)| hits.packets > 0)
    }

    fn text(&self) -> String {
        let Tally { frames, outgoing, within, cut, reasons, forgotten, .. } = self.tally;
        let mut lines = vec![format!("{frames} frames")];
        let own: Vec<_> = self.own.iter().map(ToString::to_string).collect();
        if *outgoing + *within > 0 {
            lines.push(format!(
                "  the host's own addresses: {} (--local-address names others)",
                own.join(", ")
            ));
        }
        let asides = [
            (*outgoing, "sent by the host to others, and not judged"),
            (*within, "sent by the host to itself, which pass no card, and not judged"),
            (*cut, "of which the capture kept too little to judge"),
        ];
        lines
            .extend(asides.iter().filter(|(n, _)| *n > 0).map(|(number, what)| format!("  {number} {what}")));
        lines.extend(self.skipped.words().map(|words| format!("  {words}")));
        for (action, verb) in [(Action::Pass, "would have passed"), (Action::Drop, "would have been dropped")]
        {
            let all = self.tally.total(action);
            lines.push(format!("{} packets, {} bytes {verb}", all.packets, all.bytes));
            for reason in Reason::ALL.iter().filter(|reason| reason.action() == action) {
                let (counter, sample) = &reasons[reason.index() as usize];
                if counter.packets == 0 {
                    continue;
                }
                lines.push(format!("  {:<18}{:>12}  {}", reason.name(), counter.packets, reason.summary()));
                if let Some((source, port)) = sample.as_ref().and_then(|sample| sample.source) {
                    let payload = sample.as_ref().map_or(String::new(), |sample| hex(&sample.payload));
                    lines.push(format!("  {:<30}  as from {source} port {port}: {payload}", ""));
                }
            }
        }
        lines.extend(self.lines().next().map(|_| "dropped by line".to_owned()));
        for (cause, rule, hits) in self.lines() {
            let line = match rule.cause(cause) {
                Some(line) => self.conf.quote(line.index),
                None => format!("built in, for {}", rule.net),
            };
            lines.push(format!("  {:<18}{:>12}  {line}", cause.name(), hits.packets));
        }
        let top = self.tally.top(self.top);
        lines.extend(top.first().map(|_| "sources of dropped packets".to_owned()));
        for (source, counter) in top {
            lines.push(format!("  {source:<40}{:>12}", counter.packets));
        }
        if *forgotten > 0 {
            lines.push(format!(
                "  (there were too many to count each: any of these may have {forgotten} more)"
            ));
        }
        lines.join("\n")
    }

    fn json(&self, error: Option<&Error>) -> Value {
        let Tally { frames, outgoing, within, cut, reasons, forgotten, .. } = self.tally;
        let counts = |counter: Counter| json!({ "packets": counter.packets, "bytes": counter.bytes });
        let reasons: Map<String, Value> = Reason::ALL
            .iter()
            .map(|reason| {
                let (counter, sample) = &reasons[reason.index() as usize];
                let sample = sample.as_ref().map(|sample| {
                    json!({
                        "time": sample.time.map(|time| time.as_secs_f64()),
                        "source": sample.source.map(|(source, _)| source.to_string()),
                        "source_port": sample.source.map(|(_, port)| port),
                        "payload": hex(&sample.payload),
                    })
                });
                let value = json!({ "packets": counter.packets, "bytes": counter.bytes, "sample": sample });
                (reason.name().to_owned(), value)
            })
            .collect();
        let rules = self.lines().map(|(cause, rule, hits)| {
            let line = rule.cause(cause);
            let place = line.map(|line| self.conf.place(line.index));
            json!({
                "reason": cause.name(),
                "net": rule.net.to_string(),
                "file": place.map(|place| self.conf.files[place.file].path.display().to_string()),
                "line": place.map(|place| place.span.line),
                "text": line.map(|line| self.conf.text(line.index)),
                "packets": hits.packets,
                "bytes": hits.bytes,
            })
        });
        let sources = self.tally.top(self.top).into_iter().map(|(source, counter)| {
            json!({ "source": source.to_string(), "packets": counter.packets, "bytes": counter.bytes })
        });
        json!({
            "frames": frames,
            "outgoing": outgoing,
            "within": within,
            "local_addresses": self.own.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "cut": cut,
            "skipped": self.skipped.total(),
            "passed": counts(self.tally.total(Action::Pass)),
            "dropped": counts(self.tally.total(Action::Drop)),
            "reasons": reasons,
            "rules": rules.collect::<Vec<_>>(),
            "sources": sources.collect::<Vec<_>>(),
            "sources_error": forgotten,
            "error": error.map(|error| json!({ "offset": error.offset(), "message": error.to_string() })),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
