//! Output while the demo runs: a line that is redrawn on a terminal, or a line each second elsewhere.

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

/// Width of the bar in columns: with the text beside it, the line has 80.
const WIDTH: u64 = 16;

/// Standard output, to which several threads print.
pub(crate) struct Screen {
    terminal: bool,
    /// The text of a terminal's last line.
    live: Mutex<String>,
}

impl Screen {
    /// Checks whether standard output is a terminal.
    pub(crate) fn new() -> Self {
        Self { terminal: stdout().is_terminal(), live: Mutex::default() }
    }

    /// Prints a line above the one that is redrawn.
    pub(crate) fn say(&self, line: &str) {
        let live = self.live.lock().expect("no thread panics while it prints");
        let clear = if live.is_empty() { "" } else { "\r\x1b[K" };
        // Errors are ignored: if standard output is closed, nobody reads it.
        let _ = writeln!(stdout(), "{clear}{line}");
        let _ = write!(stdout(), "{live}").and_then(|()| stdout().flush());
    }

    /// Redraws the last line; an empty text removes it.
    fn draw(&self, line: String) {
        let mut live = self.live.lock().expect("no thread panics while it prints");
        let _ = write!(stdout(), "\r\x1b[K{line}").and_then(|()| stdout().flush());
        *live = line;
    }
}

/// Shows what reaches the victim until `over` is set, and returns the rate of each second, in bytes a second.
pub(crate) fn watch(screen: &Screen, victim: &Victim, over: &AtomicBool) -> Vec<u64> {
    const STEP: Duration = Duration::from_millis(100);
    let (mut rates, mut counted, mut start) = (Vec::new(), 0, Instant::now());
    loop {
        thread::sleep(STEP);
        let ends = over.load(Relaxed);
        let (received, took) = (victim.received(), start.elapsed());
        // The bytes of the last, incomplete second are shown too.
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

/// A bar of the rate, relative to the most that the old server sends.
fn bar(rate: u64) -> String {
    let most = u64::from(REFLECTIONS_PER_SECOND) * reply_bytes(KNOWN_CLIENTS) as u64;
    let full = (rate * WIDTH / most).min(WIDTH);
    format!("{}{}", "█".repeat(full as usize), "░".repeat((WIDTH - full) as usize))
}

/// One character for each second, as high as its rate.
pub(crate) fn plot(rates: &[u64], most: u64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let height = |rate: &u64| HEIGHTS[(rate * 7 / most.max(1)).min(7) as usize];
    rates.iter().map(height).collect()
}
