//! Where the filter lives when no process holds it: objects pinned in a BPF file system.
//!
//! ```text
//! ROOT/links/IFINDEX      the link that holds the filter on an interface; by index, as names may have dots, which are reserved
//! ROOT/links/IFINDEX-new  the link at another hook that is about to replace it
//! ROOT/learn              the link that holds the program at the root cgroup that learns the daemon's associations
//! ROOT/v1-N/POLICY …      the maps of version 1 of the ABI
//! ROOT/v1-N/program       a program that uses them; pinned last: a folder without it was left by a process that failed
//! ROOT/v1-N/program-ID    another program that uses them, and is or will be attached to an interface
//! ROOT/turn, run, events  locks (`host::lock`): whose turn it is, whether `ntpguard run` runs, who reads the events
//! ```
//!
//! Only root has access. `--group` opens the folders to a group, and the maps that hold counts.

use super::{call, identity::Identity, loaded_program::LoadedProgram};
use crate::host::access::Readers;
use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{MapData, MapInfo};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use ntpguard_common::abi;
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::{fd::AsFd as _, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

/// The maps that [`super::Maps::look`] reads. `LIMITS` isn't among them: it has the key of the hash over sources.
pub(super) const SHOWN: [&str; 8] =
    ["POLICY", "REASONS", "HITS", "SOURCES", "HEAVY", "SEEN", "ASSOCIATIONS", "LEARNING"];

/// The link of the program that learns associations.
const LEARN: &str = "learn";
/// The folder of the links that hold interfaces.
const LINKS: &str = "links";
/// The lock that a process holds while it is its turn to change what is pinned.
pub const TURN: &str = "turn";
/// The lock that `ntpguard run` holds as long as it runs.
pub const RUN: &str = "run";
/// The lock of the process that reads the ring buffer of events.
pub const EVENTS: &str = "events";
/// The name of the program in a folder of maps.
const PROGRAM: &str = "program";

/// Advice for a user who may not read the pins.
const ADMISSION: &str =
    "run as root, or as a member of the group that `ntpguard run --group` or `attach --group` has let in";

/// The pins of one instance.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// The pins below a folder, which is created if it doesn't exist.
    ///
    /// # Errors
    /// The folder isn't in a BPF file system, or can't be created.
    pub fn open(root: &Path) -> Result<Self> {
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match DirBuilder::new().mode(0o700).create(root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            Err(error) if missing(&error) => {
                let parent = root.parent().unwrap_or(root).display();
                bail!(
                    "there is no {parent}: mount a BPF file system (`mount -t bpf bpf {parent}`), or name another place with --pin-path"
                );
            }
            made => made.with_context(|| format!("can't make {}", root.display()))?,
        }
        let kind =
            statfs(root).with_context(|| format!("can't look at {}", root.display()))?.filesystem_type();
        let parent = root.parent().unwrap_or(root).display();
        ensure!(
            kind == BPF_FS_MAGIC,
            "{} isn't in a BPF file system: mount one (`mount -t bpf bpf {parent}`), or name another place with --pin-path",
            root.display()
        );
        Ok(Self { root: root.to_owned() })
    }

    /// The folder that all pins are below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pins below a folder, if it has a folder of links; nothing is created.
    pub fn find(root: &Path) -> Option<Self> {
        root.join(LINKS).is_dir().then(|| Self { root: root.to_owned() })
    }

    /// The folder of the maps in force, for a process that only reads; nothing is created.
    ///
    /// # Errors
    /// This user may not read the folder.
    pub fn seen(root: &Path) -> Result<Option<MapFolder>> {
        match fs::read_dir(root) {
            Ok(_) => Self { root: root.to_owned() }.current(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("this user may not look into {}: {ADMISSION}", root.display())),
        }
    }

    /// The folder of the maps in force, if there is a complete one of this version.
    ///
    /// # Errors
    /// The root can't be read.
    pub fn current(&self) -> Result<Option<MapFolder>> {
        let mut places = self.places()?;
        places.retain(|(number, place)| number.is_some() && place.path(PROGRAM).exists());
        Ok(places.into_iter().max_by_key(|(number, _)| *number).map(|(_, place)| place))
    }

    /// The indexes of the interfaces that a filter of another version holds, if none of this version is pinned.
    ///
    /// # Errors
    /// The folders can't be read.
    pub fn of_another_version(&self) -> Result<Vec<u32>> {
        let others = self.places()?.iter().any(|(number, _)| number.is_none());
        if others && self.current()?.is_none() { self.links() } else { Ok(Vec::new()) }
    }

    /// Removes a program, of whatever version, that is no longer attached to any interface; see [`MapFolder::retire`].
    pub(super) fn retire(&self, id: u32) -> Result<()> {
        let idle = self.links()?.is_empty();
        self.places()?.into_iter().try_for_each(|(number, place)| match number {
            // In a folder of this version, the program also marks the folder as complete.
            Some(_) => place.retire(id),
            // No program counts in these maps any more.
            None if idle => remove(&place.path),
            None => place
                .programs()
                .into_iter()
                .filter(|(_, program)| program.id == id)
                .try_for_each(|(path, _)| remove(&path)),
        })
    }

    /// Creates a folder for new maps.
    ///
    /// # Errors
    /// The root can't be written.
    pub(super) fn next(&self) -> Result<MapFolder> {
        let last = self.places()?.into_iter().filter_map(|(number, _)| number).max().unwrap_or(0);
        let path = self.root.join(format!("v{}-{}", abi::VERSION, last + 1));
        make(&path)?;
        Ok(MapFolder { path })
    }

    /// Lets a group read what is shown.
    pub(super) fn admit(&self, place: &MapFolder, readers: &Readers) -> Result<()> {
        [&self.root, &place.path].into_iter().try_for_each(|folder| readers.admit(folder, 0o700))?;
        SHOWN.into_iter().try_for_each(|name| readers.admit(&place.path(name), 0o600))
    }

    /// Removes all folders of maps except one.
    ///
    /// # Errors
    /// A folder can't be removed.
    pub(super) fn retain(&self, kept: Option<&MapFolder>) -> Result<()> {
        let others = self.places()?.into_iter().map(|(_, place)| place.path);
        others.filter(|path| kept.is_none_or(|kept| kept.path != *path)).try_for_each(|path| remove(&path))
    }

    /// The folders of maps of any version, those of this version with their numbers. Anything else in the root isn't
    /// ntpguard's.
    fn places(&self) -> Result<Vec<(Option<u32>, MapFolder)>> {
        let numbers = |path: &Path| -> Option<(u32, u32)> {
            let (version, number) = path.file_name()?.to_str()?.strip_prefix('v')?.split_once('-')?;
            Some((version.parse().ok()?, number.parse().ok()?))
        };
        let of = |path: PathBuf| {
            let (version, number) = numbers(&path)?;
            Some(((version == abi::VERSION).then_some(number), MapFolder { path }))
        };
        Ok(list(&self.root)?.into_iter().filter_map(of).collect())
    }

    /// The path of the link that holds an interface.
    ///
    /// # Errors
    /// The folder can't be created.
    pub(super) fn link(&self, index: u32) -> Result<PathBuf> {
        let folder = self.root.join(LINKS);
        if !folder.exists() {
            make(&folder)?;
        }
        Ok(folder.join(index.to_string()))
    }

    /// Pins a new link for an interface. One that is already pinned is replaced atomically.
    pub(super) fn hold(&self, index: u32, pin: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let path = self.link(index)?;
        if path.exists() {
            replace(&self.link_to_be(index)?, &path, pin)
        } else {
            pin(&path).with_context(|| format!("can't pin {}", path.display()))
        }
    }

    /// Removes what processes left behind that ended or failed midway: links that were about to replace others, and
    /// folders of maps without a program.
    pub(super) fn sweep(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| remove_if_there(&self.link_to_be(index)?))?;
        let unsealed =
            |(number, place): &(Option<u32>, MapFolder)| number.is_some() && !place.path(PROGRAM).exists();
        self.places()?.into_iter().filter(unsealed).try_for_each(|(_, place)| remove(&place.path))
    }

    fn link_to_be(&self, index: u32) -> Result<PathBuf> {
        Ok(self.link(index)?.with_file_name(format!("{index}-new")))
    }

    /// The indexes of the interfaces with a pinned link; some of these interfaces may be gone.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn links(&self) -> Result<Vec<u32>> {
        let folder = self.root.join(LINKS);
        let files = if folder.exists() { list(&folder)? } else { Vec::new() };
        Ok(files.iter().filter_map(|file| file.file_name()?.to_str()?.parse().ok()).collect())
    }

    /// Removes the links whose interfaces no longer exist. An interface that was moved to another network namespace
    /// takes the filter along, and its link is kept.
    ///
    /// # Errors
    /// The folder can't be read, or a link can't be removed.
    pub fn forget_gone(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| {
            let holds_nothing = call::held_interface(&self.link(index)?).is_some_and(|held| held == 0);
            if holds_nothing { self.release(index) } else { Ok(()) }
        })
    }

    /// Gives up an interface. When no other reference to its link is left, the kernel detaches the filter.
    ///
    /// # Errors
    /// There is no link, or it can't be removed.
    pub fn release(&self, index: u32) -> Result<()> {
        remove_if_there(&self.link_to_be(index)?)?;
        remove(&self.link(index)?)
    }

    /// The path of the link of the program that learns associations.
    pub(super) fn learner(&self) -> PathBuf {
        self.root.join(LEARN)
    }

    /// Ends learning.
    ///
    /// # Errors
    /// The link can't be removed.
    pub fn unlearn(&self) -> Result<()> {
        remove_if_there(&self.learner())
    }

    /// Removes everything that ntpguard has pinned; no interface is guarded any more.
    ///
    /// # Errors
    /// Something can't be removed.
    pub fn clear(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| self.release(index))?;
        self.unlearn()?;
        self.retain(None)?;
        // A folder that isn't empty holds something that isn't ntpguard's, and is kept.
        for folder in [LINKS, EVENTS, RUN, TURN] {
            let _ = fs::remove_dir(self.root.join(folder));
        }
        let _ = fs::remove_dir(&self.root);
        Ok(())
    }
}

