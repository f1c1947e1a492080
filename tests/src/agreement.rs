//! Compares the host's function with a program in the kernel on random and mutated frames.

use crate::{
    fixture::{Compiled, DIALECTS, FIXTURES, compile, path},
    golden::cases,
    judged::is_runnable,
    random::Random,
};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    policy::{Policy, limiter::Clock},
    simulate::model::Model,
};
use ntpguard_common::{
    Action, Decision, Reason, ReturnVerdict, Verdict, decide, decide_plain, decide_then, limit::table::Set,
};

/// Size of the table of sources: so small that sources evict each other.
const SOURCES: u32 = 64;
/// Minimum length in bytes: a test run refuses frames without a whole Ethernet header.
const SHORTEST: usize = 14;

/// The result of a comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement {
    /// Number of frames to port 123.
    pub judged: usize,
    /// Of these, those that were dropped.
    pub dropped: usize,
    /// Of these, those that were answered with a kiss.
    pub kisses: usize,
    /// Number of frames that the host's plain path judged, always with the same verdict as the general path.
    pub plain: usize,
    /// Number of frames that a test run can't take.
    pub left_out: usize,
    /// Number of frames on which the kernel and the host came to different results.
    pub differing: usize,
}

/// The number of frames to compare: the environment variable `FRAMES`, or `default`.
pub fn frames(default: usize) -> usize {
    usize::try_from(from_environment("FRAMES", default as u64)).expect("FRAMES fits into memory")
}

/// The number in an environment variable, by which the same test can be run longer, or with other frames.
fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |number| number.parse().unwrap_or_else(|_| panic!("{name} is no number: {number}")))
}

/// Compares this number of frames, and prints those that differ. The environment variable `SEED` (not 0) selects the frames.
///
/// # Panics
/// No right to load a program.
pub fn agreement(object: Object, frames: usize) -> Agreement {
    let seeds: Vec<Vec<u8>> = cases().into_iter().map(|case| case.frame).collect();
    let mut random = Random::new(from_environment("SEED", 0x6e74_7067_7561_7264));
    let policies: Vec<_> = FIXTURES
        .iter()
        .flat_map(|fixture| DIALECTS.map(|dialect| (fixture, dialect)))
        .flat_map(|(fixture, dialect)| {
            [Hardening::ALL, Hardening::NONE].map(|hardening| (fixture, dialect, hardening))
        })
        .map(|(fixture, dialect, hardening)| {
            compile(fixture.map(path).as_deref(), dialect, hardening).unwrap()
        })
        .collect();
    let mut guard = Guard::load(object, Size::new(SOURCES)).unwrap();
    let table = guard.maps.sources().unwrap();
    let mut found = Agreement::default();
    for (number, compiled) in policies.iter().enumerate() {
        let Compiled { image, policy, .. } = compiled;
        guard.install(image).unwrap();
        guard.maps.forget().unwrap();
        let model = Model::new(image, Clock::of_kernel().unwrap(), SOURCES).seeded(guard.maps.seed());
        let share = frames / policies.len() + usize::from(number < frames % policies.len());
        let mut before = guard.maps.counters(true).unwrap();
        for _ in 0..share {
            let frame = frame(&mut random, &seeds, policy);
            if !is_runnable(object, &frame, None) {
                found.left_out += 1;
                continue;
            }
            if let Some(plain) = decide_plain(frame.as_slice(), image, ReturnVerdict) {
                assert_eq!(plain, decide_then(frame.as_slice(), image, ReturnVerdict), "{frame:02x?}");
                found.plain += 1;
            }
            let run = guard.test_run(&frame, 1, None).unwrap();
            let now = guard.maps.counters(true).unwrap();
            let counted = now.since(&before);
            before = now;
            if let Some(time) = judged_at(&frame, image, &model, table.values()) {
                model.set(time);
            }
            let host = match model.judge(image, &frame) {
                // The tc program sends nothing back: what would earn a kiss passes, with the reason that it had before
                // limits were applied.
                Decision::Judged(Verdict { reason: Reason::Kod, .. }) if object == Object::Tc => {
                    decide(frame.as_slice(), image)
                }
                host => host,
            };
            let kernel = Reason::ALL.iter().map(|reason| (*reason, counted.of(*reason)));
            let kernel: Vec<_> = kernel.filter(|(_, counter)| counter.packets > 0).collect();
            let expected = match host {
                Decision::Judged(Verdict { reason, .. }) => vec![reason],
                Decision::NotNtp | Decision::Truncated => vec![],
            };
            found.judged += expected.len();
            found.dropped += usize::from(host.action() == Action::Drop);
            if let Decision::Judged(verdict) = host
                && run.action == Action::Transmit
            {
                assert_eq!(model.kiss(&frame, verdict).as_ref(), Some(&run.frame));
                found.kisses += 1;
            }
            let agree = kernel.iter().map(|(reason, _)| *reason).eq(expected)
                && run.action == host.action()
                && kernel.iter().all(|(_, counter)| counter.packets == 1 && bytes_fit(counter.bytes, &frame));
            if !agree {
                found.differing += 1;
                let head = &frame[..frame.len().min(120)];
                eprintln!(
                    "host {host:?}, kernel {:?} {kernel:?}, {} bytes: {head:02x?}",
                    run.action,
                    frame.len()
                );
            }
        }
    }
    found
}

