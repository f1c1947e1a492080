//! Proof of life: whether the filter really runs on an interface that it is attached to.
//!
//! The kernel shows what was attached, not what the driver runs: some drivers lose the program or never run it, and at tc,
//! an earlier program may end the chain. The proof that the filter runs is that it counts the frames that the interface
//! counts.
//!
//! If the driver counts by receive queue, each queue has to prove it ([`super::queues`]).
//!
//! Contract: [`Life::of`] is pure. The counts aren't compared one to one, because packets are merged (GRO) before tc and
//! generic XDP, and drivers differ on whether dropped frames are counted as received.

use super::queues::{self, ENOUGH, Judged, Lost};
use crate::{
    bpf::{How, Maps, Seen},
    host::{
        interface::{self, Interface},
        queues::{Received, received},
    },
};
use anyhow::Result;
use std::{
    collections::BTreeMap,
    fmt,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long [`watch`] takes at most.
pub const WINDOW: Duration = Duration::from_secs(1);

/// The time between two readings of it.
const STEP: Duration = Duration::from_millis(100);

/// Whether the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has seen frames.
    Runs,
    /// The interface, or one of its receive queues, has received enough frames, and the filter has seen none of them.
    NotRun,
    /// Too few frames were received to tell.
    Unknown,
}

impl Life {
    /// Judges by how many frames an interface received between two readings, and how many of them the filter saw. Drivers
    /// that don't count frames dropped by XDP as received report fewer frames than the filter saw.
    pub fn of(received: u64, seen: u64) -> Self {
        match (received.max(seen) >= ENOUGH, seen) {
            (false, _) => Self::Unknown,
            (true, 0) => Self::NotRun,
            (true, _) => Self::Runs,
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::NotRun => "not run",
            Self::Unknown => "unknown",
        }
    }
}

/// The finding about an interface, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whether the filter runs.
    pub life: Life,
    /// The interface whose frames are the evidence: for a bond, a member.
    pub interface: String,
    /// How many frames that interface received meanwhile.
    pub received: u64,
    /// How many of them the filter saw; may be a few too many.
    pub seen: u64,
    /// The receive queues that are the evidence: at least one of them doesn't run the program, while others do.
    pub queues: Vec<u32>,
}

impl Proof {
    /// The finding about an interface that the filter isn't attached to.
    pub fn absent(interface: &Interface) -> Self {
        Self::of_all(&interface.name, Life::NotRun, 0, 0)
    }

    /// A finding from all frames of an interface.
    fn of_all(interface: &str, life: Life, received: u64, seen: u64) -> Self {
        Self { life, interface: interface.to_owned(), received, seen, queues: Vec::new() }
    }

    /// A finding from some of its queues.
    pub(super) fn of_queues(interface: &str, Lost { queues, received, seen }: Lost) -> Self {
        Self { life: Life::NotRun, interface: interface.to_owned(), received, seen, queues }
    }

    /// The evidence in words.
    pub fn evidence(&self) -> String {
        let Self { life, interface, received, seen, queues } = self;
        let frames = if *received == 1 { "frame" } else { "frames" };
        let by = match queues.as_slice() {
            [] => interface.clone(),
            [queue] => format!("receive queue {queue} of {interface}"),
            many => {
                let numbers: Vec<_> = many.iter().map(u32::to_string).collect();
                format!("receive queues {} of {interface}", numbers.join(", "))
            }
        };
        let came = format!("{received} {frames} came in by {by}");
        match (life, seen) {
            (Life::Runs, _) => format!("{came}, {seen} were seen"),
            (Life::NotRun, 0) => format!("{came}, and the filter saw none"),
            (Life::NotRun, _) => format!("{came}, and the filter saw at most {seen}"),
            (Life::Unknown, _) => format!("{came}, too few to tell whether the filter runs"),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.life.name(), self.evidence())
    }
}

/// A reading of how many frames all interfaces have received, and how many the filter has seen.
#[derive(Clone, Debug)]
pub struct InterfaceReading {
    /// Which maps were read: other maps count from zero.
    identity: u32,
    /// Read once before the interfaces and once after them, so that a difference of two readings doesn't miss frames seen.
    seen: [Seen; 2],
    interfaces: Vec<Interface>,
    /// By interface index, for those whose driver has a program and counts by queue.
    queues: BTreeMap<u32, Received>,
    taken: Instant,
}

