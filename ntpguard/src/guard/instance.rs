//! Where a filter stays between processes: its pins, what is known about it, and whose turn it is.
//!
//! The turn is a lock in the folder of the pins, and `ntpguard run` holds a second one, by which others recognise it: the state
//! says so, too, but may have no room, or be gone.

use crate::{
    bpf::{Pins, RUN, TURN},
    guard::{
        options::Places,
        state::{State, Summary},
        trial::Trial,
    },
    host::{
        access::Readers,
        interface,
        lock::{Held, Lock},
    },
};
use anyhow::{Result, bail, ensure};
use nix::sys::stat::stat;
use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for one that is about to be done.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What to say where there is no filter.
const NOTHING: &str = "nothing is guarded: `ntpguard run` or `ntpguard attach` first";

/// What to say where there is no filter of this version below a folder of pins: one of another version may guard there, whose
/// maps this one can't read.
pub fn nothing(root: &Path) -> String {
    let held = Pins::find(root).and_then(|pins| pins.of_another_version().ok()).unwrap_or_default();
    if held.is_empty() {
        return NOTHING.to_owned();
    }
    let all = interface::all().unwrap_or_default();
    let names: Vec<_> = all.iter().filter(|one| held.contains(&one.index)).map(|one| &*one.name).collect();
    let names =
        if names.is_empty() { "no interface of this network namespace".to_owned() } else { names.join(", ") };
    format!(
        "a filter of another version of ntpguard is pinned at {} and guards {names}; this version can't read its counters: \
         `ntpguard run` or `ntpguard attach` takes its place without a gap, and `ntpguard detach` takes it away",
        root.display()
    )
}

/// The place, for this process alone as long as this lives.
pub struct Instance {
    /// The pins.
    pub pins: Pins,
    folder: PathBuf,
    _turn: Lock,
    _run: Option<Lock>,
}

/// Somebody else's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The other process, if the kernel tells.
    pub pid: Option<i32>,
}

impl Instance {
    /// Takes the turn; waits a little for one that is about to be done, unless it is `ntpguard run`.
    ///
    /// # Errors
    /// There is no BPF file system, or the place can't be read.
    pub fn enter(places: &Places) -> Result<Result<Self, Taken>> {
        let pins = Pins::open(&places.pin_path)?;
        let start = Instant::now();
        loop {
            match Lock::take(&places.pin_path.join(TURN), Some(&places.pin_path))? {
                Ok(turn) => {
                    return Ok(Ok(Self { pins, folder: places.state_dir.clone(), _turn: turn, _run: None }));
                }
                Err(Held { pid }) => {
                    let taken = Taken { pid };
                    if looks_after(places, taken) || start.elapsed() > LOCK_TIMEOUT {
                        return Ok(Err(taken));
                    }
                }
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Lets others see that this process is `ntpguard run`, and stays.
    ///
    /// # Errors
    /// The folder of the pins can't be written.
    pub fn stay(&mut self) -> Result<()> {
        // While it is this process's turn, nobody else holds it.
        self._run = Lock::take(&self.pins.root().join(RUN), None)?.ok();
        Ok(())
    }

    /// As [`Instance::enter`], for those that can't go on without.
    ///
    /// # Errors
    /// As there, or it is somebody else's turn.
    pub fn alone(places: &Places) -> Result<Self> {
        let Taken { pid } = match Self::enter(places)? {
            Ok(instance) => return Ok(instance),
            Err(taken) => taken,
        };
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let place = places.pin_path.display();
        bail!(
            "another ntpguard{who} looks after the filter at {place}: stop it first, or name another --pin-path"
        )
    }

    /// What is known about the filter.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn state(&self) -> Result<Option<State>> {
        State::load(&self.folder)
    }

    /// The little of it that most ask for.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn summary(&self) -> Result<Option<Summary>> {
        Summary::load(&self.folder)
    }

    /// Whether it is a trial, as `ntpguard enforce` or `monitor` has said since the start, if one has.
    pub fn is_trial(&self) -> Option<bool> {
        Trial::load(&self.folder).map(|trial| trial.is_trial())
    }

    /// Its folders: that of the pins, and that of what is known.
    pub fn folders(&self) -> [&Path; 2] {
        [self.pins.root(), &self.folder]
    }

    /// Lets a group read what is known. What is written there later is the group's, too, when this process can no longer give
    /// it to it: that is what the bit for the group is for.
    ///
    /// # Errors
    /// The folder can't be made, or isn't this user's.
    pub fn admit(&self, readers: &Readers) -> Result<()> {
        if readers.group.is_none() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        readers.admit(&self.folder, 0o2700)
    }

    /// The options have the say again; but not after a crash, which must not undo what somebody has confirmed. A crash of the
    /// machine has ended the filter, and its clock, too.
    pub fn begin(&self) {
        let died = self.summary().ok().flatten().is_some_and(|state| state.run.is_some());
        let goes_on = self.pins.current().is_ok_and(|current| current.is_some());
        if !(died && goes_on) {
            Trial::forget(&self.folder);
        }
    }

    /// Makes sure that the interfaces that are held are this network namespace's: their numbers say nothing of it, and the state
    /// has the number of theirs.
    ///
    /// # Errors
    /// They are of another one.
    pub fn is_here(&self, there: Option<u64>) -> Result<()> {
        let elsewhere = there.is_some_and(|there| Some(there) != namespace());
        ensure!(
            !elsewhere || self.pins.links()?.is_empty(),
            "what is pinned here guards interfaces of another network namespace: name another --pin-path and --state-dir, or \
             `ntpguard detach --all` first"
        );
        Ok(())
    }

    /// Makes sure that the state is of no other filter, which would be robbed of it.
    ///
    /// # Errors
    /// It is.
    pub fn is_own(&self, state: &State) -> Result<()> {
        let Some(there) = &state.pins else { return Ok(()) };
        let others = *there != self.place()
            && Pins::find(there).is_some_and(|pins| {
                // One that can't be looked at may well be there.
                pins.links().map_or(true, |links| !links.is_empty())
            });
        ensure!(
            !others,
            "{} is the --state-dir of the filter at {}: name another one for the filter at {}",
            self.folder.display(),
            there.display(),
            self.pins.root().display()
        );
        Ok(())
    }

    /// Where the filter is pinned, without symbolic links.
    pub fn place(&self) -> PathBuf {
        self.pins.root().canonicalize().unwrap_or_else(|_| self.pins.root().to_owned())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// As [`State::save`].
    pub fn save(&self, state: &State) -> Result<()> {
        state.save(&self.folder)
    }
}

/// The number of this process's network namespace: network_namespaces(7).
pub fn namespace() -> Option<u64> {
    stat("/proc/self/ns/net").ok().map(|stat| stat.st_ino)
}

/// Whether it is an `ntpguard run`: as its lock says, or, of an earlier version, the state.
pub fn looks_after(places: &Places, taken: Taken) -> bool {
    let of_state = || Summary::load(&places.state_dir).ok().flatten().and_then(|state| state.run);
    let runs = Lock::holder(&places.pin_path.join(RUN)).or_else(of_state);
    taken.pid.is_some() && runs == taken.pid
}

/// Whether a process is an ntpguard that lives.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "ntpguard")
}
