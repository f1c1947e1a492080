//! `ntpguard events`: which drops become events, what an event contains, and that the numbers add up.

use nix::sys::signal::Signal;
use ntpguard::capture::Reader;
use ntpguard_tests::{
    client::Wire,
    following::wait_for,
    frame::{Frame, payload},
    home::Home,
    netns::{INTERFACE, Lab},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::Duration,
};

const CONF: &str = "\
restrict default nomodify nopeer noquery
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 192.0.2.0 mask 255.255.255.0
unrestrict default limited
";

/// Frames of one kind from one source, with the expected event fields.
fn mode7() -> Vec<u8> {
    Frame::from("203.0.113.7", 4444).payload(payload::MONLIST).build()
}

fn ignored() -> Vec<u8> {
    Frame::from("198.51.100.5", 123).payload(&payload::time(3, 4)).build()
}

fn noquery() -> Vec<u8> {
    Frame::from("2001:db8::9", 5555).payload(payload::READVAR).build()
}

fn send(lab: &Lab, frame: &[u8], count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    (0..count).for_each(|_| wire.send(frame).unwrap());
}

/// A process that follows events; killed when dropped.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(said.next().unwrap().unwrap().starts_with("following"));
        Self { child, lines }
    }

    /// Reads events until their scales add up to `packets` for a reason.
    fn until(&mut self, reason: &str, packets: u64) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while sum(&events, reason) < packets {
            let line = self.lines.next().expect("it goes on").unwrap();
            events.push(serde_json::from_str(&line).unwrap());
        }
        events
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number of packets that the events for a reason stand for.
fn sum(events: &[Value], reason: &str) -> u64 {
    let of = events.iter().filter(|event| event["reason"] == reason);
    of.map(|event| event["scale"].as_u64().unwrap()).sum()
}

/// Starts to follow, and returns when the hub has accepted the follower.
fn follow(home: &Home<'_>, options: &str) -> Following {
    Following::start(home.command(&format!("events --follow --format json {options}")).unwrap())
}

fn recent(home: &Home<'_>, options: &str) -> Vec<Value> {
    let output = home.output(&format!("events --format json {options}")).unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The tests of this file run one after the other: each has a hub that wakes ten times a second, and a flood.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A failed test mustn't make the next one fail.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn few_drops_are_all_told_with_everything_about_them() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding().unwrap();
    let mut following = follow(&home, "");
    send(&lab, &ignored(), 5);
    send(&lab, &noquery(), 3);
    send(&lab, &mode7(), 2);
    let events = following.until("mode7", 2);
    assert_eq!(["ignore", "noquery", "mode7"].map(|reason| sum(&events, reason)), [5, 3, 2]);
    assert!(events.iter().all(|event| event["scale"] == 1 && event["interface"] == INTERFACE), "{events:?}");
    let [first, .., last] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (&first["source"], &first["port"], &first["mode"]),
        (&"198.51.100.5".into(), &123.into(), &3.into())
    );
    assert_eq!((&first["cause"]["line"], &first["length"]), (&2.into(), &90.into()));
    assert_eq!(first["cause"]["text"], "restrict 198.51.100.0 mask 255.255.255.0 ignore");
    assert_eq!(
        (&last["request"], &last["version"], &last["cause"]),
        (&"monlist".into(), &2.into(), &Value::Null)
    );
    let query = &events[5];
    assert_eq!((&query["source"], &query["request"]), (&"2001:db8::9".into(), &"readvar".into()));
    assert_eq!(query["cause"]["line"], 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let age = now - first["time_ns"].as_u64().unwrap();
    assert!(age < 30_000_000_000, "{age} ns ago");

    // The hub remembers events, and filters apply to them too.
    assert_eq!(recent(&home, "").len(), 10);
    assert_eq!(recent(&home, "--filter reason=ignore,mode7 --filter port=123").len(), 5);
    assert_eq!(recent(&home, "-n 2"), events[8..]);
    let text = String::from_utf8(home.output("events -n 1").unwrap().stdout).unwrap();
    assert!(text.contains("203.0.113.7 port 4444  mode 7 monlist, 60 bytes  mode7"), "{text}");
    let wrong = home.output("events --filter colour=red").unwrap();
    assert!(wrong.status.code() == Some(64) && String::from_utf8_lossy(&wrong.stderr).contains("no key"));
    drop(guard.end(Signal::SIGTERM).unwrap());
}

#[test]
fn of_a_flood_no_more_are_told_than_asked_for_and_they_stand_for_all() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding_with(&["--event-rate", "50"]).unwrap();
    let mut following = follow(&home, "");
    let start = std::time::Instant::now();
    send(&lab, &mode7(), 200_000);
    // A few packets of one reason among very many of another.
    send(&lab, &ignored(), 3);
    let mut events = following.until("ignore", 3);
    // The last event of the flood comes some time after its end.
    events.extend(following.until("mode7", 200_000 - sum(&events, "mode7")));
    let seconds = start.elapsed().as_secs_f64();
    println!("{} events in {seconds:.2} s stand for {} drops", events.len(), sum(&events, "mode7"));
    assert_eq!((sum(&events, "mode7"), sum(&events, "ignore")), (200_000, 3));
    assert!(events.len() as f64 <= 50.0 * (seconds + 1.0), "{} in {seconds} s", events.len());
    assert!(events.len() > 5, "{events:?}");
    drop(guard.end(Signal::SIGTERM).unwrap());
}

