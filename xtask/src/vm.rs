//! `cargo xtask vm`: the same tests on another kernel, under qemu, in an initramfs made from this build.
//!
//! The kernel is Debian's, the userland busybox, iproute2 and the test programs with the libraries that they link.
//! Nothing is installed, and nothing is shared with this machine but the serial console.

use crate::{
    kernel::Series,
    run::{cargo, lab, output, root, run},
    setup::{self, Purpose},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The test programs, and which of their tests make sense without a daemon: words that their names have.
const TESTS: &[(&str, &str)] = &[
    ("golden", ""),
    ("ranges", ""),
    ("command", "every_mode_drops_and_counts"),
    ("tc", "golden tcx_or_a_word"),
];
/// What the guest writes last, with the exit code of its tests.
const DONE: &str = "ntpguard-vm-exit:";
/// Emulated, a boot and the tests take minutes on a busy machine; a hang is cut off.
const LIMIT: &str = "600";

pub(crate) fn vm(series: Series) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    let folder = lab().join(format!("vm-{}", series.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    initramfs(series, &folder)?;
    let archive = lab().join(format!("vm-{}.cpio", series.name()));
    pack(&folder, &archive)?;

    println!("\nLinux {} under qemu:", series.name());
    let image = series.image().context("the kernel isn't unpacked")?;
    let mut qemu = Command::new("timeout");
    qemu.args([LIMIT, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-no-reboot"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(&archive);
    qemu.args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]).stdin(Stdio::null());
    let said = output(&mut qemu)?;
    let said = said.replace('\r', "");
    println!("{said}");
    match said.lines().find_map(|line| line.strip_prefix(DONE)) {
        Some("0") => Ok(()),
        Some(code) => bail!("the tests failed on Linux {}: exit code {code}", series.name()),
        None => bail!("the guest with Linux {} ended before its tests did", series.name()),
    }
}

fn initramfs(series: Series, folder: &Path) -> Result<()> {
    for name in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let busybox = which("busybox")?;
    fs::copy(busybox, folder.join("bin/busybox"))?;
    let mut programs = vec![("ip".to_owned(), which("ip")?)];
    for (name, _) in TESTS {
        let build = ["test", "--no-run", "--package", "ntpguard-tests", "--test", name];
        programs.push(((*name).to_owned(), built(&build, name)?));
    }
    let build = ["build", "--package", "ntpguard", "--bin", "ntpguard"];
    programs.push(("ntpguard".to_owned(), built(&build, "ntpguard")?));
    for (name, path) in &programs {
        // Debugging information is most of a program, and an emulator's time.
        run(Command::new("strip").arg("-o").arg(folder.join("bin").join(name)).arg(path))?;
        for library in libraries(path)? {
            let place = folder.join(library.strip_prefix("/")?);
            fs::create_dir_all(place.parent().context("a library in /")?)?;
            fs::copy(&library, place)?;
        }
    }
    run(Command::new("cp").arg("-r").arg(root().join("tests/fixtures")).arg(folder.join("fixtures")))?;
    let modules = veth(series, &folder.join("modules"))?;
    let init = folder.join("init");
    fs::write(&init, script(&modules))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    symlink("busybox", folder.join("bin/sh"))?;
    Ok(())
}

/// What the guest runs as process 1.
fn script(modules: &[String]) -> String {
    let insmod: String = modules.iter().map(|module| format!("busybox insmod /modules/{module}\n")).collect();
    let tests: String = TESTS
        .iter()
        .map(|(name, filter)| {
            format!("/bin/{name} --nocapture --test-threads 1 {filter} </dev/null || code=1\n")
        })
        .collect();
    format!(
        "#!/bin/sh\n\
         export PATH=/bin NTPGUARD_FIXTURES=/fixtures RUST_BACKTRACE=0\n\
         busybox mount -t proc proc /proc\n\
         busybox mount -t sysfs sys /sys\n\
         busybox mount -t devtmpfs dev /dev\n\
         busybox mount -t tmpfs tmp /tmp\n\
         {insmod}\
         busybox uname -r\n\
         code=0\n\
         {tests}\
         echo {DONE}$code\n\
         busybox poweroff -f\n"
    )
}

/// Copies veth and what it depends on, unpacked, in the order of loading.
fn veth(series: Series, folder: &Path) -> Result<Vec<String>> {
    let base = series.modules()?;
    let mut order = Vec::new();
    collect(&base, "veth", &mut order)?;
    order.iter().map(|path| place(path, folder)).collect()
}

/// A module after those that it needs.
fn collect(base: &Path, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
    let found = output(Command::new("find").arg(base).args(["-name", &format!("{name}.ko*")]))?;
    // Built into the kernel, or no module of this series.
    let Some(path) = found.lines().next().map(PathBuf::from) else { return Ok(()) };
    let needs = output(Command::new("/sbin/modinfo").args(["-F", "depends"]).arg(&path))?;
    for need in needs.trim().split(',').filter(|need| !need.is_empty()) {
        collect(base, need, order)?;
    }
    if !order.contains(&path) {
        order.push(path);
    }
    Ok(())
}

fn place(module: &Path, folder: &Path) -> Result<String> {
    let name = module.file_name().context("a module's name")?.to_string_lossy().into_owned();
    let plain = name.trim_end_matches(".xz").to_owned();
    if plain == name {
        fs::copy(module, folder.join(&plain))?;
    } else {
        let unpacked = File::create(folder.join(&plain))?;
        run(Command::new("xz").args(["--decompress", "--stdout"]).arg(module).stdout(unpacked))?;
    }
    Ok(plain)
}

/// The program of this name that a cargo command builds.
fn built(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let messages = output(cargo(arguments).arg("--message-format=json"))?;
    let mut programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str().map(PathBuf::from);
        path.filter(|_| message["target"]["name"] == name)
    });
    programs.next().with_context(|| format!("cargo {} builds no {name}", arguments.join(" ")))
}

/// The shared libraries of a program, the loader included.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = output(Command::new("ldd").arg(program))?;
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn which(program: &str) -> Result<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(|folder| Path::new(folder).join(program));
    folders.into_iter().find(|path| path.exists()).with_context(|| format!("there is no {program}"))
}

/// Packs a folder as the kernel wants it (cpio, newc).
fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let script = "find . | cpio --quiet --create --format=newc";
    run(Command::new("sh").args(["-c", script]).current_dir(folder).stdout(File::create(archive)?))
}
