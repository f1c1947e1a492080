//! `ntpguard status`: what is guarded, whether the filter runs there, and by which policy.

mod associations;

use crate::{
    bpf::{self, How, Maps, Pins, snapshot::Snapshot},
    cli::Status,
    conf::locate,
    export::Format,
    guard::{
        instance,
        state::{Summary, Unreadable},
    },
    host::{
        fault::{Blame as _, Fault},
        interface::{self, Interface},
        log::warn,
    },
    observe::life::{self, Life, Proof, Watch},
};
use anyhow::{Result, anyhow, ensure};
use associations::Associations;
use ntpguard_common::{Action, abi::PolicyWord};
use serde_json::{Value, json};
use std::io::Write as _;

/// How often the state is read again while other processes replace the maps.
const ATTEMPTS: usize = 3;

/// The state of the filter.
struct Report {
    interfaces: Vec<Held>,
    word: PolicyWord,
    counted: Snapshot,
    state: Option<Summary>,
    /// `None` without a line `restrict source`.
    associations: Option<Associations>,
}

/// An interface to which the filter is held by a pinned link.
struct Held {
    interface: Interface,
    /// How the filter is attached, and the program's id; `None` if it was taken off.
    guarded: Option<(How, u32)>,
    /// Whether the filter runs there.
    proof: Proof,
}

/// Reads the state of the filter, and prints it.
///
/// # Errors
/// Nothing is guarded, the filter doesn't run where it should, or this user may not read its state.
pub(super) fn run(options: &Status) -> Result<(), Fault> {
    let report = look(options).environment()?;
    let Some(report) = report else {
        if options.format == Format::Json {
            writeln!(options.format.stdout(), "{}", json!({ "interfaces": [], "policy": null }))
                .environment()?;
        }
        return Err(Fault::Environment(anyhow!(instance::nothing(&options.places.pin_path))));
    };
    match options.format {
        Format::Text => writeln!(options.format.stdout(), "{}", report.text()),
        Format::Json => writeln!(options.format.stdout(), "{}", report.json()),
    }
    .environment()?;
    match report.trouble() {
        Some(trouble) => Err(Fault::Environment(anyhow!(trouble))),
        None => Ok(()),
    }
}

fn look(options: &Status) -> Result<Option<Report>> {
    let pins = Pins::open(&options.places.pin_path)?;
    for _ in 0..ATTEMPTS {
        let Some(place) = pins.current()? else { return Ok(None) };
        let maps = Maps::open(place.clone())?;
        // On a quiet interface this takes a second, during which everything else is read.
        let (watch, links) = (Watch::begin(&maps)?, pins.links()?);
        let held = interface::all()?.into_iter().filter(|interface| links.contains(&interface.index));
        let look = |interface| Ok((bpf::look(&pins, &interface)?, interface));
        let held: Vec<(Option<(How, u32)>, Interface)> = held.map(look).collect::<Result<_>>()?;
        let is_native = |how: How| matches!(how, How::Native);
        let watched: Vec<_> = held
            .iter()
            .filter_map(|(guarded, interface)| Some((interface, is_native((*guarded)?.0))))
            .collect();
        let state = state(options)?;
        let mut proofs = if watched.is_empty() { Vec::new() } else { watch.end(&watched)? }.into_iter();
        // If another ntpguard has taken over meanwhile, it counts in other maps, so the proofs are void.
        if proofs.as_slice().iter().any(|proof| proof.life == Life::NotRun)
            && pins.current()?.as_ref() != Some(&place)
        {
            continue;
        }
        let interfaces = held
            .into_iter()
            .map(|(guarded, interface)| {
                let proof = guarded.and_then(|_| proofs.next()).unwrap_or_else(|| Proof::absent(&interface));
                Held { interface, guarded, proof }
            })
            .collect();
        let counted = maps.counters(false)?;
        let associations = Associations::read(&pins, &maps)?;
        return Ok(Some(Report { interfaces, word: maps.word()?, counted, state, associations }));
    }
    Err(anyhow!("one ntpguard after the other takes over; try again"))
}

/// The saved state of the filter; `None`, with a warning, if it can't be read.
fn state(options: &Status) -> Result<Option<Summary>> {
    Summary::load(&options.places.state_dir).or_else(|error| {
        ensure!(Unreadable::is(&error), error);
        warn(format_args!("{error:#}"));
        Ok(None)
    })
}

impl Held {
    fn text(&self) -> String {
        let Self { interface: Interface { name, .. }, guarded, proof } = self;
        match (guarded, proof.life) {
            (None, _) => format!("{name} isn't guarded, though it should be"),
            (Some((how, program)), Life::NotRun) => {
                format!("NOT GUARDING {name}: attached ({how}, program {program}), but {proof}")
            }
            (Some((how, program)), Life::Runs) => {
                format!("guarding {name}, {how}, program {program}, {proof}")
            }
            (Some((how, program)), Life::Unknown) => {
                format!("guarding {name}, {how}, program {program}, if it runs, which is {proof}")
            }
        }
    }

