//! Limits in front of a live NTPsec: the same answers and kisses as without the filter, and service during a flood.

use nix::{net::if_::if_nametoindex, sys::signal::Signal};
use ntpguard::bpf::{Guard, Mode, Object, Size};
use ntpguard_tests::{
    bench::policy,
    bpf::Flood,
    frame::{Frame, SERVER_V4, SERVER_V6, payload},
    guard::{Ended, Guarding},
    netns::{INTERFACE, Lab},
    ntpd::{Ntpd, ntpdig},
    train::{Answers, send},
};
use serde_json::Value;
use std::{
    fs,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// A small burst allowance, so that a packet a second soon exceeds the limit.
const CONF: &str =
    "restrict default limited kod nomodify noquery\nlimit burst 5\nrestrict 127.0.0.1\nrestrict ::1\n";

/// Source, destination, packets a second, number of packets.
const TRAINS: [(&str, &str, u32, u32); 6] = [
    ("198.51.100.1", SERVER_V4, 1, 25),
    ("198.51.100.2", SERVER_V4, 2, 50),
    ("198.51.100.10", SERVER_V4, 10, 200),
    ("198.51.100.100", SERVER_V4, 100, 500),
    ("2001:db8::10", SERVER_V6, 2, 50),
    ("2001:db8::100", SERVER_V6, 100, 500),
];

/// A lab whose wire is like one between two machines: with complete checksums, and a far end that accepts frames from
/// XDP_TX, for which veth needs a program there. The program has no policy, so it passes everything.
fn lab() -> (Lab, Guard) {
    let lab = Lab::new().unwrap();
    lab.outside.run(&format!("ethtool --features {INTERFACE} tx off")).unwrap();
    let mut far = Guard::load(Object::Filter, Size::new(1)).unwrap();
    lab.outside.enter(|| far.attach(INTERFACE, Mode::Native).unwrap());
    (lab, far)
}

/// The tests of this file run one after the other: they share two cores with what they measure.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A failed test mustn't make the next one fail.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(lab: &Lab, conf: &str, options: &[&str]) -> Guarding {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ntp.conf");
    fs::write(&path, conf).unwrap();
    Guarding::start(&lab.server, &path, options).unwrap()
}

fn packets(totals: &Value, reason: &str) -> u64 {
    totals["reasons"][reason]["packets"].as_u64().unwrap()
}

/// Sends all trains at once, through a lab with the filter and through one without.
#[test]
fn the_guard_limits_as_the_daemon_does() {
    let _alone = alone();
    let [(bare, _one), (guarded, _other)] = [lab(), lab()];
    let labs = [bare, guarded];
    for lab in &labs {
        TRAINS.iter().for_each(|train| lab.address(train.0).unwrap());
    }
    let _daemons = [Ntpd::start(&labs[0].server, CONF).unwrap(), Ntpd::start(&labs[1].server, CONF).unwrap()];
    let guard = start(&labs[1], CONF, &["--kod", "xdp"]);
    assert_eq!(guard.attached["mode"], "native");
    let answers: Vec<[Answers; 2]> = thread::scope(|scope| {
        let run = |lab, (from, to, rate, count): (&'static str, &'static str, u32, u32)| {
            scope.spawn(move || send(lab, from, to, rate, count).unwrap())
        };
        let trains: Vec<_> =
            TRAINS.iter().map(|train| labs.each_ref().map(|lab| run(&lab.outside, *train))).collect();
        trains.into_iter().map(|pair| pair.map(|one| one.join().unwrap())).collect()
    });
    let Ended { totals, errors, .. } = guard.end(Signal::SIGTERM).unwrap();
    let totals = totals.unwrap();
    for ((from, _, rate, _), [bare, guarded]) in TRAINS.iter().zip(&answers) {
        println!("{from}, {rate}/s: without {bare:?}, with {guarded:?}");
    }
    let kisses: u64 = answers.iter().map(|[_, guarded]| guarded.kisses).sum();
    println!("ntpguard: {} limited, {} kisses", packets(&totals, "limited"), packets(&totals, "kod"));
    for [bare, guarded] in &answers {
        // A tolerance of one in a hundred, and of one packet that falls between two clock ticks.
        let near = |a: u64, b: u64| a.abs_diff(b) <= 1 + a.max(b) / 100;
        assert!(near(bare.times, guarded.times) && near(bare.kisses, guarded.kisses), "{errors}");
        assert!(guarded.times + 1 >= bare.times);
    }
    // Where there was no doubt, ntpguard sent the kisses.
    assert!(packets(&totals, "kod") > kisses / 2 && kisses > 10, "{totals}");
}

