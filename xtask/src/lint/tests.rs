//! Made-up source trees, each of which breaks one rule.

use super::{
    circles::circles,
    imports::{Import, imports},
    packages::unused_in,
    rooms::{asks_who, check, picture},
    sources::Package,
};

/// A package with these files, whose paths are below `ntpguard/src`.
fn house(files: &[(&str, &str)]) -> Package {
    let path = |file: &str| format!("ntpguard/src/{file}");
    let roots = ["lib.rs", "main.rs"].map(path);
    let files = files.iter().map(|(file, text)| (path(file), (*text).to_owned())).collect();
    let mut package = Package {
        name: "ntpguard".to_owned(),
        roots: Vec::new(),
        library: true,
        files,
        dependencies: Vec::new(),
        rust_version: "1.95".to_owned(),
    };
    package.roots.extend(roots.into_iter().filter(|root| package.files.contains_key(root)));
    package
}

/// All imports, one in each line.
fn said(package: &Package) -> Vec<String> {
    let shorten = |import: &Import| import.to_string().replace("ntpguard/src/", "");
    imports(package).unwrap().iter().map(shorten).collect()
}

#[test]
fn circle_is_found_with_what_ties_it() {
    let package = house(&[
        ("lib.rs", "mod host;"),
        ("host/mod.rs", "mod a; mod b; mod c; mod d;"),
        ("host/a.rs", "use super::b::B;\npub struct A(B);"),
        ("host/b.rs", "pub struct B;\nfn b() { super::c::c() }"),
        ("host/c.rs", "pub fn c() { let _: Vec<crate::host::a::A> = vec![]; }"),
        ("host/d.rs", "use super::a::A; fn d(_: A) {}"),
    ]);
    let imports = imports(&package).unwrap();
    let [circle] = &circles(&imports)[..] else { panic!("one circle") };
    let text = circle.to_string().replace("ntpguard/src/host/", "");
    assert_eq!(
        text,
        "circle of 3 files, the shortest way round: a.rs → b.rs → c.rs → a.rs\n    \
         a.rs:1 imports b.rs (B)\n    b.rs:2 imports c.rs (c)\n    c.rs:1 imports a.rs (A)"
    );
    assert_eq!(check(&package).unwrap().len(), 1);
}

#[test]
fn two_circles_are_told_apart() {
    let package = house(&[
        ("lib.rs", "mod host;"),
        ("host/mod.rs", "mod a; mod b; mod c; mod d;"),
        ("host/a.rs", "pub struct A; fn a(_: super::b::B, _: super::c::C) {}"),
        ("host/b.rs", "pub struct B; fn b(_: super::a::A) {}"),
        ("host/c.rs", "pub struct C; fn c(_: super::d::D) {}"),
        ("host/d.rs", "pub struct D; fn d(_: super::c::C) {}"),
    ]);
    let imports = imports(&package).unwrap();
    let ways: Vec<_> = circles(&imports).into_iter().map(|circle| circle.way.join(" ")).collect();
    assert_eq!(
        ways,
        ["ntpguard/src/host/a.rs ntpguard/src/host/b.rs", "ntpguard/src/host/c.rs ntpguard/src/host/d.rs"]
    );
}

#[test]
fn import_upward_is_a_fault_and_downward_is_none() {
    let package = house(&[
        ("lib.rs", "mod host;\nmod policy;"),
        ("host/mod.rs", "\nuse crate::policy::{self, Policy};\npub fn host(_: Policy) { policy::read() }"),
        ("policy/mod.rs", "pub struct Policy; pub fn read() {}"),
    ]);
    let faults = check(&package).unwrap();
    assert_eq!(
        faults,
        [
            "ntpguard/src/host/mod.rs:2 imports ntpguard/src/policy/mod.rs (Policy): host lies below policy",
            "ntpguard/src/host/mod.rs:3 imports ntpguard/src/policy/mod.rs (read): host lies below policy"
        ]
    );
    let package = house(&[
        ("lib.rs", "mod host;\nmod policy;"),
        ("host/mod.rs", "pub fn host() {}"),
        ("policy/mod.rs", "use crate::host; pub fn read() { host::host() }"),
    ]);
    assert!(check(&package).unwrap().is_empty());
    assert!(picture(&imports(&package).unwrap()).contains("→ host"));
}

