//! `ntpguard doctor` on hosts that the tests prepare: what it finds and reports.

use ntpguard::doctor::Check;
use ntpguard_tests::{
    guard::binary,
    home::Home,
    netns::{INTERFACE, Lab, Netns},
    ntpd::Ntpd,
    stranger,
    visit::{LOCAL, Visit, command},
};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

#[test]
fn a_daemon_that_tells_everyone() {
    let lab = Lab::new().unwrap();
    let open = format!("unrestrict default noquery limited\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &open).unwrap();
    let visit = Visit::pay(&lab.server, &[]);
    let holder = visit.of("port");
    assert_eq!(holder.0, "ok");
    assert!(holder.1.starts_with("process ") && holder.1.contains("(ntpd, /"), "{holder:?}");
    assert!(holder.1.contains("ntpsec/usr/sbin/ntpd) on every address"), "{holder:?}");
    let (status, release) = visit.of("daemon");
    assert!(status == "ok" && release.starts_with("ntpsec-1."), "{release}");
    let (status, config) = visit.of("config");
    // The lab's ntp.conf is a file descriptor of this process.
    let conf = format!("/proc/{}/fd/", std::process::id());
    assert!(
        status == "ok" && config.starts_with(&conf) && config.contains("(-c on its command line)"),
        "{config}"
    );
    assert_eq!(visit.of("readvar").0, "warning");
    let answered = visit.of("readvar").1;
    assert!(answered.starts_with("answered on 192.0.2.1, 2001:db8::1: "), "{answered}");
    assert_eq!((visit.of("monlist"), visit.of("peers")), (("ok", "not answered"), ("ok", "not answered")));
    assert!(["ok", "warning"].contains(&visit.of("boot").0));
    assert_eq!(visit.of("driver"), ("ok", "veth has native XDP, as the kernel tells"));
    assert_eq!(visit.of("mode"), ("ok", "native"));
    assert_eq!(visit.all("mode")[0]["subject"], INTERFACE, "the only one that is worth it");
}

#[test]
fn a_daemon_that_tells_nobody() {
    let lab = Lab::new().unwrap();
    let closed = format!("restrict default kod nomodify nopeer noquery limited\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &closed).unwrap();
    let home = Home::new(&lab.server, &closed).unwrap();
    let visit = Visit::pay(&lab.server, &[&home.places()[0]]);
    for check in ["monlist", "peers", "readvar"] {
        assert_eq!(visit.of(check), ("ok", "not answered"));
    }
    assert!(visit.of("daemon").1.starts_with("ntpsec-1."), "loopback may ask");
    assert_eq!(visit.of("bpffs"), ("ok", "in a BPF file system"));
    assert_eq!((visit.code, &visit.report["failures"]), (0, &0.into()), "{:#}", visit.report);

    // On a guarded host, it reports whose program is attached.
    home.attach().unwrap();
    let visit = Visit::pay(&lab.server, &[&home.places()[0]]);
    let (status, owner) = visit.of("owner");
    assert!(status == "ok" && owner.starts_with("ntpguard's (ntpguard, program "), "{owner}");
    assert_eq!((visit.of("mode"), visit.code), (("ok", "native, as it is now"), 0));
    // The daemon is queried over loopback, so the filter doesn't count these packets.
    assert_eq!(home.status().unwrap()["dropped"], 0);
    let elsewhere = Visit::pay(&lab.server, &[]);
    assert_eq!(elsewhere.of("owner").0, "warning", "a program of that name, and no pin");
}

/// Runs a stand-in for an old daemon, which sends what `answer` makes of a request.
fn old_daemon<T>(
    host: &Netns,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Sync,
    meanwhile: impl FnOnce() -> T,
) -> T {
    let sockets =
        host.enter(|| ["192.0.2.1:123", "[2001:db8::1]:123"].map(|at| UdpSocket::bind(at).unwrap()));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for socket in &sockets {
            let (done, answer) = (&done, &answer);
            scope.spawn(move || {
                socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                let mut request = [0; 512];
                while !done.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut request) else { continue };
                    let own: [SocketAddr; 2] = [
                        SocketAddr::new("192.0.2.1".parse().unwrap(), from.port()),
                        SocketAddr::new("2001:db8::1".parse().unwrap(), from.port()),
                    ];
                    assert!(own.contains(&from), "asked from {from}");
                    if let Some(bytes) = answer(&request[..length]) {
                        socket.send_to(&bytes, from).unwrap();
                    }
                }
            });
        }
        let came = meanwhile();
        done.store(true, Ordering::Relaxed);
        came
    })
}