/// A folder of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFolder {
    path: PathBuf,
}

impl MapFolder {
    /// The path of a pinned map.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The kernel's description of the map pinned under a name.
    pub(super) fn info(&self, name: &str) -> Option<MapInfo> {
        MapData::from_pin(self.path(name)).and_then(|data| data.info()).ok()
    }

    /// Pins a map from another folder here, too.
    pub(super) fn share(&self, name: &str, other: &Self) -> Result<()> {
        let path = self.path(name);
        let data =
            MapData::from_pin(other.path(name)).with_context(|| format!("can't open the map {name}"))?;
        data.pin(&path).with_context(|| format!("can't pin {}", path.display()))
    }

    /// The pinned programs that use the maps, with their paths.
    pub(super) fn programs(&self) -> Vec<(PathBuf, Identity)> {
        let files = list(&self.path).unwrap_or_default().into_iter();
        let named = files.filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(PROGRAM).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        named.filter_map(|path| Identity::pinned(&path).map(|program| (path, program))).collect()
    }

    /// Pins the programs that are attached to interfaces or may be (`wanted`, by their ids), and no others: those of
    /// `own`, and those that an earlier process has pinned here and this one has left attached. One of them is pinned
    /// as [`PROGRAM`].
    pub(super) fn seal(&self, own: &[LoadedProgram], wanted: &BTreeSet<u32>) -> Result<()> {
        let before = self.programs();
        let is_pinned = |id: u32| before.iter().any(|(_, program)| program.id == id);
        let mut needed: BTreeSet<u32> = wanted.iter().copied().filter(|id| is_pinned(*id)).collect();
        needed.extend(own.iter().map(|own| own.id).filter(|id| wanted.contains(id)));
        if needed.is_empty() {
            // None is attached yet, but one must be pinned all the same, so that the folder is complete.
            needed.extend(own.first().map(|own| own.id));
        }
        for own in own.iter().filter(|own| needed.contains(&own.id) && !is_pinned(own.id)) {
            call::pin(own.program.as_fd(), &self.beside(own.id))?;
        }
        let now = self.programs();
        let main = self.path(PROGRAM);
        if !now.iter().any(|(path, program)| *path == main && needed.contains(&program.id))
            && let Some((path, _)) = now.iter().find(|(_, program)| needed.contains(&program.id))
        {
            fs::rename(path, &main).with_context(|| format!("can't replace {}", main.display()))?;
        }
        let others = self.programs().into_iter().filter(|(_, program)| !needed.contains(&program.id));
        others.map(|(path, _)| path).filter(|path| *path != main).try_for_each(|path| remove(&path))
    }

