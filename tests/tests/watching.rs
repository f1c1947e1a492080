//! What watching costs during a flood: events, metrics and `top`, all on and all off in turn.

use nix::sys::signal::Signal;
use ntpguard_tests::{
    bench::{
        live::{flood, on_the_last_core},
        policy::made_up,
    },
    bpf::Flood,
    following::dropped,
    frame::{Frame, payload},
    guard::binary,
    home::Home,
    netns::Lab,
    prometheus::get,
    tmux::Tmux,
};

const CONF: &str = "restrict default nomodify nopeer noquery\n";
const ROUNDS: usize = 8;
/// Number of floods in a round, and of frames in each.
const FLOODS: usize = 4;
const FRAMES: u32 = 500_000;
const ADDRESS: &str = "127.0.0.1:9123";

/// The mean nanoseconds a frame of each flood.
fn floods(lab: &Lab, flood: &Flood, frame: &[u8]) -> Vec<f64> {
    lab.outside.enter(|| {
        on_the_last_core().unwrap();
        (0..FLOODS).map(|_| flood.run(frame, FRAMES).unwrap().as_nanos() as f64).collect()
    })
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Figures, not a timed test; it asserts only that everything is counted, reported and shown meanwhile.
#[test]
fn what_it_costs_to_watch() {
    let lab = Lab::new().unwrap();
    let home = Home::new(&lab.server, CONF).unwrap();
    home.attach().unwrap();
    let frame = made_up(&Frame::from("11.0.0.0", 40000).payload(payload::MONLIST));
    let flood = flood(&lab, 24, 0).unwrap();
    let (mut off, mut on, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The fastest flood of all, which was least affected by other work on the machine.
    let (mut best_off, mut best_on) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let mut without = floods(&lab, &flood, &frame);

        let guard = home.guarding_with(&["--metrics", ADDRESS]).unwrap();
        let tmux = Tmux::new(&lab.server, (80, 24)).unwrap();
        tmux.line(&format!("{} top {}", binary().unwrap().display(), home.places().join(" "))).unwrap();
        tmux.shows("top", |screen| screen.contains("q quit"));
        let mut with = floods(&lab, &flood, &frame);
        tmux.shows("the flood", |screen| screen.contains("monlist"));
        let metrics = get(&lab.server, ADDRESS, "/metrics", "").unwrap().body;
        let told =
            metrics.lines().find_map(|line| line.strip_prefix("ntpguard_events_total{result=\"told\"} "));
        assert!(told.unwrap().parse::<f64>().unwrap() > 100.0, "{told:?}");
        drop(tmux);
        drop(guard.end(Signal::SIGTERM).unwrap());

        best_off = without.iter().copied().fold(best_off, f64::min);
        best_on = with.iter().copied().fold(best_on, f64::min);
        let (a, b) = (median(&mut without), median(&mut with));
        off.push(a);
        on.push(b);
        ratios.push(a / b);
    }
    let sent = (2 * ROUNDS * FLOODS) as u64 * u64::from(FRAMES);
    assert_eq!(dropped(&home), sent);
    let spread = ratios.clone();
    println!(
        "{:.0} ns a frame without, {:.0} ns with events, metrics and top: {:.3} of the rate (rounds: {spread:.3?}); the \
         quickest floods: {best_off:.0} and {best_on:.0} ns, {:.3}",
        median(&mut off),
        median(&mut on),
        median(&mut ratios),
        best_off / best_on
    );
}
