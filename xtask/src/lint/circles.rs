//! Import cycles: no file may import, directly or through others, a file that imports it.

use super::imports::Import;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A set of files that all import each other, directly or through others.
pub(crate) struct Circle<'a> {
    /// The shortest cycle, beginning with the file that comes first in the alphabet.
    pub(crate) way: Vec<&'a str>,
    /// All files of the circle.
    pub(crate) files: BTreeSet<&'a str>,
    /// All imports among these files, which close the circle.
    pub(crate) ties: Vec<&'a Import>,
}

impl std::fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "circle of {} files, the shortest way round: ", self.files.len())?;
        self.way.iter().try_for_each(|file| write!(f, "{file} → "))?;
        write!(f, "{}", self.way[0])?;
        let mut ties: BTreeMap<(&str, &str), Vec<&Import>> = BTreeMap::new();
        self.ties.iter().for_each(|tie| ties.entry((&tie.from, &tie.to)).or_default().push(tie));
        for ((from, to), ties) in ties {
            let first = ties.iter().map(|tie| tie.line).min().unwrap_or_default();
            let items: Vec<_> = ties.iter().map(|tie| tie.item.as_str()).collect();
            write!(f, "\n    {from}:{first} imports {to} ({})", items.join(", "))?;
        }
        Ok(())
    }
}

/// All circles. A file belongs to at most one, since circles that share a file are one circle.
pub(crate) fn circles(imports: &[Import]) -> Vec<Circle<'_>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.passed_on) {
        needs.entry(&import.from).or_default().insert(&import.to);
    }
    let ways: BTreeMap<&str, Vec<&str>> =
        needs.keys().filter_map(|&file| Some((file, way_round(&needs, file)?))).collect();
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        ways.keys().map(|&file| (file, reached(&needs, file))).collect();
    let mut circles: Vec<Circle> = Vec::new();
    for &file in ways.keys() {
        if circles.iter().any(|circle| circle.files.contains(file)) {
            continue;
        }
        let files: BTreeSet<_> = ways
            .keys()
            .copied()
            .filter(|other| reach[file].contains(other) && reach[other].contains(file))
            .collect();
        let way =
            files.iter().map(|file| &ways[file]).min_by_key(|way| way.len()).cloned().unwrap_or_default();
        let within = |import: &&Import| {
            !import.passed_on && files.contains(import.from.as_str()) && files.contains(import.to.as_str())
        };
        let ties = imports.iter().filter(within).collect();
        circles.push(Circle { way, files, ties });
    }
    circles
}

/// All files that a file imports, directly or through others.
fn reached<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>, file: &str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(file) = open.pop() {
        for &next in needs.get(file).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The shortest path from a file back to itself, without the last step; `None` if there is none.
fn way_round<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>, file: &'a str) -> Option<Vec<&'a str>> {
    let (mut before, mut open) = (BTreeMap::new(), VecDeque::from([file]));
    while let Some(here) = open.pop_front() {
        for &next in needs.get(here).into_iter().flatten() {
            if next == file {
                let mut way = vec![here];
                while let Some(&previous) = before.get(way[way.len() - 1]) {
                    way.push(previous);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(next, here);
                open.push_back(next);
            }
        }
    }
    None
}