impl InterfaceReading {
    /// Takes a reading.
    ///
    /// # Errors
    /// The kernel refuses to read a map, or doesn't list the interfaces.
    pub fn take(maps: &Maps) -> Result<Self> {
        let identity = maps.identity()?;
        let before = maps.seen()?;
        let interfaces = interface::all()?;
        let queues = by_queue(&interfaces);
        Ok(Self { identity, seen: [before, maps.seen()?], interfaces, queues, taken: Instant::now() })
    }

    /// The interface of this name at the time of the reading.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// How long after another reading it was taken.
    pub(super) fn after(&self, earlier: &Self) -> Duration {
        self.taken.saturating_duration_since(earlier.taken)
    }

    /// Whether both readings are of the same maps.
    pub(super) const fn is_comparable(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Whether the filter ran on an interface since an earlier reading; `native` if it is attached in native mode.
    pub fn since(&self, earlier: &Self, interface: &Interface, native: bool) -> Proof {
        let proofs = sites(&self.interfaces, interface, native).into_iter().map(|site| {
            let received = |reading: &Self| {
                let found = reading.interfaces.iter().find(|other| other.index == site.interface.index);
                found.map(|found| found.received)
            };
            // An interface that appeared or disappeared meanwhile counts as having received nothing.
            let received = match (received(earlier), received(self)) {
                _ if self.identity != earlier.identity => 0,
                (Some(then), Some(now)) => now.saturating_sub(then),
                _ => 0,
            };
            let seen = if self.identity == earlier.identity {
                site.counted.iter().map(|index| self.seen[1].since(&earlier.seen[0], *index)).sum()
            } else {
                0
            };
            Proof::of_all(&site.interface.name, Life::of(received, seen), received, seen)
        });
        // The worst finding counts, because each member of a bond is a way in. A quiet member says nothing about the others.
        let worst = |proof: &Proof| match proof.life {
            Life::NotRun => 2,
            Life::Runs => 1,
            Life::Unknown => 0,
        };
        proofs.max_by_key(worst).unwrap_or_else(|| Proof::of_all(&interface.name, Life::Unknown, 0, 0))
    }

    /// What each queue of an interface has proved since an earlier reading, with the interface that has the queue. Nothing
    /// in generic mode and at tc, where one program serves all queues.
    pub(super) fn queues_since<'a>(
        &'a self,
        earlier: &'a Self,
        interface: &'a Interface,
        native: bool,
    ) -> impl Iterator<Item = (&'a Interface, Judged)> {
        let sites = sites(&self.interfaces, interface, native).into_iter();
        sites.filter(move |_| native && self.identity == earlier.identity).filter_map(|site| {
            let index = site.interface.index;
            let (then, now) = (earlier.queues.get(&index)?, self.queues.get(&index)?);
            // A queue that appeared meanwhile, or whose count went back because the driver restarted it, has received
            // nothing.
            let received: Received = now
                .iter()
                .filter_map(|(queue, now)| Some((*queue, now.checked_sub(*then.get(queue)?)?)))
                .collect();
            let (seen, before) = (&self.seen[1], &earlier.seen[0]);
            let passed = |queue| seen.passed_since(before, index, queue);
            Some((site.interface, queues::judge(&received, passed, seen.judged_since(before, index))))
        })
    }
}

/// The frames received by each queue, for interfaces whose driver has a program itself or through its master.
fn by_queue(interfaces: &[Interface]) -> BTreeMap<u32, Received> {
    let is_native = |interface: &Interface| interface.xdp.is_some_and(|xdp| xdp.native);
    let of = |index: Option<u32>| interfaces.iter().find(|other| Some(other.index) == index);
    let native = interfaces
        .iter()
        .filter(|interface| is_native(interface) || of(interface.master).is_some_and(is_native));
    // A driver without statistics by queue is judged only by all frames.
    let counted = native.filter_map(|interface| Some((interface.index, received(&interface.name).ok()?)));
    counted.filter(|(_, queues)| queues.len() > 1).collect()
}

