//! What is seen while it happens: a line that is drawn anew on a terminal, a line a second elsewhere.

use crate::plan::{KNOWN_CLIENTS, REFLECTIONS_PER_SECOND};
use ntpguard_tests::{
    stand_in::reply_bytes,
    victim::{Received, Victim},
};
use std::{
    io::{IsTerminal as _, Write as _, stdout},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Columns of the bar: with what stands beside it, a line of 80.
const WIDTH: u64 = 16;

/// Standard output, on which several threads print.
pub(crate) struct Screen {
    terminal: bool,
    /// What stands in the last line of a terminal.
    live: Mutex<String>,
}

impl Screen {
    /// Looks whether it is a terminal.
    pub(crate) fn new() -> Self {
        Self { terminal: stdout().is_terminal(), live: Mutex::default() }
    }

    /// Prints a line above the one that is drawn anew.
    pub(crate) fn say(&self, line: &str) {
        let live = self.live.lock().expect("no thread panics while it prints");
        let clear = if live.is_empty() { "" } else { "\r\x1b[K" };
        // Who has closed standard output wants no more of it.
        let _ = writeln!(stdout(), "{clear}{line}");
        let _ = write!(stdout(), "{live}").and_then(|()| stdout().flush());
    }

    /// Draws the last line anew; an empty one takes it away.
    fn draw(&self, line: String) {
        let mut live = self.live.lock().expect("no thread panics while it prints");
        let _ = write!(stdout(), "\r\x1b[K{line}").and_then(|()| stdout().flush());
        *live = line;
    }
}

/// Shows what comes to the victim until it is over, and returns the rate of each second, in bytes a second.
pub(crate) fn watch(screen: &Screen, victim: &Victim, over: &AtomicBool) -> Vec<u64> {
    const STEP: Duration = Duration::from_millis(100);
    let (mut rates, mut counted, mut start) = (Vec::new(), 0, Instant::now());
    loop {
        thread::sleep(STEP);
        let ends = over.load(Relaxed);
        let (received, took) = (victim.received(), start.elapsed());
        // What came in the rest of a second belongs to the picture, too.
        let is_due = took >= Duration::from_secs(1) || ends && received.bytes > counted;
        if is_due {
            rates.push(((received.bytes - counted) as f64 / took.as_secs_f64()).round() as u64);
            (counted, start) = (received.bytes, Instant::now());
        }
        let rate = rates.last().copied().unwrap_or_default();
        let Received { packets, bytes, .. } = received;
        let line =
            format!("   at the victim {} {rate:>7} bytes/s {packets:>6} packets {bytes:>8} bytes", bar(rate));
        if screen.terminal {
            screen.draw(if ends { String::new() } else { line.clone() });
        }
        let is_to_stay = if screen.terminal { ends } else { is_due };
        if is_to_stay {
            screen.say(&line);
        }
        if ends {
            return rates;
        }
    }
}

/// How much of what the old server gives at most.
fn bar(rate: u64) -> String {
    let most = u64::from(REFLECTIONS_PER_SECOND) * reply_bytes(KNOWN_CLIENTS) as u64;
    let full = (rate * WIDTH / most).min(WIDTH);
    format!("{}{}", "█".repeat(full as usize), "░".repeat((WIDTH - full) as usize))
}

/// A character a second, as high as its rate.
pub(crate) fn plot(rates: &[u64], most: u64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let height = |rate: &u64| HEIGHTS[(rate * 7 / most.max(1)).min(7) as usize];
    rates.iter().map(height).collect()
}
