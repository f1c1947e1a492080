//! Resolves names to addresses; the only user of DNS.

mod answers;
mod workers;

pub use crate::host::reverse_dns::Reverse;
pub use answers::{Answers, addresses};
pub use workers::look_up;
pub(crate) use workers::stay;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt, io,
    net::IpAddr,
    time::Duration,
};

/// The number of addresses that a name has at most: more than one answer of DNS usually has, and few enough that a name
/// whose answers always differ doesn't fill the maps.
const MOST: usize = 64;

/// Looks names up, and keeps the last successful answer where there is no new one.
///
/// Contract: the daemon looks a name up when it starts, and never again. So an address that was ever answered stays
/// with its name until the file is read again ([`Names::prepare`]), whatever is answered later: it may be the one that
/// the daemon uses. Only if a name has more than 64 addresses are the oldest removed, and never those of the newest
/// answer, however many they are.
#[derive(Default)]
pub struct Names {
    /// For each name the addresses of the newest answer, then earlier ones, the latest first.
    good: RefCell<Answers>,
    /// Names without any answer yet, and the error of the look-up; an [`io::Error`] can't be cloned.
    failed: RefCell<HashMap<String, (io::ErrorKind, String)>>,
}

/// A name that has new addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The name.
    pub name: String,
    /// The number of new addresses.
    pub added: usize,
    /// The number of addresses that aren't in the newest answer.
    pub earlier: usize,
    /// The number of addresses that were removed because there were too many.
    pub forgotten: usize,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, added, earlier, forgotten } = self;
        write!(f, "{name} has other addresses: +{added}")?;
        match earlier {
            0 => (),
            1 => write!(f, ", and an earlier one stays until ntp.conf is read again")?,
            _ => write!(f, ", and {earlier} earlier ones stay until ntp.conf is read again")?,
        }
        if *forgotten > 0 {
            write!(f, " (no more than {MOST}: the oldest are forgotten, {forgotten} now)")?;
        }
        Ok(())
    }
}

impl Names {
    /// Starts with earlier answers: those of a previous process, or from before the network was up.
    pub fn with(answers: Answers) -> Self {
        Self { good: RefCell::new(answers), ..Self::default() }
    }

