//! Proof of life: whether the filter runs on an interface that it is attached to.
//!
//! The kernel shows what was attached, not what the driver runs: some drivers lose the program or never run it, and a
//! program before this one at tc may end the chain. What proves that it runs is that it counts what the interface counts.
//!
//! Contract: [`Life::of`] is pure. Counts aren't compared one to one, since packets are merged before tc and generic XDP
//! (GRO), and drivers differ on whether dropped frames are among those received.

use crate::{
    bpf::{How, Maps, Seen},
    interface::{self, Interface},
};
use anyhow::Result;
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// With fewer frames than this nothing is known.
pub const ENOUGH: u64 = 100;

/// How long [`watch`] looks at most.
pub const WINDOW: Duration = Duration::from_secs(1);

/// How long between two looks of it.
const STEP: Duration = Duration::from_millis(100);

/// How long what was found by enough frames holds where no more come.
const HOLDS: Duration = Duration::from_secs(300);

/// Whether the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has seen frames.
    Runs,
    /// The interface has received enough frames, and the filter has seen none of them.
    NotRun,
    /// Too few frames came in to tell.
    Unknown,
}

impl Life {
    /// By how many frames an interface received between two readings, and how many of them the filter saw. Drivers that
    /// don't count what XDP drops among the received have received fewer than it saw.
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

/// What was found, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What it comes to.
    pub life: Life,
    /// The interface whose frames it was found by: of a bond, a member.
    pub interface: String,
    /// How many frames that received meanwhile.
    pub received: u64,
    /// How many of them the filter saw, or a few more.
    pub seen: u64,
}

impl Proof {
    /// Of an interface that the filter isn't attached to.
    pub fn absent(interface: &Interface) -> Self {
        Self { life: Life::NotRun, interface: interface.name.clone(), received: 0, seen: 0 }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, interface, received, seen } = self;
        let frames = if *received == 1 { "frame" } else { "frames" };
        match life {
            Life::Runs => write!(f, "runs: {received} {frames} came in by {interface}, {seen} were seen"),
            Life::NotRun => {
                write!(f, "not run: {received} {frames} came in by {interface}, and the filter saw none")
            }
            Life::Unknown => {
                write!(
                    f,
                    "unknown: {received} {frames} came in by {interface}, too few to tell whether the filter runs"
                )
            }
        }
    }
}

/// A reading of what all interfaces have received and what the filter has seen of it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which maps were read: others count from zero.
    identity: u32,
    /// Before the interfaces were read, and after it: so the later of two readings never misses what the earlier had.
    seen: [Seen; 2],
    interfaces: Vec<Interface>,
    taken: Instant,
}

impl Reading {
    /// Takes one.
    ///
    /// # Errors
    /// The kernel refuses to read a map or doesn't tell the interfaces.
    pub fn take(maps: &Maps) -> Result<Self> {
        let identity = maps.identity()?;
        let before = maps.seen()?;
        let interfaces = interface::all()?;
        Ok(Self { identity, seen: [before, maps.seen()?], interfaces, taken: Instant::now() })
    }

    /// The interface of a name, as it was then.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// Whether the filter ran on an interface since an earlier reading; `native` if it is attached there in native mode.
    pub fn since(&self, earlier: &Self, interface: &Interface, native: bool) -> Proof {
        let proofs = sites(&self.interfaces, interface, native).into_iter().map(|site| {
            let received = |reading: &Self| {
                let found = reading.interfaces.iter().find(|other| other.index == site.interface.index);
                found.map(|found| found.received)
            };
            // One that came or went meanwhile has received nothing.
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
            Proof { life: Life::of(received, seen), interface: site.interface.name.clone(), received, seen }
        });
        // The worst is what counts: of a bond each member is a way in. One that is quiet says nothing about the others.
        let worst = |proof: &Proof| match proof.life {
            Life::NotRun => 2,
            Life::Runs => 1,
            Life::Unknown => 0,
        };
        proofs.max_by_key(worst).unwrap_or_else(|| Proof {
            life: Life::Unknown,
            interface: interface.name.clone(),
            received: 0,
            seen: 0,
        })
    }
}