#[test]
fn binary_imports_the_library_by_its_name() {
    let package = house(&[
        ("main.rs", "use ntpguard::host::{host, other as renamed};"),
        ("lib.rs", "pub mod host;"),
        ("host/mod.rs", "pub fn host() {} pub fn other() {}"),
    ]);
    assert_eq!(
        said(&package),
        ["main.rs:1 imports host/mod.rs (host)", "main.rs:1 imports host/mod.rs (other)"]
    );
}

#[test]
fn reexport_is_followed_to_the_file_that_defines() {
    let package = house(&[
        ("lib.rs", "mod host; mod policy;\npub use policy::*;"),
        ("policy.rs", "mod entry; pub use entry::{Entry, read as entries};"),
        ("policy/entry.rs", "pub enum Entry { One }\npub fn read() -> super::Entry { super::Entry::One }"),
        ("host.rs", "fn host() { let _ = crate::Entry::One; crate::policy::entries(); }"),
    ]);
    assert_eq!(
        said(&package),
        [
            "host.rs:1 imports policy/entry.rs (Entry)",
            "host.rs:1 imports policy/entry.rs (read)",
            "policy.rs:1 re-exports from policy/entry.rs (Entry)",
            "policy.rs:1 re-exports from policy/entry.rs (read)"
        ]
    );
}

#[test]
fn passing_a_name_on_ties_no_circle_and_using_it_does() {
    let entry = ("policy/entry.rs", "use super::Policy; pub struct Entry(Policy);");
    let package = house(&[
        ("lib.rs", "mod policy;"),
        ("policy/mod.rs", "mod entry; pub use entry::Entry; pub struct Policy;"),
        entry,
    ]);
    assert!(check(&package).unwrap().is_empty());
    let package = house(&[
        ("lib.rs", "mod policy;"),
        ("policy/mod.rs", "mod entry; pub use entry::Entry; pub struct Policy; fn of(_: Entry) {}"),
        entry,
    ]);
    assert_eq!(check(&package).unwrap().len(), 1);
}

#[test]
fn reexport_upward_is_a_fault() {
    let package = house(&[
        ("lib.rs", "mod host; mod policy;"),
        ("host.rs", "pub use crate::policy::Policy;"),
        ("policy.rs", "pub struct Policy;"),
    ]);
    assert_eq!(check(&package).unwrap().len(), 1);
}

#[test]
fn code_for_tests_and_documentation_are_ignored() {
    let package = house(&[
        ("lib.rs", "mod host; mod policy;"),
        (
            "host.rs",
            "//! [`crate::policy::Policy`]\n\
             #[cfg(test)] use crate::policy::Policy;\n\
             #[cfg(all(test, unix))] mod tests { use crate::policy::Policy; }\n\
             #[cfg(test)] mod more;\n\
             struct Host;\n\
             impl Host { #[cfg(test)] fn made() -> crate::policy::Policy { todo!() } }\n\
             #[test] fn one() { crate::policy::Policy; }",
        ),
        ("policy.rs", "pub struct Policy;"),
    ]);
    assert!(said(&package).is_empty(), "{:?}", said(&package));
    let package = house(&[
        ("lib.rs", "mod host; mod policy;"),
        ("host.rs", "#[cfg(not(test))] use crate::policy::Policy;"),
        ("policy.rs", "pub struct Policy;"),
    ]);
    assert_eq!(said(&package).len(), 1);
}