/// Watches for a second, or until all of these interfaces run the filter; each comes with whether it is guarded in native
/// mode.
///
/// # Errors
/// Those of [`InterfaceReading::take`].
pub fn watch(maps: &Maps, guarded: &[(&Interface, bool)]) -> Result<Vec<Proof>> {
    Watch::begin(maps)?.end(guarded)
}

/// A [`watch`] that has begun: its second passes while its owner does something else.
pub struct Watch<'a> {
    maps: &'a Maps,
    first: InterfaceReading,
}

impl<'a> Watch<'a> {
    /// Takes the first reading.
    ///
    /// # Errors
    /// Those of [`InterfaceReading::take`].
    pub fn begin(maps: &'a Maps) -> Result<Self> {
        Ok(Self { maps, first: InterfaceReading::take(maps)? })
    }

    /// Watches until the second is over, or until all of these interfaces run the filter; each comes with whether it is
    /// guarded in native mode.
    ///
    /// # Errors
    /// Those of [`InterfaceReading::take`].
    pub fn end(self, guarded: &[(&Interface, bool)]) -> Result<Vec<Proof>> {
        let Self { maps, first } = self;
        // If an interface has several ways in, the whole second is used, so that each can prove itself.
        let patient =
            guarded.iter().any(|(interface, native)| sites(&first.interfaces, interface, *native).len() > 1);
        let mut step = STEP.saturating_sub(first.taken.elapsed());
        loop {
            sleep(step);
            let now = InterfaceReading::take(maps)?;
            let mut is_open = false;
            let proof = |(interface, native): &(&Interface, bool)| {
                let proof = now.since(&first, interface, *native);
                let mut lost = None;
                for (site, judged) in now.queues_since(&first, interface, *native) {
                    is_open |= judged.is_open;
                    lost = lost.or(judged.lost.map(|lost| Proof::of_queues(&site.name, lost)));
                }
                lost.filter(|_| proof.life != Life::NotRun).unwrap_or(proof)
            };
            let proofs: Vec<_> = guarded.iter().map(proof).collect();
            let settled = !patient && !is_open && proofs.iter().all(|proof| proof.life == Life::Runs);
            let elapsed = now.taken.duration_since(first.taken);
            if settled || elapsed >= WINDOW {
                return Ok(proofs);
            }
            step = STEP.min(WINDOW.saturating_sub(elapsed));
        }
    }
}

/// What to do about a filter that isn't run or is gone, if no process restores it by itself. `how` is how it is attached;
/// `process` is whether an `ntpguard run` looks after it, because only that can attach anything then.
pub fn remedy(interface: &str, how: Option<How>, process: bool) -> String {
    let again = |options: &str| match process {
        true => {
            format!("start `ntpguard run` again{}", if options.is_empty() { "" } else { " with" }) + options
        }
        false => format!("ntpguard attach --interface {interface}{options}"),
    };
    match how {
        None => again(""),
        Some(How::Native) => again(" --xdp-mode generic"),
        Some(How::Generic) => again(" --hook tc"),
        Some(How::Tcx) => format!(
            "look which program before it takes the frames, at XDP or at tc: ntpguard doctor --interface {interface}"
        ),
    }
}

/// An interface whose received frames are evidence, and the interface indexes under which the filter may count them.
struct Site<'a> {
    interface: &'a Interface,
    counted: Vec<u32>,
}

/// The interfaces whose frames show whether the filter runs on an interface.
///
/// In native mode, a bond has its members run the program (drivers/net/bonding/bond_main.c:bond_xdp_set), and hv_netvsc its
/// virtual function (drivers/net/hyperv/netvsc_bpf.c:netvsc_vf_setxdp): each of these is a way in. The virtual function's
/// frames are included in those that hv_netvsc has received.
fn sites<'a>(all: &'a [Interface], interface: &'a Interface, native: bool) -> Vec<Site<'a>> {
    let own = |interface: &'a Interface| Site { interface, counted: vec![interface.index] };
    let below = all.iter().filter(|other| native && other.master == Some(interface.index));
    let mut sites: Vec<_> = below.map(own).collect();
    if sites.is_empty() || interface.kind.is_none() {
        let counted = sites.iter().map(|site| site.interface.index).chain([interface.index]).collect();
        sites.push(Site { interface, counted });
    }
    sites
}

#[cfg(test)]
pub(super) mod tests;
