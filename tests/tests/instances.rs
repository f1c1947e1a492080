//! Which program is attached to an interface: the form that fits, the present one if it can stay, another instance where a
//! driver has lost it, and none after a detachment.

use nix::sys::signal::Signal;
use ntpguard::{
    bpf::{Guard, Mode, Object, Pins, Size},
    compile::Hardening,
    daemon::dialect::Dialect,
    host::interface,
};
use ntpguard_tests::{
    client::flood,
    fixture::{compile, path},
    following::{dropped, wait_for},
    frame::{SERVER_V4 as SERVER, payload},
    guard::Guarding,
    home::Home,
    netns::{INTERFACE, Lab, Netns, program},
};
use serde_json::Value;
use std::thread;

const CONF: &str = "restrict default nomodify nopeer noquery\n";
const ATTACKER: &str = "192.0.2.66";

fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    lab.address(ATTACKER).unwrap();
    lab
}

fn leaked(lab: &Lab) -> u64 {
    flood(&lab.outside, ATTACKER, SERVER, payload::MONLIST, 20).unwrap().answers
}

/// Some versions of `ip -details` don't show the program's name.
fn name_of(host: &Netns, id: u64) -> String {
    let shown = host.run(&format!("bpftool --json prog show id {id}")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["name"].as_str().unwrap().to_owned()
}

#[test]
fn the_stack_gets_the_form_without_frags_and_a_driver_that_has_them_the_other() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    for (mode, name) in [("native", "ntpguard"), ("generic", "ntpguard_linear"), ("auto", "ntpguard_linear")]
    {
        home.attach_with(&format!("--xdp-mode {mode}")).unwrap();
        let (id, _) = program(&lab.server, INTERFACE).unwrap();
        assert_eq!(name_of(&lab.server, id), name, "{mode}, and auto keeps the mode that is there");
        assert_eq!(leaked(&lab), 0, "{mode}");
    }
    assert_eq!(dropped(&home), 60, "all forms count in the same place");
    // The table's row for tun doesn't have frags.
    lab.server.run("ip tuntap add dev tap0 mode tap").unwrap();
    home.run("detach --all").unwrap();
    home.run(&format!(
        "attach --interface tap0 --xdp-mode native --dialect ntpsec --config {}",
        home.conf().display()
    ))
    .unwrap();
    let (id, _) = program(&lab.server, "tap0").unwrap();
    assert_eq!(name_of(&lab.server, id), "ntpguard_linear");
}

#[test]
fn a_take_over_leaves_the_same_program_where_it_is() {
    let lab = lab();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    let first = program(&lab.server, INTERFACE);
    let again = |line: &str| {
        let said = home.attach_with(line).unwrap();
        assert!(said.contains("taken over without a gap"), "{said}");
        (program(&lab.server, INTERFACE), program(&lab.server, "ntp1"))
    };
    assert_eq!(again(""), (first.clone(), None));
    // Another interface gets a program of its own, and then both stay, whichever interface is named.
    let (one, other) = again("--interface ntp1");
    assert_eq!(one, first);
    assert!(other.is_some() && other != first);
    assert_eq!(again("--interface ntp1"), (first.clone(), other.clone()));
    assert_eq!(again(""), (first.clone(), other.clone()));
    let guard = home.guarding().unwrap();
    assert_eq!(
        (program(&lab.server, INTERFACE), program(&lab.server, "ntp1")),
        (first.clone(), other.clone())
    );
    assert!(guard.end(Signal::SIGTERM).unwrap().status.success());
    assert_eq!((leaked(&lab), dropped(&home)), (0, 20));

    // Other maps need another program; the counts are carried over.
    assert_ne!(again("--sources=1000").0, first);
    assert_eq!((leaked(&lab), dropped(&home)), (0, 40));
    // A program that isn't on any interface isn't pinned any more.
    home.run("detach --interface ntp1").unwrap();
    home.attach_with("--sources=1000").unwrap();
    let pinned = lab.server.run(&format!("find {} -name program*", home.bpffs().display())).unwrap();
    assert_eq!(pinned.lines().count(), 1, "{pinned}");
}

