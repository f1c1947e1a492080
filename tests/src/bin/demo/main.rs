//! `cargo xtask demo`: two servers under attack, first without ntpguard and then with it.
//!
//! One server has a real daemon, NTPsec's, which doesn't support monlist. So the other one has a stand-in for ntpd 4.2.6p5,
//! which is labelled as such wherever it is shown. Everything happens in three namespaces that end with this process, also
//! at Ctrl-C. The number of packets sent is bounded.

mod outcome;
mod plan;
mod screen;

use anyhow::{Context as _, Result, ensure};
use ntpguard_tests::{
    client::{Exchange, Wire, ask, flood},
    fixture,
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard,
    netns::{INTERFACE, Lab, Netns},
    ntpd::Ntpd,
    stand_in::StandIn,
    victim::Victim,
};
use outcome::{Outcome, Reflection};
use plan::{
    ATTACKER, CLIENTS, EARLIER_CLIENTS, IGNORED, OLD_HOST, OLD_INTERFACE, OLD_SERVER, QUERIES, REFLECTIONS,
    REFLECTIONS_PER_SECOND, REQUESTS, ROUNDS, VICTIM, VICTIM_PORT,
};
use screen::Screen;
use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let [conf, old_conf] = [shown_path("demo.conf")?, shown_path("demo-4.2.6.conf")?];
    let text = fs::read_to_string(&conf)?;
    println!("Three hosts in namespaces of their own:");
    println!("    {SERVER:<12} a server with NTPsec's ntpd. Its ntp.conf ({}):\n", conf.display());
    print_indented(&text);
    println!(
        "\n    {OLD_SERVER:<12} a server with a stand-in for ntpd 4.2.6p5: a program of this demo, which answers"
    );
    println!(
        "                 monlist as that daemon does, since NTPsec knows no monlist. It reads no ntp.conf;"
    );
    println!("                 ntpguard reads one of its time ({}):\n", old_conf.display());
    print_indented(&fs::read_to_string(&old_conf)?);
    println!("\n    the rest     an attacker, its victim {VICTIM}, and ordinary clients of both servers\n");
    let lab = Lab::new()?;
    let old = lab.another_server(OLD_INTERFACE, OLD_HOST)?;
    for address in CLIENTS.iter().skip(1).chain([&ATTACKER, &IGNORED, &VICTIM]) {
        lab.address(address)?;
    }
    let screen = Arc::new(Screen::new());

    println!("1. Without ntpguard: attacks and ordinary clients for {ROUNDS} rounds.\n");
    let before = rounds(&lab, &old, &text, &screen)?;
    println!("   {} packets reached NTPsec's daemon.", before.reached);

    println!("\n2. With ntpguard on both servers, the same once more:");
    let old_guard =
        Guard::start(&old, "ntp-4.2.6", OLD_INTERFACE, &old_conf, &["--interval", "1h"], &screen)?;
    let guard = Guard::start(&lab.server, "ntpsec", INTERFACE, &conf, &[], &screen)?;
    let after = rounds(&lab, &old, &text, &screen)?;
    guard.end(&lab)?;
    old_guard.end(&lab)?;

    outcome::table(&before, &after);
    ensure!(lab.attached()?.is_empty(), "ntpguard left a program attached");
    outcome::verdict(&before, &after)
}

/// A fixture's path, relative to the current folder if possible.
fn shown_path(name: &str) -> Result<PathBuf> {
    let path = fixture::path(name);
    Ok(path.strip_prefix(env::current_dir()?).map(Path::to_path_buf).unwrap_or(path))
}

fn print_indented(text: &str) {
    text.lines().for_each(|line| println!("        {line}"));
}

/// A running `ntpguard run`, and the thread that prints its output.
struct Guard {
    child: Child,
    printing: JoinHandle<()>,
}

impl Guard {
    /// Starts it, and returns when it is attached.
    fn start(
        netns: &Netns,
        dialect: &str,
        interface: &str,
        conf: &Path,
        options: &[&str],
        screen: &Arc<Screen>,
    ) -> Result<Self> {
        let mut command = netns.command(guard::binary()?);
        command.args(["run", "--ephemeral", "--dialect", dialect, "--interface", interface, "--config"]);
        command.arg(conf).args(options);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        println!("\n    # ntpguard {}\n", words.join(" "));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("can't start ntpguard")?;
        print(child.stderr.take().context("a pipe")?, screen);
        let mut stdout = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut first = String::new();
        ensure!(stdout.read_line(&mut first)? > 0, "ntpguard ended");
        screen.say(&format!("    {}", first.trim_end()));
        let printing = print(stdout, screen);
        Ok(Self { child, printing })
    }

