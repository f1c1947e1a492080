//! Where the filter lives when no process holds it: files in a BPF file system.
//!
//! ```text
//! ROOT/links/IFINDEX      the filter's hold on an interface; a name may have dots, which are reserved there
//! ROOT/links/IFINDEX-new  the one that is about to take its place, at another hook
//! ROOT/v1-N/POLICY …    the maps of version 1 of the ABI
//! ROOT/v1-N/program       a program around them; pinned last: without it the folder is the rest of an accident
//! ROOT/v1-N/program-ID    another program around them that is on an interface, or is to be put there
//! ROOT/turn, run, events  locks (`host::lock`): whose turn it is, whether `ntpguard run` runs, who reads the ring of events
//! ```
//!
//! All of it is root's alone; `--group` opens the folders, and of the maps those in which things are counted.

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

/// What [`super::Maps::look`] reads. `LIMITS` isn't among them: it has the key by which sources are hashed.
pub(super) const SHOWN: [&str; 6] = ["POLICY", "REASONS", "HITS", "SOURCES", "HEAVY", "SEEN"];

/// The folder of holds on interfaces.
const LINKS: &str = "links";
/// The lock of the process whose turn it is.
pub const TURN: &str = "turn";
/// The lock of `ntpguard run`, as long as it runs.
pub const RUN: &str = "run";
/// The lock of the process that reads the ring of events.
pub const EVENTS: &str = "events";
/// In a folder of maps, the program.
const PROGRAM: &str = "program";

/// What helps one who may not look.
const ADMISSION: &str =
    "run as root, or as a member of the group that `ntpguard run --group` or `attach --group` has let in";

