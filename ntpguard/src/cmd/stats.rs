//! `ntpguard stats`: what was counted, by reason, interface, line and source, from another process than the guard's.
//!
//! Contract: it reads. No map is written, no lock is taken, and no right is needed but to read what is shown.

use super::until_closed;
use crate::{
    baseline::{self, Baseline},
    bpf::{Maps, Pins, Place},
    cli::{Format, Places, Stats},
    compile::Counters,
    conf::MEMORY,
    export::{Tick, stats::Shown},
    fault::{Blame as _, Fault},
    feed::{Answer, Request, Sources, ask},
    home,
    limits::Clock,
    state::{self, InForce, Seats, State},
    stats::Snapshot,
    tracked::{self, Reader, Tracked},
    writer::{tell, warn},
};
use anyhow::{Context as _, Result};
use ntpguard_common::abi::Settings;
use std::{
    collections::HashMap,
    fs,
    io::{self, IsTerminal as _, Write as _},
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// How long to wait for a policy that has come into force to be written down.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Shows it, or begins anew.
///
/// # Errors
/// Nothing is guarded, or this user may not look.
pub(super) fn run(options: &Stats) -> Result<(), Fault> {
    if options.reset {
        return reset(&options.places).environment();
    }
    match options.watch {
        Some(pause) => watch(options, pause),
        None => show(options, &Look::take(&options.places).environment()?, None).map(drop),
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
        let mut last: Option<Look> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => (),
                _ = interrupted.recv() => return Ok(()),
                _ = terminated.recv() => return Ok(()),
            }
            let look = Look::take(&options.places).environment()?;
            show(options, &look, last.as_ref())?;
            last = Some(look);
        }
    })
}

/// From now on counts from zero.
fn reset(places: &Places) -> Result<()> {
    let look = Look::take(places)?;
    let limited = tracked::totals(look.maps.heavy()?.values());
    let path = baseline::place(places)?;
    Baseline::new(&look.counted, look.policy(), look.identity, limited)?.save(&path)?;
    tell(format_args!("counting from zero; `ntpguard stats --total` counts from the start as before"));
    Ok(())
}

/// Shows one look, with rates since the last one.
fn show(options: &Stats, look: &Look, last: Option<&Look>) -> Result<(), Fault> {
    let nobody = Seats::new();
    let (total, baseline) = since(options, look).environment()?;
    let mut unknown = look.unknown.clone();
    if baseline.as_ref().is_some_and(|baseline| !baseline.knows_hits()) && unknown.is_none() {
        unknown = Some("whose the hits before the reset were wasn't known; --total has all".to_owned());
    }
    let when = baseline.as_ref().map(|baseline| baseline.when);
    let limited = baseline.map(|baseline| baseline.limited).unwrap_or_default();
    let tracked = options.sources.map(|most| look.tracked(limited, most)).transpose().environment()?;
    let last = last.filter(|last| last.identity == look.identity && look.counted.reaches(&last.counted));
    let shown = Shown {
        tick: Tick {
            elapsed: last.map_or(Duration::ZERO, |last| look.taken - last.taken),
            since: last.map_or_else(Snapshot::default, |last| look.reasons().since(&last.counted)),
            total: &total,
            seats: look.state.as_ref().map_or(&nobody, |state| &state.seats),
            policy: look.policy(),
            tracked,
        },
        generation: look.settings.generation,
        monitor: look.settings.has(Settings::MONITOR),
        since: when,
        now: state::now(),
        rules: options.rules,
        unknown,
        dropped: options.sources.map(|most| dropped(options, most)),
    };
    write(options, &shown, last.is_none()).environment()
}

