//! Predicts what native XDP will do on a card before anything is attached; `doctor` and attaching share this code.

use super::{Driver, Never, Refusal, Setup};
use crate::host::netlink::Features;

/// The longest MTU for one buffer if the driver isn't known: a page of 4,096 bytes without XDP's headroom (256), the
/// shared info at the buffer's end (320), an Ethernet header and two VLAN tags (22).
const ONE_BUFFER: u32 = 3498;

/// Virtio's feature bits (include/uapi/linux/virtio_net.h, virtio_config.h).
const GUEST_CSUM: u32 = 1;
const CTRL_GUEST_OFFLOADS: u32 = 2;
const MTU: u32 = 3;
/// GUEST_TSO4, GUEST_TSO6, GUEST_ECN and GUEST_UFO: any of them lets the host send packets longer than the MTU.
const GUEST_MERGES: [u32; 4] = [7, 8, 9, 10];
const MRG_RXBUF: u32 = 15;
/// ANY_LAYOUT and VERSION_1: the virtio header may lie in the packet's own buffer.
const LAYOUTS: [u32; 2] = [27, 32];
/// GUEST_USO4 and GUEST_USO6.
const GUEST_USO: [u32; 2] = [54, 55];

/// The modes in which a bond accepts native programs (drivers/net/bonding/bond_main.c:bond_xdp_check).
const BOND_MODES: [&str; 4] = ["balance-rr", "active-backup", "balance-xor", "802.3ad"];

/// Why native XDP isn't available, and what would make it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The reason, in words that may follow "since".
    pub why: String,
    /// The command that makes native XDP possible, or a description of what does; `None` if nothing on this host does.
    pub fix: Option<String>,
}

impl Obstacle {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), fix: None }
    }

    fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// Several obstacles as one; all of them have to be removed.
    fn all(obstacles: Vec<Self>) -> Option<Self> {
        let fixes: Option<Vec<_>> = obstacles.iter().map(|one| one.fix.clone()).collect();
        let whys: Vec<_> = obstacles.into_iter().map(|one| one.why).collect();
        (!whys.is_empty())
            .then(|| Self { why: whys.join(", and "), fix: fixes.map(|fixes| fixes.join("; ")) })
    }

    /// A member's obstacle, in words for the interface that it belongs to.
    fn of(self, lower: &Setup) -> Self {
        Self { why: format!("its member {}: {}", lower.name, self.why), ..self }
    }
}

/// What would become of a native program on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Native {
    /// It would run.
    Runs,
    /// The driver has no native XDP.
    Absent(Obstacle),
    /// The driver has it, but would refuse the program in the card's current set-up.
    Refused(Obstacle),
    /// The driver, or a member's driver, would accept the program and never run it.
    Ignored(Obstacle),
    /// Neither the kernel nor the table has the answer.
    Unknown,
}

impl Native {
    /// What prevents native XDP.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        match self {
            Self::Absent(obstacle) | Self::Refused(obstacle) | Self::Ignored(obstacle) => Some(obstacle),
            Self::Runs | Self::Unknown => None,
        }
    }
}

/// Predicts what native XDP will do on a card in its current set-up.
pub fn predict(setup: &Setup) -> Native {
    let row = setup.row();
    if let Some(ignored) = row.and_then(|row| ignored(setup, row)) {
        return Native::Ignored(ignored);
    }
    for lower in &setup.lower {
        if let Native::Ignored(obstacle) = predict(lower) {
            return Native::Ignored(obstacle.of(lower));
        }
    }
    let native = row.map(|row| row.is_native(setup.release));
    let told = setup.xdp.map(|xdp| xdp.has(Features::BASIC));
    // The kernel's report counts most on whether there is any; for a driver that isn't in the table it is the only
    // source.
    if let (Some(false), None | Some(false)) | (None, Some(false)) = (told, native) {
        return Native::Absent(Obstacle::new(format!("the driver of {} has no native XDP", setup.name)));
    }
    let mut obstacles: Vec<_> = row.into_iter().flat_map(|row| refusals(setup, row)).collect();
    obstacles.extend(longer(setup, row));
    match Obstacle::all(obstacles) {
        Some(obstacle) => Native::Refused(obstacle),
        None if told == Some(false) => Native::Refused(untold(setup, row)),
        None if told.is_none() && native.is_none() => Native::Unknown,
        None => Native::Runs,
    }
}

