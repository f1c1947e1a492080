use super::*;
use crate::wire::{self, Network};
use std::vec::Vec;

const SEED: Seed = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
const OURS: Source = Source::of_v4([192, 0, 2, 1]);
const SERVER: Source = Source::of_v4([198, 51, 100, 7]);
const CLIENT: u8 = 0x23;

/// Modes 1, 3 and 5 open an association; `restrict source noquery`.
const TEMPLATE: Template =
    Template { lifts: Rule::LIFTED & !Rule::NOQUERY, opening: 0b10_1010, uncertain: 0 };
/// `restrict default ignore`, as it is compiled beside a `restrict source`.
const IGNORED: Rule = Rule { flags: Rule::YIELDS | Rule::LIFTED, index: 1 };

/// What is left of it for an association.
const LIFTED: Rule = Rule { flags: Rule::YIELDS | Rule::NOQUERY, index: 1 };

struct Model {
    template: Template,
    sets: Vec<Set>,
    learning: Learning,
}

impl Model {
    fn new(template: Template) -> Self {
        let sets = (0..Set::COUNT).map(|_| Set::default()).collect();
        Self { template, sets, learning: Learning::default() }
    }

    fn leaves(&self, departure: &Departure, is_daemons: bool) {
        learn(departure, is_daemons, 0, self).unwrap();
    }

    fn rule(&self, source: Source, port: u16, first: u8) -> Rule {
        super::rule(IGNORED, &source, port, first, 0, self)
    }

    fn passes(&self, source: Source) -> bool {
        !self.rule(source, 123, 0x24).has(Rule::IGNORE)
    }

    fn entries(&self) -> Vec<Association> {
        self.sets.iter().flat_map(|set| set.entries(self.learning.epoch.get())).collect()
    }
}

impl AssociationState for Model {
    fn seed(&self, _: u32) -> Option<Seed> {
        Some(SEED)
    }

    fn template(&self, _: u32) -> Option<Template> {
        Some(self.template)
    }

    fn associations(&self, key: u64) -> Option<&Set> {
        self.sets.get(Set::number(key) as usize)
    }

    fn learning(&self) -> Option<&Learning> {
        Some(&self.learning)
    }
}

fn request(peer: Source) -> Departure {
    Departure {
        peer,
        peer_port: 123,
        local: OURS,
        local_port: 123,
        first: CLIENT,
        poll: 6,
        length: 48,
        refuses: false,
        receive: 0,
        transmit: 0x1234,
    }
}

#[test]
fn whom_the_daemon_asks_has_the_rule_of_associations_for_twice_its_poll_interval() {
    let model = Model::new(TEMPLATE);
    assert!(!model.passes(SERVER));
    model.leaves(&request(SERVER), true);
    assert_eq!(model.rule(SERVER, 123, 0x24), LIFTED);
    assert_eq!(model.rule(SERVER, 50000, 0x23), LIFTED, "whatever its port");
    assert!(!model.passes(Source::of_v4([198, 51, 100, 8])));
    for (poll, life) in [(6, 128), (10, 2048), (3, 64), (17, 1 << 18), (0, 1 << 18), (255, 1 << 18)] {
        let model = Model::new(TEMPLATE);
        model.learning.epoch.set(1000);
        model.leaves(&Departure { poll, ..request(SERVER) }, true);
        model.learning.epoch.set(1000 + life - 1);
        assert!(model.passes(SERVER), "poll {poll}");
        model.learning.epoch.set(1000 + life);
        assert!(!model.passes(SERVER), "poll {poll}");
    }
}

#[test]
fn only_what_asks_and_leaves_from_the_daemons_port_opens_an_association() {
    let rate = Departure { first: 0x21, refuses: true, ..request(SERVER) };
    for (departure, is_daemons, opens) in [
        (request(SERVER), true, true),
        (request(SERVER), false, false),
        (Departure { local_port: 40000, ..request(SERVER) }, true, false),
        // With NTS the server may be asked on another port.
        (Departure { peer_port: 4123, length: 1024, ..request(SERVER) }, true, true),
        (Departure { first: 0x21, ..request(SERVER) }, true, true),
        (rate, true, false),
        (Departure { first: 0x22, length: 68, ..request(SERVER) }, true, false),
        (Departure { first: 0x24, ..request(SERVER) }, true, false),
        (Departure { first: 0x25, ..request(SERVER) }, true, true),
    ] {
        let model = Model::new(TEMPLATE);
        model.leaves(&departure, is_daemons);
        assert_eq!(model.passes(SERVER), opens, "{departure:?}");
        assert_eq!(model.entries().len(), 1, "all are noted");
    }
    let group = Source::of_v4([224, 0, 1, 1]);
    let model = Model::new(TEMPLATE);
    model.leaves(&request(group), true);
    assert!(!model.passes(group));
    // Passive associations: with a MAC, or without authentication.
    for (opening, length, opens) in
        [(1 << 10, 48, false), (1 << 10, 52, false), (1 << 10, 68, true), (1 << 2, 48, true)]
    {
        let model = Model::new(Template { opening, ..TEMPLATE });
        model.leaves(&Departure { first: 0x22, length, ..request(SERVER) }, true);
        assert_eq!(model.passes(SERVER), opens, "{opening:b} {length}");
    }
}

