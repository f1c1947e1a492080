//! A stand-in for ntpd 4.2.6p5, which no distribution ships any more: it answers monlist as that daemon does.
//!
//! Contract: number, order, lengths and headers of the packets are those of 4.2.6p5, and so is the layout of the items
//! (`struct info_monitor_1` of its ntp_request.h). A client's time request is answered; nothing else is. The stand-in has
//! no `restrict` lines, and remembers only IPv4 addresses.

pub mod serve;

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Number of clients that 4.2.6p5 remembers.
pub const MOST_CLIENTS: usize = 600;
/// Length of an item in bytes, and number of items that fit into the 500 bytes of data that a packet may have.
const ITEM: usize = 72;
const ITEMS: usize = 500 / ITEM;
/// Length of the header before the items, in bytes.
const HEADER: usize = 8;

/// Bits in the first byte of a mode 7 header.
const RESPONSE: u8 = 0x80;
const MORE: u8 = 0x40;

/// Bytes of UDP payload in the answer to a monlist request when this many clients are remembered.
pub fn reply_bytes(clients: usize) -> usize {
    clients.div_ceil(ITEMS) * HEADER + clients * ITEM
}

/// The daemon's state: its address, and its clients, the most recent one first.
pub struct StandIn {
    own: Ipv4Addr,
    clients: VecDeque<Client>,
}

#[derive(Clone)]
struct Client {
    address: Ipv4Addr,
    port: u16,
    mode: u8,
    version: u8,
    packets: u32,
    first: Instant,
    last: Instant,
}

impl StandIn {
    /// A daemon with this address that remembers `clients` different clients.
    pub fn new(own: Ipv4Addr, clients: usize) -> Self {
        let now = Instant::now();
        // 198.18.0.0/15 is reserved for tests (RFC 2544).
        let address = |number| Ipv4Addr::from(0xc612_0000 + number as u32);
        let client = |number| Client {
            address: address(number),
            port: 123,
            mode: 3,
            version: 4,
            packets: 1,
            first: now,
            last: now,
        };
        Self { own, clients: (1..=clients.min(MOST_CLIENTS)).map(client).collect() }
    }

    /// Handles a datagram and returns the answer: no packet, one, or many.
    pub fn receive(&mut self, from: SocketAddrV4, request: &[u8]) -> Vec<Vec<u8>> {
        let Some(&head) = request.first() else { return Vec::new() };
        self.remember(from, head);
        match head & 7 {
            7 if is_monlist(request) => self.monlist(head >> 3 & 7),
            3 if request.len() >= 48 => vec![time(request)],
            _ => Vec::new(),
        }
    }

    fn remember(&mut self, from: SocketAddrV4, head: u8) {
        let now = Instant::now();
        let known = self.clients.iter().position(|client| client.address == *from.ip());
        let known = known.and_then(|at| self.clients.remove(at));
        let (packets, first) = known.map_or((0, now), |client| (client.packets, client.first));
        self.clients.push_front(Client {
            address: *from.ip(),
            port: from.port(),
            mode: head & 7,
            version: head >> 3 & 7,
            packets: packets + 1,
            first,
            last: now,
        });
        self.clients.truncate(MOST_CLIENTS);
    }

    fn monlist(&self, version: u8) -> Vec<Vec<u8>> {
        let clients: Vec<_> = self.clients.iter().collect();
        let packets = clients.chunks(ITEMS);
        let last = packets.len() - 1;
        packets.enumerate().map(|(number, clients)| self.packet(version, number, last, clients)).collect()
    }

    fn packet(&self, version: u8, number: usize, last: usize, clients: &[&Client]) -> Vec<u8> {
        let more = if number == last { 0 } else { MORE };
        let mut bytes = vec![RESPONSE | more | version << 3 | 7, number as u8, 3, 42];
        bytes.extend((clients.len() as u16).to_be_bytes()); // the upper four bits are the error code: 0
        bytes.extend((ITEM as u16).to_be_bytes());
        clients.iter().for_each(|client| self.item(client, &mut bytes));
        bytes
    }

    fn item(&self, client: &Client, bytes: &mut Vec<u8>) {
        let known = client.last.duration_since(client.first).as_secs() as u32;
        let average = known / client.packets;
        let (restrictions, unicast) = (0, 1);
        for word in [average, client.last.elapsed().as_secs() as u32, restrictions, client.packets] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(client.address.octets());
        bytes.extend(self.own.octets());
        bytes.extend(u32::to_be_bytes(unicast));
        bytes.extend(client.port.to_be_bytes());
        bytes.extend([client.mode, client.version]);
        // The item isn't for IPv6, so the space for two IPv6 addresses is zero.
        bytes.extend([0; 40]);
    }
}

/// Whether this is request 42 (MON_GETLIST_1) of implementation 3 (XNTPD), in a form that the daemon accepts: not a
/// response, no more packets, version 1 to 4, and no MAC, sequence number, error or items.
fn is_monlist(request: &[u8]) -> bool {
    let [head, sequence, 3, 42, rest @ ..] = request else { return false };
    head & (RESPONSE | MORE) == 0
        && (1..=4).contains(&(head >> 3 & 7))
        && *sequence == 0
        && rest.get(..4) == Some(&[0; 4])
}

