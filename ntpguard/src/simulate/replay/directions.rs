//! Which addresses in a capture are the host's own, and so which frames the host itself sent.
//!
//! An ordinary capture (`tcpdump -i eth0 port 123`) has both directions, without marking which frame is which. The host that
//! it was taken on is one end of every conversation in it, and its daemon answers. So the few addresses that together take
//! part in all frames are its own; if two addresses take part in equally many frames, the one that answers is.

use crate::policy::network;
use ntpguard_common::{Source, wire::ntp::PORT};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

/// The maximum number of own addresses that take part in NTP; with more, the own addresses are taken as unknown.
const MOST: usize = 8;
/// One frame in this many may belong to others: multicast, or a neighbour's.
const STRANGERS: usize = 50;

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the host, or unknown.
    In,
    /// From the host to another one.
    Out,
    /// From the host to itself, so that no card sees it.
    Within,
}

/// The host's own addresses; empty if unknown.
#[derive(Clone, Debug, Default)]
pub struct Own(HashSet<IpAddr>);

impl Own {
    /// The host with these addresses.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// The addresses, sorted.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<_> = self.0.iter().copied().collect();
        addresses.sort_unstable();
        addresses
    }

    /// The direction of a frame. A frame between own addresses that has link-layer addresses did come over a wire: its
    /// source is forged.
    pub fn way(&self, frame: &[u8]) -> Way {
        let Some(Ends { from, to, .. }) = Ends::of(frame) else { return Way::In };
        let is_own = |address: &IpAddr| address.is_loopback() || self.0.contains(address);
        match (is_own(&from), is_own(&to)) {
            (true, false) => Way::Out,
            (true, true) if frame[..12].iter().all(|byte| *byte == 0) => Way::Within,
            _ => Way::In,
        }
    }
}

/// Finds the host's own addresses from the first frames of a capture.
#[derive(Default)]
pub struct Finder {
    /// How many frames each pair of addresses exchanged; the lower address comes first.
    pairs: HashMap<[IpAddr; 2], usize>,
    /// The addresses that answered from port 123.
    answering: HashSet<IpAddr>,
}

impl Finder {
    /// Adds a frame. Frames other than NTP's, and those on `lo`, are ignored.
    pub fn look(&mut self, frame: &[u8]) {
        let Some(Ends { from, to, answers }) = Ends::of(frame) else { return };
        if from.is_loopback() || to.is_loopback() {
            return;
        }
        if answers {
            self.answering.insert(from);
        }
        *self.pairs.entry(if from < to { [from, to] } else { [to, from] }).or_default() += 1;
    }

    /// The addresses that together take part in all frames (but one in 50); none if that takes too many.
    pub fn find(mut self) -> Own {
        let all: usize = self.pairs.values().sum();
        let mut own = HashSet::new();
        while self.pairs.values().sum::<usize>() > all / STRANGERS {
            let mut parts: HashMap<IpAddr, usize> = HashMap::new();
            for (pair, count) in &self.pairs {
                pair.iter().for_each(|address| *parts.entry(*address).or_default() += count);
            }
            let rank = |address: &IpAddr| (parts[address], self.answering.contains(address), *address);
            let Some(first) = parts.keys().copied().max_by_key(rank) else { break };
            if own.len() == MOST {
                return Own::default();
            }
            own.insert(first);
            self.pairs.retain(|pair, _| !pair.contains(&first));
        }
        Own(own)
    }
}

/// The addresses of a UDP datagram of NTP.
struct Ends {
    from: IpAddr,
    to: IpAddr,
    /// Whether it is from port 123 and in a mode of answers: 2, 4, or 6 and 7 with the response bit.
    answers: bool,
}

