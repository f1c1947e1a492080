//! What a reader has to know about the machine, but nothing that identifies its owner.

use std::{fs, thread};

/// The facts, in the order of the report.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let virtual_machine =
        cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    // Suffixes that a distribution or a host adds to the release would reveal more than the version.
    let release = read("/proc/sys/kernel/osrelease");
    let release: String = release.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let jit = match &read("/proc/sys/net/core/bpf_jit_enable")[..] {
        "0" => "off",
        "" => "not told",
        _ => "on",
    };
    let harden = match &read("/proc/sys/net/core/bpf_jit_harden")[..] {
        "0" | "" => "",
        _ => ", hardened",
    };
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kind = if virtual_machine { " (a virtual machine)" } else { "" };
    vec![
        ("processor", format!("{}, {cores} cores{kind}", model.map_or("not told", |(_, model)| model))),
        ("kernel", format!("Linux {release}")),
        ("BPF's JIT", format!("{jit}{harden}")),
        ("mitigations", mitigations()),
        ("load when it began", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
    ]
}

/// The kernel's mitigations against vulnerabilities of the processor.
fn mitigations() -> String {
    let files = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    let mut all: Vec<String> = files
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|file| {
            let state = fs::read_to_string(file.path()).ok()?;
            let state = state.trim().strip_prefix("Mitigation: ")?.to_owned();
            // The first items decide the cost; the rest are details.
            let state = state.split("; ").take(2).collect::<Vec<_>>().join(", ");
            Some(format!("{}: {state}", file.file_name().to_string_lossy()))
        })
        .collect();
    all.sort();
    if all.is_empty() { "none".into() } else { all.join("; ") }
}
