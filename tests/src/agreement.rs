//! Compares the host's function with a program in the kernel on random and mutated frames.

use crate::{
    fixture::{Compiled, DIALECTS, FIXTURES, compile, compile_text, path},
    golden::cases,
    judged::is_runnable,
    random::{Random, from_environment},
};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Hardening, Image},
    daemon::dialect::Dialect,
    policy::{Policy, limiter::Clock, network},
    simulate::model::Model,
};
use ntpguard_common::{
    Action, Decision, Reason, ReturnVerdict, Verdict, decide, decide_plain, decide_then,
    limit::table::Set,
    wire::{Located, locate},
};
use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr::{self, V4, V6},
};

/// Size of the table of sources: so small that sources evict each other.
const SOURCES: u32 = 64;
/// Minimum length in bytes: a test run refuses frames without a whole Ethernet header.
const SHORTEST: usize = 14;

/// How often each fixture gets random associations.
const VARIANTS: usize = 2;

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
    /// Number of frames whose source had the entry of an association by `restrict source`.
    pub associated: usize,
    /// Number of frames whose source might have had one, in front of a daemon that takes broadcasts.
    pub uncertain: usize,
    /// Number of frames on which the kernel and the host came to different results.
    pub differing: usize,
}

/// The number of frames to compare: the environment variable `FRAMES`, or `default`.
pub fn frames(default: usize) -> usize {
    usize::try_from(from_environment("FRAMES", default as u64)).expect("FRAMES fits into memory")
}

