//! The daemon's access list, of which there may be millions of entries: each family's in a vector of its own, the lines
//! of all in one.
//!
//! Contract: [`Entries`] are given in the daemon's order, and an [`Entry`] is a view of one of them.

use crate::{
    daemon::{family::Family, flags::Flags},
    policy::network::Net,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// A line that made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its index into [`crate::conf::AccessList::lines`].
    pub index: u32,
    /// The flags that this line has set, and no later one cleared.
    pub flags: Flags,
}

/// One entry of the daemon's access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whom it speaks of.
    pub net: Net,
    /// Only packets from UDP port 123.
    pub ntpport: bool,
    /// The daemon's own address, which it ignores as a source (ntp_io.c:create_interface).
    pub own: bool,
    /// All flags that its lines set for certain.
    pub flags: Flags,
    /// Its lines, in file order. None for a built-in entry.
    pub lines: &'a [Line],
    /// Which of several addresses of a name the daemon took can't be known: this entry may not be there.
    pub doubtful: bool,
}

impl Entry<'_> {
    /// Whether a line, and not a default one, lets its sources query.
    pub fn permits_queries(&self) -> bool {
        !self.lines.is_empty()
            && !self.net.is_everything()
            && !self.flags.has(Flags::IGNORE.with(Flags::NOQUERY))
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    v4: Vec<Kept<u32>>,
    v6: Vec<Kept<u128>>,
    lines: Vec<Line>,
}

/// An entry as it is kept: its lines are those from one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept<A> {
    address: A,
    mask: A,
    flags: Flags,
    line: u32,
    lines: u32,
    ntpport: bool,
    own: bool,
    doubtful: bool,
}

// Of a million entries, each byte is a megabyte.
const _: () = assert!(size_of::<Kept<u32>>() == 24);

impl Kept<u128> {
    fn with<A>(self, of: impl Fn(u128) -> A) -> Kept<A> {
        let Self { address, mask, flags, line, lines, ntpport, own, doubtful } = self;
        Kept { address: of(address), mask: of(mask), flags, line, lines, ntpport, own, doubtful }
    }
}

impl Entries {
    /// With room for so many.
    pub(super) fn with_capacity(v4: usize, v6: usize) -> Self {
        let lines = Vec::with_capacity(v4 + v6);
        Self { v4: Vec::with_capacity(v4), v6: Vec::with_capacity(v6), lines }
    }

    /// Puts one behind the others of its family, and IPv6's behind IPv4's.
    pub(super) fn push(&mut self, entry: Entry<'_>) {
        let Entry { net, ntpport, own, flags, lines, doubtful } = entry;
        let [address, mask] = [net.address(), net.mask()].map(number);
        let (line, count) = (self.lines.len() as u32, lines.len() as u32);
        let kept = Kept { address, mask, flags, line, lines: count, ntpport, own, doubtful };
        self.lines.extend_from_slice(lines);
        match net.family() {
            Family::V4 => self.v4.push(kept.with(|bits| bits as u32)),
            Family::V6 => self.v6.push(kept.with(|bits| bits)),
        }
    }

    /// The last two of a family change places.
    pub(super) fn swap_last(&mut self, family: Family) {
        fn swap<A>(kept: &mut [Kept<A>]) {
            if let [.., a, b] = kept {
                std::mem::swap(a, b);
            }
        }
        match family {
            Family::V4 => swap(&mut self.v4),
            Family::V6 => swap(&mut self.v6),
        }
    }

    /// Gives back what there was room for and isn't there.
    pub(super) fn shrink(&mut self) {
        let Self { v4, v6, lines } = self;
        v4.shrink_to_fit();
        v6.shrink_to_fit();
        lines.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The places of a family's.
    pub fn of_family(&self, family: Family) -> Range<usize> {
        match family {
            Family::V4 => 0..self.v4.len(),
            Family::V6 => self.v4.len()..self.len(),
        }
    }

    /// The one at a place.
    pub fn get(&self, place: usize) -> Option<Entry<'_>> {
        match place.checked_sub(self.v4.len()) {
            None => self.v4.get(place).map(|kept| self.entry(kept, |bits| Ipv4Addr::from_bits(bits).into())),
            Some(place) => {
                self.v6.get(place).map(|kept| self.entry(kept, |bits| Ipv6Addr::from_bits(bits).into()))
            }
        }
    }

    /// All, in the daemon's order, IPv4 first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    fn entry<A: Copy>(&self, kept: &Kept<A>, ip: impl Fn(A) -> IpAddr) -> Entry<'_> {
        let Kept { address, mask, flags, line, lines, ntpport, own, doubtful } = *kept;
        let lines = &self.lines[line as usize..][..lines as usize];
        Entry { net: Net::new(ip(address), ip(mask)), ntpport, own, flags, lines, doubtful }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
