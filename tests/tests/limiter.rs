//! The limiters compared with models of the daemons' limiters, step by step: never stricter, and hardly ever looser.

use ntpguard::{
    conf::Limiter,
    policy::limiter::{Bounds, Clock, limits},
};
use ntpguard_common::{
    abi::{Limits, PolicyWord},
    limit::{
        ceiling::{Admission, Ceiling, Kisses},
        daemon::{Account, Outcome, step},
    },
};
use ntpguard_tests::random::Random;

/// The clocks of usual kernels, and one that is exact for times in whole ticks.
const CLOCKS: [Clock; 4] =
    [Clock { hz: 100, margin: 2 }, Clock { hz: 250, margin: 2 }, Clock { hz: 1000, margin: 2 }, Clock::IDEAL];

fn set_up(limiter: Limiter, clock: Clock) -> Limits {
    limits(&limiter, &Bounds::default(), clock, [1, 2, 3])
}

/// A random number between 0 and 1.
fn unit(random: &mut Random) -> f64 {
    random.below(1 << 30) as f64 / f64::from(1 << 30)
}

/// Pauses in seconds between the packets of a source that changes its behaviour now and then: steady around `usual`, in
/// bursts, or silent.
struct Pauses {
    usual: f64,
    mood: usize,
    rate: f64,
    left: usize,
}

impl Pauses {
    fn new(usual: f64) -> Self {
        Self { usual, mood: 0, rate: 1.0, left: 0 }
    }

    fn next(&mut self, random: &mut Random) -> f64 {
        if self.left == 0 {
            (self.mood, self.left) = (random.below(8), 1 + random.below(400));
            // From half to twice the permitted rate.
            self.rate = 0.5 * 4_f64.powf(unit(random));
        }
        self.left -= 1;
        match self.mood {
            0 => unit(random) * 0.01,
            1 => 0.0,
            2 if self.left.is_multiple_of(20) => unit(random) * 60.0,
            3 => unit(random) * 2.0 * self.usual,
            _ => self.usual / self.rate,
        }
    }
}

/// The ticks of ntpguard's clock at a time in seconds of the daemon's.
fn ticks(time: f64, clock: Clock) -> u32 {
    (time * f64::from(clock.hz)) as u32
}

/// How the filter's decisions compare with the daemon's.
#[derive(Debug, Default)]
struct Compared {
    steps: u64,
    stricter: u64,
    looser: u64,
    /// A kiss where the daemon sends none, or the other way around.
    other: u64,
}

impl Compared {
    fn count(&mut self, guard: Outcome, daemon: Outcome) {
        let served = |outcome| outcome == Outcome::Serve;
        self.steps += 1;
        self.stricter += u64::from(!served(guard) && served(daemon));
        self.looser += u64::from(served(guard) && !served(daemon));
        self.other += u64::from(!served(guard) && !served(daemon) && guard != daemon);
    }
}

/// The model of NTPsec's ntp_monitor.c:ntp_monitor, in its single precision.
struct Score {
    average: f32,
    burst: f32,
    kod: f32,
    score: f32,
}

impl Score {
    fn packet(&mut self, pause: f64) -> Outcome {
        self.score *= (-(pause as f32) / self.burst).exp();
        self.score = (f64::from(self.score) + 1.0 / f64::from(self.burst)) as f32;
        if self.score < self.average {
            Outcome::Serve
        } else if self.score > self.kod + self.average {
            Outcome::Refuse
        } else {
            Outcome::Kiss
        }
    }
}