/// Looks for a second, or until all of these interfaces run; each with whether it is guarded in native mode.
///
/// # Errors
/// As [`Reading::take`].
pub fn watch(maps: &Maps, guarded: &[(&Interface, bool)]) -> Result<Vec<Proof>> {
    let first = Reading::take(maps)?;
    // Each way in of a bond has a whole second.
    let patient =
        guarded.iter().any(|(interface, native)| sites(&first.interfaces, interface, *native).len() > 1);
    loop {
        sleep(STEP);
        let now = Reading::take(maps)?;
        let proofs: Vec<_> =
            guarded.iter().map(|(interface, native)| now.since(&first, interface, *native)).collect();
        let settled = !patient && proofs.iter().all(|proof| proof.life == Life::Runs);
        if settled || now.taken.duration_since(first.taken) >= WINDOW {
            return Ok(proofs);
        }
    }
}

/// What to do about a filter that isn't run, or is gone, where no process mends it by itself: `how` it is attached, and
/// whether a process looks after it, without which nothing can be attached.
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

/// An interface whose received frames are looked at, and the indexes of those under which the filter may see them.
struct Site<'a> {
    interface: &'a Interface,
    counted: Vec<u32>,
}

/// Where it shows whether the filter runs on an interface.
///
/// In native mode a bond has its members run the program (drivers/net/bonding/bond_main.c:bond_xdp_set), and hv_netvsc its
/// virtual function (drivers/net/hyperv/netvsc_bpf.c:netvsc_vf_setxdp): each of these is a way in of its own. Such a function's
/// frames are among those that hv_netvsc has received.
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

/// Whether the filter runs, again and again: as long is waited as it takes for enough frames.
#[derive(Default)]
pub struct Pulse(BTreeMap<u32, Window>);

/// The time since what was found last about an interface.
struct Window {
    since: Arc<Reading>,
    found: Option<Proof>,
}

impl Pulse {
    /// What is known about an interface after another reading.
    pub fn look(&mut self, now: &Arc<Reading>, interface: &Interface, native: bool) -> Proof {
        let window = self.0.entry(interface.index).or_insert_with(|| Window::new(now));
        if window.since.identity != now.identity {
            *window = Window::new(now);
        }
        let proof = now.since(&window.since, interface, native);
        if proof.life != Life::Unknown {
            *window = Window { since: Arc::clone(now), found: Some(proof.clone()) };
            return proof;
        }
        let is_old = now.taken.saturating_duration_since(window.since.taken) > HOLDS;
        window.found.clone().filter(|_| !is_old).unwrap_or(proof)
    }

    /// Forgets what is known about an interface, by its index: another program is there now.
    pub fn forget(&mut self, index: u32) {
        self.0.remove(&index);
    }
}

