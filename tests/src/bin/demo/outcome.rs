//! The results of both parts side by side, and whether they are as they should be.

use crate::{plan::KNOWN_CLIENTS, screen::plot};
use anyhow::{Result, ensure};
use ntpguard_tests::{client::Exchange, frame::payload::MONLIST, stand_in::reply_bytes, victim::Received};

/// The sums over all rounds.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) monlist: Exchange,
    pub(crate) readvar: Exchange,
    pub(crate) spoofed: Exchange,
    pub(crate) ignored: Exchange,
    pub(crate) time: Exchange,
    /// Packets that NTPsec's daemon itself has counted.
    pub(crate) reached: u64,
    pub(crate) reflection: Reflection,
    /// Time requests to the old server.
    pub(crate) old_time: Exchange,
}

/// Requests to the old server in the victim's name, and what reached the victim.
#[derive(Default)]
pub(crate) struct Reflection {
    pub(crate) sent: u64,
    pub(crate) received: Received,
    /// Bytes that reached the victim in each second.
    pub(crate) rates: Vec<u64>,
}

impl Reflection {
    fn bytes_sent(&self) -> u64 {
        self.sent * MONLIST.len() as u64
    }

    /// Bytes that reached the victim for each byte that the attacker sent.
    fn factor(&self) -> f64 {
        self.received.bytes as f64 / self.bytes_sent() as f64
    }
}

pub(crate) fn table(before: &Outcome, after: &Outcome) {
    println!("\n3. What came of it:\n");
    let row = |name: &str, [sent, without, with]: [String; 3]| {
        println!("   {name:<46}{sent:>8}{without:>12}{with:>12}");
    };
    let numbers = |name: &str, all: [u64; 3]| row(name, all.map(|number| number.to_string()));
    let answers = |name: &str, before: Exchange, after: Exchange| {
        numbers(name, [after.sent, before.answers, after.answers]);
    };
    row("", ["sent", "without", "with"].map(String::from));
    println!("   NTPsec: answers to");
    answers("  monlist (mode 7), which it doesn't know", before.monlist, after.monlist);
    answers("  readvar (mode 6)", before.readvar, after.readvar);
    answers("  readvar as if from 127.0.0.1", before.spoofed, after.spoofed);
    answers("  time requests of an ignored network", before.ignored, after.ignored);
    answers("  time requests of clients", before.time, after.time);
    row(
        "  packets that reached the daemon",
        ["".into(), before.reached.to_string(), after.reached.to_string()],
    );
    println!("   Stand-in for 4.2.6p5: answers to");
    answers("  time requests of clients", before.old_time, after.old_time);
    println!("   Stand-in for 4.2.6p5: monlist in the victim's name");
    let (first, second) = (&before.reflection, &after.reflection);
    let (came, still) = (first.received, second.received);
    numbers("  complete lists at the victim", [second.sent, came.replies, still.replies]);
    numbers("  packets at the victim", [second.sent, came.packets, still.packets]);
    numbers("  bytes at the victim (UDP payload)", [second.bytes_sent(), came.bytes, still.bytes]);
    let [factor, still] = [first, second].map(|reflection| format!("{:.0}", reflection.factor()));
    row("  bytes at the victim for each byte sent", ["".into(), factor, still]);
    let most = first.rates.iter().chain(&second.rates).copied().max().unwrap_or_default();
    println!("\n   Bytes a second at the victim, second by second:");
    println!("     without  {}", plot(&first.rates, most));
    println!("     with     {}   (at most {most} bytes a second)\n", plot(&second.rates, most));
}

/// An error unless ntpguard has done what it promises.
pub(crate) fn verdict(before: &Outcome, after: &Outcome) -> Result<()> {
    let attacks = [after.monlist, after.readvar, after.spoofed, after.ignored];
    let answers: u64 = attacks.iter().map(|attack| attack.answers).sum();
    ensure!(before.readvar.answers > 0, "the unguarded daemon answered no query: the demo shows nothing");
    let list = reply_bytes(KNOWN_CLIENTS) as u64;
    let hit = &before.reflection.received;
    ensure!(
        hit.replies > 0 && hit.bytes >= hit.replies * list,
        "the unguarded stand-in reflected {hit:?}: the demo shows nothing"
    );
    ensure!(answers == 0, "the attacker got {answers} answers through ntpguard");
    let hit = after.reflection.received;
    ensure!(hit == Received::default(), "{hit:?} hit the victim through ntpguard");
    for (server, time) in [("NTPsec", after.time), ("the stand-in", after.old_time)] {
        ensure!(
            time.answers == time.sent,
            "a client's time request to {server} went unanswered behind ntpguard"
        );
    }
    ensure!(
        after.reached == after.time.sent,
        "{} packets reached the daemon, {} were due",
        after.reached,
        after.time.sent
    );
    println!(
        "With ntpguard the attacker got {answers} answers, and {} bytes reached the victim; all {} time requests were served; \
         nothing else reached the daemon.",
        hit.bytes,
        after.time.sent + after.old_time.sent
    );
    Ok(())
}
