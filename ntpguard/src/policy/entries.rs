//! The daemon's access list, which may have millions of entries: a vector for each family, and one for the lines of all
//! entries.
//!
//! Contract: [`Entries`] are added in the daemon's order; an [`Entry`] is a view of one of them.

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
    /// The flags that this line set, and that no later line cleared.
    pub flags: Flags,
}

/// One entry of the daemon's access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The addresses that it is for.
    pub net: Net,
    /// Whether it is only for packets from UDP port 123.
    pub ntpport: bool,
    /// Whether it is for the daemon's own address, which it ignores as a source (ntp_io.c:create_interface).
    pub own: bool,
    /// All flags that its lines set for certain.
    pub flags: Flags,
    /// Its lines in file order; none for a built-in entry.
    pub lines: &'a [Line],
    /// Whether the entry may not exist: which of a name's addresses the daemon took is unknown.
    pub doubtful: bool,
}

impl Entry<'_> {
    /// Whether it comes from a line other than a default one, and permits queries.
    pub fn permits_queries(&self) -> bool {
        !self.lines.is_empty()
            && !self.net.is_everything()
            && !self.flags.has(Flags::IGNORE.with(Flags::NOQUERY))
    }
}

/// All entries of the access list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    v4: Vec<Kept<u32>>,
    v6: Vec<Kept<u128>>,
    lines: Vec<Line>,
}

/// An entry as it is stored: its lines are `lines` ones from index `line` on.
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

// For a million entries, each byte here is a megabyte.
const _: () = assert!(size_of::<Kept<u32>>() == 24);

impl Kept<u128> {
    fn with<A>(self, of: impl Fn(u128) -> A) -> Kept<A> {
        let Self { address, mask, flags, line, lines, ntpport, own, doubtful } = self;
        Kept { address: of(address), mask: of(mask), flags, line, lines, ntpport, own, doubtful }
    }
}

impl Entries {
    /// An empty list with capacity for this many entries of each family.
    pub(super) fn with_capacity(v4: usize, v6: usize) -> Self {
        let lines = Vec::with_capacity(v4 + v6);
        Self { v4: Vec::with_capacity(v4), v6: Vec::with_capacity(v6), lines }
    }

    /// Appends an entry to its family's; IPv6 entries follow IPv4 ones.
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

    /// Swaps the last two entries of a family.
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

    /// Releases unused capacity.
    pub(super) fn shrink(&mut self) {
        let Self { v4, v6, lines } = self;
        v4.shrink_to_fit();
        v6.shrink_to_fit();
        lines.shrink_to_fit();
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The positions of a family's entries.
    pub fn of_family(&self, family: Family) -> Range<usize> {
        match family {
            Family::V4 => 0..self.v4.len(),
            Family::V6 => self.v4.len()..self.len(),
        }
    }

    /// The entry at a position.
    pub fn get(&self, place: usize) -> Option<Entry<'_>> {
        match place.checked_sub(self.v4.len()) {
            None => self.v4.get(place).map(|kept| self.entry(kept, |bits| Ipv4Addr::from_bits(bits).into())),
            Some(place) => {
                self.v6.get(place).map(|kept| self.entry(kept, |bits| Ipv6Addr::from_bits(bits).into()))
            }
        }
    }

    /// All entries in the daemon's order, IPv4 first.
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