#[test]
fn monlist_is_a_failure() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, "").unwrap();
    let places = home.places();
    let pay = || Visit::pay(&lab.server, &[&places[0]]);
    let monlist = |request: &[u8]| {
        let mut answer = vec![0; 440];
        answer[..8].copy_from_slice(&[0xd7, 0, 3, 42, 0, 6, 0, 72]);
        (request == [0x17, 0, 3, 42, 0, 0, 0, 0]).then_some(answer)
    };
    let visit = old_daemon(&lab.server, monlist, pay);
    let answered = "answered on 192.0.2.1, 2001:db8::1: 440 bytes for 8 in the first packet";
    assert_eq!(visit.of("monlist"), ("failure", answered));
    assert_eq!((visit.of("peers").0, visit.of("readvar").0, visit.code), ("ok", "ok", 2));
    assert_eq!(visit.report["failures"], 1, "{:#}", visit.report);
    // This process itself holds the port, and isn't an ntpd.
    let (status, port) = visit.of("port");
    assert!(status == "ok" && port.starts_with(&format!("process {} (", std::process::id())), "{port}");
    assert!(port.ends_with("on 192.0.2.1, 2001:db8::1"), "{port}");
    assert_eq!(visit.of("daemon").0, "warning");

    let peers =
        |request: &[u8]| (request == [0x17, 0, 3, 0, 0, 0, 0, 0]).then(|| vec![0x97, 0, 3, 0, 0, 1, 0, 32]);
    let visit = old_daemon(&lab.server, peers, pay);
    assert_eq!((visit.of("peers").0, visit.of("monlist").0, visit.code), ("warning", "ok", 0));
    // Errors such as INFO_ERR_IMPL contain no information.
    let error = |request: &[u8]| (request[0] == 0x17).then(|| vec![0x97, 0, 3, request[3], 0x10, 0, 0, 0]);
    let visit = old_daemon(&lab.server, error, pay);
    assert_eq!(visit.of("monlist"), ("ok", "answered with an error alone, on 192.0.2.1, 2001:db8::1"));
}

#[test]
fn nobody_holds_the_port_and_nothing_is_mounted() {
    let lab = Lab::new().unwrap();
    let files = tempfile::tempdir().unwrap();
    let nowhere = format!("--pin-path={}", files.path().join("ntpguard").display());
    let visit = Visit::pay(&lab.server, &[&nowhere]);
    let (status, port) = visit.of("port");
    assert!(status == "failure" && port.starts_with("nobody holds it"), "{port}");
    assert_eq!(visit.of("bpffs").0, "failure");
    let fix = visit.all("bpffs")[0]["fix"].as_str().unwrap();
    assert!(fix.starts_with("mount -t bpf bpf /"), "{fix}");
    assert_eq!((visit.report["failures"].as_u64(), visit.code), (Some(2), 2));
    for nobody in ["daemon", "config", "boot", "monlist", "peers", "readvar"] {
        assert!(visit.all(nobody).is_empty(), "{nobody}");
    }
}

#[test]
fn somebody_elses_program_is_named() {
    let lab = Lab::new().unwrap();
    let id = stranger::settle(&lab).unwrap();
    let visit = Visit::pay(&lab.server, &["--interface", INTERFACE]);
    let (status, owner) = visit.of("owner");
    assert_eq!(
        (status, owner),
        (
            "failure",
            format!("another XDP program is on it: stranger, program {id}; only one can be").as_str()
        )
    );
    assert_eq!((visit.of("mode").0, visit.code), ("failure", 2));
    assert_eq!(lab.attached().unwrap(), [id], "nothing was changed");

    // At tc's ingress, behind the other program.
    let conf = format!("restrict default noquery\n{LOCAL}");
    let home = Home::new(&lab.server, &conf).unwrap();
    let said = home.run(&format!("{} --hook tc", home.attaching())).unwrap();
    let visit = Visit::pay(&lab.server, &[&home.places()[0], "--interface", INTERFACE]);
    let owner = format!("stranger, program {id}; ntpguard stands behind it, at tc's ingress");
    assert_eq!(visit.of("owner"), ("ok", owner.as_str()), "{said}");
    assert!(visit.of("tc").1.starts_with("at its ingress, behind XDP: ntpguard ("), "{:#}", visit.report);
    assert!(visit.of("mode").1.starts_with("at tc's ingress (program "), "{:#}", visit.report);
}

