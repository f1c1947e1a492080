//! `ntpguard top` in a real terminal with real traffic: the screen, the keys, and the state of the terminal afterwards.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ntpguard::top::{terminal::Screen, theme::Theme};
use ntpguard_tests::{
    client::Wire,
    following::wait_for,
    frame::{Frame, payload},
    guard::binary,
    home::Home,
    netns::{Lab, Netns},
    tmux::Tmux,
};
use serde_json::Value;
use std::{fs, path::Path, thread::sleep, time::Duration};

const SIZE: (u16, u16) = (80, 24);

const CONF: &str = "\
restrict default nomodify nopeer noquery
restrict 198.51.100.0 mask 255.255.255.0 ignore
restrict 203.0.113.0 mask 255.255.255.0 noserve
restrict 192.0.2.0 mask 255.255.255.0
unrestrict default limited
";

fn send(lab: &Lab, source: &str, payload: &[u8], count: u64) {
    let wire = Wire::open(&lab.outside).unwrap();
    let frame = Frame::from(source, 40000).payload(payload).build();
    (0..count).for_each(|_| wire.send(&frame).unwrap());
}

/// Sends 17,000 packets, with a pause so that a flood doesn't use up the samples of the next one.
fn attack(lab: &Lab) {
    send(lab, "198.18.0.2", payload::MONLIST, 8000);
    sleep(Duration::from_millis(500));
    send(lab, "198.51.100.5", &payload::time(3, 4), 6000);
    send(lab, "198.18.0.3", &payload::time(3, 4), 3000);
}

/// A terminal in which `top` runs, with the settings that `stty` reports before and after it.
struct Session<'a> {
    tmux: Tmux<'a>,
    folder: &'a Path,
}

impl<'a> Session<'a> {
    fn start(host: &'a Netns, folder: &'a Path, variables: &str, command: &str) -> Self {
        let tmux = Tmux::new(host, SIZE).unwrap();
        // A script, so that the line on the screen is short.
        let script = format!(
            "stty -a > before\nsh -c 'echo $$ > pid; exec env {variables} {command}'\necho ended with $?\nstty -a > after\n"
        );
        fs::write(folder.join("script"), script).unwrap();
        tmux.begin(folder).unwrap();
        tmux.line("echo what was there before; . ./script").unwrap();
        Self { tmux, folder }
    }

    fn top(home: &'a Home<'_>, host: &'a Netns, variables: &str, options: &str) -> Self {
        let command = format!("{} top {options} {}", binary().unwrap().display(), home.places().join(" "));
        let session = Self::start(host, home.path(), variables, &command);
        session.tmux.shows("top", |screen| screen.contains("ntpguard top") && screen.contains("passed"));
        session
    }

    fn shows(&self, text: &str) -> String {
        self.tmux.shows(text, |screen| screen.contains(text))
    }

    fn press(&self, keys: &[&str]) {
        keys.iter().for_each(|key| self.tmux.press(key).unwrap());
    }

    /// Checks that it has ended with this text, and that the terminal is as before.
    fn ended(&self, said: &str) {
        let screen = self.shows("ended with");
        let expected = format!("% echo what was there before; . ./script\nwhat was there before\n{said}");
        assert!(screen.starts_with(&expected), "{screen}");
        assert!(!self.tmux.is_taken().unwrap());
        // Without the size, which users may change.
        let note = |name| {
            let note = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let parts = note.split_inclusive(';');
            parts.filter(|part| !part.contains("rows") && !part.contains("columns")).collect::<String>()
        };
        wait_for("a note", || note("after").lines().count() == note("before").lines().count());
        assert_eq!(note("after"), note("before"));
        // And the terminal echoes what is typed.
        fs::remove_file(self.folder.join("after")).unwrap();
        self.tmux.shows("a prompt", |screen| screen.trim_end().ends_with('%'));
        self.tmux.line("echo still a shell").unwrap();
        self.tmux.shows("an echo", |screen| screen.contains("% echo still a shell\nstill a shell\n%"));
    }