    fn json(&self, counted: &Snapshot) -> Value {
        let Self { interface: Interface { name, index, .. }, guarded, proof } = self;
        let counted = counted.at(*index);
        let [passed, dropped, answered] = totals(&counted);
        json!({ "passed": passed, "dropped": dropped, "answered": answered,
            "would_drop": counted.would_drop().packets,
            "interface": name, "index": index,
            "hook": guarded.map(|(how, _)| how.hook().name()),
            "mode": guarded.and_then(|(how, _)| how.mode()),
            "program": guarded.map(|(_, program)| program),
            "life": proof.life.name(), "received": proof.received, "seen": proof.seen, "lost_queues": proof.queues })
    }
}

impl Report {
    /// The process that looks after the filter.
    fn process(&self) -> Option<i32> {
        self.state.as_ref().and_then(|state| state.run).filter(|run| instance::is_alive(*run))
    }

    /// The interfaces on which the filter doesn't run, and what to do.
    fn trouble(&self) -> Option<String> {
        let silent = self.interfaces.iter().filter(|held| held.proof.life == Life::NotRun);
        let words: Vec<_> = silent
            .map(|Held { interface: Interface { name, .. }, guarded, .. }| {
                let how = guarded.map(|(how, _)| how);
                format!(
                    "the filter doesn't run on {name}: {}",
                    life::remedy(name, how, self.process().is_some())
                )
            })
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    fn text(&self) -> String {
        let Self { interfaces, word, counted, state, associations } = self;
        let mut lines: Vec<_> = interfaces.iter().map(Held::text).collect();
        if interfaces.is_empty() {
            lines.push("no interface is guarded".to_owned());
        }
        if word.has(PolicyWord::TRIAL) {
            lines.push("a trial: everything passes; `ntpguard enforce` ends it".to_owned());
        }
        let known = state.as_ref().and_then(|state| state.known(word.generation));
        lines.push(match known {
            Some(policy) => policy.to_string(),
            None => format!("policy {}: nobody knows from which file", word.generation),
        });
        if let Some(older) = known.and_then(|policy| locate::older_than(&policy.files)) {
            lines.push(format!("warning: {older}"));
        }
        if let Some(failure) = state.as_ref().and_then(|state| state.failure.as_ref()) {
            lines.push(format!("the last attempt at another policy failed: {}", failure.message));
        }
        lines.push(match self.process() {
            Some(run) => format!("process {run} looks after it"),
            None => {
                "no process looks after it: changes of ntp.conf and of this host's addresses aren't followed"
                    .to_owned()
            }
        });
        lines.extend(associations.iter().flat_map(|all| all.text(self.process().is_some())));
        let named = interfaces.iter().map(|held| &held.interface);
        for Interface { name, index, .. } in named.filter(|_| interfaces.len() > 1) {
            lines.push(format!("{name}: {}", self.counts(&counted.at(*index))));
        }
        lines.push(self.counts(counted));
        lines.join("\n")
    }

    /// The numbers of packets by verdict, as text.
    fn counts(&self, counted: &Snapshot) -> String {
        let [passed, dropped, answered] = totals(counted);
        let line = format!("{passed} packets passed, {dropped} dropped, {answered} answered so far");
        match counted.would_drop().packets {
            0 if !self.word.has(PolicyWord::TRIAL) => line,
            would => format!("{line}; {would} more passed in a trial, and would be dropped"),
        }
    }

    fn json(&self) -> Value {
        let Self { interfaces, word, counted, state, associations } = self;
        let interfaces: Vec<_> = interfaces.iter().map(|held| held.json(counted)).collect();
        let known = state.as_ref().and_then(|state| state.known(word.generation));
        let [passed, dropped, answered] = totals(counted);
        json!({
            "interfaces": interfaces,
            "policy": {
                "number": word.generation,
                "rules": known.map(|policy| policy.rules),
                "because": known.map(|policy| &policy.because),
                "since": known.map(|policy| policy.since),
            },
            "monitor": word.has(PolicyWord::TRIAL),
            "failure": state.as_ref().and_then(|state| state.failure.as_ref()),
            "process": self.process(),
            "associations": associations.as_ref().map(Associations::json),
            "passed": passed,
            "dropped": dropped,
            "answered": answered,
            "would_drop": counted.would_drop().packets,
        })
    }
}

fn totals(counted: &Snapshot) -> [u64; 3] {
    [Action::Pass, Action::Drop, Action::Transmit].map(|action| counted.total(action).packets)
}
