//! The cost of a packet in figures that don't depend on the machine or its load: the amount of code, and the number of
//! look-ups on a path through it.

use aya::{Ebpf, programs::CgroupSkb};
use ntpguard::{
    bpf::{Guard, Object, Size},
    compile::{Flat, Hardening, Image},
    conf::ntp,
    daemon::dialect::{Daemon, Dialect},
    policy::Policy,
};
use ntpguard_common::{
    Lookup, Source,
    abi::{PolicyWord, Rule},
    decide,
    ranges::{Chunks, FAR, NEAR, of_v4, of_v6},
};
use ntpguard_tests::{
    bpf::Figures,
    frame::{Frame, payload},
    random::Random,
};
use std::{
    cell::Cell,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// The figures that were measured for a program when its bound was set.
struct Measured {
    verified: u32,
    translated: u32,
    jitted: u32,
}

/// The verifier gives up at a million instructions. Kernels and compilers differ by a few percent, so the bound is the
/// measured figure (rustc 1.95 and its nightly, Linux 6.18) plus 5 %.
#[test]
fn the_program_is_no_larger_than_it_was() {
    for (object, measured) in [
        (Object::Filter, Measured { verified: 161_724, translated: 109_288, jitted: 62_557 }),
        (Object::Tc, Measured { verified: 157_668, translated: 108_296, jitted: 62_207 }),
    ] {
        let guard = Guard::load(object, Size::new(1)).unwrap();
        measured.holds(&format!("{object:?}"), guard.id().unwrap());
    }
    for (name, measured) in [
        ("ntpguard_learn", Measured { verified: 38_271, translated: 14_808, jitted: 8_604 }),
        ("ntpguard_learn_v6_1", Measured { verified: 113_924, translated: 20_864, jitted: 11_695 }),
    ] {
        learner(name, |id| measured.holds(name, id));
    }
}

/// Loads a program that learns, and passes its id on. The first of them is for kernels since 6.15.
fn learner(name: &str, loaded: impl FnOnce(u32)) {
    let mut ebpf = Ebpf::load(Object::Filter.bytes()).unwrap();
    let program: &mut CgroupSkb = ebpf.program_mut(name).unwrap().try_into().unwrap();
    match program.load() {
        Ok(()) => loaded(program.info().unwrap().id()),
        Err(error) => assert_eq!(name, "ntpguard_learn", "{error}"),
    }
}

/// Half of what the verifier allows, on every kernel: newer kernels and other drivers must have room.
#[test]
fn no_verifier_walks_far() {
    const MOST: u32 = 500_000;
    let holds = |name: &str, id| {
        let Figures { verified, .. } = Figures::of(id).unwrap();
        println!("{name}: {verified} instructions walked by this kernel's verifier");
        assert!(verified <= MOST, "{name}: {verified}");
    };
    for object in [Object::Filter, Object::Linear, Object::Tc, Object::Trace] {
        let guard = Guard::load(object, Size::new(1)).unwrap();
        holds(&format!("{object:?}"), guard.id().unwrap());
    }
    for name in ["ntpguard_learn", "ntpguard_learn_v6_1"] {
        learner(name, |id| holds(name, id));
    }
}

impl Measured {
    /// Checks the figures of a loaded program.
    fn holds(&self, name: &str, id: u32) {
        let Figures { verified, translated, jitted, .. } = Figures::of(id).unwrap();
        println!("{name}: {verified} instructions walked, {translated} bytes, {jitted} as machine code");
        let fits = |figure: u32, measured: u32| figure <= measured + measured / 20;
        assert!(fits(verified, self.verified), "{name}: {verified} instructions walked");
        assert!(fits(translated, self.translated), "{name}: {translated} bytes");
        if cfg!(target_arch = "x86_64") {
            assert!(fits(jitted, self.jitted), "{name}: {jitted} bytes of machine code");
        }
    }
}

/// A policy that counts look-ups.
struct Counting<'a> {
    image: &'a Image,
    settings: Cell<u32>,
    rules: Cell<u32>,
}

