//! The process that reads the ring buffer: ten times a second, on a thread of its own.

use super::{
    clients::Clients,
    memory::Memory,
    pace::{ByReason, Pace, Shares, drops},
    unbound::Unbound,
    words::Annotator,
};
use crate::{
    bpf::{EVENTS, Events, MapFolder, Pins, snapshot::Snapshot},
    guard::{instance::nothing, options::Places},
    host::{
        access::Readers,
        lock::{Held, Lock},
        log::warn,
        sandbox,
    },
};
use anyhow::{Context as _, Result};
use ntpguard_common::{
    Reason,
    sample::{NEVER, Sample},
};
use std::{
    array,
    collections::VecDeque,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often the ring is read, and so the maximum age of an event when it is sent.
const TICK: Duration = Duration::from_millis(100);
/// How long an event waits for the state to have the lines of its policy.
const STATE_TIMEOUT: Duration = Duration::from_secs(2);

/// The hub; it runs as long as this value lives.
pub struct Hub {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    losses: Arc<Losses>,
    _turn: Lock,
}

/// What became of sampled drops.
#[derive(Debug, Default)]
pub struct Losses {
    /// Sent by this hub.
    pub told: AtomicU64,
    /// Not sent because `--event-rate` was reached; counted since the maps were created.
    pub held: AtomicU64,
    /// Not sent because the ring was full; counted since the maps were created.
    pub full: AtomicU64,
}

impl Hub {
    /// Begins to sample and to send events; `None` if another process does. Listens with `socket`, which is taken in that
    /// case; without one, it creates a socket, which a confined process can't.
    ///
    /// # Errors
    /// Nothing is guarded, or this user lacks the right.
    pub fn start(
        places: &Places,
        rate: u32,
        readers: &Readers,
        socket: &mut Option<Unbound>,
    ) -> Result<Option<Self>> {
        let place = Pins::seen(&places.pin_path)?.with_context(|| nothing(&places.pin_path))?;
        let former = places.state_dir.join("events.lock");
        let turn = match Lock::take(&places.pin_path.join(EVENTS), Some(&former))? {
            Ok(turn) => turn,
            Err(Held { .. }) => return Ok(None),
        };
        let events = Events::open(place.clone())?;
        let path = super::socket(&places.state_dir);
        // A socket that is still there belongs to a dead hub, because the lock is ours.
        let _ = fs::remove_file(&path);
        let socket = match socket.take() {
            Some(socket) => socket,
            None => Unbound::new()?,
        };
        let listener = socket.listen(&path).with_context(|| format!("can't listen at {}", path.display()))?;
        readers.invite(&path)?;
        let (stop, losses) = (Arc::new(AtomicBool::new(false)), Arc::new(Losses::default()));
        let mut work = Work {
            places: places.clone(),
            place,
            events,
            pace: Pace::new(rate),
            shares: Shares::new(),
            words: Annotator::new(&places.state_dir),
            clients: Clients::new(listener),
            waiting: VecDeque::new(),
            held: [const { None }; Reason::COUNT],
            shifts: [NEVER; Reason::COUNT],
            memory: Memory::new(places.state_dir.clone(), *readers),
            last: None,
            looked: Instant::now(),
            losses: Arc::clone(&losses),
        };
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || {
            // The thread accepts connections, and needs only the pin folder and the state folder. It goes on if the kernel
            // refuses to confine it.
            let _ = sandbox::keep(&[]);
            let mut fails = false;
            while !stopped.load(Ordering::Relaxed) {
                thread::park_timeout(TICK);
                let ticked = work.tick();
                if let Err(error) = &ticked {
                    // Warns only once, because the failure may last.
                    if !fails {
                        warn(format_args!("no events for a while: {error:#}"));
                    }
                    thread::park_timeout(STATE_TIMEOUT);
                }
                fails = ticked.is_err();
            }
            work.end();
        })?;
        Ok(Some(Self { stop, thread: Some(thread), losses, _turn: turn }))
    }

    /// How many events were sent, and how many weren't.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread ends within a tick; a panic has been reported already.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Work {
    places: Places,
    place: MapFolder,
    events: Events,
    pace: Pace,
    shares: Shares,
    words: Annotator,
    clients: Clients,
    waiting: VecDeque<Drawn>,
    held: ByReason<Option<Drawn>>,
    /// The shift by which each reason is sampled.
    shifts: ByReason<u32>,
    memory: Memory,
    /// When the counters were last read, and their values.
    last: Option<(Instant, ByReason<u64>)>,
    looked: Instant,
    losses: Arc<Losses>,
}

/// A sampled drop that waits for the lines of its policy.
struct Drawn {
    since: Instant,
    sample: Sample,
    frame: Vec<u8>,
    scale: u32,
}

impl Work {
    fn tick(&mut self) -> Result<()> {
        self.follow_place()?;
        self.clients.attend(|request| self.memory.answer(request));
        let (drawn, since, elapsed) = self.collect()?;
        self.draw(&since, elapsed, drawn.len());
        self.share_out(drawn, &since);
        self.publish();
        self.clients.flush();
        self.memory.keep();
        Ok(())
    }