    fn signal(&self, signal: Signal) {
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap();
        kill(Pid::from_raw(pid.trim().parse().unwrap()), signal).unwrap();
    }
}

/// Whether an exact total is on the screen.
fn totals(screen: &str, word: &str, total: &str) -> bool {
    let mut rows = screen.lines().map(|line| line.split_whitespace());
    rows.any(|mut row| row.next() == Some(word) && row.next() == Some(total))
}

/// The row of the screen that begins with a word.
fn row<'a>(screen: &'a str, word: &str) -> Vec<&'a str> {
    let line = screen.lines().find(|line| line.split_whitespace().next() == Some(word));
    line.unwrap_or_else(|| panic!("no {word} on\n{screen}")).split_whitespace().collect()
}

#[test]
fn who_sees_it_for_the_first_time_knows_what_attacks_which_line_stops_it_and_how_much() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let _guard = home.guarding().unwrap();
    let session = Session::top(&home, &lab.server, "", "--interval 500ms");
    session.shows("no attack: nothing to drop now, 0/s passed");
    attack(&lab);
    let screen = session.shows("UNDER ATTACK: dropping ");
    println!("{screen}");
    assert!(screen.contains("(mode7)") || screen.contains("(ignore)"), "{screen}");
    assert!(screen.contains("stopped by ntp.conf:"), "{screen}");

    // The totals are exact, and the same as those of `stats`.
    let screen = session
        .tmux
        .shows("totals", |screen| totals(screen, "dropped", "14,000") && totals(screen, "passed", "3,000"));
    let output = home.output("stats --format json").unwrap();
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&stats["dropped"]["packets"], &stats["passed"]["packets"]), (&14000.into(), &3000.into()));
    assert_eq!(
        (row(&screen, "limited")[1], row(&screen, "mode7").contains(&"8,000")),
        ("0", true),
        "{screen}"
    );
    assert!(row(&screen, "ignore").contains(&"6,000") && row(&screen, "time").contains(&"3,000"), "{screen}");
    assert!(screen.contains("mode 7 queries (monlist)"), "{screen}");
    let rules = session.shows("6,000").replace('\u{2026}', "");
    let line =
        |words: &str| assert!(rules.lines().any(|line| line.contains(words)), "no {words} on\n{rules}");
    line("ntp.conf:1  nobody may query: restrict default");
    line("ntp.conf:2  restrict 198.51.100.0 mask 255.");

    // The sources, and single packets.
    session.press(&["Tab"]);
    let screen = session.tmux.shows("sources", |screen| {
        let place = |source: &str| screen.lines().skip(12).position(|line| line.contains(source));
        place("198.18.0.2").zip(place("198.51.100.5")).is_some_and(|(most, less)| most < less)
    });
    println!("{screen}");
    assert!(
        screen
            .lines()
            .any(|line| line.contains('~') && line.contains("198.51.100.5") && line.contains("ntp.conf:2"))
    );
    session.press(&["Tab"]);
    let screen = session.shows("[Events]");
    assert!(screen.contains("198.51.100.5:40000") && screen.contains("mode 3"), "{screen}");
    session.press(&["s"]);
    session.shows("mode 7 monlist");
    session.press(&["Tab"]);
    session.shows("the source's restrict line says");

    // The view of one line and back; filters.
    session.press(&["Tab", "Down", "Enter"]);
    let screen = session.shows("[ignore by ntp.conf:2]");
    assert!(
        screen.contains("count   6,000 packets") && screen.contains("from    198.51.100.5 ~100.0 %"),
        "{screen}"
    );
    assert!(screen.contains("says    restrict 198.51.100.0 mask 255.255.255.0 ignore"), "{screen}");
    session.press(&["Escape"]);
    session.shows("[Rules]");
    session.press(&["/", "n", "o", "s", "e", "r", "v", "e", "Enter"]);
    let screen = session.shows("filter: noserve");
    assert!(screen.contains("ntp.conf:3") && !screen.contains("ntp.conf:1 "), "{screen}");
    session.press(&["Escape", "Tab", "Enter"]);
    session.shows("asks    mode 7 monlist ~100.0 %");
    session.press(&["Escape"]);

    // While it is paused, nothing changes.
    session.press(&["p"]);
    session.shows("PAUSED");
    send(&lab, "198.18.0.2", payload::MONLIST, 10);
    wait_for("ten more", || home.status().unwrap()["dropped"] == 14010);
    sleep(Duration::from_millis(1500));
    assert_eq!(row(&session.tmux.screen().unwrap(), "dropped")[1], "14,000");
    session.press(&["p"]);
    session.tmux.shows("ten more", |screen| totals(screen, "dropped", "14,010"));

    // Names are looked up in the background; there is no DNS here.
    session.press(&["n"]);
    session.shows("no name");

    session.tmux.resize((40, 10)).unwrap();
    let screen =
        session.tmux.shows("small", |screen| screen.lines().count() == 10 && screen.contains("q quit"));
    assert_eq!(row(&screen, "dropped")[1], "14,010");
    session.tmux.resize((120, 40)).unwrap();
    session.shows("n names");
    session.press(&["?"]);
    session.shows("q, Ctrl-C       quit");
    session.press(&["x"]);
    session.tmux.resize(SIZE).unwrap();
    session.tmux.shows("as before", |screen| screen.lines().count() == 24 && screen.contains("n names"));
    session.press(&["q"]);
    session.ended("ended with 0\n");
}

