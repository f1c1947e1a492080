//! Looks up many names at once in a few threads.

use super::answers::{Answers, addresses};
use crate::host::sandbox;
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
    vec::IntoIter,
};

/// The number of threads that look names up: a file may have thousands of names, and a process may have a few hundred
/// threads.
const MOST: usize = 16;

/// Looks names up, several at a time, and returns the answers that have arrived after `patience`: a resolver whose
/// servers are down delays each by half a minute. Names are asked in the given order.
pub fn look_up(names: Vec<String>, patience: Duration) -> Answers {
    divide(names, patience, addresses, |task| match STARTER.get() {
        Some(starter) => starter.start(task),
        None => start(task),
    })
}

/// Starts a thread that from now on starts the threads which look names up: the calling thread is about to give up the
/// rights which that takes, and threads that it starts itself would lack them, too.
///
/// # Errors
/// There are no threads left.
pub(crate) fn stay() -> io::Result<()> {
    if STARTER.get().is_some() {
        return Ok(());
    }
    let (starter, tasks) = channel::<(Task, Sender<io::Result<()>>)>();
    let (tell, confined) = channel();
    thread::Builder::new().name("starter".to_owned()).spawn(move || {
        sandbox::look_up_alone();
        drop(tell);
        for (task, tell) in tasks {
            // The thread that sent the task waits for this answer.
            let _ = tell.send(start(task));
        }
    })?;
    // The sender is dropped when the thread has confined itself.
    let _: Result<(), _> = confined.recv();
    // There is no race: only the main thread, which confines itself, gets here.
    let _ = STARTER.set(Starter(starter));
    Ok(())
}

/// The thread that [`stay`] has started.
static STARTER: OnceLock<Starter> = OnceLock::new();

/// The channel to that thread.
struct Starter(Sender<(Task, Sender<io::Result<()>>)>);

impl Starter {
    fn start(&self, task: Task) -> io::Result<()> {
        let (tell, told) = channel();
        let gone = || io::Error::other("the thread that starts others has ended");
        self.0.send((task, tell)).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?
    }
}

fn start(task: Task) -> io::Result<()> {
    thread::Builder::new().name("names".to_owned()).spawn(task).map(drop)
}

/// A worker thread's state.
#[derive(Clone)]
struct Worker<Ask> {
    queue: Arc<Mutex<IntoIter<String>>>,
    ask: Ask,
    tell: Sender<(String, Vec<IpAddr>)>,
    end: Instant,
}

impl<Ask: Fn(&str) -> io::Result<Vec<IpAddr>>> Worker<Ask> {
    /// Ends by itself, if late, even if nobody receives the answers any more.
    fn work(&self) {
        let next = || self.queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while Instant::now() < self.end
            && let Some(name) = next()
        {
            if let Ok(addresses) = (self.ask)(&name) {
                let _ = self.tell.send((name, addresses));
            }
        }
    }
}

type Task = Box<dyn FnOnce() + Send>;

fn divide<Ask>(
    names: Vec<String>,
    patience: Duration,
    ask: Ask,
    spawn: impl Fn(Task) -> io::Result<()>,
) -> Answers
where
    Ask: Fn(&str) -> io::Result<Vec<IpAddr>> + Clone + Send + 'static,
{
    let (tell, told) = channel();
    let (number, end) = (names.len().min(MOST), Instant::now() + patience);
    let worker = Worker { queue: Arc::new(Mutex::new(names.into_iter())), ask, tell, end };
    let hire = || {
        let worker = worker.clone();
        spawn(Box::new(move || {
            // It keeps running while the rest of the process gives up rights, and needs none. If confining it fails,
            // names are looked up all the same.
            sandbox::look_up_alone();
            worker.work();
        }))
    };
    // If no more threads can be started, those that were started do the work.
    let hired = (0..number).take_while(|_| hire().is_ok()).count();
    if hired == 0 {
        // In this thread, with its rights: the last look-up may take longer than `patience`.
        worker.work();
    }
    drop(worker);
    let mut answers = Answers::new();
    while let Ok((name, addresses)) = told.recv_timeout(end.saturating_duration_since(Instant::now())) {
        answers.insert(name, addresses);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    const LONG: Duration = Duration::from_secs(60);

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number}.example")).collect()
    }

    fn found(_: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([192, 0, 2, 1])])
    }

    fn hire(task: Task) -> io::Result<()> {
        thread::Builder::new().spawn(task).map(drop)
    }

    #[test]
    fn thousands_of_names_take_a_few_threads() {
        let threads = Arc::new(AtomicUsize::new(0));
        let counted = |task| {
            threads.fetch_add(1, SeqCst);
            hire(task)
        };
        assert_eq!(divide(names(5000), LONG, found, counted).len(), 5000);
        assert_eq!(threads.swap(0, SeqCst), MOST);
        assert_eq!(divide(names(2), LONG, found, counted).len(), 2);
        assert_eq!(threads.load(SeqCst), 2);
        assert_eq!(divide(vec![], LONG, found, counted), Answers::new());
    }

    #[test]
    fn where_threads_run_out_fewer_do() {
        for there_are in [0, 1, 3] {
            let left = AtomicUsize::new(there_are);
            let spawn = |task| match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => hire(task),
                Err(_) => Err(io::ErrorKind::WouldBlock.into()),
            };
            assert_eq!(divide(names(100), LONG, found, spawn).len(), 100, "{there_are} threads");
        }
    }

    #[test]
    fn a_worker_that_is_late_ends_after_its_name() {
        let asked = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let ask = {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            move |name: &str| {
                asked.fetch_add(1, SeqCst);
                drop(gate.lock());
                found(name)
            }
        };
        // Each thread holds a clone of this as long as it works.
        let working = Arc::new(());
        let spawn = |task: Task| {
            let working = Arc::clone(&working);
            hire(Box::new(move || {
                task();
                drop(working);
            }))
        };
        let start = Instant::now();
        assert_eq!(divide(names(100), Duration::from_secs(1), ask, spawn), Answers::new());
        assert!(start.elapsed() < LONG, "it waits for nobody");
        drop(closed);
        while Arc::strong_count(&working) > 1 {
            assert!(start.elapsed() < LONG, "they go on");
            thread::sleep(Duration::from_millis(10));
        }
        assert!(asked.load(SeqCst) <= MOST, "{asked:?}");
    }
}