#[test]
fn inline_paths_count_wherever_they_stand() {
    let cases = [
        "fn f() { crate::policy::made() }",
        "fn f(_: &dyn crate::policy::Act) {}",
        "impl crate::policy::Act for u8 {}",
        "fn f() { println!(\"{}\", crate::policy::WIDE) }",
        "fn f() { use crate::policy; policy::made() }",
        "fn f() { use crate::policy as other; assert!(x == [other::WIDE]) }",
        "#[serde(with(crate::policy::made))] struct S;",
        "mod inner { fn f() { super::super::policy::made() } }",
        "fn f(x: u8) -> bool { matches!(x, crate::policy::WIDE) }",
        "use crate::policy::*; fn f() { made() }",
        "fn f() { width!() }",
        "fn f() -> crate::policy::Made { todo!() }",
    ];
    let policy = "pub trait Act {} pub const WIDE: u8 = 1; pub fn made() {}\n\
                  macro_rules! width { () => {} }\nmake! { pub enum Made { One } }";
    for case in cases {
        let package = house(&[("lib.rs", "mod host; mod policy;"), ("host.rs", case), ("policy.rs", policy)]);
        assert_eq!(said(&package).len(), 1, "{case}: {:?}", said(&package));
    }
    // A module alone isn't an item, nor are fields, methods, argument names and items that are defined in the function.
    let others = [
        "use crate::policy;",
        "use crate::policy::*; fn f() { g!(a.made, made = 1, made: 2) }",
        "use crate::policy::*; fn f() { fn made() {} made() }",
    ];
    for case in others {
        let package = house(&[("lib.rs", "mod host; mod policy;"), ("host.rs", case), ("policy.rs", policy)]);
        assert!(said(&package).is_empty(), "{case}: {:?}", said(&package));
    }
}

#[test]
fn module_and_function_of_one_name_are_told_apart() {
    let package = house(&[
        ("lib.rs", "mod policy; mod host;"),
        ("policy.rs", "mod read; pub use read::read; fn f() { read(); read::other() }"),
        ("policy/read.rs", "pub fn read() {} pub fn other() {}"),
        ("host.rs", ""),
    ]);
    assert_eq!(
        said(&package),
        ["policy.rs:1 imports policy/read.rs (other)", "policy.rs:1 imports policy/read.rs (read)"]
    );
}

#[test]
fn file_in_no_room_and_long_files_are_faults() {
    let long = "\n".repeat(401);
    let main = "\n".repeat(60);
    let package = house(&[
        ("lib.rs", "mod utils; mod host;"),
        ("main.rs", &main),
        ("utils.rs", ""),
        ("host.rs", &long),
    ]);
    assert_eq!(
        check(&package).unwrap(),
        [
            "ntpguard/src/utils is no room of xtask/src/lint/rooms.rs",
            "ntpguard/src/host.rs has 401 lines, and 400 are the most",
            "ntpguard/src/main.rs has 60 lines, and 59 are the most"
        ]
    );
}

#[test]
fn clap_is_for_the_command_line_alone() {
    let package = house(&[
        ("lib.rs", "mod cli; mod cmd; mod policy; mod host;"),
        ("main.rs", "use clap::Parser;"),
        ("cli/mod.rs", "#[derive(clap::Args)] pub struct Run;"),
        ("cmd/mod.rs", "use clap::Parser;"),
        ("policy.rs", "#[derive(Clone, clap::ValueEnum)] pub enum Kod { One }"),
        ("host.rs", "//! Nothing of clap.\n#[cfg(test)] mod tests { use clap::Parser as _; }"),
    ]);
    assert_eq!(
        check(&package).unwrap(),
        [
            "ntpguard/src/host.rs names clap, which is for cmd and cli alone",
            "ntpguard/src/policy.rs names clap, which is for cmd and cli alone",
        ]
    );
}

#[test]
fn which_daemon_it_is_is_asked_where_it_is_known() {
    let package = house(&[
        ("lib.rs", "mod daemon; mod conf; mod policy;"),
        ("daemon/mod.rs", "pub enum Dialect { One } mod profile;"),
        ("daemon/profile.rs", "use super::Dialect;"),
        ("conf/mod.rs", "mod ntp;"),
        ("conf/ntp/mod.rs", "use crate::daemon::Dialect;"),
        ("policy.rs", "fn f() { crate::daemon::Dialect::One; }"),
    ]);
    let imports = imports(&package).unwrap();
    let askers = imports.iter().filter(|import| asks_who(import));
    let askers: Vec<_> = askers.map(|import| import.from.as_str()).collect();
    assert_eq!(askers, ["ntpguard/src/policy.rs"]);
}

#[test]
fn dependency_that_no_source_names_is_unused() {
    let mut package =
        house(&[("lib.rs", "use one::One; macro_rules! m { () => { two::f() } }\n// three::f()")]);
    package.dependencies = ["one", "two", "three", "ntpguard_ebpf"].map(str::to_owned).to_vec();
    assert_eq!(unused_in(&package).unwrap(), ["three of ntpguard"]);
}