impl Window {
    fn new(now: &Arc<Reading>) -> Self {
        Self { since: Arc::clone(now), found: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, received: u64) -> Interface {
        Interface { index, name: format!("eth{index}"), received, ..Interface::default() }
    }

    fn reading(interfaces: Vec<Interface>, seen: Seen) -> Reading {
        Reading { identity: 1, seen: [seen.clone(), seen], interfaces, taken: Instant::now() }
    }

    /// What is found on an interface that received so many frames, of which the filter saw so many.
    fn found(received: u64, seen: u64) -> Proof {
        let then = reading(vec![interface(2, 1000)], Seen::made_up(2, &[50, 7], 4));
        let now = reading(vec![interface(2, 1000 + received)], Seen::made_up(2, &[50 + seen, 7], 4));
        now.since(&then, &interface(2, 0), true)
    }

    #[test]
    fn a_hundred_frames_are_enough() {
        assert_eq!(found(100, 0).life, Life::NotRun);
        assert_eq!(found(99, 0).life, Life::Unknown);
        assert_eq!(found(99, 99).life, Life::Unknown, "never ok with fewer");
        assert_eq!(found(100, 1).life, Life::Runs, "packets are merged before the filter");
        assert_eq!(found(3, 5000).life, Life::Runs, "a driver that doesn't count what XDP drops");
        assert_eq!(found(0, 0).life, Life::Unknown);
    }

    #[test]
    fn the_words_say_by_what() {
        assert_eq!(found(120, 119).to_string(), "runs: 120 frames came in by eth2, 119 were seen");
        assert_eq!(found(120, 0).to_string(), "not run: 120 frames came in by eth2, and the filter saw none");
        assert!(found(1, 1).to_string().starts_with("unknown: 1 frame came in by eth2, too few to tell"));
    }

    #[test]
    fn frames_of_port_123_are_seen_too() {
        let then = reading(vec![interface(2, 0)], Seen::made_up(2, &[], 4));
        let now = reading(vec![interface(2, 500)], Seen::made_up(2, &[], 504));
        assert_eq!(now.since(&then, &interface(2, 0), true).life, Life::Runs);
    }

    #[test]
    fn a_member_of_a_bond_that_lost_the_program_shows() {
        let all = |received: [u64; 2]| {
            let bond = Interface { kind: Some("bond".to_owned()), ..interface(4, received.iter().sum()) };
            let member = |index, received| Interface { master: Some(4), ..interface(index, received) };
            vec![member(2, received[0]), member(3, received[1]), bond]
        };
        let bond = &all([0, 0])[2];
        let then = reading(all([0, 0]), Seen::made_up(2, &[0], 0));
        let now = reading(all([500, 500]), Seen::made_up(2, &[500], 0));
        let proof = now.since(&then, bond, true);
        assert_eq!((proof.life, proof.interface.as_str()), (Life::NotRun, "eth3"));
        let now = reading(all([500, 20]), Seen::made_up(2, &[500], 0));
        assert_eq!(now.since(&then, bond, true).life, Life::Runs, "the other one is quiet");
        // In generic mode and at tc the bond itself has the program.
        let now = reading(all([500, 500]), Seen::made_up(4, &[1000], 0));
        assert_eq!(now.since(&then, bond, false).life, Life::Runs);
        let now = reading(all([500, 500]), Seen::made_up(2, &[1000], 0));
        assert_eq!(now.since(&then, bond, false).life, Life::NotRun);
    }

    #[test]
    fn a_virtual_function_of_hv_netvsc_is_a_way_in() {
        let all = |function: u64, both: u64| {
            vec![Interface { master: Some(2), ..interface(3, function) }, interface(2, both)]
        };
        let then = reading(all(0, 0), Seen::made_up(3, &[0], 0));
        let of = |now: &Reading| now.since(&then, &interface(2, 0), true).life;
        assert_eq!(of(&reading(all(500, 500), Seen::made_up(3, &[500], 0))), Life::Runs);
        assert_eq!(of(&reading(all(500, 900), Seen::made_up(2, &[400], 0))), Life::NotRun, "the function");
    }

    #[test]
    fn other_maps_and_other_interfaces_prove_nothing() {
        let then = reading(vec![interface(2, 0)], Seen::made_up(2, &[900], 0));
        let mut now = reading(vec![interface(2, 500)], Seen::made_up(2, &[0], 0));
        now.identity = 2;
        assert_eq!(now.since(&then, &interface(2, 0), true).life, Life::Unknown);
        let back = reading(vec![interface(7, 500)], Seen::made_up(7, &[0], 0));
        assert_eq!(back.since(&then, &interface(7, 0), true).life, Life::Unknown);
    }

    #[test]
    fn windows_are_as_long_as_it_takes() {
        let mut pulse = Pulse::default();
        let eth2 = interface(2, 0);
        let mut look = |received, seen| {
            let now = Arc::new(reading(vec![interface(2, received)], Seen::made_up(2, &[seen], 0)));
            pulse.look(&now, &eth2, true).life
        };
        assert_eq!(look(0, 0), Life::Unknown);
        assert_eq!(look(60, 60), Life::Unknown);
        assert_eq!(look(120, 120), Life::Runs);
        assert_eq!(look(130, 130), Life::Runs, "it holds while nothing else is known");
        assert_eq!(look(219, 130), Life::Runs);
        assert_eq!(look(231, 130), Life::Runs, "ten of them were seen before");
        assert_eq!(look(400, 130), Life::NotRun);
        assert_eq!(look(410, 140), Life::NotRun, "until enough frames say otherwise");
        assert_eq!(look(510, 240), Life::Runs);
    }
}
