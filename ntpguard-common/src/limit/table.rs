//! The table of sources: fixed memory that a spoofer can't churn.
//!
//! A source has four places, all in one cache line, which a keyed hash of its address names. One packet gives a source
//! a place only if one is empty, forgotten, or held by a source of which no more than one packet was seen: however
//! many addresses a flood makes up, those that are heard again and again stay. If none of the four is to be had,
//! the source goes untracked, and its packet passes.
//!
//! CPUs share the table without locks or atomic operations. Of two updates at once one may be lost, and the source is
//! charged for one packet less; while a place changes hands, its next holder may be charged for the two packets that
//! the one before can have sent by then.

use super::daemon::{Account, ONE};
use crate::{
    abi::{Limits, PolicyWord},
    shared::Shared,
};

/// Places in a set.
pub const WAYS: usize = 4;

/// The places of the sources with the same hash, as they lie in `SOURCES`: one cache line.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Set {
    /// Whose: [`Limits::key`]; 0 if it is empty.
    keys: [Shared; WAYS],
    /// [`Account::to_word`].
    accounts: [Shared; WAYS],
}

const _: () = assert!(size_of::<Set>() == 64);

/// Where one account is kept.
pub struct AccountPlace<'a> {
    cell: &'a Shared,
    word: u64,
}

impl AccountPlace<'_> {
    /// What was held when it was found.
    #[inline(always)]
    pub const fn account(&self) -> Account {
        Account::from_word(self.word)
    }

    /// Puts an account in its place.
    #[inline(always)]
    pub fn update(&self, account: Account) {
        self.cell.set(account.to_word());
    }
}

impl Set {
    /// How many sets have room for so many sources: a power of two.
    pub const fn count(sources: u32) -> u32 {
        sources.div_ceil(WAYS as u32).next_power_of_two()
    }

    /// The number of a key's set among so many.
    #[inline(always)]
    pub const fn number(key: u64, sets: u32) -> u32 {
        // The high bits, which are the ones that are spread.
        (((key >> 32) * sets as u64) >> 32) as u32
    }

    /// The place of a source.
    #[inline(always)]
    pub fn find(&self, key: u64) -> Option<AccountPlace<'_>> {
        for (holder, cell) in self.keys.iter().zip(&self.accounts) {
            if holder.get() == key {
                return Some(AccountPlace { cell, word: cell.get() });
            }
        }
        None
    }

    /// Gives a source a place that it doesn't have yet; `false` if there is none. `calm`: also one of a source that
    /// is known and has been silent for long.
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
        // The account first: a packet of the old holder in between finds a new account, not a new holder an old one.
        cell.set(Account::new(word, now).to_word());
        holder.set(key);
        true
    }

    /// What is held, and by which key.
    pub fn accounts(&self) -> impl Iterator<Item = (u64, Account)> {
        self.keys.iter().zip(&self.accounts).filter_map(|(key, cell)| {
            let key = key.get();
            (key != 0).then(|| (key, Account::from_word(cell.get())))
        })
    }
}

/// How good a place is to take: 0 not at all; one packet's before those of more, the oldest first.
#[inline(always)]
fn merit(account: Account, word: PolicyWord, limits: &Limits, now: u32, calm: bool) -> u64 {
    let Limits { memory, head, hz, .. } = *limits;
    let one = if word.has(PolicyWord::LIMIT_BY_SCORE) { ONE } else { head.saturating_sub(2 * hz) };
    let pause = account.pause(now);
    let forgotten = pause >= memory;
    let rank = if account.known {
        // Known to behave: worth keeping for longer than the limiter needs.
        (forgotten && calm) as u64
    } else if account.level <= one {
        3
    } else {
        2 * forgotten as u64
    };
    // One more, so that the newest of a kind counts, too.
    if rank == 0 { 0 } else { rank << 33 | (pause as u64 + 1) }
}
