//! From records to events: names instead of numbers.

use crate::{
    bpf::Events,
    compile::Counters,
    guard::state::{InForce, Rows, State, in_row},
    observe::event::{Blamed, Event, request},
};
use nix::{
    net::if_::if_indextoname,
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime},
};
use ntpguard_common::{
    Reason,
    abi::{PolicyWord, row},
    sample::Sample,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// How many policies' lines are kept: the one in force, and the one before it, whose events may still arrive.
const POLICIES: usize = 2;

/// The names that the records don't have.
pub(super) struct Annotator {
    folder: PathBuf,
    policies: VecDeque<Policy>,
    rows: Rows,
    /// Names of interfaces, for one tick.
    names: BTreeMap<u32, String>,
    /// The offset from the kernel's monotonic clock to nanoseconds since 1970.
    offset: i64,
}

/// A policy, and which rule each of its counters belongs to.
struct Policy {
    in_force: InForce,
    counters: Counters,
}

impl Annotator {
    /// Takes names from the state in a folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            policies: VecDeque::new(),
            rows: Rows::new(),
            names: BTreeMap::new(),
            offset: 0,
        }
    }

    /// Forgets what may change between ticks: the clock's offset, and names of interfaces.
    pub(super) fn refresh(&mut self) {
        let now = |clock| clock_gettime(clock).map_or(0, nanoseconds);
        self.offset = now(ClockId::CLOCK_REALTIME).saturating_sub(now(ClockId::CLOCK_MONOTONIC));
        self.names.clear();
    }

    /// Whether the lines of the policy with this generation are known; reads the state if they aren't.
    pub(super) fn knows(&mut self, generation: u32) -> bool {
        if !self.policies.iter().any(|policy| policy.in_force.generation == generation) {
            self.look();
        }
        self.policies.iter().any(|policy| policy.in_force.generation == generation)
    }

    /// Reads the state again. While it is being written, the previous one is read.
    fn look(&mut self) {
        let Ok(Some(State { policy, rows, .. })) = State::load(&self.folder) else { return };
        self.rows = rows;
        let Some(in_force) = policy else { return };
        self.policies.retain(|known| known.in_force.generation != in_force.generation);
        let counters = Counters::new(in_force.flags.iter().copied());
        self.policies.push_front(Policy { in_force, counters });
        self.policies.truncate(POLICIES);
    }

    /// Makes an event of a record that stands for `scale` packets; `None` if its reason is unknown.
    pub(super) fn event(&mut self, events: &Events, sample: &Sample, scale: u32) -> Option<Event> {
        let reason = *Reason::ALL.get(usize::from(sample.reason))?;
        let head = sample.head.get(..usize::from(sample.heads))?;
        let is_known = sample.family != 0;
        let [a, b, c, d, ..] = sample.source;
        Some(Event {
            time_ns: sample.time.wrapping_add_signed(self.offset),
            interface: self.interface(sample.interface),
            source: match sample.family {
                4 => Some([a, b, c, d].into()),
                6 => Some(IpAddr::from(sample.source)),
                _ => None,
            },
            port: is_known.then_some(sample.port),
            mode: head.first().map(|first| first & 7),
            version: head.first().map(|first| first >> 3 & 7),
            request: request(head),
            length: sample.length,
            reason,
            cause: self.cause(events, sample, reason),
            scale,
            trial: PolicyWord { flags: sample.flags, generation: sample.generation }.has(PolicyWord::TRIAL),
            frame: None,
        })
    }

    fn cause(&self, events: &Events, sample: &Sample, reason: Reason) -> Option<Blamed> {
        let Policy { in_force, counters } =
            self.policies.iter().find(|policy| policy.in_force.generation == sample.generation)?;
        let cause = in_force.cause(events.rule(sample, reason, counters)?, reason)?;
        Some(Blamed { file: cause.file.to_owned(), line: cause.line, text: cause.text.to_owned() })
    }

    fn interface(&mut self, index: u32) -> String {
        let rows = &self.rows;
        let name = || {
            let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
            name.unwrap_or_else(|| in_row(rows, row(index)))
        };
        self.names.entry(index).or_insert_with(name).clone()
    }
}

/// A clock may be set to anything, so this saturates.
fn nanoseconds(time: TimeSpec) -> i64 {
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a string can't fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