/// The operation that is needed when a driver has lost its program. veth doesn't lose it, but the update is the same.
#[test]
fn another_instance_is_put_there_with_one_right() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let pins = home.bpffs().join("two");
    let image = compile(Some(&path("hosting.conf")), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    for pinned in [false, true] {
        lab.server.enter_with_mounts(|| {
            let size = Size::new(1 << 12);
            let mut guard = if pinned {
                Guard::load_pinned(Object::Filter, size, Pins::open(&pins).unwrap()).unwrap()
            } else {
                Guard::load(Object::Filter, size).unwrap()
            };
            guard.install(&image).unwrap();
            guard.attach(INTERFACE, Mode::Native).unwrap();
            let found = interface::find(INTERFACE).unwrap();
            guard.stand_by(std::slice::from_ref(&found), |_| true).unwrap();
            guard.settle().unwrap();
            let held = guard.held(&found).unwrap();
            let there = || interface::find(INTERFACE).unwrap().xdp.unwrap().program;
            let swap = || {
                // Rights are per thread.
                thread::scope(|scope| {
                    let confined = scope.spawn(|| {
                        keep_cap_bpf();
                        held.swap()
                    });
                    confined.join().unwrap().unwrap();
                });
                there()
            };
            let [first, second, third] = [there(), swap(), swap()];
            assert_ne!(first, second);
            assert_eq!(first, third, "there are two");
            // With only one instance there is nothing to swap.
            assert_eq!(
                guard.is_guarded(&interface::find(INTERFACE).unwrap()).unwrap(),
                pinned.then_some(true)
            );
            if pinned {
                // Removing the pin detaches the filter, although this process could still have swapped the program.
                std::fs::remove_file(pins.join(format!("links/{}", found.index))).unwrap();
                wait_for("the interface is free", || interface::find(INTERFACE).unwrap().xdp.is_none());
                assert!(held.swap().is_err());
            }
        });
    }
}

/// The operation that is needed when a driver doesn't take its program back.
#[test]
fn the_stack_takes_over_from_the_driver_with_one_right() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let pins = home.bpffs().join("fallback");
    let image = compile(Some(&path("hosting.conf")), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    for pinned in [false, true] {
        lab.server.enter_with_mounts(|| {
            let size = Size::new(1 << 12);
            let mut guard = if pinned {
                Guard::load_pinned(Object::Linear, size, Pins::open(&pins).unwrap()).unwrap()
            } else {
                Guard::load(Object::Linear, size).unwrap()
            };
            guard.install(&image).unwrap();
            guard.attach(INTERFACE, Mode::Native).unwrap();
            guard.settle().unwrap();
            assert!(interface::find(INTERFACE).unwrap().xdp.unwrap().native);
            keep_cap_bpf();
            guard.fall_back(INTERFACE).unwrap();
            assert!(!interface::find(INTERFACE).unwrap().xdp.unwrap().native, "pinned: {pinned}");
        });
    }
}

#[test]
fn where_no_second_instance_is_to_be_had_the_first_stays() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let pins = home.bpffs().join("one");
    let image = compile(Some(&path("hosting.conf")), Dialect::Ntp426, Hardening::ALL).unwrap().image;
    lab.server.enter_with_mounts(|| {
        let size = Size::new(1 << 12);
        let mut guard = Guard::load_pinned(Object::Filter, size, Pins::open(&pins).unwrap()).unwrap();
        guard.install(&image).unwrap();
        guard.attach(INTERFACE, Mode::Native).unwrap();
        let found = interface::find(INTERFACE).unwrap();
        // Without CAP_NET_ADMIN another instance can't be loaded, nor can this one be opened by its id.
        keep_cap_bpf();
        assert!(guard.stand_by(std::slice::from_ref(&found), |_| true).is_err());
        guard.settle().unwrap();
        // After it was taken off, it can be attached again.
        guard.release([INTERFACE.to_owned()].iter());
        wait_for("the interface is free", || interface::find(INTERFACE).unwrap().xdp.is_none());
        guard.attach(INTERFACE, Mode::Native).unwrap();
        let there = interface::find(INTERFACE).unwrap().xdp.unwrap().program;
        assert_eq!(there, found.xdp.unwrap().program, "the same");
    });
}

