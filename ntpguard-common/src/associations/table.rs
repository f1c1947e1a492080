//! The table of associations: fixed memory. Nobody but the daemon can displace one of its associations.
//!
//! An association has four possible places, all in the set that a keyed hash selects. It takes an empty place, that of
//! an association whose time is over, or that of somebody else's packet, in this order. Somebody else's packet takes
//! only one of the first two. So however many destinations a local process asks, the daemon's associations stay.
//!
//! CPUs share the table without locks. A daemon sends from one thread, so two of its packets hardly ever meet in a set;
//! if they do, one of the two entries may be lost until its next request.

use super::departure::Departure;
use crate::{shared::Shared, source::Source};

/// Places in a set.
pub(super) const WAYS: usize = 4;

/// How an association became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// It isn't the daemon's: somebody else's packet.
    Other,
    /// The daemon has sent a packet to it.
    Departure,
    /// The daemon's files or its command line name it.
    Configuration,
    /// The daemon has listed it (RFC 9327, READSTAT).
    Daemon,
}

impl Origin {
    const ALL: [Self; 4] = [Self::Other, Self::Departure, Self::Configuration, Self::Daemon];
}

/// What is known about an association besides its key.
#[derive(Debug, Default)]
#[repr(C)]
struct Detail {
    peer: [Shared; 2],
    local: [Shared; 2],
    /// From bit 48 on the peer's port, from bit 32 on the local one, then the epoch of its last packet.
    ports: Shared,
    /// The number of packets that have left.
    packets: Shared,
    transmit: [Shared; WAYS],
    receive: [Shared; WAYS],
}

/// A set: the places for keys with the same hash, as they lie in `ASSOCIATIONS`. What packets that arrive need is in its
/// first cache line.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Set {
    /// 0 for an empty place.
    keys: [Shared; WAYS],
    /// See [`Meta`].
    metas: [Shared; WAYS],
    details: [Detail; WAYS],
}

const _: () = assert!(size_of::<Set>() == 512);

/// An entry's second word.
#[derive(Clone, Copy)]
struct Meta {
    /// The epoch at which its time is over.
    until: u32,
    /// The poll exponent of its last packet.
    poll: u8,
    /// The first byte of its last packet.
    first: u8,
    /// [`Origin`] in the low bits; [`Meta::V6`].
    kind: u8,
}

impl Meta {
    const ORIGIN: u8 = 3;
    const V6: u8 = 1 << 7;

    #[inline(always)]
    const fn of(word: u64) -> Self {
        Self {
            until: word as u32,
            poll: (word >> 32) as u8,
            first: (word >> 40) as u8,
            kind: (word >> 48) as u8,
        }
    }

    #[inline(always)]
    const fn to_word(self) -> u64 {
        self.until as u64 | (self.poll as u64) << 32 | (self.first as u64) << 40 | (self.kind as u64) << 48
    }

    #[inline(always)]
    const fn is_daemons(self) -> bool {
        self.kind & Self::ORIGIN != 0
    }
}

/// An entry of the table, for people and programs who look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    /// The peer's address.
    pub peer: Source,
    /// The peer's UDP port.
    pub peer_port: u16,
    /// The address on this side.
    pub local: Source,
    /// The UDP port on this side.
    pub local_port: u16,
    /// The mode of the last packet that left.
    pub mode: u8,
    /// Its poll exponent.
    pub poll: u8,
    /// The epoch at which it left.
    pub last: u32,
    /// The epoch at which the entry's time is over.
    pub until: u32,
    /// The number of packets that have left.
    pub packets: u64,
    /// How it became known.
    pub origin: Origin,
    /// The transmit timestamps of its last packets, in no order; 0 for none.
    pub transmit: [u64; WAYS],
    /// The receive timestamps of its last packets, in no order; 0 for none.
    pub receive: [u64; WAYS],
}

impl Set {
    /// The number of sets in the table; a power of two. At 512 bytes each they take 2 MiB.
    pub const COUNT: u32 = 1 << 12;

    /// The number of a key's set.
    #[inline(always)]
    pub const fn number(key: u64) -> u32 {
        // The high bits, since only these are well distributed.
        (key >> (u64::BITS - Self::COUNT.trailing_zeros())) as u32
    }

    /// Whether the daemon has an association under this key at this epoch.
    #[inline(always)]
    pub fn is_live(&self, key: u64, now: u64) -> bool {
        self.find(key, true).is_some_and(|(_, meta)| u64::from(meta.until) > now)
    }