#[test]
fn interfaces_as_they_come() {
    let lab = Lab::new().unwrap();
    for line in [
        "ip link add br0 type bridge",
        "ip link set br0 up",
        "ip link add port0 type veth peer name port1",
        "ip link set port0 mtu 9000 master br0 up",
        "ip link set port1 mtu 9000",
    ] {
        lab.server.run(line).unwrap();
    }
    let look = |interface: &str| Visit::pay(&lab.server, &["--interface", interface]);
    let port = look("port0");
    assert!(port.of("mtu").1.starts_with("9000: a frame may be in several buffers"), "{:#}", port.report);
    let (status, place) = port.of("place");
    assert!(status == "note" && place.starts_with("port0 belongs to the bridge br0"), "{place}");
    let both = Visit::pay(&lab.server, &["--interface", "port0", "--interface", "br0"]);
    let overlap = both.all("place").into_iter().find(|found| found["subject"] == "port0, br0").unwrap();
    assert_eq!((&overlap["status"], both.code), (&"failure".into(), 2), "{overlap}");
    let bridge = look("br0");
    assert_eq!(bridge.of("driver").0, "note");
    assert_eq!(bridge.of("mode"), ("note", "generic: the driver of br0 has no native XDP"));
    assert_eq!(look("lo").of("interface").0, "failure");
    let missing = look("eth7");
    assert_eq!(missing.of("interface").0, "failure");
    assert!(missing.of("interface").1.contains("there are: ") && missing.of("interface").1.contains("br0"));
    assert_eq!(look("port1").of("interface"), ("warning", "is down"));
}

#[test]
fn without_rights_it_says_what_it_cant_see() {
    let lab = Lab::new().unwrap();
    let closed = format!("restrict default noquery\n{LOCAL}");
    let _daemon = Ntpd::start(&lab.server, &closed).unwrap();
    let doctor = command(&lab.server, &["--interface", INTERFACE]);
    // A copy that another user may run, wherever this source tree is.
    let files = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = files.path().join("ntpguard");
    fs::copy(doctor.get_program(), &copy).unwrap();
    let mut bare = lab.server.command("setpriv");
    bare.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
    let visit = Visit::from(bare.arg(&copy).args(doctor.get_args()).output().unwrap());
    let (status, rights) = visit.of("rights");
    assert!(status == "warning" && rights.contains("no CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON"), "{rights}");
    let (status, port) = visit.of("port");
    // Found by the socket's control group and the socket table of its network namespace.
    assert!(status == "ok" && port.starts_with("process ") && port.contains("(ntpd, /"), "{port}");
    assert_eq!(visit.of("readvar").0, "ok", "anyone may ask");
    assert!(visit.of("daemon").1.starts_with("ntpsec-1."), "by what the daemon itself says");
    assert_eq!(visit.of("driver").0, "ok");
}

#[test]
fn every_finding_has_the_documented_fields() {
    let lab = Lab::new().unwrap();
    let visit = Visit::pay(&lab.server, &[]);
    let count = |status: &str| {
        let all = visit.report["checks"].as_array().unwrap();
        all.iter().filter(|found| found["status"] == status).count()
    };
    assert_eq!(visit.report["failures"], count("failure"));
    assert_eq!(visit.report["warnings"], count("warning"));
    assert_eq!(visit.report["notes"], count("note"));
    for found in visit.report["checks"].as_array().unwrap() {
        let fields: Vec<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["check", "fix", "message", "status", "subject"]);
        assert!(Check::ALL.iter().any(|check| found["check"] == check.name()), "{found}");
        assert!(["ok", "note", "warning", "failure"].contains(&found["status"].as_str().unwrap()), "{found}");
        assert!(found["fix"].is_null() || found["fix"].is_string(), "{found}");
        if found["status"] == "ok" {
            assert!(found["fix"].is_null(), "{found}");
        }
    }

    // The text for people has the same findings, one in each line.
    let mut text = lab.server.command(binary().unwrap());
    let output = text.arg("doctor").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(visit.code));
    let findings = lines.lines().filter(|line| !line.starts_with(' ')).count();
    assert_eq!(findings, visit.report["checks"].as_array().unwrap().len(), "{lines}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("this host isn't ready"));
}