#[test]
fn a_real_client_knows_the_kiss() {
    let _alone = alone();
    let (lab, _far) = lab();
    // A large burst allowance: a minute and a half later this source is still over the limit of 1000, and below the limit
    // of 1500 for kisses.
    let conf = CONF.replace("burst 5", "burst 1000");
    let daemon = Ntpd::start(&lab.server, &conf).unwrap();
    let guard = start(&lab, &conf, &["--kod", "xdp"]);
    let before = send(&lab.outside, "192.0.2.2", SERVER_V4, 1000, 1100).unwrap();
    let received = || daemon.sysstat("packets received").unwrap();
    let counts = [received(), received()];
    let said = ntpdig(&lab.outside, SERVER_V4).unwrap();
    let reached = received() - counts[1];
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    println!("{before:?}\n{said}");
    assert!(said.contains("stratum 0, probable KOD packet"), "{said}");
    assert!(packets(&totals, "kod") >= 1, "{totals}");
    // Only ntpq's own queries have reached the daemon.
    assert_eq!(reached, counts[1] - counts[0]);
}

/// Time requests from 2^20 forged sources for ten seconds, as fast as this machine can send them.
#[test]
fn clients_are_served_during_a_flood() {
    /// The rate that the lab's daemon handles without loss while the flood has one of two cores.
    const RATE: u32 = 1000;
    const FLOOD: Duration = Duration::from_secs(10);
    let _alone = alone();
    let (lab, _far) = lab();
    let old: Vec<_> = (1..=10).map(|host| format!("198.51.100.{host}")).collect();
    let new: Vec<_> = (1..=10).map(|host| format!("203.0.113.{host}")).collect();
    old.iter().chain(&new).for_each(|address| lab.address(address).unwrap());
    // There is no limit for single sources, only for all together.
    let conf = "unrestrict default limited\nrestrict 127.0.0.1\nrestrict ::1\n";
    let daemon = Ntpd::start(&lab.server, conf).unwrap();
    // The flood has a wire of its own: frames that a full wire loses can't be saved by anything in front of the daemon.
    lab.second_wire(FLOODED).unwrap();
    let guard = start(&lab, conf, &["--max-rate", &RATE.to_string(), "--interface", FLOODED]);
    let outside = &lab.outside;
    let all = |clients: &[String], rate, count| {
        let answers: Vec<Answers> = thread::scope(|scope| {
            let one = |from: &String| {
                let from = from.clone();
                scope.spawn(move || send(outside, &from, SERVER_V4, rate, count).unwrap())
            };
            let threads: Vec<_> = clients.iter().map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        total(&answers)
    };
    let calm = all(&old, 1, 3);
    let memory = guard.memory().unwrap();
    let running = AtomicBool::new(true);
    let (flooded, served, drawn) = thread::scope(|scope| {
        let flood = scope.spawn(|| lab.outside.enter(|| flood(&running)));
        thread::sleep(Duration::from_millis(500));
        let newcomers = scope.spawn(|| all(&new, 200, 200 * FLOOD.as_secs() as u32));
        let served = all(&old, 1, FLOOD.as_secs() as u32);
        let drawn = newcomers.join().unwrap();
        running.store(false, Relaxed);
        (flood.join().unwrap(), served, drawn)
    });
    let grown = guard.memory().unwrap().saturating_sub(memory);
    let after = all(&old, 1, 3);
    let totals = guard.end(Signal::SIGTERM).unwrap().totals.unwrap();
    let (passed, refused) = (packets(&totals, "time"), packets(&totals, "overload"));
    // The chance of a packet from a source that isn't preferred.
    let share = (passed - served.sent) as f64 / (passed + refused) as f64;
    println!("flood: {flooded} frames, {passed} passed, {refused} refused; chance {:.3} %", share * 100.0);
    println!("old: calm {calm:?}, flood {served:?}, after {after:?}");
    println!(
        "new: {drawn:?}, {:.3} %; memory grew by {grown} KiB",
        100.0 * drawn.times as f64 / drawn.sent as f64
    );
    println!("the daemon had {} packets", daemon.sysstat("packets received").unwrap());
    assert!(flooded > 1_000_000 && refused > flooded / 2, "{totals}");
    assert_eq!((calm.times, after.times), (calm.sent, after.sent));
    assert!(served.times * 100 >= served.sent * 99, "{served:?}");
    let expected = share * drawn.sent as f64;
    assert!(drawn.times as f64 >= expected - 4.0 * expected.sqrt(), "{drawn:?}, {expected}");
    assert!(drawn.times > 0 && grown < 1024);
}

fn total(answers: &[Answers]) -> Answers {
    answers.iter().fold(Answers::default(), |sum, one| Answers {
        sent: sum.sent + one.sent,
        times: sum.times + one.times,
        kisses: sum.kisses + one.kisses,
    })
}

/// The flood's own wire.
const FLOODED: &str = "ntp1";

/// The flood's source address, and the 20 low bits of it that are random.
const MADE_UP: (&str, u32) = ("11.0.0.0", (1 << 20) - 1);

/// Floods until it is told to stop; returns the number of frames.
fn flood(running: &AtomicBool) -> u64 {
    let flood = Flood::load(if_nametoindex(FLOODED).unwrap(), MADE_UP.1).unwrap();
    let (frame, mut sent) = (made_up(), 0);
    while running.load(Relaxed) {
        flood.run(&frame, 1 << 16).unwrap();
        sent += 1 << 16;
    }
    sent
}

/// A client's request in the form that the flood needs.
fn made_up() -> Vec<u8> {
    policy::made_up(&Frame::from(MADE_UP.0, 40000).payload(&payload::time(3, 4)))
}