/// Gives up all capabilities of this thread except CAP_BPF.
fn keep_cap_bpf() {
    let kept = [caps::Capability::CAP_BPF].into_iter().collect();
    caps::set(None, caps::CapSet::Effective, &kept).unwrap();
    caps::set(None, caps::CapSet::Permitted, &kept).unwrap();
}

#[test]
fn a_program_that_stays_is_told() {
    let lab = lab();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let elsewhere = home.bpffs().join("elsewhere");
    for (line, and_then) in
        [(format!("detach --interface {INTERFACE}"), "attached anew"), ("detach --all".to_owned(), "")]
    {
        home.attach().unwrap();
        let (id, _) = program(&lab.server, INTERFACE).unwrap();
        // Seen from outside, a program that somebody else has pinned is the same as one that its driver doesn't release.
        lab.server.run(&format!("bpftool prog pin id {id} {}", elsewhere.display())).unwrap();
        let output = home.output(&line).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("(id {id}) is still loaded")) && said.contains("(veth)"), "{said}");
        assert_eq!(program(&lab.server, INTERFACE), None);
        lab.server.run(&format!("rm {}", elsewhere.display())).unwrap();
        if !and_then.is_empty() {
            assert!(home.attach().unwrap().contains("guarding"), "{and_then}");
            home.run(&line).unwrap();
            let shown = lab.server.run(&format!("bpftool prog show id {id}"));
            assert!(shown.is_err(), "{shown:?}");
        }
    }
    // Programs on other interfaces, and other loaded instances, are no fault.
    home.attach_with("--interface ntp1 --xdp-mode native").unwrap();
    home.attach_with("--sources=1000").unwrap();
    home.run(&format!("detach --interface {INTERFACE}")).unwrap();
    home.run("detach --interface ntp1").unwrap();
    home.attach().unwrap();
    assert_eq!(leaked(&lab), 0);
    home.run("detach --all").unwrap();
}

#[test]
fn one_that_was_replaced_before_and_stays_is_told_too() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let elsewhere = home.bpffs().join("elsewhere");
    for line in [format!("detach --interface {INTERFACE}"), "detach --all".to_owned()] {
        home.attach_with("--xdp-mode native").unwrap();
        let (id, _) = program(&lab.server, INTERFACE).unwrap();
        lab.server.run(&format!("bpftool prog pin id {id} {}", elsewhere.display())).unwrap();
        // The other mode uses another form of the program, with the same maps.
        home.attach_with("--xdp-mode generic").unwrap();
        assert_ne!(program(&lab.server, INTERFACE).unwrap().0, id);
        let output = home.output(&line).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("(id {id}) is still loaded, though no interface has it")), "{said}");
        lab.server.run(&format!("rm {}", elsewhere.display())).unwrap();
    }
    home.attach_with("--xdp-mode native").unwrap();
    home.attach_with("--xdp-mode generic").unwrap();
    home.run("detach --all").unwrap();
}

#[test]
fn a_program_that_outlives_an_ephemeral_guard_is_told() {
    let lab = lab();
    let home = Home::new(&lab.server, CONF).unwrap();
    let elsewhere = home.bpffs().join("elsewhere");
    for (mode, words) in
        [("native", "its driver (veth) goes on running it"), ("generic", "no interface has it")]
    {
        let guard = Guarding::start(&lab.server, &home.conf(), &["--xdp-mode", mode]).unwrap();
        let (id, _) = program(&lab.server, INTERFACE).unwrap();
        lab.server.run(&format!("bpftool prog pin id {id} {}", elsewhere.display())).unwrap();
        let said = guard.end(Signal::SIGTERM).unwrap().errors;
        lab.server.run(&format!("rm {}", elsewhere.display())).unwrap();
        assert!(
            said.contains(&format!("(id {id}) is still loaded")) && said.contains(words),
            "{mode}: {said}"
        );
    }
    let guard = Guarding::start(&lab.server, &home.conf(), &["--xdp-mode", "native"]).unwrap();
    let said = guard.end(Signal::SIGTERM).unwrap().errors;
    assert!(!said.contains("loaded"), "{said}");
}
