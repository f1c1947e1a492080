//! Linux itself is the reference for parsing: whatever the stack delivers to a socket on port 123, `locate` has found.

use ntpguard_common::wire::{Located, locate};
use ntpguard_tests::{
    client::Wire,
    frame::{
        Frame,
        extension::{destination, fragment, hop_by_hop, routing},
        payload,
    },
    golden::cases,
    netns::Lab,
    random::Random,
};
use std::{collections::BTreeMap, net::UdpSocket, time::Duration};

/// A network stack with sockets on port 123 and no daemon.
struct Stack {
    _lab: Lab,
    wire: Wire,
    sockets: [UdpSocket; 2],
}

impl Stack {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        // The tests' sources aren't reachable by this interface, but their packets have to arrive.
        for knob in ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.ntp0.rp_filter=0"] {
            lab.server.run(&format!("sysctl -q -w {knob}")).unwrap();
        }
        let sockets = lab.server.enter(|| {
            ["0.0.0.0:123", "[2001:db8::1]:123"].map(|address| {
                let socket = UdpSocket::bind(address).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                socket
            })
        });
        let wire = Wire::open(&lab.outside).unwrap();
        Self { _lab: lab, wire, sockets }
    }

    /// The number of datagrams that a frame delivers to port 123.
    fn delivered(&self, frame: &[u8]) -> usize {
        const MARK: &[u8] = b"mark";
        self.wire.send(frame).unwrap();
        for source in ["192.0.2.2", "2001:db8::2"] {
            self.wire.send(&Frame::from(source, 9).payload(MARK).build()).unwrap();
        }
        let mut count = 0;
        for socket in &self.sockets {
            // What is sent before the mark arrives before it, since a veth pair has one queue.
            loop {
                let mut buffer = [0; 16];
                let length = socket.recv(&mut buffer).expect("the mark arrives");
                if &buffer[..length] == MARK {
                    break;
                }
                count += 1;
            }
        }
        count
    }
}

#[test]
fn golden_frames_arrive_only_when_they_are_found() {
    let stack = Stack::new();
    let mut arrived = 0;
    for case in cases() {
        if case.frame.len() > 1514 {
            continue; // longer than the wire's MTU
        }
        arrived += check(&stack, case.name, &case.frame);
    }
    println!("{arrived} of the golden frames arrive");
    assert!(arrived > 60);
}

#[test]
fn random_chains_arrive_only_when_they_are_found() {
    let stack = Stack::new();
    let mut seed = 0x2545_f491_u32;
    let mut below = |bound: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % bound
    };
    let mut outcomes = BTreeMap::new();
    for _ in 0..50_000 {
        let v6 = below(4) > 0;
        let mut frame = Frame::from(if v6 { "2001:db8::66" } else { "192.0.2.66" }, 40000);
        frame = frame.payload(&payload::READVAR[..below(13) as usize]);
        if v6 {
            // Linux accepts hop-by-hop options only as the first extension header.
            if below(3) == 0 {
                frame = frame.extension(hop_by_hop(below(4) as u8));
            }
            for _ in 0..below(10) {
                frame = frame.extension(match below(3) {
                    0 => routing(below(3) as u8),
                    // Never a first fragment, which the stack could combine with later fragments to a datagram of two frames.
                    1 => match below(8) {
                        0 => fragment(1, below(2) == 0),
                        _ => fragment(0, false),
                    },
                    _ => destination(below(4) as u8),
                });
            }
        } else {
            frame = frame.options(below(11) as usize);
            if below(4) == 0 {
                frame = frame.fragment(1, below(2) == 0);
            }
        }
        if below(3) == 0 {
            frame = frame.udp_length(below(24) as u16);
        }
        if below(3) == 0 {
            frame = frame.ip_length(below(90) as u16);
        }
        if below(4) == 0 {
            frame = frame.trailer(&vec![0x17; below(40) as usize]);
        }
        let bytes = frame.build();
        let arrived = check(&stack, &format!("{frame:?}"), &bytes);
        *outcomes.entry((kind(&bytes), arrived)).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert!(outcomes[&("datagram", 1)] > 5000);
}

