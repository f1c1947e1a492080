//! Names in ntp.conf: the daemon looks them up only when it starts; ntpguard keeps following them, and forgets no address
//! that the daemon may have.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    dns::Dns,
    following::{asks, changed, dropped, policy},
    guard::Guarding,
    home::Home,
    netns::Lab,
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

const PLAIN: &str = "restrict default nomodify nopeer noquery\n";

/// Number of requests for each check: few, since NTPsec limits sources that send too often.
const SOME: u64 = 3;

/// Whether requests from an address are dropped.
fn drops(lab: &Lab, home: &Home<'_>, from: &str) -> bool {
    let before = dropped(home);
    asks(lab, from, SOME);
    let lost = dropped(home) - before;
    assert!(lost == 0 || lost == SOME, "{lost} of {SOME}");
    lost > 0
}

/// The standard error of a guard that is ended by this.
fn said(guard: Guarding) -> String {
    let ended = guard.end(Signal::SIGTERM).unwrap();
    assert!(ended.status.success(), "{}", ended.errors);
    ended.errors
}

#[test]
fn names_are_followed_and_outlive_their_server() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &format!("{PLAIN}restrict bad.example ignore\n")).unwrap();
    let dns = Dns::start(&lab.outside, "192.0.2.2", &lab.server, home.path()).unwrap();
    let dropped = |last: u8| drops(&lab, &home, &format!("198.51.100.{last}"));
    // As at boot: DNS doesn't answer, but the filter is attached nevertheless.
    dns.fails();
    let guard = home.guarding_with(&["--names-interval", "1s"]).unwrap();
    let first = policy(&home);
    assert!(!dropped(5));
    dns.knows(&[("bad.example", &["198.51.100.5", "2001:db8::bad"])]);
    let second = changed(&home, first);
    assert_eq!([5, 6].map(dropped), [true, false]);
    // The running daemon still uses the old address.
    dns.knows(&[("bad.example", &["198.51.100.6"])]);
    let third = changed(&home, second);
    assert_eq!([5, 6].map(dropped), [true, true]);
    // The name is removed, and then the name server fails.
    dns.knows(&[]);
    thread::sleep(Duration::from_secs(3));
    dns.fails();
    thread::sleep(Duration::from_secs(3));
    assert_eq!((policy(&home), [5, 6].map(dropped)), (third, [true, true]));
    // A full reading corresponds to a daemon that was restarted.
    dns.knows(&[("bad.example", &["198.51.100.6"])]);
    home.run("reload").unwrap();
    assert_eq!([5, 6].map(dropped), [false, true]);
    let words = said(guard);
    assert!(words.contains("bad.example has other addresses: +2\n"), "{words}");
    let more = "bad.example has other addresses: +1, and 2 earlier ones stay until ntp.conf is read again\n";
    assert!(words.contains(more), "{words}");
    assert!(words.contains("+1 \u{2212}0 rules") && words.contains("+0 \u{2212}2 rules"), "{words}");
    // A new process asks DNS without waiting long, and goes on with the last good answer.
    dns.fails();
    let start = Instant::now();
    let guard = home.guarding().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "it waits for names all day");
    assert_eq!([5, 6].map(dropped), [false, true]);
    let words = said(guard);
    assert!(words.contains("no answer for bad.example: its last good addresses stay"), "{words}");
}

/// Formerly, `attach` and `reload` used what state.json had, however old it was, and kept names for ever.
#[test]
fn every_full_reading_asks_afresh() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, &format!("{PLAIN}restrict bad.example ignore\n")).unwrap();
    let dns = Dns::start(&lab.outside, "192.0.2.2", &lab.server, home.path()).unwrap();
    let dropped = || [5, 6, 7].map(|last| drops(&lab, &home, &format!("198.51.100.{last}")));
    dns.knows(&[("bad.example", &["198.51.100.5"])]);
    home.attach().unwrap();
    assert_eq!(dropped(), [true, false, false]);
    dns.knows(&[("bad.example", &["198.51.100.6"])]);
    home.run("reload").unwrap();
    assert_eq!(dropped(), [false, true, false]);
    dns.knows(&[("bad.example", &["198.51.100.7"])]);
    home.attach().unwrap();
    assert_eq!(dropped(), [false, false, true]);
    // DNS doesn't answer, and no process is there to ask again.
    dns.fails();
    home.write(&format!("{PLAIN}restrict bad.example ignore\nrestrict new.example ignore\n")).unwrap();
    let words = home.run("reload").unwrap();
    assert!(words.contains("no answer for bad.example: its last good addresses stay"), "{words}");
    assert!(words.contains("it can't be resolved (no answer)") && !words.contains("again"), "{words}");
    assert_eq!(dropped(), [false, false, true]);
    // A name that is removed from the file is forgotten.
    let known = || fs::read_to_string(home.path().join("state/state.json")).unwrap();
    assert!(known().contains("bad.example"));
    home.write(PLAIN).unwrap();
    home.run("reload").unwrap();
    assert!(!known().contains("bad.example"), "{}", known());
}

/// Formerly, `run` didn't start: it reported the server as cut off, though the line with the name may let it in.
#[test]
fn a_name_that_isnt_in_dns_yet_is_no_reason_to_refuse() {
    let lab = Lab::new().unwrap();
    let cut_off = "restrict default ignore\nrestrict 127.0.0.1\nserver 198.51.100.5\n";
    let home = Home::new(&lab.server, &format!("{cut_off}restrict time.example\n")).unwrap();
    let dns = Dns::start(&lab.outside, "192.0.2.2", &lab.server, home.path()).unwrap();
    dns.fails();
    let guard = home.guarding_with(&["--names-interval", "1s"]).unwrap();
    let first = policy(&home);
    assert!(drops(&lab, &home, "198.51.100.5"), "nor does the daemon know better");
    dns.knows(&[("time.example", &["198.51.100.5"])]);
    changed(&home, first);
    assert!(!drops(&lab, &home, "198.51.100.5"));
    let words = said(guard);
    assert!(words.contains("its answers are dropped"), "{words}");
    // With an answer it is certain that the server is cut off.
    dns.knows(&[("time.example", &["198.51.100.6"])]);
    let refused = home.output(&home.attaching()).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("its answers are dropped") && words.contains("--yes"), "{words}");
}
