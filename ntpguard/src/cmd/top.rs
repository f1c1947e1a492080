//! `ntpguard top`: a live view in a terminal of what another process guards.
//!
//! Contract: it only reads, like `stats` and `events`. Counters and events are read by separate threads, so keys work
//! whatever these wait for; nothing here waits longer than [`PAUSE`].

use crate::{
    bpf::{Hook, Pins},
    cli,
    guard::options::Places,
    host::fault::{Blame as _, Fault},
    observe::{
        feed::{Follower, RATE, Request},
        life::Life,
        pulse::Pulse,
        view::FilterView,
    },
    policy::resolve::Reverse,
    top::{Effect, Input, Poll, Top, terminal::Screen, theme::Theme},
};
use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long to wait for keys, and so the maximum delay of everything else.
const PAUSE: Duration = Duration::from_millis(50);
/// Time between two attempts to follow events.
const AGAIN: Duration = Duration::from_secs(2);
/// How many batches of events may wait.
const PENDING: usize = 16;
/// How long to wait at the end for the thread that reads events.
const FAREWELL: Duration = Duration::from_secs(1);
/// Time limit of a reverse look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Shows the view until the user quits.
///
/// # Errors
/// Nothing is guarded, this user may not read the counters, or there is no terminal.
pub(super) fn run(options: &cli::Top) -> Result<(), Fault> {
    // Read before the terminal is taken over, so that errors at the start are printed as plain lines.
    let first = look(&options.places, &mut Pulse::default()).environment()?;
    let ended = ending().environment()?;
    let theme = Theme::of(|name| std::env::var(name).ok(), options.ascii);
    let mut screen = Screen::take(theme).environment()?;
    let mut top = Top::new(options.interval);
    top.update(Input::Poll(Box::new(first)));
    let events = Following::start(options.places.clone()).environment()?;
    let shown = show(options, &mut screen, &mut top, &events.inputs, &ended);
    drop(screen);
    events.end();
    shown.environment()
}

fn show(
    options: &cli::Top,
    screen: &mut Screen,
    top: &mut Top,
    events: &Receiver<Input>,
    ended: &AtomicBool,
) -> Result<()> {
    let readings = readings(options)?;
    let mut names: Option<Reverse> = None;
    let mut changed = true;
    loop {
        if changed {
            screen.draw(top)?;
        }
        let pressed = screen.pressed(PAUSE)?;
        changed = pressed.resized || !pressed.keys.is_empty();
        for key in pressed.keys {
            match top.update(Input::Press(key)) {
                Effect::None => (),
                Effect::Quit => return Ok(()),
                Effect::Suspend => screen.without(|| {
                    // Suspends the whole job, as the terminal would (a shell waits for its first process).
                    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
                })?,
                Effect::Names(addresses) => {
                    let names = names.get_or_insert_with(|| Reverse::new(LOOKUP_TIMEOUT));
                    // An address for which there is no room is asked for again at the next key press.
                    addresses.into_iter().take_while(|address| names.ask(*address)).for_each(drop);
                }
            }
        }
        if ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut inputs: Vec<_> = events.try_iter().take(PENDING).collect();
        match readings.try_recv() {
            Ok(input) => inputs.push(input),
            Err(TryRecvError::Empty) => (),
            Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that reads the counters has ended"),
        }
        let named = names.iter_mut().flat_map(|names| names.take());
        inputs.extend(named.map(|(address, name)| Input::Name(address, name)));
        changed |= inputs.iter().any(|input| !matches!(input, Input::Events(events) if events.is_empty()));
        inputs.into_iter().for_each(|input| {
            top.update(input);
        });
    }
}

/// A sample, with the interfaces on which the filter doesn't run.
fn look(places: &Places, pulse: &mut Pulse) -> Result<Poll> {
    let view = FilterView::take(places)?;
    let silent = silent(&view, places, pulse)?;
    Ok(Poll { silent, ..Poll::of(&view)? })
}

/// Interfaces to which the filter is attached but which don't run it. A user who may not list the links sees only XDP programs.
fn silent(view: &FilterView, places: &Places, pulse: &mut Pulse) -> Result<Vec<String>> {
    let Some(state) = &view.state else { return Ok(Vec::new()) };
    let reading = Arc::new(view.reading()?);
    let links = Pins::find(&places.pin_path).and_then(|pins| pins.links().ok());
    let mut silent = Vec::new();
    for interface in state.options.interface.iter().filter_map(|name| reading.interface(name)) {
        let is_held =
            links.as_ref().map_or(interface.xdp.is_some(), |links| links.contains(&interface.index));
        let native = state.options.hook == Hook::Xdp && interface.xdp.is_some_and(|xdp| xdp.native);
        let proof = pulse.look(&reading, interface, native);
        if is_held && proof.life == Life::NotRun {
            silent.push(format!("{} {proof}", interface.name));
        }
    }
    Ok(silent)
}

/// Takes samples from now on, one at a time: while one waits to be shown, the next is delayed.
fn readings(options: &cli::Top) -> Result<Receiver<Input>> {
    let (tell, told) = sync_channel(1);
    let (places, interval) = (options.places.clone(), options.interval);
    let read = move || {
        let mut pulse = Pulse::default();
        loop {
            thread::sleep(interval);
            let input = match look(&places, &mut pulse) {
                Ok(sample) => Input::Poll(Box::new(sample)),
                Err(error) => Input::Trouble(format!("{error:#}")),
            };
            if tell.send(input).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("counters".to_owned()).spawn(read).context("can't start a thread")?;
    Ok(told)
}

/// A flag that becomes true when a signal asks the process to end.
fn ending() -> Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).context("can't wait for signals")?;
    }
    Ok(ended)
}

/// A thread that follows the events of the filter, and samples them itself if no other process does.
struct Following {
    inputs: Receiver<Input>,
    thread: JoinHandle<()>,
}

impl Following {
    fn start(places: Places) -> Result<Self> {
        let (tell, inputs) = sync_channel(PENDING);
        let follow = move || while follow_one(&places, &tell).is_some() {};
        let thread = thread::Builder::new().name("events".to_owned()).spawn(follow);
        Ok(Self { inputs, thread: thread.context("can't start a thread")? })
    }

    /// Ends the thread: if it samples events, it has to announce that it stops.
    fn end(self) {
        let Self { inputs, thread } = self;
        drop(inputs);
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < FAREWELL {
            thread::sleep(PAUSE);
        }
    }
}

/// Follows the events of one filter until an error; `None` once nobody listens.
fn follow_one(places: &Places, tell: &SyncSender<Input>) -> Option<()> {
    let followed = Follower::start(places, Request::Events { snaplen: 0 }, RATE);
    let error = match followed {
        Err(error) => error,
        Ok(mut follower) => {
            // An empty batch says that events can come from now on.
            tell.send(Input::Events(Vec::new())).ok()?;
            loop {
                match follower.take(PAUSE) {
                    // Sent even if empty, which shows whether anybody still listens.
                    Ok(events) => tell.send(Input::Events(events)).ok()?,
                    Err(error) => break error,
                }
            }
        }
    };
    tell.send(Input::Silence(format!("{error:#}"))).ok()?;
    thread::sleep(AGAIN);
    Some(())
}
