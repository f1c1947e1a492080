//! One installed filter between processes: its pins, its state, and the lock that lets one process at a time change it.
//!
//! That lock (the turn) lies in the pin folder. `ntpguard run` holds a second one, by which others recognise it; the process
//! id in the state is only a fallback, because the state may be missing or impossible to write.

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
        namespace,
    },
};
use anyhow::{Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for a process that holds the lock only briefly.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The message if there is no filter.
const NOTHING: &str = "nothing is guarded: `ntpguard run` or `ntpguard attach` first";

/// The message if no filter of this version is pinned below `root`. A filter of another version, whose maps this one can't
/// read, may be guarding there.
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

/// An instance, locked for this process as long as this value lives.
pub struct Instance {
    /// The pinned maps, programs and links.
    pub pins: Pins,
    folder: PathBuf,
    _turn: Lock,
    _run: Option<Lock>,
}

/// Another process holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// That process's id, if the kernel reports it.
    pub pid: Option<i32>,
}

impl Instance {
    /// Takes the lock. If another process holds it, waits up to 5 s, except for an `ntpguard run`, which keeps it for good.
    ///
    /// # Errors
    /// There is no BPF file system, or the pin folder can't be read.
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

    /// Takes the second lock, by which others recognise `ntpguard run`.
    ///
    /// # Errors
    /// The pin folder can't be written.
    pub fn stay(&mut self) -> Result<()> {
        // The turn is this process's, so no other process can hold this lock.
        self._run = Lock::take(&self.pins.root().join(RUN), None)?.ok();
        Ok(())
    }

    /// Like [`Instance::enter`], for callers that can't go on without the lock.
    ///
    /// # Errors
    /// Those of [`Instance::enter`], or another process holds the lock.
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

    /// The state of the filter.
    ///
    /// # Errors
    /// Those of [`State::load`].
    pub fn state(&self) -> Result<Option<State>> {
        State::load(&self.folder)
    }

    /// The part of the state that most callers need.
    ///
    /// # Errors
    /// Those of [`State::load`].
    pub fn summary(&self) -> Result<Option<Summary>> {
        Summary::load(&self.folder)
    }

    /// Whether the filter is on trial according to the last `ntpguard enforce` or `monitor` since the start; `None` without
    /// one.
    pub fn is_trial(&self) -> Option<bool> {
        Trial::load(&self.folder).map(|trial| trial.is_trial())
    }

    /// The pin folder and the state folder.
    pub fn folders(&self) -> [&Path; 2] {
        [self.pins.root(), &self.folder]
    }

    /// Lets a group read the state. Sets the set-group-ID bit on the folder, so that files written later belong to the group
    /// even when this process no longer has the right to change their group.
    ///
    /// # Errors
    /// The folder can't be created, or doesn't belong to this user.
    pub fn admit(&self, readers: &Readers) -> Result<()> {
        if readers.group.is_none() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        readers.admit(&self.folder, 0o2700)
    }

    /// Makes the options decide again whether this is a trial, except after a crash of `ntpguard run`, which must not undo
    /// what was confirmed with `ntpguard enforce`. A reboot counts as a new start: it ended the filter, and restarted the
    /// clock that the trial's end refers to.
    pub fn begin(&self) {
        let died = self.summary().ok().flatten().is_some_and(|state| state.run.is_some());
        let goes_on = self.pins.current().is_ok_and(|current| current.is_some());
        if !(died && goes_on) {
            Trial::forget(&self.folder);
        }
    }

    /// Makes sure that the guarded interfaces belong to this network namespace. `there` is the namespace in the state;
    /// interface indexes alone don't tell namespaces apart.
    ///
    /// # Errors
    /// They belong to another network namespace.
    pub fn is_here(&self, there: Option<u64>) -> Result<()> {
        let elsewhere = there.is_some_and(|there| Some(there) != namespace::inode());
        ensure!(
            !elsewhere || self.pins.links()?.is_empty(),
            "what is pinned here guards interfaces of another network namespace: name another --pin-path and --state-dir, or \
             `ntpguard detach --all` first"
        );
        Ok(())
    }

    /// Makes sure that the state isn't another filter's, which would lose it.
    ///
    /// # Errors
    /// It is another filter's.
    pub fn is_own(&self, state: &State) -> Result<()> {
        let Some(there) = &state.pins else { return Ok(()) };
        let others = *there != self.place()
            && Pins::find(there).is_some_and(|pins| {
                // A filter whose pins can't be read may exist.
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

    /// The pin folder without symbolic links.
    pub fn place(&self) -> PathBuf {
        self.pins.root().canonicalize().unwrap_or_else(|_| self.pins.root().to_owned())
    }

    /// Saves the state.
    ///
    /// # Errors
    /// Those of [`State::save`].
    pub fn save(&self, state: &State) -> Result<()> {
        state.save(&self.folder)
    }
}

/// Whether the holder of the lock is an `ntpguard run`, according to its second lock or, for an earlier version, to the
/// state.
pub fn looks_after(places: &Places, taken: Taken) -> bool {
    let of_state = || Summary::load(&places.state_dir).ok().flatten().and_then(|state| state.run);
    let runs = Lock::holder(&places.pin_path.join(RUN)).or_else(of_state);
    taken.pid.is_some() && runs == taken.pid
}

/// Whether a process is a running ntpguard.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "ntpguard")
}
