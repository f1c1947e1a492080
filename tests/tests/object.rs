//! The BPF objects themselves: other loaders accept them, and they contain only what loading needs.

use ntpguard::bpf::{Guard, Object, Size};
use ntpguard_tests::{bpf::Figures, guard::binary};
use object::{Object as _, ObjectSection as _, read::elf::ElfFile64};
use std::{fs, process::Command};

/// bpftool loads it, and shows instructions of version 2 of the instruction set (Linux 4.14): "less than" and "less or
/// equal", unsigned and signed. A nested cargo might silently leave the option out (`ntpguard-ebpf/objects.rs`).
#[test]
fn bpftool_loads_it() {
    let files = tempfile::tempdir().unwrap();
    let object = files.path().join("ntpguard.o");
    fs::write(&object, Object::Filter.bytes()).unwrap();
    let bpffs = files.path().join("bpf");
    fs::create_dir(&bpffs).unwrap();
    // A mount in a mount namespace of its own, so that the pins vanish with the process.
    let script = "mount -t bpf bpf \"$1\" && bpftool prog load \"$0\" \"$1/ntpguard\" && bpftool prog show pinned \"$1/ntpguard\" \
                  && bpftool prog dump xlated pinned \"$1/ntpguard\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .args([&object, &bpffs])
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("xdp  name ntpguard"), "{said}");
    let second_version =
        ["a5", "ad", "b5", "bd", "c5", "cd", "d5", "dd"].map(|code| format!(": ({code}) if "));
    let count = said.lines().filter(|line| second_version.iter().any(|code| line.contains(code))).count();
    println!("{count} jumps that the first version doesn't have");
    assert!(count > 20, "built for the first version of the instruction set: {count}");
}

/// The form without frags has the same code.
#[test]
fn both_forms_have_the_same_instructions() {
    let [frags, linear] = [Object::Filter, Object::Linear].map(|object| {
        let guard = Guard::load(object, Size::new(1 << 12)).unwrap();
        Figures::of(guard.id().unwrap()).unwrap()
    });
    assert_eq!(frags, linear);
}

/// BTF but no DWARF: everything in an object is part of the binary, and of each process's memory.
#[test]
fn they_are_stripped() {
    for object in [Object::Filter, Object::Tc, Object::Trace] {
        let elf: ElfFile64<'_> = ElfFile64::parse(object.bytes()).unwrap();
        let names: Vec<_> = elf.sections().map(|section| section.name().unwrap().to_owned()).collect();
        println!("{object:?}: {} bytes, {names:?}", object.bytes().len());
        let has = |name: &str| names.iter().any(|one| one == name);
        assert!(has(".BTF") && has(".BTF.ext") && has(".symtab"), "{names:?}");
        let needless =
            |name: &&String| [".debug", ".rel.debug", ".rel.BTF"].iter().any(|start| name.starts_with(start));
        assert_eq!(names.iter().filter(needless).collect::<Vec<_>>(), [""; 0]);
    }
}

/// The program contains its own objects, and none of those that are only for measuring.
#[test]
fn the_program_holds_no_others() {
    const BPF: u16 = 247;
    let program = fs::read(binary().unwrap()).unwrap();
    let is_object = |head: &&[u8]| head.starts_with(b"\x7fELF") && head.ends_with(&BPF.to_ne_bytes());
    // The machine of an ELF file is in its 19th and 20th byte.
    assert_eq!(program.windows(20).filter(is_object).count(), 3);
}
