//! Detects changes of files by polling, since a watch on a file is lost when an editor renames another file over it,
//! and a watch on a folder doesn't see the targets of symbolic links.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The identity, size and times of a file or folder; `None` if it doesn't exist.
type Mark = Option<[i64; 7]>;

/// The marks of a set of files and folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Mark)>);

impl Fingerprint {
    /// Adds a path. Whoever is about to read the file adds it first, so that no change in between is missed.
    pub fn look(&mut self, path: &Path) {
        self.0.push((path.to_owned(), mark(path)));
    }

    /// Adds the marks of another fingerprint.
    pub fn join(&mut self, Self(others): Self) {
        self.0.extend(others);
    }

    /// The current marks of the same paths.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.paths().map(|path| (path.to_owned(), mark(path))).collect())
    }

    /// The size of all of them together, in bytes, as far as they are files.
    pub fn size(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let files = self.paths().filter(|path| seen.insert(path.to_path_buf()));
        files
            .filter_map(|path| fs::metadata(path).ok())
            .filter(fs::Metadata::is_file)
            .map(|data| data.len())
            .sum()
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }
}

fn mark(path: &Path) -> Mark {
    let data = fs::metadata(path).ok()?;
    let [device, inode, size] = [data.dev(), data.ino(), data.size()].map(|number| number as i64);
    Some([device, inode, size, data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn it_sees_what_happens_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other, link] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let mut first = Fingerprint::default();
        [&file, &link].into_iter().for_each(|path| first.look(path));
        let look = || first.again();
        let mut looks = vec![look()];
        let mut seen = |what| {
            let look = look();
            assert!(!looks.contains(&look), "{what}");
            looks.push(look);
        };
        fs::write(&file, "one").unwrap();
        seen("it is there");
        fs::write(&other, "two").unwrap();
        symlink(&other, &link).unwrap();
        seen("a link is there");
        fs::write(&other, "three").unwrap();
        seen("what the link points to is another text");
        fs::rename(&other, &file).unwrap();
        seen("another file is in its place, and the link points nowhere");
        assert_eq!(look(), look());
    }
}