/// Headers before and around IP, and other protocols over the same bytes.
#[test]
fn random_wrappers_arrive_only_when_they_are_found() {
    let stack = Stack::new();
    let mut random = Random::new(0x7461_6773);
    let mut outcomes = BTreeMap::new();
    for _ in 0..20_000 {
        let v6 = random.below(2) == 0;
        let mut frame = Frame::from(if v6 { "2001:db8::66" } else { "192.0.2.66" }, 40000)
            .payload(&payload::READVAR[..random.below(13)]);
        for _ in 0..[0, 1, 2, 3, 5, 7, 8, 9, 10, 15][random.below(10)] {
            // Mostly priority tags, since packets with other tags need a VLAN device, and there is none.
            let vlan = if random.below(12) == 0 { random.below(4096) } else { 0 };
            let priority = random.below(8) << 13;
            let protocol = match random.below(40) {
                0 => 0x9100,
                1 => 0x9200,
                number if number % 2 == 0 => 0x88a8,
                _ => 0x8100,
            };
            frame = frame.vlan(protocol, (priority | vlan) as u16);
        }
        match random.below(12) {
            0 => frame = frame.pppoe(&[[0x00, 0x21], [0x00, 0x57], [0x00, 0x3d]][random.below(3)]),
            1 => frame = frame.ether_type([0x8847, 0x88e5, 0x6558, 0x0806, 0x894f][random.below(5)]),
            _ => (),
        }
        match random.below(8) {
            0 => frame = frame.protocol([4, 41, 47, 50, 51, 115, 136, 137][random.below(8)]),
            1 if v6 => {
                // A jumbo payload option (RFC 2675) with an invalid length.
                let jumbo = (0, vec![0, 0, 0xc2, 4, 0, [0, 1][random.below(2)], 0, 20]);
                frame = frame.extension(jumbo).ip_length(0);
            }
            1 => frame = frame.options(random.below(11)),
            2 if v6 => {
                for _ in 0..random.below(12) {
                    frame = frame.extension(destination(0));
                }
            }
            _ => (),
        }
        if random.below(3) == 0 {
            frame = frame.trailer(&vec![0x17; random.below(60)]);
        }
        let mut bytes = frame.build();
        if random.below(10) == 0 {
            // A length in place of the EtherType, then LLC and SNAP (IEEE 802.3, RFC 1042).
            let length = (bytes.len() - 14 + 8) as u16;
            let [high, low] = length.to_be_bytes();
            bytes.splice(12..12, [high, low, 0xaa, 0xaa, 3, 0, 0, 0]);
        }
        let arrived = check(&stack, &format!("{frame:?}"), &bytes);
        *outcomes.entry((kind(&bytes), arrived)).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert!(outcomes[&("datagram", 1)] > 2000 && outcomes[&("too many tags", 1)] > 100, "{outcomes:?}");
}

/// A way around the filter that a review found: the header chain is cut between two extension headers, so that the first
/// fragment shows no port, but Linux reassembles the packet nevertheless.
#[test]
fn a_chain_split_over_two_fragments_does_not_arrive_unseen() {
    let stack = Stack::new();
    let split = |first_length: u16, headers: usize| {
        let mut whole =
            Frame::from("2001:db8::66", 40000).payload(payload::MONLIST).extension(fragment(0, true));
        for _ in 0..headers {
            whole = whole.extension(destination(0));
        }
        let whole = whole.build();
        let (fixed, chain) = whole.split_at(14 + 40 + 8);
        let (first, second) = chain.split_at(usize::from(first_length) - 8);
        let mut frames = [[fixed, first].concat(), [fixed, second].concat()];
        for (frame, (offset, more)) in frames.iter_mut().zip([(0, 1), (first_length - 8, 0)]) {
            let length = frame.len() as u16 - 54;
            frame[18..20].copy_from_slice(&length.to_be_bytes());
            frame[56..58].copy_from_slice(&(offset | more).to_be_bytes());
        }
        frames
    };
    for (first_length, headers) in [(16, 2), (24, 2), (16, 1), (24, 1), (32, 3)] {
        let frames = split(first_length, headers);
        let located = frames.each_ref().map(|frame| locate(frame.as_slice()));
        let arrived: usize = frames.iter().map(|frame| stack.delivered(frame)).sum();
        println!("cut after {first_length} bytes of {headers} headers: {located:?}, {arrived} arrived");
        assert_eq!(located[0], Located::Fragment, "the first fragment is dropped, and with it the datagram");
    }
}

/// Asserts that `locate` and the stack agree on a frame; returns the number of datagrams that arrived.
fn check(stack: &Stack, name: &str, frame: &[u8]) -> usize {
    let arrived = stack.delivered(frame);
    let located = locate(frame);
    match located {
        // Nothing that isn't located may arrive: it would have bypassed the filter.
        Located::NotNtp | Located::Truncated | Located::Fragment | Located::Malformed => {
            assert_eq!(arrived, 0, "{located:?}, yet it arrived: {name}");
        }
        // It may arrive: it passes unread, and is counted.
        Located::TooManyTags
        | Located::TooManyExtensions
        | Located::TooManySegments
        | Located::Encapsulated => (),
        // The stack may discard it for reasons that `locate` leaves to it (checksums, impossible sources, tags without a
        // VLAN device, authentication headers without a key, invalid options), which does no harm.
        Located::Datagram(_) => assert!(arrived <= 1, "{name}"),
    }
    arrived
}

fn kind(frame: &[u8]) -> &'static str {
    match locate(frame) {
        Located::NotNtp => "other",
        Located::Truncated => "truncated",
        Located::TooManyTags => "too many tags",
        Located::TooManyExtensions => "too many extension headers",
        Located::TooManySegments => "too many segments",
        Located::Encapsulated => "encapsulated",
        Located::Fragment => "fragment",
        Located::Malformed => "malformed",
        Located::Datagram(_) => "datagram",
    }
}
