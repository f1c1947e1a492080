//! How much more memory this process may use before the kernel kills one.

use std::{fs, path::Path};

/// The bytes that can be allocated safely: on this host (/proc/meminfo, MemAvailable) and in each control group of this
/// process (cgroup v2, memory.max); `None` if the kernel reports neither.
pub(crate) fn available() -> Option<u64> {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let host = read("proc/meminfo").and_then(|text| field(&text, "MemAvailable:").map(|kib| kib << 10));
    let groups = read("proc/self/cgroup");
    let group = groups.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::/")));
    let mounted = root.join("sys/fs/cgroup");
    let in_groups = group.into_iter().flat_map(|group| Path::new(group).ancestors()).filter_map(|group| {
        let read = |name: &str| fs::read_to_string(mounted.join(group).join(name)).ok();
        let most: u64 = read("memory.max")?.trim().parse().ok()?;
        let taken: u64 = read("memory.current")?.trim().parse().ok()?;
        // The page cache is reclaimed when memory is needed.
        let files = read("memory.stat").and_then(|text| field(&text, "inactive_file")).unwrap_or(0);
        Some(most.saturating_sub(taken.saturating_sub(files)))
    });
    host.into_iter().chain(in_groups).min()
}

/// The number after a name that begins a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_bound_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(available_below(root.path()), None);
        write("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:    3000 kB\n");
        assert_eq!(available_below(root.path()), Some(3000 << 10));
        write("proc/self/cgroup", "0::/system.slice/ntpguard.service\n");
        write("sys/fs/cgroup/system.slice/ntpguard.service/memory.max", "max\n");
        write("sys/fs/cgroup/system.slice/memory.max", "2000000\n");
        write("sys/fs/cgroup/system.slice/memory.current", "1500000\n");
        write("sys/fs/cgroup/system.slice/memory.stat", "anon 1400000\ninactive_file 100000\n");
        assert_eq!(available_below(root.path()), Some(600_000));
        // More is in use than allowed, since the limit was lowered.
        write("sys/fs/cgroup/system.slice/memory.max", "1000\n");
        assert_eq!(available_below(root.path()), Some(0));
    }
}
