//! Names to addresses: the only user of DNS.

use crate::sandbox;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

/// All addresses of a name, of both families, each once, in the order of the system's resolver.
///
/// # Errors
/// What getaddrinfo(3) says.
pub fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut seen = HashSet::new();
    let addresses = (name, 0).to_socket_addrs()?.map(|address| address.ip());
    Ok(addresses.filter(|address| seen.insert(*address)).collect())
}

/// Names and their last good answers.
pub type Answers = BTreeMap<String, Vec<IpAddr>>;

/// Looks names up, all at once, and takes what there is after a time: a resolver whose servers are down makes each wait
/// for half a minute.
pub fn look_up(names: Vec<String>, patience: Duration) -> Answers {
    let (tell, told) = channel();
    let mut waiting = names.len();
    for name in names {
        let tell = tell.clone();
        // Ends by itself, whether anybody still listens or not.
        thread::spawn(move || {
            // It goes on while the rest of the process gives up rights, and needs none. A name is looked up all the same.
            let _ = sandbox::keep(&[]);
            let found = addresses(&name);
            let _ = tell.send((name, found));
        });
    }
    let (end, mut answers) = (Instant::now() + patience, Answers::new());
    while waiting > 0
        && let Ok((name, found)) = told.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        waiting -= 1;
        answers.extend(found.ok().map(|addresses| (name, addresses)));
    }
    answers
}

/// Looks names up, and goes on with the last good answer where there is none.
#[derive(Default)]
pub struct Names {
    good: RefCell<Answers>,
    /// Those without any answer yet, and what the look-up met; an [`io::Error`] can't be cloned.
    failed: RefCell<HashMap<String, (io::ErrorKind, String)>>,
}

/// A name that has other addresses now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The name.
    pub name: String,
    /// How many addresses it has got.
    pub added: usize,
    /// How many it has lost.
    pub removed: usize,
}

impl Names {
    /// Goes on with earlier answers: of a process before, or from before the network was there.
    pub fn with(answers: Answers) -> Self {
        Self { good: RefCell::new(answers), ..Self::default() }
    }

    /// The addresses of a name: those of the last good answer, or else [`addresses`], which is asked once.
    ///
    /// # Errors
    /// There was no good answer ever.
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

    /// Looks up those that it doesn't know yet; a name without an answer in time has none for now.
    pub fn prepare(&mut self, mut names: Vec<String>, patience: Duration) {
        names.retain(|name| !self.good.get_mut().contains_key(name));
        let answers = look_up(names.clone(), patience);
        for name in names.into_iter().filter(|name| !answers.contains_key(name)) {
            let failure = (io::ErrorKind::NotFound, "no answer; it is looked up again".to_owned());
            self.failed.get_mut().insert(name, failure);
        }
        self.learn(answers);
    }

    /// Those that were ever asked for.
    pub fn asked(&self) -> Vec<String> {
        self.good.borrow().keys().chain(self.failed.borrow().keys()).cloned().collect()
    }

    /// The last good answers.
    pub fn good(&self) -> Answers {
        self.good.borrow().clone()
    }

    /// Takes new answers, and says which are others than before: the same addresses in another order aren't. A name
    /// without an answer keeps its last good one.
    pub fn learn(&mut self, answers: Answers) -> Vec<Moved> {
        let (good, failed) = (self.good.get_mut(), self.failed.get_mut());
        let mut moved = Vec::new();
        for (name, addresses) in answers {
            failed.remove(&name);
            let before = good.get(&name).map_or(&[][..], Vec::as_slice);
            let missing = |these: &[IpAddr], those: &[IpAddr]| {
                these.iter().filter(|address| !those.contains(address)).count()
            };
            let (added, removed) = (missing(&addresses, before), missing(before, &addresses));
            if added + removed > 0 {
                moved.push(Moved { name: name.clone(), added, removed });
                good.insert(name, addresses);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_answer_stays() {
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let answer = |addresses: &[u8]| {
            Answers::from([(
                "time.example".to_owned(),
                addresses.iter().map(|last| address(*last)).collect(),
            )])
        };
        let mut names = Names::with(answer(&[1, 2]));
        let known = |names: &Names| names.addresses("time.example").unwrap();
        assert_eq!(known(&names), [address(1), address(2)]);
        assert_eq!(names.learn(answer(&[2, 1])), []);
        assert_eq!(known(&names), [address(1), address(2)]);
        // No answer: a resolver that is down, or a network that isn't there yet.
        assert_eq!(names.learn(Answers::new()), []);
        assert_eq!(known(&names), [address(1), address(2)]);
        let moved = names.learn(answer(&[2, 3, 4]));
        assert_eq!(moved, [Moved { name: "time.example".to_owned(), added: 2, removed: 1 }]);
        assert_eq!(known(&names), [address(2), address(3), address(4)]);
        // One that never had an answer says what it met, and gets one later.
        assert!(names.addresses("none.invalid").is_err());
        assert_eq!(names.asked(), ["time.example", "none.invalid"]);
        let late = Answers::from([("none.invalid".to_owned(), vec![address(9)])]);
        assert_eq!(names.learn(late).len(), 1);
        assert_eq!(names.addresses("none.invalid").unwrap(), [address(9)]);
    }
}