/// The time at which the kernel's limiter judged a frame, from the account of its source, if there is one. A frame that the
/// limiter doesn't judge leaves the account, and so its time, from an earlier frame: taking that would set the model's
/// clock back, and make it forget.
fn judged_at(frame: &[u8], image: &Image, model: &Model, table: &[Set]) -> Option<u32> {
    let Decision::Judged(Verdict { datagram: Some(datagram), request, .. }) = decide(frame, image) else {
        return None;
    };
    if !request.is_something() {
        return None;
    }
    let key = model.key(request, &datagram.source(frame)?, datagram.length);
    let set = &table[Set::number(key, table.len() as u32) as usize];
    set.accounts().find(|(holder, _)| *holder == key).map(|(_, account)| account.time)
}

/// Whether the counted bytes match the frame. A frame longer than a page comes in several buffers, and then bytes after the
/// IP packet aren't counted.
fn bytes_fit(bytes: u64, frame: &[u8]) -> bool {
    const FIRST_BUFFER: u64 = 3000;
    let length = frame.len() as u64;
    bytes == length || (FIRST_BUFFER..length).contains(&bytes)
}

/// A random frame: usually a golden frame with a few bytes changed, a new source or another length; sometimes pure noise.
fn frame(random: &mut Random, seeds: &[Vec<u8>], policy: &Policy) -> Vec<u8> {
    if random.below(20) == 0 {
        return (0..SHORTEST + random.below(200)).map(|_| random.next() as u8).collect();
    }
    let mut frame = seeds[random.below(seeds.len())].clone();
    // Changes are confined to the headers, which decide, and to a frame that is short enough to be judged quickly.
    let head = frame.len().min(120);
    for _ in 0..random.below(4) {
        frame[random.below(head)] = random.next() as u8;
    }
    if random.below(4) == 0 {
        source_near_a_rule(random, &mut frame, policy);
    }
    match random.below(12) {
        0 => frame.truncate(SHORTEST + random.below(head - SHORTEST + 1)),
        1 => frame.extend((0..random.below(64)).map(|_| random.next() as u8)),
        _ => (),
    }
    frame
}

/// Sets the source address of an untagged frame to the first, the last or a nearby address of one of the policy's networks.
fn source_near_a_rule(random: &mut Random, frame: &mut [u8], policy: &Policy) {
    use std::net::IpAddr::{V4, V6};
    let entry = policy.entries.get(random.below(policy.entries.len())).expect("one of them");
    let address = match entry.net.prefix() {
        Some(prefix) if random.below(2) == 0 => prefix.broadcast(),
        _ => entry.net.address(),
    };
    match (address, &frame[12..14]) {
        (V4(address), [0x08, 0x00]) if frame.len() >= 34 => {
            frame[26..30].copy_from_slice(&address.octets());
            frame[29] ^= random.below(3) as u8;
        }
        (V6(address), [0x86, 0xdd]) if frame.len() >= 54 => {
            frame[22..38].copy_from_slice(&address.octets());
            frame[37] ^= random.below(3) as u8;
        }
        _ => (),
    }
}
