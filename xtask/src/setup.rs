//! `cargo xtask setup`: from a fresh machine to a working BPF toolchain and lab.
//!
//! Contract: idempotent; says what it installs and why before it does; `--check` changes nothing. No time daemon is
//! ever installed: the lab's ntpd is unpacked under `target/lab`, since the package would start it, let it steer this
//! machine's clock, and push out the time service that is there.

use crate::{
    kernel,
    run::{lab, output, run},
    toolchain,
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// bpf-linker's version; its LLVM must be at least as new as the toolchain's.
const BPF_LINKER: &str = "0.13.0";

/// Debian packages that tests, demo and VMs use.
const PACKAGES: &[&str] = &[
    "bpftool",        // the object must load with other loaders too
    "busybox-static", // the VMs' userland
    "cpio",           // their file system
    "ethtool",        // offloads of the lab's wire
    "iproute2",       // namespaces, veth
    "iputils-ping",   // traffic that isn't NTP
    "kmod",           // modinfo: which modules veth needs
    "libbsd0",        // ntpd's
    "libcap2",        // ntpd's
    "netbase",        // ntpq looks its port up in /etc/services
    "procps",         // sysctl
    "python3-ntp",    // ntpq's
    "qemu-system-x86",
    "util-linux", // unshare, setpriv
    "xz-utils",   // modules of newer kernels
];

/// Debian's Rust: one version of compiler, cargo, clippy and library sources.
const DEBIAN_RUST: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/// Something that must be there.
struct Need {
    /// What it is, and what for.
    what: String,
    /// How it is got.
    get: Box<dyn Fn() -> Result<()>>,
}

/// Installs what is missing, or reports it.
pub(crate) fn setup(check: bool) -> Result<()> {
    let mut found = 0;
    // One at a time: what the first one brings decides what the next one needs.
    while let Some(need) = missing().into_iter().next() {
        if check {
            missing().iter().for_each(|need| println!("missing: {}", need.what));
            bail!("`cargo xtask setup` installs it");
        }
        installable(&need)?;
        found += 1;
        println!("==> {}", need.what);
        (need.get)().with_context(|| format!("setting up {}", need.what))?;
        if missing().first().is_some_and(|still| still.what == need.what) {
            bail!("{} was set up, and is still missing", need.what);
        }
    }
    if found > 0 || check {
        println!("everything is there");
    }
    Ok(())
}

/// Whether this system is one that set-up knows.
fn installable(need: &Need) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        let all: Vec<_> = missing().into_iter().map(|need| format!("\n  - {}", need.what)).collect();
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

/// What isn't there, in the order in which it can be installed.
fn missing() -> Vec<Need> {
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
    if linker().is_none() {
        need(
            format!("bpf-linker {BPF_LINKER}, which links BPF objects"),
            Box::new(move || bpf_linker(&name)),
        );
    }
    let absent: Vec<&str> = absent(PACKAGES);
    if !absent.is_empty() {
        let what = format!("packages for tests, demo and VMs: {}", absent.join(" "));
        need(what, Box::new(move || apt(&absent)));
    }
    let ntpsec = lab().join("ntpsec");
    if !ntpsec.join("usr/sbin/ntpd").exists() {
        need(
            "NTPsec's ntpd and ntpq, unpacked under target/lab".into(),
            Box::new(move || unpack("ntpsec", &ntpsec)),
        );
    }
    for series in kernel::ALL {
        if series.image().is_none() {
            let what = format!("Debian's kernel {}, unpacked under target/lab", series.name());
            need(what, Box::new(move || unpack(&series.package()?, &series.folder())));
        }
    }
    needs
}

/// rustup's nightly where its sources can be had, else Debian's.
fn rust() -> Result<()> {
    let nightly =
        ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src,clippy"];
    println!("    rustup {}", nightly.join(" "));
    // A nightly that is there may be one whose server is out of reach: its sources may still be had.
    let component = ["component", "add", "rust-src", "clippy", "--toolchain", "nightly"];
    let installed = toolchain::is_installed("nightly");
    let arguments = if installed { &component[..] } else { &nightly };
    if run(Command::new("rustup").args(arguments)).is_ok() && toolchain::has_sources("nightly") {
        return Ok(());
    }
    println!("    not to be had; Debian's instead");
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

fn linker() -> Option<String> {
    output(Command::new("bpf-linker").arg("--version")).ok()
}

fn bpf_linker(toolchain: &str) -> Result<()> {
    let version = output(Command::new("rustup").args(["run", toolchain, "rustc", "--version", "--verbose"]))?;
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next());
    let llvm = llvm.with_context(|| format!("{toolchain}'s rustc doesn't tell its LLVM"))?;
    let packages = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    let others = ["libzstd-dev", "zlib1g-dev", "g++"];
    apt(&packages.iter().map(String::as_str).chain(others).collect::<Vec<_>>()).with_context(|| {
        format!(
            "{toolchain} has LLVM {llvm}, and this system no packages of it; with Debian's Rust \
             (`apt-get install {}; rustup toolchain link {} /usr`) set {}={}",
            DEBIAN_RUST.join(" "),
            toolchain::DEBIAN,
            toolchain::OVERRIDE,
            toolchain::DEBIAN
        )
    })?;
    let mut install = crate::run::cargo(&["install", "--locked", "bpf-linker", "--version", BPF_LINKER]);
    install.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    run(install.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}")))
}

/// Those of the packages that aren't installed.
fn absent(packages: &[&'static str]) -> Vec<&'static str> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]).args(packages);
    // It fails when it knows one of them not at all, and lists the others all the same.
    let listed = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let listed = listed.unwrap_or_default();
    let installed = |package: &str| listed.lines().any(|line| line == format!("{package} installed"));
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

fn apt(packages: &[&str]) -> Result<()> {
    println!("    apt-get install {}", packages.join(" "));
    update()?;
    let options = ["install", "--yes", "--quiet", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(options).args(packages))
}

/// Fresh package lists, once a run.
pub(crate) fn update() -> Result<()> {
    static DONE: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    if DONE.get().is_none() {
        run(Command::new("apt-get").args(["update", "--quiet", "--quiet"]))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

/// Unpacks a Debian package without installing it.
fn unpack(package: &str, folder: &Path) -> Result<()> {
    update()?;
    let parent = folder.parent().context("target/lab")?;
    fs::create_dir_all(parent)?;
    println!("    apt-get download {package}");
    let mut download = Command::new("apt-get");
    // As root itself: apt's own user can't write here.
    run(download
        .args(["download", "--quiet", "-o", "APT::Sandbox::User=root", package])
        .current_dir(parent))?;
    let archive = find(parent, |name| name.starts_with(&format!("{package}_")) && name.ends_with(".deb"))
        .with_context(|| format!("{package} was downloaded and isn't there"))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(folder))?;
    fs::remove_file(archive)?;
    Ok(())
}

/// The first file in a folder whose name fits.
pub(crate) fn find(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}