impl Ends {
    /// `None` for anything but UDP from or to port 123 directly after an IP header, with or without VLAN tags.
    fn of(frame: &[u8]) -> Option<Self> {
        let mut network = 14;
        while matches!(frame.get(network - 2..network)?, [0x81, 0x00] | [0x88, 0xa8]) {
            network += 4;
        }
        let packet = frame.get(network..)?;
        let v4 = |at: usize| Some(Source::of_v4(packet.get(at..at + 4)?.try_into().ok()?));
        let v6 = |at: usize| Some(Source::of_v6(packet.get(at..at + 16)?.try_into().ok()?));
        let (protocol, from, to, transport) = match frame.get(network - 2..network)? {
            [0x08, 0x00] => (*packet.get(9)?, v4(12)?, v4(16)?, usize::from(packet.first()? & 0xf) * 4),
            [0x86, 0xdd] => (*packet.get(6)?, v6(8)?, v6(24)?, 40),
            _ => return None,
        };
        let udp = packet.get(transport..)?;
        let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
        let (source_port, port) = (port(0)?, port(2)?);
        if protocol != 17 || source_port != PORT && port != PORT {
            return None;
        }
        let (first, second) = (udp.get(8).copied().unwrap_or(0), udp.get(9).copied().unwrap_or(0));
        let responds = match first & 7 {
            2 | 4 => true,
            6 => second & 0x80 != 0,
            7 => first & 0x80 != 0,
            _ => false,
        };
        let [from, to] = [from, to].map(|address| network::address(&address));
        Some(Self { from, to, answers: source_port == PORT && responds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that came over a wire.
    fn frame(from: [u8; 4], to: [u8; 4], ports: [u16; 2], first: u8) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 76, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([from, to].concat());
        frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        frame.extend([0, 56, 0, 0, first]);
        frame.resize(90, 0);
        frame
    }

    const HOST: [u8; 4] = [192, 0, 2, 1];

    fn own(frames: &[Vec<u8>]) -> Vec<String> {
        let mut finder = Finder::default();
        frames.iter().for_each(|frame| finder.look(frame));
        finder.find().addresses().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_one_that_has_a_part_in_all_is_the_host() {
        let mut frames = Vec::new();
        for last in 1..=4 {
            let server = [198, 51, 100, last];
            frames.push(frame(HOST, server, [123, 123], 0x23));
            frames.push(frame(server, HOST, [123, 123], 0x24));
        }
        for last in 1..=40 {
            let client = [203, 0, 113, last];
            frames.push(frame(client, HOST, [40_000, 123], 0x23));
            frames.push(frame(HOST, client, [123, 40_000], 0x24));
        }
        assert_eq!(own(&frames), ["192.0.2.1"]);
        let own = Own::of([HOST.into()]);
        assert_eq!(own.way(&frames[0]), Way::Out);
        assert_eq!(own.way(&frames[1]), Way::In);
        // A second address of the host.
        let other = [192, 0, 2, 9];
        frames.extend((1..=9).map(|last| frame([203, 0, 113, last], other, [40_000, 123], 0x17)));
        assert_eq!(self::own(&frames), ["192.0.2.1", "192.0.2.9"]);
    }

    #[test]
    fn of_two_that_speak_with_nobody_else_the_one_that_answers_is_the_host() {
        for [client, server] in [[[10, 0, 0, 1], [10, 0, 0, 9]], [[10, 0, 0, 9], [10, 0, 0, 1]]] {
            let frames =
                [frame(client, server, [40_000, 123], 0x23), frame(server, client, [123, 40_000], 0x24)];
            assert_eq!(own(&frames), [IpAddr::from(server).to_string()]);
        }
    }

    #[test]
    fn a_capture_of_a_whole_network_has_no_host() {
        let frames: Vec<_> =
            (0..100).map(|pair| frame([10, 0, 0, pair], [10, 0, 1, pair], [40_000, 123], 0x23)).collect();
        assert_eq!(own(&frames), [""; 0]);
    }

    #[test]
    fn loopback_passes_no_card_and_a_made_up_source_does() {
        let own = Own::of([HOST.into()]);
        let mut looped = frame([127, 0, 0, 1], [127, 0, 0, 1], [40_000, 123], 0x16);
        assert_eq!(own.way(&looped), Way::In, "it has link-layer addresses");
        looped[..12].fill(0);
        assert_eq!(own.way(&looped), Way::Within);
        assert_eq!(own.way(&frame(HOST, HOST, [123, 123], 0x23)), Way::In);
        assert_eq!(own.way(&[0; 20]), Way::In);
    }
}