#[test]
fn the_ten_heaviest_sources_are_the_ten_shown() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    // Without `run`, this process samples the events itself.
    let session = Session::top(&home, &lab.server, "", "--interval 500ms");
    session.press(&["Tab"]);
    session.shows("nobody was refused since you look");
    let wire = Wire::open(&lab.outside).unwrap();
    let monlist = |source: String| Frame::from(&source, 40000).payload(payload::MONLIST).build();
    let heavy: Vec<_> = (1..=10).map(|host| monlist(format!("198.18.1.{host}"))).collect();
    let light: Vec<_> = (1..=60).map(|host| monlist(format!("198.18.2.{host}"))).collect();
    for _ in 0..100 {
        (0..50).for_each(|_| heavy.iter().for_each(|frame| wire.send(frame).unwrap()));
        light.iter().for_each(|frame| wire.send(frame).unwrap());
    }
    session.tmux.resize((80, 40)).unwrap();
    let screen = session.tmux.shows("totals", |screen| totals(screen, "dropped", "56,000"));
    println!("{screen}");
    session.tmux.shows("the heavy ones first", |screen| {
        let sources = screen.lines().filter(|line| line.contains("198.18.") && line.contains("mode7"));
        let first: Vec<_> = sources.take(10).collect();
        first.len() == 10 && first.iter().all(|line| line.contains("198.18.1."))
    });
    session.press(&["q"]);
    session.ended("ended with 0\n");
    // It no longer samples events, so that the next one may.
    let next = Session::top(&home, &lab.server, "", "");
    next.press(&["Tab"]);
    next.shows("nobody was refused since you look");
    next.press(&["C-c"]);
    next.ended("ended with 0\n");
}

#[test]
fn signals_end_it_and_a_stop_gives_the_terminal_back_meanwhile() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let session = Session::top(&home, &lab.server, "", "");
        assert!(session.tmux.is_taken().unwrap());
        session.signal(signal);
        session.ended("ended with 0\n");
    }
    let tmux = Tmux::new(&lab.server, SIZE).unwrap();
    let command = format!("{} top {}", binary().unwrap().display(), home.places().join(" "));
    fs::write(home.path().join("script"), command).unwrap();
    tmux.begin(home.path()).unwrap();
    tmux.line("sh ./script").unwrap();
    tmux.shows("top", |screen| screen.contains("q quit"));
    tmux.press("C-z").unwrap();
    tmux.shows("the shell", |screen| screen.contains("Stopped") && !screen.contains("q quit"));
    tmux.line("fg").unwrap();
    tmux.shows("top", |screen| screen.contains("q quit"));
    tmux.press("q").unwrap();
    tmux.shows("the shell", |screen| screen.trim_end().ends_with('%') && !screen.contains("q quit"));
}

