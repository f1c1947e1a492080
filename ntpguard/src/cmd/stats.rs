//! `ntpguard stats`: the counters by reason, interface, line and source, read from outside the process that guards.
//!
//! Contract: it only reads. It writes no map, takes no lock, and needs no right except to read what it shows.

use super::closed::until_closed;
use crate::{
    bpf::snapshot::Snapshot,
    cli::Stats,
    export::{Format, Tick, stats::Shown},
    guard::{
        options::Places,
        state::{self, Rows},
    },
    host::{
        fault::{Blame as _, Fault},
        interface,
        log::{tell, warn},
        terminal,
    },
    observe::{
        baseline::{self, Baseline},
        feed::{Answer, DroppedSources, Request, ask},
        view::FilterView,
    },
};
use anyhow::{Context as _, Result, anyhow};
use ntpguard_common::abi::{PolicyWord, row};
use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// Why a count can't be shown by interface.
const TOGETHER: &str = "counted for all interfaces together; ask without an interface";

/// Shows the counters, or resets them for this user.
///
/// # Errors
/// Nothing is guarded, or this user may not read the counters.
pub(super) fn run(options: &Stats) -> Result<(), Fault> {
    if options.reset {
        return reset(&options.places).environment();
    }
    match options.watch {
        Some(pause) => watch(options, pause),
        None => show(options, &FilterView::take(&options.places).environment()?, None).map(drop),
    }
    .or_else(|fault| match fault {
        Fault::Environment(error) => until_closed(Err(error)).environment(),
        fault => Err(fault),
    })
}

fn watch(options: &Stats, pause: Duration) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().environment()?;
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt()).environment()?;
        let mut terminated = signal(SignalKind::terminate()).environment()?;
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<FilterView> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => (),
                _ = interrupted.recv() => return Ok(()),
                _ = terminated.recv() => return Ok(()),
            }
            let view = FilterView::take(&options.places).environment()?;
            show(options, &view, last.as_ref())?;
            last = Some(view);
        }
    })
}

/// Saves the current counts as the baseline from which later ones are counted.
fn reset(places: &Places) -> Result<()> {
    let view = FilterView::take(places)?;
    let limited = view.limited()?;
    let path = baseline::place(places)?;
    Baseline::new(&view.counted, view.policy(), view.identity, limited)?.save(&path)?;
    tell(format_args!("counting from zero; `ntpguard stats --total` counts from the start as before"));
    Ok(())
}

/// Shows one view, with rates since the last one.
fn show(options: &Stats, view: &FilterView, last: Option<&FilterView>) -> Result<(), Fault> {
    let nobody = Rows::new();
    let (mut total, baseline) = since(options, view).environment()?;
    let last = last.filter(|last| view.goes_on_from(last));
    let mut rates = last.map(|last| view.reasons().since(&last.counted));
    let mut unknown = view.unknown.clone();
    if baseline.as_ref().is_some_and(|baseline| !baseline.knows_hits()) && unknown.is_none() {
        unknown = Some("whose the hits before the reset were wasn't known; --total has all".to_owned());
    }
    let when = baseline.as_ref().map(|baseline| baseline.when);
    let named = &options.interfaces;
    let wanted = wanted(named, view).environment()?;
    if !named.is_empty() {
        total = total.only(&wanted);
        rates = rates.map(|rates| rates.only(&wanted));
        unknown = Some(TOGETHER.to_owned());
    }
    let limited = baseline.map(|baseline| baseline.limited).unwrap_or_default();
    let most = options.sources.filter(|_| named.is_empty());
    let tracked = most.map(|most| view.tracked(limited, most)).transpose().environment()?;
    let shown = Shown {
        tick: Tick {
            elapsed: last.map_or(Duration::ZERO, |last| view.taken - last.taken),
            since: rates.unwrap_or_default(),
            total: &total,
            rows: view.state.as_ref().map_or(&nobody, |state| &state.rows),
            policy: view.policy(),
            trial: view.word.has(PolicyWord::TRIAL),
            tracked,
        },
        generation: view.word.generation,
        since: when,
        now: state::now(),
        rules: options.rules,
        unknown,
        dropped: options.sources.map(|most| match named.is_empty() {
            true => dropped(options, most),
            false => Err(TOGETHER.to_owned()),
        }),
    };
    write(options, &shown, last.is_none()).environment()
}

/// The rows in which the interfaces of these names are counted.
///
/// # Errors
/// An interface has never been guarded here.
fn wanted(named: &[String], view: &FilterView) -> Result<Vec<u32>> {
    let known = view.state.as_ref().map(|state| &state.rows);
    let place = |name: &String| {
        // The state also knows interfaces that are gone; without a state, only present ones are found.
        let known = known.into_iter().flatten().find(|(_, names)| names.contains(name)).map(|(row, _)| *row);
        match known {
            Some(row) => Ok(row),
            None if view.state.is_none() => Ok(row(interface::find(name)?.index)),
            None => Err(anyhow!("{name} isn't guarded; see `ntpguard status`")),
        }
    };
    named.iter().map(place).collect()
}

/// The sources that were dropped most, from the process that samples events.
fn dropped(options: &Stats, most: usize) -> Result<DroppedSources, String> {
    match ask(&options.places, &Request::Sources { most }) {
        Ok(Some(Answer::Sources(sources))) => Ok(sources),
        Ok(Some(_)) => Err("the ntpguard that draws events is of another version".to_owned()),
        Ok(None) => Err("nobody knows, since no `ntpguard run` draws events".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// The counts since the last reset, with its baseline, or all counts.
fn since(options: &Stats, view: &FilterView) -> Result<(Snapshot, Option<Baseline>)> {
    let all = || (view.counted.clone(), None);
    // A user without a place for a baseline has none.
    let path = baseline::place(&options.places).ok().filter(|_| !options.total);
    let Some(path) = path else { return Ok(all()) };
    let Some(baseline) = Baseline::load(&path)? else { return Ok(all()) };
    if let Some(since) = baseline.since(&view.counted, view.policy(), view.identity)? {
        return Ok((since, Some(baseline)));
    }
    warn(format_args!("the counters have begun anew since the reset, which counts no longer"));
    fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
    Ok(all())
}

fn write(options: &Stats, shown: &Shown<'_>, first: bool) -> io::Result<()> {
    let mut out = options.format.stdout();
    match options.format {
        Format::Json => writeln!(out, "{}", shown.json())?,
        Format::Text if options.watch.is_some() && io::stdout().is_terminal() => {
            // Overwrites the screen from the top left corner and erases the rest (ECMA-48: CUP, EL and ED).
            let mut out = io::stdout();
            let text = terminal::shown(&shown.text()).replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{text}\x1b[K\n\x1b[J")?;
        }
        Format::Text => {
            let between = if first { "" } else { "\n" };
            writeln!(out, "{between}{}", shown.text())?;
        }
    }
    out.flush()
}