#[test]
fn the_fixed_point_score_is_never_stricter_and_hardly_looser() {
    let mut random = Random::new(0x4e54_5073_6563);
    let word = PolicyWord { flags: PolicyWord::LIMIT_BY_SCORE, generation: 0 };
    for (average, burst, kod) in
        [(1.0, 20.0, 0.5), (2.0, 10.0, 0.25), (0.25, 64.0, 1.0), (5.0, 3.0, 0.5), (10.0, 100.0, 0.0)]
    {
        for clock in CLOCKS {
            let limits = set_up(Limiter::Score { average, burst, kod }, clock);
            let mut compared = Compared::default();
            for _ in 0..4 {
                let (mut time, mut pauses) = (1000.0 * unit(&mut random), Pauses::new(1.0 / average));
                let mut score =
                    Score { average: average as f32, burst: burst as f32, kod: kod as f32, score: 0.0 };
                score.packet(0.0);
                let mut account = Account::new(word, ticks(time, clock));
                for _ in 0..60_000 {
                    let mut pause = pauses.next(&mut random).min(63.0);
                    if clock.margin == 0 {
                        pause = (pause * 1000.0).round() / 1000.0;
                        time = (time * 1000.0).round() / 1000.0;
                    }
                    time += pause;
                    let now =
                        if clock.margin == 0 { (time * 1000.0).round() as u32 } else { ticks(time, clock) };
                    let (guard, next) = step(word, &limits, account, now, true);
                    account = next;
                    compared.count(guard, score.packet(pause));
                }
            }
            let Compared { steps, stricter, looser, other } = compared;
            println!(
                "average {average} burst {burst} kod {kod}, {clock:?}: {steps} steps, {stricter} stricter, {looser} looser, {other} other kisses"
            );
            assert_eq!(stricter, 0);
            assert!(looser * 100 <= steps && other * 100 <= steps);
        }
    }
}

/// The model of ntp.org's ntp_monitor.c:ntp_monitor.
struct Headway {
    limiter: (u32, u32),
    /// The hidden phase of a counter of seconds (4.2.6); `None` for real time, rounded (4.2.8).
    phase: Option<f64>,
    last: f64,
    leak: i64,
}

impl Headway {
    fn packet(&mut self, time: f64) -> Outcome {
        let (average, minimum) = self.limiter;
        let interval = match self.phase {
            Some(phase) => ((time + phase).floor() - (self.last + phase).floor()) as i64,
            None => (time - self.last + 0.5).floor() as i64,
        };
        self.last = time;
        let head = 1 << average;
        let limit = 8 * head;
        self.leak = (self.leak - interval).max(0);
        if interval + 1 >= i64::from(minimum) && self.leak + head < limit {
            self.leak += head - 2;
            Outcome::Serve
        } else if self.leak < limit {
            self.leak = limit + head;
            Outcome::Kiss
        } else {
            Outcome::Refuse
        }
    }
}

#[test]
fn the_headway_is_never_stricter() {
    let mut random = Random::new(0x6e_7470_2e6f_7267);
    for (flags, name) in [(0, "4.2.6"), (PolicyWord::LIMIT_ROUNDS_PAUSES, "4.2.8")] {
        let word = PolicyWord { flags, generation: 0 };
        for (average, minimum) in [(3, 2), (3, 1), (1, 2), (4, 8), (0, 0)] {
            for clock in CLOCKS {
                let limits = set_up(Limiter::Headway { average, minimum }, clock);
                let mut compared = Compared::default();
                for _ in 0..200 {
                    let start = (1000.0 * unit(&mut random)).floor()
                        + if clock.margin == 0 { 0.0 } else { unit(&mut random) };
                    let (mut time, mut pauses) = (start, Pauses::new(f64::from(1 << average)));
                    let phase = (flags == 0).then(|| unit(&mut random));
                    let mut headway = Headway { limiter: (average, minimum), phase, last: time, leak: 0 };
                    let mut account = Account::new(word, ticks(time, clock));
                    for _ in 0..1000 {
                        let pause = pauses.next(&mut random).min(63.0);
                        // Exact for whole seconds.
                        time += if clock.margin == 0 { pause.round() } else { pause };
                        let (guard, next) = step(word, &limits, account, ticks(time, clock), true);
                        account = next;
                        compared.count(guard, headway.packet(time));
                    }
                }
                let Compared { steps, stricter, looser, other } = compared;
                println!(
                    "{name}, average {average} minimum {minimum}, {clock:?}: {steps} steps, {stricter} stricter, {looser} looser, {other} other kisses"
                );
                assert_eq!(stricter, 0);
                if clock.margin == 0 {
                    assert_eq!((looser, other), (0, 0));
                }
            }
        }
    }
}