/// Compares this number of frames, and prints those that differ. The environment variable `SEED` (not 0) selects the frames.
///
/// # Panics
/// No right to load a program.
pub fn agreement(object: Object, frames: usize) -> Agreement {
    let seeds: Vec<Vec<u8>> = cases().into_iter().map(|case| case.frame).collect();
    let mut random = Random::new(from_environment("SEED", 0x6e74_7067_7561_7264));
    let policies = policies(&mut random, &seeds);
    let mut guard = Guard::load(object, Size::new(SOURCES)).unwrap();
    let table = guard.maps.sources().unwrap();
    let associations = guard.maps.associations().unwrap();
    let learning = associations.learning().unwrap();
    let mut found = Agreement::default();
    for (number, compiled) in policies.iter().enumerate() {
        let Compiled { image, policy, .. } = compiled;
        guard.maps.forget_associations().unwrap();
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
    found.associated = learning.live.get() as usize;
    found.uncertain = learning.unknown.get() as usize;
    found
}

/// Every fixture before every daemon, as it is and with random associations.
fn policies(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<Compiled> {
    let sources: BTreeSet<_> = seeds.iter().filter_map(|frame| source(frame)).collect();
    let sources: Vec<_> = sources.into_iter().collect();
    let mut policies = Vec::new();
    for fixture in FIXTURES.map(|fixture| fixture.map(path)) {
        let text = fixture.as_ref().map(|path| fs::read_to_string(path).unwrap()).unwrap_or_default();
        for dialect in DIALECTS {
            for hardening in [Hardening::ALL, Hardening::NONE] {
                let plain = compile(fixture.as_deref(), dialect, hardening).unwrap();
                // 4.2.6 doesn't know the line.
                for _ in 0..if dialect == Dialect::Ntp426 { 0 } else { VARIANTS } {
                    let with = format!("{text}\n{}", association_lines(random, &sources, &plain.policy));
                    policies.push(compile_text(&with, dialect, hardening).unwrap());
                }
                policies.push(plain);
            }
        }
    }
    policies
}

/// The source address of a frame to port 123.
fn source(frame: &[u8]) -> Option<IpAddr> {
    match locate(frame) {
        Located::Datagram(datagram) => Some(network::address(&datagram.source(frame)?)),
        _ => None,
    }
}

/// Random lines by which some of the addresses that frames come from are those of associations, with entries of their own.
fn association_lines(random: &mut Random, sources: &[IpAddr], policy: &Policy) -> String {
    const FLAGS: [&str; 9] =
        ["ignore", "noquery", "noserve", "notrust", "version", "limited", "kod", "nomodify", "nopeer"];
    let mut flags =
        |most| -> Vec<_> { (0..random.below(most)).map(|_| FLAGS[random.below(FLAGS.len())]).collect() };
    let mut lines = format!("restrict source {}", flags(4).join(" "));
    // Without a line that cuts associations off, NTPsec makes no entries for them.
    let default = ["ignore", "notrust", &flags(3).join(" ")][random.below(3)].to_owned();
    lines.push_str(if random.below(3) == 0 { " ntpport\n" } else { "\n" });
    if random.below(4) > 0 {
        lines.push_str(&format!("restrict default {default}\n"));
    }
    let sometimes = [
        (2, "broadcastclient\n"),
        (6, "restrict 192.0.2.0 mask 255.255.255.0 ignore ntpport\n"),
        (6, "restrict 192.0.2.66 nomodify\n"),
    ];
    for (times, line) in sometimes {
        lines.push_str(if random.below(times) == 0 { line } else { "" });
    }
    for _ in 0..1 + random.below(12) {
        let address = match policy.entries.get(random.below(policy.entries.len())) {
            Some(entry) if random.below(4) == 0 => entry.net.address(),
            _ => sources[random.below(sources.len())],
        };
        lines.push_str(&format!("server {address}\n"));
    }
    lines
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
        let source = near_a_rule(random, policy);
        set_source(&mut frame, source, random.below(3) as u8);
    } else if random.below(3) > 0
        && let Some(source) = an_association(random, &frame, policy)
    {
        set_source(&mut frame, source, u8::from(random.below(8) == 0));
        if random.below(2) == 0 {
            set_port(&mut frame, 123);
        }
    }
    match random.below(12) {
        0 => frame.truncate(SHORTEST + random.below(head - SHORTEST + 1)),
        1 => frame.extend((0..random.below(64)).map(|_| random.next() as u8)),
        _ => (),
    }
    frame
}

/// The address of an association in the family of an untagged frame; `None` if there is none.
fn an_association(random: &mut Random, frame: &[u8], policy: &Policy) -> Option<IpAddr> {
    let is_v6 = frame[12..14] == [0x86, 0xdd];
    let associations: Vec<_> =
        policy.associations.iter().filter(|address| address.is_ipv6() == is_v6).collect();
    (!associations.is_empty()).then(|| *associations[random.below(associations.len())])
}

/// The first or the last address of one of the policy's networks.
fn near_a_rule(random: &mut Random, policy: &Policy) -> IpAddr {
    let entry = policy.entries.get(random.below(policy.entries.len())).expect("one of them");
    match entry.net.prefix() {
        Some(prefix) if random.below(2) == 0 => prefix.broadcast(),
        _ => entry.net.address(),
    }
}

/// Sets the source address of an untagged frame of the same family, with some bits of its last byte inverted.
fn set_source(frame: &mut [u8], source: IpAddr, inverted: u8) {
    match (source, &frame[12..14]) {
        (V4(address), [0x08, 0x00]) if frame.len() >= 34 => {
            frame[26..30].copy_from_slice(&address.octets());
            frame[29] ^= inverted;
        }
        (V6(address), [0x86, 0xdd]) if frame.len() >= 54 => {
            frame[22..38].copy_from_slice(&address.octets());
            frame[37] ^= inverted;
        }
        _ => (),
    }
}

/// Sets the UDP source port of an untagged frame without options and extension headers.
fn set_port(frame: &mut [u8], port: u16) {
    let offset = match (&frame[12..14], frame.get(14)) {
        ([0x08, 0x00], Some(0x45)) => 34,
        ([0x86, 0xdd], _) => 54,
        _ => return,
    };
    if let Some(bytes) = frame.get_mut(offset..offset + 2) {
        bytes.copy_from_slice(&port.to_be_bytes());
    }
}
