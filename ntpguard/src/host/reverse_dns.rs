//! Resolves addresses to names for display: one by one, in threads of their own, without blocking.

use crate::host::sandbox;
use dns_lookup::lookup_addr;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Look-ups at a time; the rest of the queue waits while servers don't answer.
const THREADS: usize = 4;
/// Look-ups that may be queued: more than anybody reads at once.
const PENDING: usize = 64;

/// Resolves addresses to names.
pub struct Reverse {
    questions: SyncSender<IpAddr>,
    answers: Receiver<(IpAddr, Option<String>)>,
    asked: HashMap<IpAddr, Instant>,
    patience: Duration,
}

impl Reverse {
    /// Uses the system's resolver; an address without an answer within `patience` counts as having no name.
    pub fn new(patience: Duration) -> Self {
        Self::asking(patience, |address| lookup_addr(&address).ok())
    }

    fn asking(patience: Duration, ask: impl Fn(IpAddr) -> Option<String> + Copy + Send + 'static) -> Self {
        let (questions, pending) = sync_channel(PENDING);
        let (tell, answers) = channel();
        let pending = Arc::new(Mutex::new(pending));
        for _ in 0..THREADS {
            let (pending, tell) = (Arc::clone(&pending), tell.clone());
            // If no thread can be started, there are no names.
            let _ = thread::Builder::new().name("reverse".to_owned()).spawn(move || {
                let _ = sandbox::keep(&[]);
                answer(&pending, &tell, ask);
            });
        }
        Self { questions, answers, asked: HashMap::new(), patience }
    }

    /// Queues an address; `false` if the queue is full, and the caller may try again.
    pub fn ask(&mut self, address: IpAddr) -> bool {
        match self.questions.try_send(address) {
            Ok(()) => drop(self.asked.insert(address, Instant::now())),
            Err(TrySendError::Full(_)) => return false,
            Err(TrySendError::Disconnected(_)) => return false,
        }
        true
    }

    /// The answers since the last call; `None` means that there is no name, or no answer in time.
    pub fn take(&mut self) -> Vec<(IpAddr, Option<String>)> {
        let mut answers: Vec<_> =
            self.answers.try_iter().filter(|(address, _)| self.asked.remove(address).is_some()).collect();
        let patience = self.patience;
        let late = self.asked.extract_if(|_, asked| asked.elapsed() > patience);
        answers.extend(late.map(|(address, _)| (address, None)));
        answers
    }
}

fn answer(
    pending: &Mutex<Receiver<IpAddr>>,
    tell: &Sender<(IpAddr, Option<String>)>,
    ask: impl Fn(IpAddr) -> Option<String>,
) {
    let next = || pending.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(address) = next() {
        if tell.send((address, ask(address))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Condvar;

    const SILENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66));

    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn name(address: IpAddr) -> String {
        format!("{address}.example")
    }

    #[test]
    fn who_does_not_answer_holds_up_nobody() {
        /// Whether the silent resolver may answer now.
        static SPEAKS: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let ask = |address| {
            if address == SILENT {
                drop(SPEAKS.1.wait_while(SPEAKS.0.lock().unwrap(), |speaks| !*speaks).unwrap());
            }
            Some(name(address))
        };
        let mut reverse = Reverse::asking(Duration::MAX, ask);
        assert!(reverse.ask(SILENT) && reverse.ask(OTHER));
        let mut next = || loop {
            match reverse.take().as_slice() {
                [] => thread::sleep(Duration::from_millis(5)),
                [answer] => return answer.clone(),
                more => panic!("{more:?}"),
            }
        };
        assert_eq!(next(), (OTHER, Some(name(OTHER))));
        *SPEAKS.0.lock().unwrap() = true;
        SPEAKS.1.notify_all();
        assert_eq!(next(), (SILENT, Some(name(SILENT))));
    }

    #[test]
    fn a_late_answer_is_nobodys() {
        let (questions, pending) = sync_channel(PENDING);
        let (tell, answers) = channel();
        let mut reverse = Reverse { questions, answers, asked: HashMap::new(), patience: Duration::MAX };
        assert!(reverse.ask(SILENT) && reverse.take().is_empty());
        reverse.patience = Duration::ZERO;
        // The clock may be coarse.
        thread::sleep(Duration::from_millis(20));
        assert_eq!(reverse.take(), [(SILENT, None)]);
        tell.send((SILENT, Some(name(SILENT)))).unwrap();
        assert_eq!(reverse.take(), []);
        // More than fit are refused without blocking. One address is queued already.
        assert_eq!((0..1000).filter(|_| reverse.ask(SILENT)).count(), PENDING - 1);
        drop(pending);
        assert!(!reverse.ask(SILENT), "nobody is there to ask");
    }
}
