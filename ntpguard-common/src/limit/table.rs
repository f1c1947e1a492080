//! The table of sources: fixed memory whose entries a spoofer can't displace.
//!
//! A source has four possible places, all in the cache line that a keyed hash of its address selects. A packet gives a
//! new source a place only if one is empty, forgotten, or held by a source from which only one packet was seen. So
//! sources that are heard repeatedly stay, however many addresses a flood makes up. If none of the four places is
//! available, the source isn't tracked, and its packet passes.
//!
//! CPUs share the table without locks or atomic operations. If two update an account at the same time, one update may
//! be lost, and the source is charged for one packet less. While a place changes hands, the new holder may be charged
//! for up to two packets that the previous one has sent.

use super::daemon::{Account, ONE};
use crate::{
    abi::{Limits, PolicyWord},
    shared::Shared,
};

/// Places in a set.
pub const WAYS: usize = 4;

/// A set: the four places for the sources with the same hash, as they lie in `SOURCES`. One cache line.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Set {
    /// The holders' keys: [`Limits::key`]; 0 for an empty place.
    keys: [Shared; WAYS],
    /// The holders' accounts: [`Account::to_word`].
    accounts: [Shared; WAYS],
}

const _: () = assert!(size_of::<Set>() == 64);

/// The place of one account.
pub struct AccountPlace<'a> {
    cell: &'a Shared,
    word: u64,
}

impl AccountPlace<'_> {
    /// The account when the place was found.
    #[inline(always)]
    pub const fn account(&self) -> Account {
        Account::from_word(self.word)
    }

    /// Overwrites the account.
    #[inline(always)]
    pub fn update(&self, account: Account) {
        self.cell.set(account.to_word());
    }
}

impl Set {
    /// How many sets are needed for this many sources: a power of two.
    pub const fn count(sources: u32) -> u32 {
        sources.div_ceil(WAYS as u32).next_power_of_two()
    }

    /// The number of a key's set if there are this many sets.
    #[inline(always)]
    pub const fn number(key: u64, sets: u32) -> u32 {
        // The high bits, since only these are well distributed.
        (((key >> 32) * sets as u64) >> 32) as u32
    }

    /// The place of the source with this key, if it has one.
    #[inline(always)]
    pub fn find(&self, key: u64) -> Option<AccountPlace<'_>> {
        for (holder, cell) in self.keys.iter().zip(&self.accounts) {
            if holder.get() == key {
                return Some(AccountPlace { cell, word: cell.get() });
            }
        }
        None
    }

    /// Gives a place to a source that has none yet; `false` if none is available. With `calm`, that may also be the
    /// place of a known source that has been silent for long.
    #[inline(always)]
    pub fn take(&self, key: u64, word: PolicyWord, limits: &Limits, now: u32, calm: bool) -> bool {
        let (mut best, mut place) = (0, None);
        for (holder, cell) in self.keys.iter().zip(&self.accounts) {
            let (old, account) = (holder.get(), cell.get());
            let merit =
                if old == 0 { u64::MAX } else { merit(Account::from_word(account), word, limits, now, calm) };
            if merit > best {
                best = merit;
                place = Some((holder, cell));
            }
        }
        let Some((holder, cell)) = place else { return false };
        // The account first: a packet of the old holder that comes between the two stores then meets a new account,
        // rather than one of the new holder an old account.
        cell.set(Account::new(word, now).to_word());
        holder.set(key);
        true
    }

    /// The accounts held, with their keys.
    pub fn accounts(&self) -> impl Iterator<Item = (u64, Account)> {
        self.keys.iter().zip(&self.accounts).filter_map(|(key, cell)| {
            let key = key.get();
            (key != 0).then(|| (key, Account::from_word(cell.get())))
        })
    }
}

/// How suitable a place is to be taken over; 0 for not at all. Sources of one packet rank before forgotten sources of
/// more, and within a rank the longest silent one comes first.
#[inline(always)]
fn merit(account: Account, word: PolicyWord, limits: &Limits, now: u32, calm: bool) -> u64 {
    let Limits { memory, head, hz, .. } = *limits;
    let one = if word.has(PolicyWord::LIMIT_BY_SCORE) { ONE } else { head.saturating_sub(2 * hz) };
    let pause = account.pause(now);
    let forgotten = pause >= memory;
    let rank = if account.known {
        // A known source is worth keeping for longer than the limiter needs it.
        (forgotten && calm) as u64
    } else if account.level <= one {
        3
    } else {
        2 * forgotten as u64
    };
    // Plus 1, so that a pause of 0 doesn't make the merit 0.
    if rank == 0 { 0 } else { rank << 33 | (pause as u64 + 1) }
}