    /// Removes a program that is no longer attached to any interface. If it marks the folder as complete, a map takes
    /// its place, so that no pin keeps the program loaded.
    ///
    /// # Errors
    /// The folder can't be written.
    fn retire(&self, id: u32) -> Result<()> {
        for (path, _) in self.programs().into_iter().filter(|(_, program)| program.id == id) {
            if path == self.path(PROGRAM) {
                replace(&self.beside(0), &path, |new| {
                    let map = MapData::from_pin(self.path("POLICY"))?;
                    Ok(map.pin(new)?)
                })?;
            } else {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The path of a further program, besides [`PROGRAM`].
    pub(super) fn beside(&self, id: u32) -> PathBuf {
        self.path(&format!("{PROGRAM}-{id}"))
    }
}

/// Pins something in place of what is there, atomically: at any time one of the two is pinned.
fn replace(new: &Path, path: &Path, pin: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    remove_if_there(new)?;
    pin(new).with_context(|| format!("can't pin {}", new.display()))?;
    fs::rename(new, path).with_context(|| format!("can't replace {}", path.display()))
}

fn make(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path).with_context(|| format!("can't make {}", path.display()))
}

fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    entries.with_context(|| format!("can't read {}", path.display()))
}

fn remove_if_there(path: &Path) -> Result<()> {
    if path.exists() { remove(path) } else { Ok(()) }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("can't remove {}", path.display()))
}