/// All of it.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Those below a folder, which is made if it isn't there.
    ///
    /// # Errors
    /// It isn't in a BPF file system, or can't be made.
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

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Those below a folder where interfaces are held, or were; nothing is made.
    pub fn find(root: &Path) -> Option<Self> {
        root.join(LINKS).is_dir().then(|| Self { root: root.to_owned() })
    }

    /// The folder of the maps that are in force, for one who only looks: nothing is made.
    ///
    /// # Errors
    /// This user may not look.
    pub fn seen(root: &Path) -> Result<Option<MapFolder>> {
        match fs::read_dir(root) {
            Ok(_) => Self { root: root.to_owned() }.current(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("this user may not look into {}: {ADMISSION}", root.display())),
        }
    }

    /// The folder of the maps that are in force, if there is a whole one of this version.
    ///
    /// # Errors
    /// The root can't be read.
    pub fn current(&self) -> Result<Option<MapFolder>> {
        let mut places = self.places()?;
        places.retain(|(number, place)| number.is_some() && place.path(PROGRAM).exists());
        Ok(places.into_iter().max_by_key(|(number, _)| *number).map(|(_, place)| place))
    }

    /// The indexes of the interfaces that a filter of another version holds, where none of this version is pinned.
    ///
    /// # Errors
    /// The folders can't be read.
    pub fn of_another_version(&self) -> Result<Vec<u32>> {
        let others = self.places()?.iter().any(|(number, _)| number.is_none());
        if others && self.current()?.is_none() { self.links() } else { Ok(Vec::new()) }
    }

    /// Takes a program out that is on no interface any more, of whatever version; see [`MapFolder::retire`].
    pub(super) fn retire(&self, id: u32) -> Result<()> {
        let idle = self.links()?.is_empty();
        self.places()?.into_iter().try_for_each(|(number, place)| match number {
            // What a folder of this version is taken for whole by.
            Some(_) => place.retire(id),
            // Nobody goes on counting there.
            None if idle => remove(&place.path),
            None => place
                .programs()
                .into_iter()
                .filter(|(_, program)| program.id == id)
                .try_for_each(|(path, _)| remove(&path)),
        })
    }

    /// Makes a folder for new maps.
    ///
    /// # Errors
    /// The root can't be written.
    pub(super) fn next(&self) -> Result<MapFolder> {
        let last = self.places()?.into_iter().filter_map(|(number, _)| number).max().unwrap_or(0);
        let path = self.root.join(format!("v{}-{}", abi::VERSION, last + 1));
        make(&path)?;
        Ok(MapFolder { path })
    }

    /// Lets a group look.
    pub(super) fn admit(&self, place: &MapFolder, readers: &Readers) -> Result<()> {
        [&self.root, &place.path].into_iter().try_for_each(|folder| readers.admit(folder, 0o700))?;
        SHOWN.into_iter().try_for_each(|name| readers.admit(&place.path(name), 0o600))
    }

    /// Removes all folders of maps but one.
    ///
    /// # Errors
    /// One can't be removed.
    pub(super) fn retain(&self, kept: Option<&MapFolder>) -> Result<()> {
        let others = self.places()?.into_iter().map(|(_, place)| place.path);
        others.filter(|path| kept.is_none_or(|kept| kept.path != *path)).try_for_each(|path| remove(&path))
    }

    /// Folders of maps of any version; those of this one with their numbers. Whatever else lies beside them is somebody
    /// else's.
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

    /// Where the hold on an interface is pinned.
    ///
    /// # Errors
    /// The folder can't be made.
    pub(super) fn link(&self, index: u32) -> Result<PathBuf> {
        let folder = self.root.join(LINKS);
        if !folder.exists() {
            make(&folder)?;
        }
        Ok(folder.join(index.to_string()))
    }

    /// Pins a new hold on an interface. One that is there goes in the same moment.
    pub(super) fn hold(&self, index: u32, pin: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let path = self.link(index)?;
        if path.exists() {
            replace(&self.link_to_be(index)?, &path, pin)
        } else {
            pin(&path).with_context(|| format!("can't pin {}", path.display()))
        }
    }

    /// Removes what processes left that didn't live, or didn't manage, to see it through: holds that were about to take the
    /// place of others, and folders of maps without a program.
    pub(super) fn sweep(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| remove_if_there(&self.link_to_be(index)?))?;
        let unsealed =
            |(number, place): &(Option<u32>, MapFolder)| number.is_some() && !place.path(PROGRAM).exists();
        self.places()?.into_iter().filter(unsealed).try_for_each(|(_, place)| remove(&place.path))
    }

    fn link_to_be(&self, index: u32) -> Result<PathBuf> {
        Ok(self.link(index)?.with_file_name(format!("{index}-new")))
    }

    /// The indexes of the interfaces with a hold on them, some of which may be gone.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn links(&self) -> Result<Vec<u32>> {
        let folder = self.root.join(LINKS);
        let files = if folder.exists() { list(&folder)? } else { Vec::new() };
        Ok(files.iter().filter_map(|file| file.file_name()?.to_str()?.parse().ok()).collect())
    }

    /// Removes the holds whose interfaces are gone for good. One that has only moved to another network namespace takes the
    /// filter along, and stays held.
    ///
    /// # Errors
    /// The folder can't be read, or a hold not be removed.
    pub fn forget_gone(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| {
            let holds_nothing = call::held_interface(&self.link(index)?).is_some_and(|held| held == 0);
            if holds_nothing { self.release(index) } else { Ok(()) }
        })
    }

    /// Gives up an interface. The filter goes with the last hold on it.
    ///
    /// # Errors
    /// There is no hold, or it can't be removed.
    pub fn release(&self, index: u32) -> Result<()> {
        remove_if_there(&self.link_to_be(index)?)?;
        remove(&self.link(index)?)
    }

    /// Removes everything: no interface is guarded any more, and nothing of ntpguard's is left.
    ///
    /// # Errors
    /// Something can't be removed.
    pub fn clear(&self) -> Result<()> {
        self.links()?.into_iter().try_for_each(|index| self.release(index))?;
        self.retain(None)?;
        // What isn't empty has something of somebody else's.
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
    /// Where a map is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What kind of map is pinned under a name.
    pub(super) fn info(&self, name: &str) -> Option<MapInfo> {
        MapData::from_pin(self.path(name)).and_then(|data| data.info()).ok()
    }

    /// Pins a map of another place here, too.
    pub(super) fn share(&self, name: &str, other: &Self) -> Result<()> {
        let path = self.path(name);
        let data =
            MapData::from_pin(other.path(name)).with_context(|| format!("can't open the map {name}"))?;
        data.pin(&path).with_context(|| format!("can't pin {}", path.display()))
    }

    /// The programs that are pinned around the maps.
    pub(super) fn programs(&self) -> Vec<(PathBuf, Identity)> {
        let files = list(&self.path).unwrap_or_default().into_iter();
        let named = files.filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix(PROGRAM).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        named.filter_map(|path| Identity::pinned(&path).map(|program| (path, program))).collect()
    }

    /// Pins the programs that are on interfaces or may come to be there (`wanted`, by their ids), and no other: `own` ones, and
    /// those that an earlier process has pinned here and this one has left in place. One of them is [`PROGRAM`].
    pub(super) fn seal(&self, own: &[LoadedProgram], wanted: &BTreeSet<u32>) -> Result<()> {
        let before = self.programs();
        let is_pinned = |id: u32| before.iter().any(|(_, program)| program.id == id);
        let mut needed: BTreeSet<u32> = wanted.iter().copied().filter(|id| is_pinned(*id)).collect();
        needed.extend(own.iter().map(|own| own.id).filter(|id| wanted.contains(id)));
        if needed.is_empty() {
            // On no interface yet: one is needed all the same, or the maps would be taken for the rest of an accident.
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

    /// Takes a program out that is on no interface any more. What goes on marking the folder as whole is a map, so that nothing
    /// of ntpguard's keeps the program loaded.
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

    /// Where a program is pinned that isn't the first of its folder.
    pub(super) fn beside(&self, id: u32) -> PathBuf {
        self.path(&format!("{PROGRAM}-{id}"))
    }
}

/// Pins something in place of what is there; nobody sees neither of them.
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
