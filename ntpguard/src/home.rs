//! Where a filter stays between processes: its pins, what is known about it, and whose turn it is.

use crate::{
    bpf::Pins,
    cli::{Guarding, Places},
    readers::Readers,
    state::State,
    trial::Trial,
};
use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::{FileStat, fstat, major, minor, stat},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait for one that is about to be done.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to say where there is no filter.
pub const NOTHING: &str = "nothing is guarded: `ntpguard run` or `ntpguard attach` first";

/// The place, for this process alone as long as this lives.
pub struct Home {
    /// The pins.
    pub pins: Pins,
    folder: PathBuf,
    _turn: Flock<File>,
}

/// Somebody else's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The other process, if the kernel tells.
    pub pid: Option<i32>,
}

impl Home {
    /// Takes the turn; waits a little for one that is about to be done, unless it is `ntpguard run`.
    ///
    /// # Errors
    /// There is no BPF file system, or the place can't be read.
    pub fn enter(places: &Places) -> Result<Result<Self, Taken>> {
        let pins = Pins::open(&places.pin_path)?;
        let start = Instant::now();
        loop {
            let root = open(&places.pin_path)?;
            let stat = fstat(&root)?;
            match Flock::lock(root, FlockArg::LockExclusiveNonblock) {
                Ok(turn) => {
                    return Ok(Ok(Self { pins, folder: places.state_dir.clone(), _turn: turn }));
                }
                Err((_, Errno::EWOULDBLOCK)) => {
                    let taken = Taken { pid: holder(&stat) };
                    if looks_after(&places.state_dir, taken) || start.elapsed() > PATIENCE {
                        return Ok(Err(taken));
                    }
                }
                Err((_, errno)) => bail!("can't lock {}: {}", places.pin_path.display(), errno.desc()),
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// As [`Home::enter`], for those that can't go on without.
    ///
    /// # Errors
    /// As there, or it is somebody else's turn.
    pub fn alone(places: &Places) -> Result<Self> {
        let Taken { pid } = match Self::enter(places)? {
            Ok(home) => return Ok(home),
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

    /// Whether it is a trial: what `ntpguard enforce` or `monitor` has said since the start, or else what the options say.
    pub fn monitors(&self, options: &Guarding) -> bool {
        Trial::load(&self.folder).map_or(options.monitor, |trial| trial.monitors())
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
        let died = self.state().ok().flatten().is_some_and(|state| state.run.is_some());
        let goes_on = self.pins.current().is_ok_and(|current| current.is_some());
        if !(died && goes_on) {
            Trial::forget(&self.folder);
        }
    }

    /// Makes sure that the interfaces that are held are this network namespace's: their numbers say nothing of it.
    ///
    /// # Errors
    /// They are of another one.
    pub fn is_here(&self, state: &State) -> Result<()> {
        let elsewhere = state.namespace.is_some_and(|there| Some(there) != namespace());
        ensure!(
            !elsewhere || self.pins.links()?.is_empty(),
            "what is pinned here guards interfaces of another network namespace: name another --pin-path and --state-dir, or \
             `ntpguard detach --all` first"
        );
        Ok(())
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

/// Whether it is the `ntpguard run` that the state speaks of.
pub fn looks_after(folder: &Path, taken: Taken) -> bool {
    let state = State::load(folder).ok().flatten();
    taken.pid.is_some() && state.and_then(|state| state.run) == taken.pid
}

/// Whether a process is an ntpguard that lives.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "ntpguard")
}

fn open(root: &Path) -> Result<File> {
    File::open(root).with_context(|| format!("can't open {}", root.display()))
}

/// The process that has locked a file with flock(2): proc_locks(5).
fn holder(file: &FileStat) -> Option<i32> {
    let named = format!("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        (file == named).then(|| pid.parse().ok())?
    })
}