/// Why the driver would accept the program and not run it.
fn ignored(setup: &Setup, row: &Driver) -> Option<Obstacle> {
    row.never.iter().find_map(|never| match never {
        Never::BigPackets => {
            let bits = setup.virtio?;
            let merges = bits.any(&GUEST_MERGES) || GUEST_USO.iter().all(|bit| bits.has(*bit));
            let is_long = bits.has(MTU) && setup.max_mtu.is_some_and(|mtu| mtu > 1500);
            let takes = refused(setup, Refusal::GuestOffloads).is_none();
            let why = "virtio_net takes the program and never runs it: its host offers no mergeable buffers (MRG_RXBUF)";
            (!bits.has(MRG_RXBUF) && (merges || is_long) && takes)
                .then(|| Obstacle::new(why).fix("mergeable buffers, by the host (QEMU: mrg_rxbuf=on)"))
        }
        Never::NoHeadroom => {
            let why = "the Xen backend leaves no room in front of packets, so the driver never runs the program";
            (setup.headroom == Some(false))
                .then(|| Obstacle::new(why).fix("a newer backend: one with feature-xdp-headroom"))
        }
        Never::VirtualFunction => {
            let lower = setup.lower.iter().find(|lower| matches!(predict(lower), Native::Absent(_)))?;
            let (name, driver) = (&lower.name, lower.driver_name());
            let why = format!("packets come by its virtual function {name}, whose driver {driver} has no native XDP");
            Some(Obstacle::new(why).fix("accelerated networking off, at the host"))
        }
        Never::TimestampsInFront => {
            let why = format!(
                "{} takes hardware timestamps in front of a frame for its beginning, and they are on",
                setup.driver_name()
            );
            (setup.timestamping.on == Some(true))
                .then(|| Obstacle::new(why).fix(format!("hwstamp_ctl -i {} -r 0", setup.name)))
        }
    })
}

/// The driver's refusals, apart from the MTU.
fn refusals(setup: &Setup, row: &Driver) -> Vec<Obstacle> {
    row.refusals.iter().filter_map(|refusal| refused(setup, *refusal)).collect()
}