impl Lookup for Counting<'_> {
    fn word(&self) -> PolicyWord {
        self.settings.set(self.settings.get() + 1);
        self.image.word()
    }

    fn rule(&self, slot: u32, source: &Source, port: u16) -> Rule {
        self.rules.set(self.rules.get() + 1);
        self.image.rule(slot, source, port)
    }
}

#[test]
fn what_floods_are_made_of_asks_for_no_rule() {
    let image = image("restrict default nomodify noquery\nrestrict 192.0.2.66 ignore\n");
    let from = |source: &str| Frame::from(source, 40_000);
    for (name, frame, lookups) in [
        ("monlist", from("192.0.2.66").payload(payload::MONLIST).build(), (1, 0)),
        ("readvar", from("2001:db8::66").payload(payload::READVAR).build(), (1, 0)),
        ("ignored", from("192.0.2.66").payload(&payload::time(3, 4)).build(), (1, 1)),
        ("time", from("2001:db8::7").payload(&payload::time(3, 4)).build(), (1, 1)),
        ("DNS", from("192.0.2.66").to_port(53).payload(&payload::time(3, 4)).build(), (0, 0)),
    ] {
        let counting = Counting { image: &image, settings: Cell::new(0), rules: Cell::new(0) };
        decide(frame.as_slice(), &counting);
        assert_eq!((counting.settings.get(), counting.rules.get()), lookups, "{name}");
    }
}

/// The chunks of a policy, which count look-ups of far ones.
struct Chunked<'a> {
    flat: &'a Flat,
    far: Cell<u32>,
}

impl Chunks for Chunked<'_> {
    fn near(&self) -> Option<&[u32; NEAR]> {
        self.flat.near()
    }

    fn far(&self, number: u32) -> Option<&[u32; FAR]> {
        self.far.set(self.far.get() + 1);
        self.flat.far(number)
    }
}

/// Two look-ups on average, for a node's bucket and a run, and only a few at worst, where an LPM trie walks about seventeen
/// nodes.
#[test]
fn a_rule_among_many_takes_two_lookups() {
    for (lines, chunks) in [(10, [0, 0]), (500, [0, 0]), (60_000, [2, 3])] {
        let addresses: Vec<_> = {
            let mut random = Random::new(0x6e74_7067);
            (0..lines).map(|_| random.next()).collect()
        };
        let hosts =
            |line: fn(u64) -> String| -> String { addresses.iter().map(|word| line(*word)).collect() };
        let v4 = image(&hosts(|word| format!("restrict {} ignore\n", Ipv4Addr::from_bits(word as u32))));
        let v6 = image(&hosts(|word| format!("restrict {} ignore\n", host(word))));
        for (image, is_v6) in [(&v4, false), (&v6, true)] {
            let flat = Flat::new(&image.v4, &image.v6, |rule| rule).unwrap();
            let (mut sum, mut worst) = (0, 0);
            for word in &addresses {
                let chunked = Chunked { flat: &flat, far: Cell::new(0) };
                let rule = match is_v6 {
                    false => of_v4(&chunked, *word as u32, false),
                    true => {
                        let address = host(*word).to_bits();
                        of_v6(&chunked, [(address >> 64) as u64, address as u64], false)
                    }
                };
                assert!(rule.unwrap().has(Rule::IGNORE));
                sum += chunked.far.get();
                worst = worst.max(chunked.far.get());
            }
            let far = flat.far_chunks().len();
            println!(
                "{lines} rules, IPv6 {is_v6}: {far} far chunks, {sum} lookups in them, at worst {worst}"
            );
            assert_eq!(far, chunks[usize::from(is_v6)], "few rules take none");
            assert!(sum <= 2 * lines + lines / 8 && worst <= 4, "{sum} lookups, at worst {worst}");
        }
    }
}

/// A host in 2001:db8::/32, in a different /96 for each word.
fn host(word: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(word) << 32)
}

fn image(text: &str) -> Image {
    let conf = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(Dialect::Ntp428)).unwrap();
    let policy = Policy::resolve(&conf, &|_| unreachable!("no names"), &[]);
    Image::compile(&policy, &conf, Hardening::ALL)
}
