//! `cargo xtask demo`: a real ntpd under attack, without ntpguard and then with it.
//!
//! Everything happens in two namespaces that end with this process, Ctrl-C included. Sending is bounded in count.

use anyhow::{Context as _, Result, ensure};
use ntpguard_tests::{
    client::{Exchange, Wire, ask, flood},
    fixture,
    frame::{Frame, SERVER_V4 as SERVER, payload},
    guard,
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
};
use std::{
    env, fs,
    io::{self, BufRead as _, BufReader},
    process::{Child, ExitCode, Stdio},
    thread,
};

const ATTACKER: &str = "192.0.2.66";
const IGNORED: &str = "198.51.100.5";
const CLIENTS: [&str; 3] = ["192.0.2.2", "192.0.2.3", "203.0.113.9"];

/// Rounds of the same traffic, so that the counters are seen moving.
const ROUNDS: u64 = 4;
/// Of each attack, in each round.
const QUERIES: u64 = 5_000;
/// Time requests of each client in each round.
const REQUESTS: u64 = 5;

/// What all rounds came to.
#[derive(Default)]
struct Outcome {
    monlist: Exchange,
    readvar: Exchange,
    spoofed: Exchange,
    ignored: Exchange,
    time: Exchange,
    /// Packets that the daemon itself counted.
    reached: u64,
}

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
    let conf = fixture::path("demo.conf");
    let conf = conf.strip_prefix(env::current_dir()?).unwrap_or(&conf);
    let text = fs::read_to_string(conf)?;
    println!("Two hosts in namespaces of their own: a server with NTPsec's ntpd, and the rest of the world.");
    println!("The server's ntp.conf ({}):\n", conf.display());
    text.lines().for_each(|line| println!("    {line}"));
    let lab = Lab::new()?;
    for address in CLIENTS.iter().skip(1).chain([&ATTACKER, &IGNORED]) {
        lab.address(address)?;
    }

    println!("\n1. Without ntpguard: attack and ordinary clients for {ROUNDS} rounds.");
    let before = rounds(&lab, &text)?;
    println!("   {} packets reached the daemon.", before.reached);

    println!("\n2. With ntpguard, the same once more:\n");
    println!(
        "    # ntpguard run --ephemeral --dialect ntpsec --interface {INTERFACE} --config {}\n",
        conf.display()
    );
    let mut command = lab.server.command(guard::binary()?);
    command
        .args(["run", "--ephemeral", "--dialect", "ntpsec", "--interface", INTERFACE, "--config"])
        .arg(conf);
    let mut running =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("can't start ntpguard")?;
    let shown = show(&mut running)?;
    let after = rounds(&lab, &text)?;
    lab.outside.run(&format!("kill -INT {}", running.id()))?;
    let status = running.wait()?;
    shown.join().expect("reading doesn't panic");
    table(&before, &after);
    println!(
        "   NTPsec has no mode 7, so monlist goes unanswered; ntpd 4.2.6 would have sent up to 100 packets for each.\n"
    );

    ensure!(status.success(), "ntpguard ended with {status}");
    ensure!(lab.attached()?.is_empty(), "ntpguard left a program attached");
    verdict(&before, &after)
}

/// Prints what ntpguard prints, as it comes; returns when it is attached.
fn show(running: &mut Child) -> Result<thread::JoinHandle<()>> {
    let errors = BufReader::new(running.stderr.take().context("a pipe")?);
    thread::spawn(move || print(errors.lines()));
    let mut lines = BufReader::new(running.stdout.take().context("a pipe")?).lines();
    let first = lines.next().context("ntpguard ended")??;
    println!("    {first}");
    Ok(thread::spawn(move || print(lines)))
}

fn print(lines: impl Iterator<Item = io::Result<String>>) {
    lines.map_while(Result::ok).for_each(|line| println!("    {line}"));
}

fn rounds(lab: &Lab, conf: &str) -> Result<Outcome> {
    let daemon = Ntpd::start(&lab.server, conf)?;
    let received = daemon.sysstat("packets received")?;
    let wire = Wire::open(&lab.outside)?;
    let client = payload::time(3, 4);
    let loopback = Frame::from("127.0.0.1", 123).payload(payload::READVAR).build();
    let mut outcome = Outcome::default();
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
        }
    }
    // The question itself is counted, in two packets.
    outcome.reached = daemon.sysstat("packets received")? - received - 2;
    Ok(outcome)
}

fn add(sum: &mut Exchange, more: Exchange) {
    let Exchange { sent, answers } = more;
    *sum = Exchange { sent: sum.sent + sent, answers: sum.answers + answers };
}

fn table(before: &Outcome, after: &Outcome) {
    println!("\n3. What came of it:\n");
    println!("   {:<38}{:>10}{:>16}{:>16}", "", "sent", "answers before", "answers after");
    for (name, before, after) in [
        ("monlist (mode 7)", before.monlist, after.monlist),
        ("readvar (mode 6)", before.readvar, after.readvar),
        ("readvar as if from 127.0.0.1", before.spoofed, after.spoofed),
        ("time requests of an ignored network", before.ignored, after.ignored),
        ("time requests of clients", before.time, after.time),
    ] {
        println!("   {name:<38}{:>10}{:>16}{:>16}", after.sent, before.answers, after.answers);
    }
    println!(
        "   {:<38}{:>10}{:>16}{:>16}\n",
        "packets that reached the daemon", "", before.reached, after.reached
    );
}

fn verdict(before: &Outcome, after: &Outcome) -> Result<()> {
    let attacks = [after.monlist, after.readvar, after.spoofed, after.ignored];
    let answers: u64 = attacks.iter().map(|attack| attack.answers).sum();
    ensure!(before.readvar.answers > 0, "the unguarded daemon answered no query: the demo shows nothing");
    ensure!(answers == 0, "the attacker got {answers} answers through ntpguard");
    ensure!(after.time.answers == after.time.sent, "a client's time request went unanswered behind ntpguard");
    ensure!(
        after.reached == after.time.sent,
        "{} packets reached the daemon, {} were due",
        after.reached,
        after.time.sent
    );
    println!(
        "The attacker got {answers} answers; all {} time requests were served; nothing else reached the daemon.",
        after.time.sent
    );
    Ok(())
}
