//! Time and memory for bringing a file with many lines into force, and for starting the command.

use super::{
    Plan,
    budget::Id,
    cold::grouped,
    policy::{self, RULES, SOURCES},
    report::{Cell, Section},
    sample::Spread,
};
use crate::{
    bpf::{memory_since, newest_map},
    guard::Guarding,
    netns::Lab,
};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    conf::ntp,
    daemon::dialect::{Daemon, Dialect},
    policy::Policy,
};
use serde_json::{Value, json};
use std::{env, fs, io, path::Path, process::Command, time::Instant};

/// The argument that makes the measuring program the process that is measured.
pub const ALONE: &str = "install-alone";

/// Measures installations, each in a process of its own.
///
/// # Errors
/// No right to do so, or no memory.
pub fn install(plan: &Plan) -> Result<Section> {
    let mut section = Section {
        name: "install",
        title: "Rules into force",
        how: format!(
            "A process of its own reads an ntp.conf, compiles it (names resolved, none here), loads the program \
             with its maps, and installs the policy; its memory is the most that it ever had. Then `ntpguard run` \
             starts with the same file, until it says that it is attached. Medians of {}; of the kernel's maps \
             the least, since others may make some meanwhile. 4 MB of these are the table of limited sources.",
            plan.installs
        ),
        head: vec![
            "rules",
            "compile + install, s",
            "read, s",
            "compile, s",
            "load, s",
            "install, s",
            "process, MB",
            "maps, MB",
            "start of `run`, s",
            "`run`, resident, MB",
        ],
        ..Section::default()
    };
    let files = tempfile::tempdir()?;
    let lab = Lab::new()?;
    let mut measured: Vec<Vec<Value>> = vec![Vec::new(); RULES.len()];
    for _ in 0..plan.installs {
        for (rules, measured) in RULES.iter().zip(&mut measured) {
            let path = files.path().join(format!("{rules}.conf"));
            if !path.exists() {
                fs::write(&path, policy::text(*rules))?;
            }
            let mut one = alone(&path)?;
            if *rules <= plan.starts {
                let start = Instant::now();
                let guard = Guarding::start(&lab.server, &path, &[])?;
                one["start"] = json!(start.elapsed().as_secs_f64());
                one["resident"] = json!(guard.memory()? as f64 / 1024.0);
                guard.end(Signal::SIGTERM)?;
            }
            measured.push(one);
        }
        plan.say("  once");
    }
    for (rules, measured) in RULES.iter().zip(&measured) {
        let values = |key: &str| measured.iter().filter_map(|one| one[key].as_f64()).collect::<Vec<_>>();
        let of = |key| Spread::of(values(key));
        let both = values("compile").into_iter().zip(values("install")).map(|(one, other)| one + other);
        let both = Spread::of(both);
        let maps = values("maps").into_iter().min_by(f64::total_cmp);
        section.rows.push(vec![
            Cell::Text(grouped(*rules)),
            Cell::measured(both),
            Cell::measured(of("read")),
            Cell::measured(of("compile")),
            Cell::measured(of("load")),
            Cell::measured(of("install")),
            Cell::measured(of("process")),
            maps.map_or(Cell::None, Cell::Number),
            Cell::measured(of("start")),
            Cell::measured(of("resident")),
        ]);
        if *rules == 1_000_000 {
            let found = [
                (Id::InstallTime, both.map(|both| both.median)),
                (Id::InstallMemory, of("process").map(|process| process.median)),
                (Id::InstallMaps, maps),
            ];
            section.found.extend(found.into_iter().filter_map(|(id, value)| Some((id, value?))));
        }
    }
    Ok(section)
}

/// Runs the process, and returns the measurements that it prints.
fn alone(path: &Path) -> Result<Value> {
    let output = Command::new(env::current_exe()?).arg(ALONE).arg(path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The measured process: installs a file, and returns what that took, in seconds and megabytes.
///
/// # Errors
/// No right to do so, or no memory.
pub fn be_alone(path: &Path) -> Result<Value> {
    let newest = newest_map();
    let start = Instant::now();
    let conf = ntp::read(Some(path), Daemon::new(Dialect::NtpSec))?;
    let read = start.elapsed().as_secs_f64();
    let nobody = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    let policy = Policy::resolve(&conf, &nobody, &[]);
    let image = Image::compile(&policy, &conf, Hardening::ALL);
    let compiled = start.elapsed().as_secs_f64();
    let mut guard = Guard::load(Object::Filter, Size::of(&image, SOURCES))?;
    let loaded = start.elapsed().as_secs_f64();
    guard.install(&image)?;
    let installed = start.elapsed().as_secs_f64();
    let maps = memory_since(newest)? as f64 / f64::from(1 << 20);
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok(json!({
        "read": read,
        "compile": compiled - read,
        "load": loaded - compiled,
        "install": installed - loaded,
        "process": peak / 1024.0,
        "maps": maps,
    }))
}