    /// Notes a packet that leaves, at the epoch `now`, for a time until another epoch; `false` if there is no place.
    #[inline(always)]
    pub fn note(&self, key: u64, origin: Origin, departure: &Departure, now: u64, until: u64) -> bool {
        let is_daemons = origin as u8 != Origin::Other as u8;
        let mut until = until as u32;
        let place = match self.find(key, is_daemons) {
            Some((place, before)) => {
                until = if before.until > until { before.until } else { until };
                place
            }
            None => {
                let Some(place) = self.vacancy(is_daemons, now) else { return false };
                // Nobody finds the place while it changes hands.
                self.keys[place].set(0);
                self.details[place].clear();
                place
            }
        };
        let place = place % WAYS;
        self.details[place].note(departure, now);
        let family = if departure.peer.is_v6() { Meta::V6 } else { 0 };
        let Departure { poll, first, .. } = *departure;
        self.metas[place].set(Meta { until, poll, first, kind: origin as u8 | family }.to_word());
        self.keys[place].set(key);
        true
    }

    /// The place of a key, if it has one of that kind.
    #[inline(always)]
    fn find(&self, key: u64, is_daemons: bool) -> Option<(usize, Meta)> {
        for place in 0..WAYS {
            if self.keys[place].get() == key {
                let meta = Meta::of(self.metas[place].get());
                if meta.is_daemons() == is_daemons {
                    return Some((place, meta));
                }
            }
        }
        None
    }

    /// The place that a new key may take: an empty one, or else the one whose time was over first, or else, for the
    /// daemon, that of somebody else's packet whose time is over next.
    #[inline(always)]
    fn vacancy(&self, is_daemons: bool, now: u64) -> Option<usize> {
        let (mut best, mut vacancy) = (0, None);
        for place in 0..WAYS {
            let meta = Meta::of(self.metas[place].get());
            let age = u64::from(u32::MAX - meta.until);
            let merit = if self.keys[place].get() == 0 {
                3 << 32
            } else if u64::from(meta.until) <= now {
                2 << 32 | age
            } else if is_daemons && !meta.is_daemons() {
                1 << 32 | age
            } else {
                0
            };
            if merit > best {
                (best, vacancy) = (merit, Some(place));
            }
        }
        vacancy
    }

    /// All entries whose time isn't over at the epoch `now`.
    pub fn entries(&self, now: u64) -> impl Iterator<Item = Association> {
        (0..WAYS).filter_map(move |place| {
            let (key, meta) = (self.keys[place].get(), Meta::of(self.metas[place].get()));
            (key != 0 && u64::from(meta.until) > now).then(|| self.details[place].entry(meta))
        })
    }
}

impl Detail {
    #[inline(always)]
    fn clear(&self) {
        self.packets.set(0);
        // Not one iterator over both arrays: the verifier doesn't understand the loop that it becomes.
        for place in 0..WAYS {
            self.transmit[place].set(0);
            self.receive[place].set(0);
        }
    }

    #[inline(always)]
    fn note(&self, departure: &Departure, now: u64) {
        let Departure { peer, peer_port, local, local_port, transmit, receive, .. } = *departure;
        let pairs = [(&self.peer, peer.halves()), (&self.local, local.halves())];
        for ([high, low], [upper, lower]) in pairs {
            high.set(upper);
            low.set(lower);
        }
        self.ports.set(u64::from(peer_port) << 48 | u64::from(local_port) << 32 | now & 0xffff_ffff);
        let packets = self.packets.get();
        self.packets.set(packets.wrapping_add(1));
        let next = packets as usize % WAYS;
        self.transmit[next].set(transmit);
        self.receive[next].set(receive);
    }

    fn entry(&self, meta: Meta) -> Association {
        let address = |[high, low]: &[Shared; 2]| match meta.kind & Meta::V6 {
            0 => Source::V4(low.get() as u32),
            _ => Source::V6([high.get(), low.get()]),
        };
        let ports = self.ports.get();
        Association {
            peer: address(&self.peer),
            peer_port: (ports >> 48) as u16,
            local: address(&self.local),
            local_port: (ports >> 32) as u16,
            mode: meta.first & 7,
            poll: meta.poll,
            last: ports as u32,
            until: meta.until,
            packets: self.packets.get(),
            origin: Origin::ALL[(meta.kind & Meta::ORIGIN) as usize],
            transmit: [0, 1, 2, 3].map(|place: usize| self.transmit[place].get()),
            receive: [0, 1, 2, 3].map(|place: usize| self.receive[place].get()),
        }
    }
}