/// A second with this many requests of preferred sources, which were heard before, and of others.
fn second(
    ceiling: &Ceiling,
    limits: &Limits,
    now: u32,
    preferred: u32,
    others: u32,
    random: &mut Random,
) -> [u32; 3] {
    let (mut served, mut drawn, mut calm) = (0, 0, 0);
    for number in 0..preferred + others {
        let now = now + (u64::from(number) * 1000 / u64::from(preferred + others)) as u32;
        let is_preferred = number % (preferred + others) * preferred / (preferred + others)
            != (number + 1) * preferred / (preferred + others);
        let admission = ceiling.admit(limits, now, is_preferred, || random.next() as u32);
        let through = admission != Admission::Refused;
        served += u32::from(through && is_preferred);
        drawn += u32::from(through && !is_preferred);
        calm += u32::from(admission == Admission::Calm);
    }
    [served, drawn, calm]
}

#[test]
fn the_ceiling_serves_whom_it_knows_and_draws_lots_for_the_rest() {
    const RATE: u32 = 20_000;
    let mut random = Random::new(0x6365_696c);
    let limiter = Limiter::Score { average: 1.0, burst: 20.0, kod: 0.5 };
    let limits =
        limits(&limiter, &Bounds { max_rate: Some(RATE), ..Bounds::default() }, Clock::IDEAL, [1; 3]);
    let ceiling = Ceiling::default();
    assert_eq!(second(&ceiling, &limits, 1_000_000, 500, 10_000, &mut random), [500, 10_000, 10_500]);
    for number in 1..10 {
        let now = 1_000_000 + number * 1000;
        let [served, drawn, _] = second(&ceiling, &limits, now, 500, 2_000_000, &mut random);
        assert_eq!(served, 500);
        assert!((RATE * 8 / 10..=RATE * 17 / 16).contains(&drawn), "{drawn}");
        println!("second {number}: {served} of those known, {drawn} of the others");
    }
    // If no source is known, the whole rate is drawn by lot. If too many are known, the others keep a sixteenth.
    let [_, drawn, _] = second(&ceiling, &limits, 1_010_000, 0, 1_000_000, &mut random);
    assert!((RATE * 8 / 10..=RATE * 17 / 16).contains(&drawn), "{drawn}");
    let [served, drawn, _] = second(&ceiling, &limits, 1_011_000, 30_000, 30_000, &mut random);
    assert!(served + drawn <= RATE * 9 / 8 + RATE / 16 && drawn > 500, "{served} {drawn}");
    // Two periods later, the load has no influence any more.
    assert_eq!(second(&ceiling, &limits, 1_012_100, 500, 1000, &mut random), [500, 1000, 1500]);
}

#[test]
fn no_more_kisses_than_allowed() {
    let limiter = Limiter::Headway { average: 3, minimum: 2 };
    let limits = limits(&limiter, &Bounds { kisses: Some(100), ..Bounds::default() }, Clock::IDEAL, [1; 3]);
    let kisses = Kisses::default();
    let spent = (0..10_000_000).filter(|time| kisses.spend(&limits, (1 << 20) + time / 1000)).count();
    // The rate for ten seconds, and an initial allowance.
    assert!((1000..=1130).contains(&spent), "{spent}");
}

/// 2^31 ticks are 25 days at 1000 Hz.
#[test]
fn nobody_is_refused_for_what_he_did_weeks_ago() {
    let limiter = Limiter::Score { average: 1.0, burst: 20.0, kod: 0.5 };
    let limits = set_up(limiter, Clock::IDEAL);
    let word = PolicyWord { flags: PolicyWord::LIMIT_BY_SCORE, ..PolicyWord::default() };
    let account = Account { level: Account::MAX_LEVEL, ..Account::new(word, 0) };
    for weeks in 1..7 {
        let now = weeks * 7 * 86_400 * 1000;
        assert_eq!(step(word, &limits, account, now, true).0, Outcome::Serve, "{weeks} weeks");
    }
    // This isn't the case of a packet that is slightly older than the account, since another CPU was faster.
    assert_eq!(step(word, &limits, account, 2_u32.wrapping_neg(), true).0, Outcome::Refuse);
}