    /// The addresses of a name: the last successful answer, or else that of [`addresses`], which is asked once.
    ///
    /// # Errors
    /// There has never been a successful answer.
    pub fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(addresses) = self.good.borrow().get(name) {
            return Ok(addresses.clone());
        }
        if let Some((kind, message)) = self.failed.borrow().get(name) {
            return Err(io::Error::new(*kind, message.clone()));
        }
        let found = addresses(name);
        match &found {
            Ok(addresses) => drop(self.good.borrow_mut().insert(name.to_owned(), addresses.clone())),
            Err(error) => {
                let failure = (error.kind(), error.to_string());
                self.failed.borrow_mut().insert(name.to_owned(), failure);
            }
        }
        found
    }

    /// Looks all of these up, as the daemon does when it starts, and forgets all other names. Earlier answers are used
    /// only for names without an answer in time, which are returned.
    pub fn prepare(&mut self, names: Vec<String>, patience: Duration) -> BTreeSet<String> {
        let answers = look_up(names.clone(), patience);
        self.renew(names, answers)
    }

    fn renew(&mut self, names: Vec<String>, mut answers: Answers) -> BTreeSet<String> {
        let (good, failed) = (self.good.get_mut(), self.failed.get_mut());
        let mut before = std::mem::take(good);
        failed.clear();
        let mut silent = BTreeSet::new();
        for name in names {
            let answer = answers.remove(&name);
            if answer.is_none() {
                silent.insert(name.clone());
            }
            if let Some(addresses) = answer.or_else(|| before.remove(&name)) {
                good.insert(name, addresses);
            } else {
                // A retry is up to the caller.
                failed.insert(name, (io::ErrorKind::NotFound, "no answer".to_owned()));
            }
        }
        silent
    }

    /// All names that are known, with an answer or without.
    pub fn asked(&self) -> Vec<String> {
        self.good.borrow().keys().chain(self.failed.borrow().keys()).cloned().collect()
    }

    /// The last successful answers.
    pub fn good(&self) -> Answers {
        self.good.borrow().clone()
    }

    /// Adds new answers to the known addresses, and returns the names whose addresses have changed. A name without an
    /// answer keeps its addresses, and an unknown name stays unknown.
    pub fn learn(&mut self, answers: Answers) -> Vec<Moved> {
        let (good, failed) = (self.good.get_mut(), self.failed.get_mut());
        let mut moved = Vec::new();
        for (name, mut addresses) in answers {
            if failed.remove(&name).is_none() && !good.contains_key(&name) {
                continue;
            }
            let before = good.entry(name.clone()).or_default();
            let added = addresses.iter().filter(|address| !before.contains(address)).count();
            let newest = addresses.len();
            let earlier = before.iter().filter(|address| !addresses.contains(address));
            addresses.extend(earlier.copied().collect::<Vec<_>>());
            let forgotten = addresses.len() - addresses.len().min(newest.max(MOST));
            addresses.truncate(newest.max(MOST));
            if added + forgotten > 0 {
                moved.push(Moved { name, added, earlier: addresses.len() - newest, forgotten });
            }
            *before = addresses;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "time.example";

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn addresses(last: impl IntoIterator<Item = u8>) -> Vec<IpAddr> {
        last.into_iter().map(address).collect()
    }

    fn answer(last: impl IntoIterator<Item = u8>) -> Answers {
        Answers::from([(NAME.to_owned(), addresses(last))])
    }

    fn known(names: &Names) -> Vec<IpAddr> {
        names.addresses(NAME).unwrap()
    }

    fn moved(added: usize, earlier: usize, forgotten: usize) -> Vec<Moved> {
        vec![Moved { name: NAME.to_owned(), added, earlier, forgotten }]
    }

    #[test]
    fn what_the_daemon_may_know_stays() {
        let mut names = Names::with(answer([1, 2]));
        assert_eq!(known(&names), addresses([1, 2]));
        assert_eq!(names.learn(answer([2, 1])), []);
        // No answer: the resolver is down, or the network isn't up yet.
        assert_eq!(names.learn(Answers::new()), []);
        assert_eq!(known(&names), addresses([2, 1]));
        assert_eq!(names.learn(answer([2, 3, 4])), moved(2, 1, 0));
        assert_eq!(known(&names), addresses([2, 3, 4, 1]));
        assert_eq!(names.learn(answer([1])), []);
        assert_eq!(known(&names), addresses([1, 2, 3, 4]));
        // A name that never had an answer gets one later.
        assert_eq!(names.renew(vec!["none.invalid".to_owned()], Answers::new()).len(), 1);
        assert_eq!(names.addresses("none.invalid").unwrap_err().to_string(), "no answer");
        let late = Answers::from([("none.invalid".to_owned(), addresses([9]))]);
        assert_eq!(names.learn(late).len(), 1);
        assert_eq!(names.addresses("none.invalid").unwrap(), [address(9)]);
    }

    #[test]
    fn a_full_reading_takes_the_fresh_answer_alone() {
        let mut names = Names::with(answer([1, 2]));
        names.learn(answer([3]));
        let both = || [NAME, "silent.example"].map(str::to_owned).to_vec();
        let silent =
            |names: &mut Names, answers| names.renew(both(), answers).into_iter().collect::<Vec<_>>();
        assert_eq!(silent(&mut names, answer([4])), ["silent.example"]);
        assert_eq!(known(&names), [address(4)]);
        names.learn(answer([5]));
        assert_eq!(silent(&mut names, Answers::new()), ["silent.example", NAME]);
        assert_eq!(known(&names), addresses([5, 4]), "what there is must do");
        assert_eq!(names.asked(), [NAME, "silent.example"]);
        // The name is no longer in the file: an answer that is still on its way doesn't bring it back.
        names.renew(vec!["silent.example".to_owned()], Answers::new());
        assert_eq!(names.learn(answer([6])), []);
        assert_eq!((names.asked(), names.good()), (vec!["silent.example".to_owned()], Answers::new()));
    }

    #[test]
    fn the_oldest_are_too_many() {
        let mut names = Names::with(answer([1]));
        for last in 2..=64 {
            assert_eq!(names.learn(answer([last])), moved(1, usize::from(last) - 1, 0));
        }
        // The oldest address of all is in the newest answer.
        assert_eq!(names.learn(answer([65, 1])), moved(1, 62, 1));
        assert_eq!(known(&names), addresses([65, 1].into_iter().chain((3..=64).rev())));
        // A single answer with more than the limit: none of it is removed.
        assert_eq!(names.learn(answer(101..=200)), moved(100, 0, 64));
        assert_eq!(known(&names), addresses(101..=200));
        assert_eq!(names.learn(answer([101])), moved(0, 63, 36));
        let words = |moved: Vec<Moved>| moved[0].to_string();
        assert_eq!(words(moved(2, 0, 0)), "time.example has other addresses: +2");
        assert_eq!(
            words(moved(1, 2, 0)),
            "time.example has other addresses: +1, and 2 earlier ones stay until ntp.conf is read again"
        );
        assert_eq!(
            words(moved(1, 63, 1)),
            "time.example has other addresses: +1, and 63 earlier ones stay until ntp.conf is read again \
             (no more than 64: the oldest are forgotten, 1 now)"
        );
    }
}