fn time(request: &[u8]) -> Vec<u8> {
    /// Seconds from 1900, the epoch of NTP, to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = (now.as_secs() + EPOCH) as u32;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let now = [seconds.to_be_bytes(), (fraction as u32).to_be_bytes()].concat();
    let mut bytes = vec![0; 48];
    bytes[0] = request[0] & 0x38 | 4;
    (bytes[1], bytes[2], bytes[3]) = (1, request[2], 0xec);
    bytes[12..16].copy_from_slice(b"LOCL");
    bytes[16..24].copy_from_slice(&now);
    bytes[24..32].copy_from_slice(&request[40..48]);
    bytes[32..40].copy_from_slice(&now);
    bytes[40..48].copy_from_slice(&now);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::payload::{MONLIST, READVAR, time};
    use serde_json::Value;

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const VICTIM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80);

    /// Measured on 4.2.6p5: the numbers of clients, packets and bytes in the answer to one request.
    #[test]
    fn replies_are_as_large_as_those_of_the_daemon() {
        for (clients, packets, bytes) in [(1, 1, 80), (491, 82, 36_008), (600, 100, 44_000)] {
            // The client that sends the request is among them.
            let reply = StandIn::new(OWN, clients - 1).receive(VICTIM, MONLIST);
            assert_eq!(reply.len(), packets, "{clients} clients");
            assert_eq!(reply.iter().map(Vec::len).sum::<usize>(), bytes, "{clients} clients");
            assert_eq!(reply_bytes(clients), bytes);
        }
    }

    /// Compares with vectors recorded on a 4.2.6p5 that had no clients before.
    #[test]
    fn what_the_daemon_answered_is_answered_alike() {
        let vectors = include_str!("../../vectors/restrict-vectors.jsonl").lines();
        let mut compared = 0;
        for vector in vectors.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let text = |key: &str| vector[key].as_str().unwrap_or_default();
            // The stand-in reads no ntp.conf, and accepts monlist only in this form.
            if !text("conf").is_empty() || text("payload_hex") != "1700032a00000000" {
                continue;
            }
            let from =
                SocketAddrV4::new(text("src").parse().unwrap(), vector["sport"].as_u64().unwrap() as u16);
            let reply = StandIn::new(OWN, 0).receive(from, MONLIST);
            assert_eq!(vector["observed"]["ntp426"], format!("reply:{}", reply.concat().len()), "{vector}");
            compared += 1;
        }
        assert!(compared > 0);
    }

    #[test]
    fn packets_are_numbered_and_the_last_one_is_shorter() {
        let reply = StandIn::new(OWN, 595).receive(VICTIM, MONLIST);
        assert_eq!(reply.len(), 100);
        for (number, packet) in reply[..99].iter().enumerate() {
            assert_eq!(packet[..8], [0xd7, number as u8, 3, 42, 0, 6, 0, 72]);
            assert_eq!(packet.len(), 440);
        }
        assert_eq!(reply[99][..8], [0x97, 99, 3, 42, 0, 2, 0, 72]);
        assert_eq!(reply[99].len(), 8 + 2 * 72);
    }

    #[test]
    fn an_item_has_the_daemons_layout() {
        let mut daemon = StandIn::new(OWN, 0);
        daemon.receive(VICTIM, READVAR);
        let reply = daemon.receive(VICTIM, MONLIST);
        let item = &reply[0][8..];
        assert_eq!(item[12..16], [0, 0, 0, 2], "packets");
        assert_eq!(item[16..20], [203, 0, 113, 80], "who");
        assert_eq!(item[20..24], OWN.octets(), "to which address");
        assert_eq!(item[28..32], [0, 80, 7, 2], "port, mode, version");
    }

    #[test]
    fn who_came_last_stands_first_and_the_oldest_are_forgotten() {
        let mut daemon = StandIn::new(OWN, MOST_CLIENTS);
        daemon.receive(VICTIM, &time(3, 4));
        let other = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 3), 123);
        let reply = daemon.receive(other, MONLIST).concat();
        assert_eq!(reply.len(), 44_000);
        assert_eq!(reply[8 + 16..8 + 20], other.ip().octets());
        assert_eq!(reply[8 + ITEM + 16..8 + ITEM + 20], VICTIM.ip().octets());
    }

    #[test]
    fn nothing_else_is_answered_but_time() {
        let mut daemon = StandIn::new(OWN, 5);
        let request = time(3, 4);
        let reply = daemon.receive(VICTIM, &request);
        assert_eq!((reply.len(), reply[0].len(), reply[0][0]), (1, 48, 0x24));
        assert_eq!(reply[0][24..32], request[40..48], "the request's timestamp");
        for request in [&[][..], &request[..47], &MONLIST[..7], READVAR, &reply[0]] {
            assert!(daemon.receive(VICTIM, request).is_empty(), "{request:x?}");
        }
        for (at, value) in
            [(0, 0x97), (0, 0x57), (0, 0x07), (0, 0x2f), (1, 0x80), (2, 9), (3, 43), (5, 1), (7, 72)]
        {
            let mut request = MONLIST.to_vec();
            request[at] = value;
            assert!(daemon.receive(VICTIM, &request).is_empty(), "{request:x?}");
        }
    }
}