    /// Opens other maps if they have replaced these.
    fn follow_place(&mut self) -> Result<()> {
        if self.looked.elapsed() < STATE_TIMEOUT {
            return Ok(());
        }
        self.looked = Instant::now();
        let now = Pins::seen(&self.places.pin_path)?.with_context(|| nothing(&self.places.pin_path))?;
        if now != self.place {
            self.events = Events::open(now.clone())?;
            (self.place, self.last) = (now, None);
        }
        Ok(())
    }

    /// Takes the sampled drops; returns them with what was counted meanwhile, and in which time.
    fn collect(&mut self) -> Result<(Vec<Drawn>, ByReason<u64>, Duration)> {
        let now = Instant::now();
        let mut drawn: Vec<Drawn> = Vec::new();
        self.events.take(|sample, frame| {
            drawn.push(Drawn { since: now, sample, frame: frame.to_vec(), scale: 0 });
        });
        // Counters are read after the ring, so that they include each sampled drop.
        let counts = counts(&self.events.counters()?);
        let (elapsed, since) = match &self.last {
            Some((then, before)) => {
                (now - *then, array::from_fn(|reason| counts[reason].saturating_sub(before[reason])))
            }
            // Drops that were sampled before the first reading of the counters stand for themselves.
            None => (TICK, [0; Reason::COUNT]),
        };
        self.last = Some((now, counts));
        Ok((drawn, since, elapsed))
    }

    /// Sets how many packets each sampled drop stands for, from what was counted meanwhile.
    fn share_out(&mut self, mut drawn: Vec<Drawn>, since: &ByReason<u64>) {
        self.shares.count(since);
        for reason in drops() {
            let is_of = |drawn: &&mut Drawn| u32::from(drawn.sample.reason) == reason.index();
            let (events, index) = (drawn.iter_mut().filter(is_of).count(), reason.index() as usize);
            let shares = self.shares.of(reason, events);
            drawn.iter_mut().filter(is_of).zip(shares).for_each(|(drawn, share)| drawn.scale = share);
            let is_sampled = since[index] != events as u64 || self.shifts[index] > 0;
            self.hold_last(reason, since[index] > 0 && is_sampled, &mut drawn);
        }
        drawn.sort_by_key(|drawn| drawn.sample.time);
        self.waiting.extend(drawn);
    }

    /// Holds back the last event of a reason while its drops are sampled rather than reported one by one. If none of its
    /// next drops is sampled, the event that was held back stands for them, too.
    fn hold_last(&mut self, reason: Reason, goes_on: bool, drawn: &mut Vec<Drawn>) {
        let held = &mut self.held[reason.index() as usize];
        let last = drawn.iter().rposition(|drawn| u32::from(drawn.sample.reason) == reason.index());
        if let Some(last) = last.filter(|_| goes_on) {
            let last = drawn.remove(last);
            drawn.extend(held.replace(last));
        } else if goes_on && let Some(held) = held {
            held.scale = held.scale.saturating_add(self.shares.rest(reason));
        } else {
            drawn.extend(held.take());
        }
    }

    /// Sets what is sampled next, after a time `elapsed` in which `since` was counted and `came` drops arrived.
    fn draw(&mut self, since: &ByReason<u64>, elapsed: Duration, came: usize) {
        let budget = self.pace.budget(elapsed, came);
        let sampling = self.events.sampling();
        sampling.capture(self.clients.snaplen());
        self.shifts = self.pace.shifts(since, budget);
        drops().for_each(|reason| sampling.draw(reason, self.shifts[reason.index() as usize]));
        // A single reason gets only half of the budget (`may_spend`).
        sampling.refill(2 * budget);
        let [held, full] = sampling.lost();
        self.losses.held.store(held, Ordering::Relaxed);
        self.losses.full.store(full, Ordering::Relaxed);
    }

    /// Sends the events whose lines are known, in order.
    fn publish(&mut self) {
        self.words.refresh();
        while let Some(Drawn { since, sample, .. }) = self.waiting.front() {
            if !self.words.knows(sample.generation) && since.elapsed() < STATE_TIMEOUT {
                break;
            }
            let Some(Drawn { sample, frame, scale, .. }) = self.waiting.pop_front() else { break };
            if let Some(event) = self.words.event(&self.events, &sample, scale) {
                self.clients.event(&event, &frame);
                self.memory.add(event);
                self.losses.told.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Turns sampling off, because no process reads the ring any more.
    fn end(mut self) {
        let sampling = self.events.sampling();
        drops().for_each(|reason| sampling.draw(reason, NEVER));
        sampling.refill(0);
        sampling.capture(0);
        // Sends what is left.
        if let Ok((drawn, since, _)) = self.collect() {
            self.share_out(drawn, &since);
            self.waiting.extend(self.held.iter_mut().filter_map(Option::take));
            self.publish();
            self.clients.flush();
        }
        self.memory.save();
        // The next hub creates its own socket.
        let _ = fs::remove_file(super::socket(&self.places.state_dir));
    }
}

/// Drops and answers since the filter was first attached, including those in trials.
fn counts(snapshot: &Snapshot) -> ByReason<u64> {
    array::from_fn(|reason| snapshot.judged(Reason::ALL[reason]).packets)
}
