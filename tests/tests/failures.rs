//! Faults around a running filter: each is provoked, is reported with helpful words, and leaves no gap.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ntpguard_tests::{
    client::{Wire, flood},
    fixture::path,
    following::wait_for,
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard::Guarding,
    home::Home,
    netns::{INTERFACE, Lab},
    stranger,
};
use std::{
    fs::{self, File},
    process::{Output, Stdio},
    thread,
    time::Duration,
};

const CONF: &str = "restrict default nomodify nopeer noquery\n";

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a verb that has to fail with exit code 2, and with this message.
fn fails(home: &Home<'_>, line: &str, expected: &str) {
    let output = home.output(line).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}: {}", words(&output));
    assert!(words(&output).contains(expected), "{line}: {}", words(&output));
}

#[test]
fn no_place_for_pins() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let attaching = home.attaching();
    let bpffs = home.bpffs();
    lab.server.run(&format!("mount -o remount,ro {}", bpffs.display())).unwrap();
    fails(&home, &attaching, "Read-only file system");
    lab.server.run(&format!("umount {}", bpffs.display())).unwrap();
    fails(&home, &attaching, "isn't in a BPF file system: mount one (`mount -t bpf bpf ");
    fs::remove_dir_all(&bpffs).unwrap();
    fails(&home, &attaching, "mount a BPF file system (`mount -t bpf bpf ");
    assert_eq!(lab.attached().unwrap(), [0; 0]);
}

#[test]
fn somebody_elses_program_is_replaced_on_request_alone() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let id = stranger::settle(&lab).unwrap();
    fails(&home, &home.attaching(), &format!("another XDP program holds {INTERFACE} (`stranger`, id {id})"));
    assert_eq!(lab.attached().unwrap(), [id]);
    let said = home.run(&format!("{} --replace", home.attaching())).unwrap();
    assert!(said.contains(&format!("took the XDP program `stranger`, id {id} off {INTERFACE}")), "{said}");
    let ours = lab.attached().unwrap();
    assert!(ours.len() == 1 && ours != [id], "{ours:?}");
    // ntpguard's own program isn't taken off, but taken over.
    let said = home.run(&format!("{} --replace", home.attaching())).unwrap();
    assert!(!said.contains("took the XDP program"), "{said}");
    home.run("detach --all").unwrap();

    // A program that a process holds by a link can't be taken off.
    let path = path("pool.conf");
    let other = Guarding::start(&lab.server, &path, &[]).unwrap();
    let ours = lab.attached().unwrap();
    fails(&home, &format!("{} --replace", home.attaching()), "its owner holds it by a link");
    assert_eq!(lab.attached().unwrap(), ours);
    drop(other);
}

#[test]
fn jumbo_frames_are_judged_too() {
    let lab = Lab::new().unwrap();
    for netns in [&lab.server, &lab.outside] {
        netns.run(&format!("ip link set {INTERFACE} mtu 9000")).unwrap();
    }
    let home = Home::new(&lab.server, CONF).unwrap();
    let said = home.attach().unwrap();
    assert!(said.contains(&format!("guarding {INTERFACE}, native XDP")), "{said}");
    let wire = Wire::open(&lab.outside).unwrap();
    let padded = [payload::MONLIST, &[0; 8000]].concat();
    let frame = Frame::from("192.0.2.66", 40000).payload(&padded).build();
    assert!(frame.len() > 8000);
    (0..10).for_each(|_| wire.send(&frame).unwrap());
    assert_eq!(home.status().unwrap()["dropped"], 10);
}

#[test]
fn full_disks_end_nothing() {
    let lab = Lab::new().unwrap();
    lab.address("192.0.2.66").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    // The output goes to a full disk, and the state can't be written on another one.
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    lab.server.run(&format!("mount -t tmpfs -o size=4k tmpfs {}", state.display())).unwrap();
    let filler = format!("dd if=/dev/zero of={} bs=4k count=1", state.join("filler").display());
    lab.server.run(&filler).unwrap();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let line = home.attaching().replacen("attach", "run", 1) + " --interval 20ms";
    let mut guard = home.command(&line).unwrap().stdout(full()).stderr(full()).spawn().unwrap();
    wait_for("it is attached", || lab.attached().unwrap().len() == 1);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(flood(&lab.outside, "192.0.2.66", SERVER, payload::MONLIST, 100).unwrap().answers, 0);
    let id = Pid::from_raw(guard.id() as i32);
    kill(id, Signal::SIGHUP).unwrap();
    thread::sleep(Duration::from_millis(500));
    assert!(guard.try_wait().unwrap().is_none(), "it goes on");
    let status = home.status().unwrap();
    assert_eq!((&status["dropped"], &status["policy"]["number"]), (&100.into(), &2.into()), "{status}");
    kill(id, Signal::SIGTERM).unwrap();
    assert_eq!(guard.wait().unwrap().code(), Some(0));
    // The fault is reported where that is possible.
    let said = home.attach().unwrap();
    assert!(said.contains("No space left on device") && said.contains("guarding goes on"), "{said}");
}

#[test]
fn an_interface_that_is_deleted_ends_nothing() {
    let lab = Lab::new().unwrap();
    lab.second_wire("ntp1").unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let line = home.attaching().replacen(INTERFACE, "ntp1", 1);
    home.run(&line).unwrap();
    lab.server.run("ip link delete ntp1").unwrap();
    // Without a process beside the filter, nothing is left that a start can't take over, and the start reports what is missing.
    fails(&home, &line, "there is no interface ntp1; there are: ");
    assert_eq!(home.status().unwrap()["interfaces"], serde_json::json!([]));
    home.run("reload").unwrap();
    home.attach().unwrap();
    let status = home.status().unwrap();
    assert_eq!(status["interfaces"][0]["interface"], INTERFACE, "{status}");
    assert_eq!(status["interfaces"].as_array().unwrap().len(), 1, "{status}");
}
