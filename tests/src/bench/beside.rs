//! A client beside a flood: on the same wire, in front of the same daemon, with each filter in turn between them.

use super::{
    Plan,
    live::{flood, on_the_last_core},
    peers::{CLIENT, Filter, Guarded},
    policy::{self, LIMITED_BITS, made_up},
    report::{Cell, Section},
    sample::quantile,
};
use crate::{
    bpf::Flood,
    frame::{Frame, SERVER_V4, payload},
    netns::Lab,
    ntpd::Ntpd,
};
use anyhow::Result;
use serde_json::json;
use std::{
    collections::HashMap,
    io::ErrorKind,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// The filters, in the order of the table. A bare XDP_DROP is left out, since it serves nobody.
const FILTERS: [Filter; 6] = [
    Filter::Ntpguard,
    Filter::XdpFilterClients,
    Filter::NftIngress,
    Filter::NftRaw,
    Filter::Iptables,
    Filter::None,
];
/// Frames of the flood a second: from none to as many as the machine can send (`None`).
const RATES: [Option<u32>; 5] = [Some(0), Some(500_000), Some(1_000_000), Some(2_000_000), None];
/// Time between two requests of the client.
const PAUSE: Duration = Duration::from_millis(10);
/// Time limit of an answer: a slower one is of no use to a clock.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// The measurements of one client beside one flood.
#[derive(Clone, Debug, Default)]
struct Outcome {
    asked: usize,
    /// Delays of the answers in µs.
    delays: Vec<f64>,
    /// Number of frames that the flood sent, and the duration of the flood.
    flooded: u64,
    seconds: f64,
}

/// Measures all filters at all rates.
///
/// # Errors
/// No right to do so, or a daemon doesn't start.
pub fn beside(plan: &Plan) -> Result<Section> {
    let mut section = Section {
        name: "beside",
        title: "A client beside a monlist flood, in front of ntpd",
        how: format!(
            "Client and flood come over the same wire; the flood has the last core all the time, whatever its \
             rate, and with it what the receiver does before a socket; the client asks every {} ms, and an \
             answer counts within {} ms. Each cell: requests that were answered, median and 99th percentile of \
             the delay, and the flood's own rate in Mpps if it isn't the one asked for. {} rounds of {:.1} s, in \
             turn. The daemon is NTPsec's. A bare XDP_DROP answers nobody, and xdp-filter with port 123 closed \
             neither; so here it has a list of the clients that are let in.",
            PAUSE.as_millis(),
            ANSWER_TIMEOUT.as_millis(),
            plan.floods,
            plan.flood.as_secs_f64()
        ),
        head: vec!["in front of ntpd", "no flood", "0.5 Mpps", "1 Mpps", "2 Mpps", "all it makes"],
        ..Section::default()
    };
    let mut guarded = Vec::new();
    for filter in FILTERS {
        plan.say(&format!("  {}", filter.name()));
        match Guarded::new(filter) {
            Ok(lab) => guarded.push(lab),
            Err(error) if matches!(filter, Filter::Ntpguard | Filter::None) => return Err(error),
            Err(error) => section.missing.push(format!("{error:#}")),
        }
    }
    let _daemons = Ntpd::start_all(guarded.iter().map(|guarded| &guarded.lab.server), policy::DAEMON)?;
    let of = |lab: &Lab| {
        let rate = |rate: Option<u32>| match rate {
            Some(0) => Ok(None),
            rate => flood(lab, LIMITED_BITS, rate.unwrap_or(0)).map(Some),
        };
        RATES.map(rate).into_iter().collect::<Result<Vec<_>>>()
    };
    let floods = guarded.iter().map(|guarded| of(&guarded.lab)).collect::<Result<Vec<_>>>()?;
    let mut outcomes = vec![vec![Outcome::default(); RATES.len()]; guarded.len()];
    for round in 0..plan.floods {
        plan.say(&format!("  round {} of {}", round + 1, plan.floods));
        for column in 0..RATES.len() {
            for (row, guarded) in guarded.iter().enumerate() {
                measure(&mut outcomes[row][column], guarded, floods[row][column].as_ref(), plan.flood)?;
            }
        }
    }
    for (guarded, row) in guarded.iter().zip(outcomes) {
        let cells = row.into_iter().zip(RATES).map(|(outcome, rate)| outcome.cell(rate));
        section.rows.push([Cell::Text(guarded.filter.name().into())].into_iter().chain(cells).collect());
    }
    Ok(section)
}

/// Has the client ask for this time while the flood goes on.
fn measure(outcome: &mut Outcome, guarded: &Guarded, flood: Option<&Flood>, time: Duration) -> Result<()> {
    let outside = &guarded.lab.outside;
    let frame = made_up(&Frame::from("32.0.0.0", 40000).payload(payload::MONLIST));
    let over = AtomicBool::new(false);
    let (flooded, seconds) = thread::scope(|scope| {
        let sender = flood.map(|flood| scope.spawn(|| outside.enter(|| send(flood, &frame, time, &over))));
        let asked = outside.enter(|| ask(outcome, time));
        over.store(true, Relaxed);
        let flooded = sender.map(|sender| sender.join().expect("the sender doesn't panic"));
        asked.and(flooded.unwrap_or(Ok((0, time))))
    })?;
    outcome.flooded += flooded;
    outcome.seconds += seconds.as_secs_f64();
    // Full sockets are drained before the next measurement begins.
    thread::sleep(ANSWER_TIMEOUT);
    Ok(())
}

/// Sends until `over` is set; returns the number of frames and the time that it took.
fn send(flood: &Flood, frame: &[u8], time: Duration, over: &AtomicBool) -> Result<(u64, Duration)> {
    /// Minimum number of frames in a run: the kernel takes about 20 ms to start and end one, during which nothing is sent.
    const FIRST: u32 = 50_000;
    on_the_last_core()?;
    let (start, before, mut frames) = (Instant::now(), flood.sent()?, FIRST);
    while !over.load(Relaxed) {
        let mean = flood.run(frame, frames)?.as_secs_f64().max(1e-9);
        // The next run takes the time that is left.
        frames = ((time.saturating_sub(start.elapsed()).as_secs_f64() / mean) as u32).max(FIRST);
    }
    Ok((flood.sent()? - before, start.elapsed()))
}

/// Sends requests for this time, and receives answers meanwhile.
fn ask(outcome: &mut Outcome, time: Duration) -> Result<()> {
    let socket = UdpSocket::bind((CLIENT, 0))?;
    socket.connect((SERVER_V4, 123))?;
    let (start, mut waiting, mut bytes) = (Instant::now(), HashMap::new(), [0; 512]);
    let (mut next, mut number) = (start, 0_u64);
    while start.elapsed() < time + ANSWER_TIMEOUT {
        if next <= Instant::now() && start.elapsed() < time {
            number += 1;
            let mut request = payload::time(3, 4);
            // The daemon returns this transmit timestamp as the origin timestamp (RFC 5905 §7.3).
            request[40..48].copy_from_slice(&number.to_be_bytes());
            outcome.asked += 1;
            waiting.insert(number, Instant::now());
            // A request that a full queue refuses counts as lost, as it would be on a wire.
            let _ = socket.send(&request);
            next += PAUSE;
        }
        let left = next.saturating_duration_since(Instant::now()).max(Duration::from_micros(100));
        socket.set_read_timeout(Some(left.min(PAUSE)))?;
        match socket.recv(&mut bytes) {
            Ok(48..) => {
                let origin: [u8; 8] = bytes[24..32].try_into()?;
                let sent = waiting.remove(&u64::from_be_bytes(origin));
                let delay = sent.map(|sent: Instant| sent.elapsed()).filter(|delay| *delay <= ANSWER_TIMEOUT);
                outcome.delays.extend(delay.map(|delay| delay.as_secs_f64() * 1e6));
            }
            Ok(_) => (),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Outcome {
    /// The cell of the table.
    fn cell(mut self, rate: Option<u32>) -> Cell {
        self.delays.sort_unstable_by(f64::total_cmp);
        let share = self.delays.len() as f64 / self.asked.max(1) as f64;
        let [median, p99] = [0.5, 0.99].map(|share| quantile(&self.delays, share));
        let words = |delay: Option<f64>| delay.map_or("–".into(), |delay| format!("{delay:.0}"));
        let mpps = self.flooded as f64 / self.seconds.max(1e-9) / 1e6;
        // A rate that differs from the one asked for is shown.
        let wanted = rate.map(|rate| f64::from(rate) / 1e6);
        let at = match wanted {
            Some(wanted) if (mpps - wanted).abs() <= wanted / 20.0 => String::new(),
            _ => format!(" at {mpps:.2}"),
        };
        let text = format!("{:.0} %, {}/{} µs{at}", 100.0 * share, words(median), words(p99));
        let json = json!({
            "asked": self.asked,
            "answered": self.delays.len(),
            "median_us": median,
            "p99_us": p99,
            "mpps": mpps,
        });
        Cell::Several(text, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_in_words() {
        let text = |outcome: Outcome, rate| match outcome.cell(rate) {
            Cell::Several(text, _) => text,
            cell => panic!("{cell:?}"),
        };
        let delays: Vec<_> = (0..=100).map(f64::from).collect();
        let outcome = Outcome { asked: 202, delays, flooded: 900_000, seconds: 2.0 };
        assert_eq!(text(outcome.clone(), Some(500_000)), "50 %, 50/99 µs at 0.45");
        assert_eq!(text(outcome.clone(), Some(450_000)), "50 %, 50/99 µs");
        assert_eq!(text(outcome, None), "50 %, 50/99 µs at 0.45");
        assert_eq!(text(Outcome { asked: 1, ..Outcome::default() }, Some(0)), "0 %, –/– µs");
    }
}