fn refused(setup: &Setup, refusal: Refusal) -> Option<Obstacle> {
    let (name, driver) = (&setup.name, setup.driver_name());
    match refusal {
        Refusal::GuestOffloads => {
            let bits = setup.virtio?;
            let merges = bits.any(&GUEST_MERGES) || bits.has(GUEST_CSUM) || bits.any(&GUEST_USO);
            let why = "its host merges packets or leaves checksums open, and the guest can't turn that off \
                       (no CTRL_GUEST_OFFLOADS)";
            let fix = "control of offloads, by the host (QEMU: ctrl_guest_offloads=on)";
            (!bits.has(CTRL_GUEST_OFFLOADS) && merges).then(|| Obstacle::new(why).fix(fix))
        }
        Refusal::HeaderLayout => {
            let bits = setup.virtio?;
            let why = "its host wants the virtio header in a buffer of its own";
            (bits.has(MRG_RXBUF) && !bits.any(&LAYOUTS))
                .then(|| Obstacle::new(why).fix("a modern virtio device, by the host (QEMU: any_layout=on)"))
        }
        Refusal::Lro => merging(setup, &["rx-lro"]),
        Refusal::Merging => merging(setup, &["rx-lro", "rx-gro-hw"]),
        Refusal::TwiceChannels => {
            let (now, most) = setup.queues?.combined;
            if most < 2 {
                let why = format!("{driver} needs two channels at least, and the card has {most}");
                return (most > 0).then(|| Obstacle::new(why));
            }
            let why = format!(
                "{driver} needs a second channel for each of its {now}, and {most} is all it can have"
            );
            (2 * now > most)
                .then(|| Obstacle::new(why).fix(format!("ethtool -L {name} combined {}", most / 2)))
        }
        Refusal::EqualChannels => {
            let ((rx, _), (tx, most)) = (setup.queues?.rx, setup.queues?.tx);
            let why = format!(
                "{driver} needs as many channels to send as to receive, and half of the {most} to send free ({rx} and {tx} \
                 are in use)"
            );
            (most > 1 && (rx != tx || 2 * tx > most)).then(|| {
                let wanted = (most / 2).min(setup.queues.map_or(1, |queues| queues.rx.1)).max(1);
                Obstacle::new(why).fix(format!("ethtool -L {name} rx {wanted} tx {wanted}"))
            })
        }
        Refusal::SeparateChannels => {
            let queues = setup.queues?;
            let (now, most) = queues.combined;
            let why = format!("{driver} needs channels that receive and send (combined)");
            (now == 0 && most > 0)
                .then(|| Obstacle::new(why).fix(format!("ethtool -L {name} combined {most}")))
        }
        Refusal::Sriov => {
            let functions = setup.virtual_functions.filter(|functions| *functions > 0)?;
            let why =
                format!("{driver} refuses beside virtual functions, and there are {functions} (SR-IOV)");
            Some(Obstacle::new(why).fix(format!("echo 0 > /sys/class/net/{name}/device/sriov_numvfs")))
        }
        Refusal::BondMode => {
            let mode = setup.bond_mode.as_deref().filter(|mode| !BOND_MODES.contains(mode))?;
            Some(Obstacle::new(format!("a bond in the mode {mode} takes no native program")))
        }
        Refusal::Member => setup
            .lower
            .iter()
            .find_map(|lower| predict(lower).obstacle().cloned().map(|obstacle| obstacle.of(lower))),
        // Visible only in the kernel's `xdp-features`, or not at all.
        Refusal::AnyPort | Refusal::TwoQueuesPerCpu | Refusal::PeerQueues | Refusal::PeerMtu => None,
        Refusal::Hidden(_) => None,
    }
}

/// An obstacle if any of these offloads, which merge packets, is on.
fn merging(setup: &Setup, names: &[&str]) -> Option<Obstacle> {
    let on: Vec<_> = names.iter().copied().filter(|name| setup.offloads(name)).collect();
    let why = || format!("{} refuses while the card merges packets ({})", setup.driver_name(), on.join(", "));
    let fixed = |name: &&str| !setup.offloads.as_ref().is_some_and(|offloads| offloads.can_change(name));
    if on.is_empty() {
        None
    } else if on.iter().any(fixed) {
        Some(Obstacle::new(why() + ", which can't be turned off here"))
    } else {
        let settings: Vec<_> = on.iter().map(|name| format!("{name} off")).collect();
        Some(Obstacle::new(why()).fix(format!("ethtool -K {} {}", setup.name, settings.join(" "))))
    }
}

/// An obstacle if the MTU is too long.
fn longer(setup: &Setup, row: Option<&Driver>) -> Option<Obstacle> {
    let frags = setup.has_frags();
    let longest = match row {
        Some(row) => row.longest(setup.release, frags)?,
        None if frags => return None,
        None => ONE_BUFFER,
    };
    let (name, driver, mtu) = (&setup.name, setup.driver_name(), setup.mtu);
    let why = format!("the MTU is {mtu}, and {driver} takes {longest} at most under native XDP");
    (mtu > longest).then(|| Obstacle::new(why).fix(format!("ip link set dev {name} mtu {longest}")))
}

/// The kernel reports no native XDP in the current set-up, and nothing visible here explains why.
fn untold(setup: &Setup, row: Option<&Driver>) -> Obstacle {
    let possible = row.map(Driver::hidden).unwrap_or_default();
    let why = format!("the kernel says that {} has no native XDP as it is set up", setup.driver_name());
    Obstacle::new(if possible.is_empty() {
        why
    } else {
        format!("{why} (it may be that {})", possible.join(", or "))
    })
}

#[cfg(test)]
mod tests;