#[test]
fn a_line_for_port_123_is_for_no_other() {
    let model = Model::new(Template { opening: TEMPLATE.opening | Template::NTP_PORT, ..TEMPLATE });
    model.leaves(&request(SERVER), true);
    assert_eq!((model.rule(SERVER, 123, 0x24), model.rule(SERVER, 5000, 0x23)), (LIFTED, IGNORED));
}

#[test]
fn while_not_all_are_known_what_both_rules_drop_is_dropped() {
    let model = Model::new(TEMPLATE);
    model.learning.open_until.set(10);
    assert_eq!(model.rule(SERVER, 123, 0x24).flags, Rule::YIELDS | Rule::NOQUERY);
    assert_eq!(model.rule(SERVER, 123, 0x24).index, IGNORED.index);
    model.learning.epoch.set(10);
    assert_eq!(model.rule(SERVER, 123, 0x24), IGNORED);
    assert_eq!(model.learning.unknown.get(), 2);
    let listens = Model::new(Template { uncertain: 1 << 5, ..TEMPLATE });
    assert!(!listens.rule(SERVER, 123, 0x25).has(Rule::IGNORE), "a server that broadcasts");
    assert!(listens.rule(SERVER, 123, 0x24).has(Rule::IGNORE));
}

#[test]
fn nobody_elses_packets_displace_an_association() {
    let model = Model::new(TEMPLATE);
    let servers: Vec<_> = (0..200).map(|number| Source::V4(0x0a00_0000 + number)).collect();
    servers.iter().for_each(|server| model.leaves(&request(*server), true));
    for number in 0..1_000_000 {
        let peer = Source::V4(0x2000_0000 + number);
        model.leaves(&Departure { local_port: 40000, ..request(peer) }, false);
    }
    assert!(model.learning.full.get() > 900_000);
    assert_eq!(model.learning.open_until.get(), 0, "nothing of the daemon's is lost");
    assert!(servers.iter().all(|server| model.passes(*server)));
    // And the daemon still finds a place.
    (0..200).for_each(|number| model.leaves(&request(Source::V4(0x0b00_0000 + number)), true));
    assert!((0..200).all(|number| model.passes(Source::V4(0x0b00_0000 + number))));
}

#[test]
fn a_full_table_lets_pass() {
    let model = Model::new(TEMPLATE);
    for number in 0..100_000 {
        model.leaves(&request(Source::V4(0x0a00_0000 + number)), true);
    }
    assert!(model.learning.full.get() > 0);
    assert!(model.passes(SERVER), "whoever it is");
    assert_eq!(model.entries().len(), Set::COUNT as usize * 4);
    model.learning.epoch.set(128);
    assert!(!model.passes(SERVER), "until they are over");
}

#[test]
fn an_entry_says_what_has_left() {
    let model = Model::new(TEMPLATE);
    model.learning.epoch.set(7);
    for transmit in 1..=5 {
        model.leaves(&Departure { transmit, receive: 10 * transmit, ..request(SERVER) }, true);
    }
    let [entry] = model.entries()[..] else { panic!("one entry") };
    assert_eq!((entry.peer, entry.peer_port, entry.local, entry.local_port), (SERVER, 123, OURS, 123));
    assert_eq!((entry.mode, entry.poll, entry.last, entry.until, entry.packets), (3, 6, 7, 135, 5));
    assert_eq!((entry.transmit, entry.receive), ([5, 2, 3, 4], [50, 20, 30, 40]));
    assert_eq!(entry.origin, Origin::Departure);
    let v6 = Source::of_v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let model = Model::new(TEMPLATE);
    model.leaves(&request(v6), true);
    assert_eq!(model.entries()[0].peer, v6);
}

/// Golden bytes: an NTPsec client's request over IPv4, and the header of one over IPv6.
#[test]
fn a_departure_is_read_from_its_packet() {
    let ip = [0x45, 0, 0, 76, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7];
    let udp = [0, 123, 0, 123, 0, 56, 0, 0];
    let mut time = [0; 48];
    [time[0], time[2]] = [0xe3, 6];
    time[40..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let packet = [&ip[..], &udp, &time].concat();
    let read = |packet: &[u8]| {
        let datagram = wire::locate_leaving(packet, Network { ether_type: 8, offset: 0 })?;
        Departure::read(packet, &datagram)
    };
    let wanted = Departure { first: 0xe3, transmit: 0x0102_0304_0506_0708, ..request(SERVER) };
    assert_eq!(read(&packet), Some(wanted));
    // Another port on one side, then on both.
    let mut other = packet.clone();
    other[20..22].copy_from_slice(&[0x9c, 0x40]);
    assert_eq!(read(&other), Some(Departure { local_port: 40000, ..wanted }));
    other[22..24].copy_from_slice(&[0x9c, 0x41]);
    assert_eq!(read(&other), None);
    other[20..22].copy_from_slice(&[0, 123]);
    assert_eq!(read(&other), Some(Departure { peer_port: 40001, ..wanted }));
    let mut kiss = packet.clone();
    (kiss[28], kiss[29]) = (0xe1, 0);
    kiss[40..44].copy_from_slice(b"RATE");
    assert!(read(&kiss).unwrap().refuses);
    let mut answer = packet.clone();
    answer[28] = 0xe4;
    assert_eq!(read(&answer), None);
    let mut short = packet.clone();
    (short[3], short[25]) = (75, 55);
    assert_eq!(read(&short), None, "47 bytes");
    assert_eq!(read(&packet[..75]), None);
}