/// Formerly it spun for ever, since a terminal that has hung up is always readable.
#[test]
fn it_ends_with_its_terminal() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    let session = Session::top(&home, &lab.server, "", "");
    let pid = fs::read_to_string(home.path().join("pid")).unwrap();
    drop(session);
    let status = format!("/proc/{}/status", pid.trim());
    let ended = || fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"));
    wait_for("its end", ended);
}

#[test]
fn in_monochrome_and_ascii_everything_is_there() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    attack(&lab);
    // The escape sequence of a foreground colour: one of eight (ECMA-48, SGR 30 to 37), or of 256 (ITU-T T.416).
    let coloured = |text: &str| {
        text.contains("38;5;") || (0..8).any(|colour| text.contains(&format!("\x1b[3{colour}m")))
    };
    for (variables, options, colours, ascii) in
        [("", "", true, false), ("NO_COLOR=1", "--ascii", false, true), ("TERM=vt100", "", false, true)]
    {
        let session = Session::top(&home, &lab.server, variables, options);
        let screen = session.shows("no attack: nothing to drop now");
        assert_eq!(row(&screen, "dropped")[1], "14,000");
        assert!(row(&screen, ">").contains(&"8,000") && screen.contains("[Rules]"), "{screen}");
        assert_eq!(screen.is_ascii(), ascii, "{screen}");
        let sent = session.tmux.coloured().unwrap();
        assert_eq!(coloured(&sent), colours, "{variables}: {sent:?}");
        session.press(&["q"]);
        session.ended("ended with 0\n");
    }
}

#[test]
fn where_there_is_nothing_to_see_it_says_so() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    let refused = |words: &str| {
        let output = home.output("top").unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    refused("nothing is guarded: `ntpguard run` or");
    home.attach().unwrap();
    refused("must be a terminal; `ntpguard stats --watch` writes to anything");
    // The filter is taken off and attached again while `top` runs.
    let session = Session::top(&home, &lab.server, "", "--interval 500ms");
    home.run("detach --all").unwrap();
    session.shows("NO COUNTERS: nothing is guarded");
    // Until the thread that samples the events has noticed, too.
    std::thread::sleep(std::time::Duration::from_secs(3));
    home.attach().unwrap();
    send(&lab, "198.18.0.2", payload::MONLIST, 70);
    session
        .tmux
        .shows("the new counts", |screen| !screen.contains("NO COUNTERS") && totals(screen, "dropped", "70"));
    session.press(&["q"]);
    // Messages about this were kept off the screen, and come after it.
    session.shows("no events for a while: nothing is guarded");
    session.ended("");
}

/// Run by the next test in a terminal; elsewhere there is no terminal to take over.
#[test]
#[ignore = "a_panic_leaves_the_terminal runs it"]
fn panicking() {
    let Ok(_screen) = Screen::take(Theme { colour: true, ascii: false }) else { return };
    let other = std::thread::spawn(|| panic!("another thread's words"));
    assert!(other.join().is_err());
    panic!("the words of the panic");
}

#[test]
fn a_panic_leaves_the_terminal() {
    let lab = Lab::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let command = format!("{} --ignored --exact panicking --nocapture", this.display());
    let session = Session::start(&lab.server, folder.path(), "RUST_BACKTRACE=0", &command);
    let screen = session.shows("ended with 101");
    for words in ["what was there before", "another thread's words", "the words of the panic"] {
        assert!(screen.contains(words), "{screen}");
    }
    session.ended("");
}