/// Who was dropped most, as whoever draws the events knows.
fn dropped(options: &Stats, most: usize) -> Result<Sources, String> {
    match ask(&options.places, &Request::Sources { most }) {
        Ok(Some(Answer::Sources(sources))) => Ok(sources),
        Ok(Some(_)) => Err("the ntpguard that draws events is of another version".to_owned()),
        Ok(None) => Err("nobody knows, since no `ntpguard run` draws events".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// What is shown: what came since the last reset, which comes with it, or all.
fn since(options: &Stats, look: &Look) -> Result<(Snapshot, Option<Baseline>)> {
    let all = || (look.counted.clone(), None);
    // Who has no place for one has none.
    let path = baseline::place(&options.places).ok().filter(|_| !options.total);
    let Some(path) = path else { return Ok(all()) };
    let Some(baseline) = Baseline::load(&path)? else { return Ok(all()) };
    if let Some(since) = baseline.since(&look.counted, look.policy(), look.identity)? {
        return Ok((since, Some(baseline)));
    }
    warn(format_args!("the counters have begun anew since the reset, which counts no longer"));
    fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
    Ok(all())
}

fn write(options: &Stats, shown: &Shown<'_>, first: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match options.format {
        Format::Json => writeln!(out, "{}", shown.json())?,
        Format::Text if options.watch.is_some() && out.is_terminal() => {
            // From the corner on, over what stands there, and nothing of it is left (ECMA-48, CUP, EL and ED).
            let text = shown.text().replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{text}\x1b[K\n\x1b[J")?;
        }
        Format::Text => {
            let between = if first { "" } else { "\n" };
            writeln!(out, "{between}{}", shown.text())?;
        }
    }
    out.flush()
}

/// One look at what is pinned, and at what is known about it.
struct Look {
    maps: Maps,
    identity: u32,
    settings: Settings,
    counted: Snapshot,
    state: Option<State>,
    /// Why nobody knows whose the hits are.
    unknown: Option<String>,
    taken: Instant,
}

impl Look {
    /// Takes one. A policy may come into force meanwhile, or other maps take the place of these: then it is taken again.
    fn take(places: &Places) -> Result<Self> {
        let start = Instant::now();
        loop {
            let place = Pins::seen(&places.pin_path)?.context(home::NOTHING)?;
            let patient = start.elapsed() < PATIENCE;
            match Self::once(places, place, patient) {
                Ok(Some(look)) => return Ok(look),
                Err(error) if !patient => return Err(error),
                _ => sleep(PAUSE),
            }
        }
    }

    /// `None` where something was about to change, and there is time to look again.
    fn once(places: &Places, place: Place, patient: bool) -> Result<Option<Self>> {
        let mut maps = Maps::look(place)?;
        let settings = maps.settings()?;
        let (state, mut unknown) = match State::load(&places.state_dir) {
            Ok(Some(state)) => (Some(state), None),
            Ok(None) => (None, Some(format!("there is no state in {}", places.state_dir.display()))),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let known = state.as_ref().and_then(|state| state.known(settings.generation));
        if state.is_some() && known.is_none() {
            if patient {
                return Ok(None);
            }
            unknown =
                Some(format!("nobody has written down whose the hits of policy {} are", settings.generation));
        }
        if let Some(known) = known {
            maps.know(Counters::new(known.flags.iter().copied()));
        }
        let counted = maps.counters(known.is_some())?;
        let taken = Instant::now();
        let same = maps.settings()?.generation == settings.generation;
        let identity = maps.identity()?;
        Ok((same || !patient).then_some(Self { maps, identity, settings, counted, state, unknown, taken }))
    }

    /// What was counted without hits, which have no rates: another policy has others.
    fn reasons(&self) -> Snapshot {
        Snapshot { seats: self.counted.seats.clone(), hits: Vec::new() }
    }

    fn policy(&self) -> Option<&InForce> {
        self.state.as_ref()?.known(self.settings.generation)
    }

    /// Who is remembered, and who was limited most since others had been.
    fn tracked(&self, limited: HashMap<IpAddr, u64>, most: usize) -> Result<Tracked> {
        let clock = Clock::of_kernel()?;
        let (sources, heavy) = (self.maps.sources()?, self.maps.heavy()?);
        let mut reader = Reader::since(limited, most);
        Ok(reader.read(sources.values(), heavy.values(), clock.now()?, MEMORY * clock.hz))
    }
}