#[test]
fn without_a_run_whoever_follows_draws_them_and_hands_over() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let nothing = home.output("events --follow").unwrap();
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing is guarded"), "{nothing:?}");
    home.attach().unwrap();
    let nobody = home.output("events").unwrap();
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("--follow"), "{nobody:?}");
    let mut first = follow(&home, "");
    let mut second = follow(&home, "--filter reason=ignore");
    send(&lab, &ignored(), 2);
    assert_eq!(first.until("ignore", 2), second.until("ignore", 2));
    // The process that samples events ends, and the other one takes over.
    drop(first);
    wait_for("the other draws events", || {
        send(&lab, &ignored(), 1);
        home.output("events").unwrap().stdout.contains(&b'\n')
    });
    second.until("ignore", 1);
    drop(second);
    assert!(home.output("events").unwrap().stdout.is_empty());
    home.run("detach --all").unwrap();
}

#[test]
fn what_is_captured_is_what_was_sent() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let guard = home.guarding_with(&["--event-rate", "4000"]).unwrap();
    let file = home.path().join("drops.pcapng");
    let long = Frame::from("198.51.100.6", 123).payload(&[0x23; 1400]).build();
    let start = |options: &str| {
        let line = format!("capture -w {} {options}", file.display());
        let mut child = home.command(&line).unwrap().stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(said.next().unwrap().unwrap().starts_with("capturing to "));
        // Whole frames are included from the hub's next look at the ring on: it looks ten times a second, unless the
        // machine is busy.
        sleep(Duration::from_secs(2));
        (child, said)
    };
    let frames = || {
        let mut reader = Reader::new(fs::File::open(&file).unwrap()).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            frames.push((frame.bytes.to_vec(), frame.length));
        }
        frames
    };
    let whole = |frame: Vec<u8>| (frame.clone(), frame.len() as u32);

    let (mut child, mut said) = start("--count 3 --snaplen 2048 --filter reason=ignore,mode7");
    [noquery(), ignored(), mode7(), long.clone(), ignored()].iter().for_each(|frame| send(&lab, frame, 1));
    assert!(child.wait().unwrap().success());
    assert_eq!(frames(), [ignored(), mode7(), long.clone()].map(whole));
    assert!(said.next().unwrap().unwrap().contains("3 packets, which stand for 3, in "));

    // Frames are cut off at the given length, and the capture ends before the first frame with which the file would exceed
    // its maximum size.
    let (mut child, mut said) = start("--snaplen 100 --max-size 1 --count 0");
    send(&lab, &long, 1);
    send(&lab, &ignored(), 1);
    // Slowly enough that each packet becomes an event.
    wait_for("it is full", || {
        send(&lab, &long, 100);
        child.try_wait().unwrap().is_some()
    });
    assert!(child.wait().unwrap().success());
    let said = said.next().unwrap().unwrap();
    assert!(said.contains("until --max-size"), "{said}");
    assert_eq!(frames()[..2], [(long[..100].to_vec(), long.len() as u32), whole(ignored())]);
    let length = fs::metadata(&file).unwrap().len();
    assert!(length <= 1 << 20 && length > (1 << 20) - 400, "{length} bytes");
    drop(guard.end(Signal::SIGTERM).unwrap());
}

/// A group with access sees which sources were dropped, but no packets.
#[test]
fn readers_see_events_and_no_packets() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.open_to_all().unwrap();
    let guard = home.guarding_with(&["--group", "65534"]).unwrap();
    let as_user = |group: &str, line: &str| home.as_user(group, line).output().unwrap();
    wait_for("it is remembered", || {
        send(&lab, &ignored(), 1);
        let output = as_user("65534", "events");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().contains("198.51.100.5 port 123  mode 3, 90 bytes  ignore")
    });
    let refused = as_user("65534", "capture -w -");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("root alone"), "{refused:?}");
    let stranger = as_user("65533", "events");
    assert!(!stranger.status.success() && stranger.stdout.is_empty(), "{stranger:?}");
    drop(guard.end(Signal::SIGTERM).unwrap());
}

#[test]
fn a_follower_that_does_not_read_holds_nobody_up() {
    let _alone = alone();
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let mut guard = home.guarding_with(&["--event-rate", "4000"]).unwrap();
    // Its pipe is never read, and is soon full.
    let slow = follow(&home, "");
    let mut quick = follow(&home, "");
    for _ in 0..20 {
        send(&lab, &ignored(), 1000);
    }
    let events = quick.until("ignore", 20_000);
    assert_eq!(sum(&events, "ignore"), 20_000);
    guard.line().unwrap();
    drop(slow);
    drop(guard.end(Signal::SIGTERM).unwrap());
}