    fn end(mut self, lab: &Lab) -> Result<()> {
        lab.outside.run(&format!("kill -INT {}", self.child.id()))?;
        let status = self.child.wait()?;
        self.printing.join().expect("reading doesn't panic");
        ensure!(status.success(), "ntpguard ended with {status}");
        Ok(())
    }
}

/// Prints lines as they come, on a separate thread.
fn print(from: impl Read + Send + 'static, screen: &Arc<Screen>) -> JoinHandle<()> {
    let screen = screen.clone();
    thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| screen.say(&format!("    {line}")));
    })
}

fn rounds(lab: &Lab, old: &Netns, conf: &str, screen: &Screen) -> Result<Outcome> {
    let daemon = Ntpd::start(&lab.server, conf)?;
    let received = daemon.sysstat("packets received")?;
    let _stand_in = StandIn::new(OLD_SERVER.parse()?, EARLIER_CLIENTS).serve(old)?;
    let client = payload::time(3, 4);
    let mut outcome = Outcome::default();
    // After the first request in the victim's name, the old server's list of clients doesn't grow any more.
    for address in CLIENTS {
        add(&mut outcome.old_time, ask(&lab.outside, address, OLD_SERVER, &client, 1)?);
    }
    thread::scope(|scope| -> Result<()> {
        let reflection = scope.spawn(|| reflect(lab, screen));
        let wire = Wire::open(&lab.outside)?;
        let loopback = Frame::from("127.0.0.1", 123).payload(payload::READVAR).build();
        for _ in 0..ROUNDS {
            add(&mut outcome.monlist, flood(&lab.outside, ATTACKER, SERVER, payload::MONLIST, QUERIES)?);
            add(&mut outcome.readvar, flood(&lab.outside, ATTACKER, SERVER, payload::READVAR, QUERIES)?);
            add(&mut outcome.ignored, flood(&lab.outside, IGNORED, SERVER, &client, QUERIES / 10)?);
            for _ in 0..QUERIES / 10 {
                wire.send(&loopback)?;
                outcome.spoofed.sent += 1;
            }
            for address in CLIENTS {
                add(&mut outcome.time, ask(&lab.outside, address, SERVER, &client, REQUESTS)?);
                add(&mut outcome.old_time, ask(&lab.outside, address, OLD_SERVER, &client, REQUESTS)?);
            }
        }
        outcome.reflection = reflection.join().expect("the attacker doesn't panic")?;
        Ok(())
    })?;
    // The query for this counter is itself counted, as two packets.
    outcome.reached = daemon.sysstat("packets received")? - received - 2;
    Ok(outcome)
}

/// Sends requests to the old server in the victim's name, and shows what reaches the victim meanwhile.
fn reflect(lab: &Lab, screen: &Screen) -> Result<Reflection> {
    let victim = Victim::listen(&lab.outside, VICTIM, VICTIM_PORT)?;
    let wire = Wire::open_on(&lab.outside, OLD_INTERFACE)?;
    let request = Frame::from(VICTIM, VICTIM_PORT).to(OLD_SERVER).payload(payload::MONLIST).build();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| screen::watch(screen, &victim, &over));
        let start = Instant::now();
        let (mut sent, mut sending) = (0, Ok(()));
        for number in 0..REFLECTIONS {
            let due = start + Duration::from_secs(1) * number as u32 / REFLECTIONS_PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            sending = wire.send(&request);
            if sending.is_err() {
                break;
            }
            sent += 1;
        }
        // Waits for packets that are still on their way.
        thread::sleep(Duration::from_millis(500));
        over.store(true, Relaxed);
        let rates = watching.join().expect("watching doesn't panic");
        sending?;
        Ok(Reflection { sent, received: victim.received(), rates })
    })
}

fn add(sum: &mut Exchange, more: Exchange) {
    let Exchange { sent, answers } = more;
    *sum = Exchange { sent: sum.sent + sent, answers: sum.answers + answers };
}
