//! The rooms of `ntpguard/src`, from top to bottom: a room imports only rooms below it.

use super::{
    circles::circles,
    imports::{Import, imports},
    packages::names_in,
    sources::Package,
};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// Each room, with its purpose. This is the only place that defines their order.
const ROOMS: [(&str, &str); 16] = [
    ("cmd", "the verbs, one a file, and main"),
    ("cli", "what the user typed, and what of it a verb gets: the only room that uses clap"),
    ("doctor", "what stands in the way of a filter, and what it changes"),
    ("top", "the live view"),
    ("export", "what verbs print, as text, tables and JSON"),
    ("metrics", "what Prometheus reads"),
    ("simulate", "the same verdict without traffic: explain, replay"),
    ("capture", "capture files, read and written"),
    ("observe", "what happened: events, samples, history, baselines"),
    ("guard", "a running filter: options, loaded policy, state, attachment"),
    ("bpf", "programs and maps in the kernel; the only room that uses aya"),
    ("compile", "a policy becomes an image: ranges, rules, counters"),
    ("policy", "what the daemon holds after it has read its files"),
    ("conf", "the daemon's files become an access list"),
    ("daemon", "which daemon this host runs, and how that behaves"),
    ("host", "the operating system: addresses, interfaces, files, logs"),
];

/// Other packages, with the rooms that may name them, also in test code.
const KEPT: [(&str, &[&str]); 2] = [("aya", &["bpf"]), ("clap", &["cmd", "cli"])];

/// The folder of the rooms.
const HOUSE: &str = "ntpguard/src/";

/// Maximum number of lines of a source file.
const LINES: usize = 400;

/// Maximum number of lines of ntpguard's `main.rs`.
const MAIN_LINES: usize = 59;

/// The type that identifies the daemon. All rooms but those in [`MAY_ASK`] use the daemon's row of behaviours instead.
const IDENTITY: &str = "Dialect";

/// Where the type may be named: the reader of ntp.conf, the room that detects the daemon, and the command line.
const MAY_ASK: [&str; 3] = ["conf/ntp/", "daemon/", "cli/"];

/// Checks every package's sources; with `graph`, prints which room imports which instead.
pub(crate) fn rooms(graph: bool) -> Result<()> {
    let packages = Package::all()?;
    if graph {
        for package in packages.iter().filter(|package| package.name == "ntpguard") {
            print!("{}", picture(&imports(package)?));
        }
        return Ok(());
    }
    let mut faults = Vec::new();
    for package in &packages {
        faults.extend(check(package)?);
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    if !faults.is_empty() {
        bail!("{} faults in how the sources are divided", faults.len());
    }
    Ok(())
}

/// The faults in a package's division into files and rooms.
pub(crate) fn check(package: &Package) -> Result<Vec<String>> {
    let imports = imports(package)?;
    let mut faults: Vec<String> = circles(&imports).iter().map(ToString::to_string).collect();
    let homeless: BTreeSet<_> =
        package.files.keys().filter(|file| floor(file).is_none()).filter_map(|file| room(file)).collect();
    faults.extend(homeless.iter().map(|room| format!("{HOUSE}{room} is no room of xtask/src/lint/rooms.rs")));
    for import in &imports {
        if let (Some(from), Some(to)) = (floor(&import.from), floor(&import.to))
            && to < from
        {
            faults.push(format!("{import}: {} lies below {}", ROOMS[from].0, ROOMS[to].0));
        }
        if asks_who(import) {
            faults.push(format!("{import}: which daemon it is asks none but {}", MAY_ASK.join(", ")));
        }
    }
    for (file, text) in &package.files {
        let lines = text.lines().count();
        let most = if file == "ntpguard/src/main.rs" { MAIN_LINES } else { LINES };
        if lines > most {
            faults.push(format!("{file} has {lines} lines, and {most} are the most"));
        }
        let Some(room) = room(file) else { continue };
        let names = names_in(file, text)?;
        for (package, rooms) in
            KEPT.iter().filter(|(package, rooms)| names.contains(*package) && !rooms.contains(&room))
        {
            faults.push(format!("{file} names {package}, which is for {} alone", rooms.join(" and ")));
        }
    }
    Ok(faults)
}

/// The room of a file; `main.rs` and `lib.rs` belong to the top room.
fn room(file: &str) -> Option<&str> {
    let name = file.strip_prefix(HOUSE)?.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    Some(if matches!(name, "main" | "lib") { "cmd" } else { name })
}

/// The position of a file's room, 0 for the top; `None` for files of other packages and for those in no room.
fn floor(file: &str) -> Option<usize> {
    let room = room(file)?;
    ROOMS.iter().position(|(name, _)| *name == room)
}

/// Whether an import names the daemon's identity where that isn't allowed.
pub(crate) fn asks_who(import: &Import) -> bool {
    let asker = import.from.strip_prefix(HOUSE);
    let forbidden = |asker: &str| !MAY_ASK.iter().any(|room| asker.starts_with(room));
    import.item == IDENTITY && asker.is_some_and(forbidden)
}

/// The rooms from top to bottom, each with its purpose and the rooms that it imports.
pub(crate) fn picture(imports: &[Import]) -> String {
    let mut below: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for import in imports {
        if let (Some(from), Some(to)) = (floor(&import.from), floor(&import.to))
            && from != to
        {
            below.entry(ROOMS[from].0).or_default().insert(to);
        }
    }
    let line = |(name, what): &(&str, &str)| {
        let names: Vec<_> = below.get(name).into_iter().flatten().map(|&floor| ROOMS[floor].0).collect();
        let arrow =
            if names.is_empty() { String::new() } else { format!("\n           → {}", names.join(", ")) };
        format!("{name:<10} {what}{arrow}\n")
    };
    ROOMS.iter().map(line).collect()
}
