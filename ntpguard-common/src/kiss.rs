//! The kiss-o'-death "RATE" (RFC 5905 §7.4): a request is turned, in place, into the answer that the daemon would give.
//!
//! Contract: only a request that the network stack would accept gets a kiss, so the IP and UDP checksums are verified
//! first. The answer is as long as the request, and each of its bytes comes from the request or is set by ntpguard.

use crate::{
    abi::{Limits, PolicyWord},
    packet::{PacketMut, Wire},
    wire::ntp::TIME_HEADER_LEN,
};
use network_types::{
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// The hop limit (IPv4: time to live) of the answer.
const HOPS: u8 = 64;

/// Turns a request's frame into that of its kiss. Returns `false` and changes nothing if the frame isn't a bare,
/// unicast request with correct lengths and checksums. `network` and `payload` are the offsets of the IP header and the
/// UDP payload. VLAN tags are kept.
#[inline(always)]
pub fn turn<P: PacketMut + ?Sized, S: Sums>(
    frame: &mut P,
    [network, payload]: [usize; 2],
    is_v6: bool,
    word: PolicyWord,
    limits: &Limits,
    sums: &S,
) -> bool {
    let headers = UdpHdr::LEN + if is_v6 { Ipv6Hdr::LEN } else { Ipv4Hdr::LEN };
    let Some([to, .., from, _, _, _, _, _]) = frame.load::<[u8; 12]>(0).map(|macs| *macs) else {
        return false;
    };
    // Not answered: a packet with IP options or extension headers, and a frame to or from a multicast or broadcast MAC
    // address.
    if network + headers != payload || (to | from) & 1 != 0 {
        return false;
    }
    let turned = if is_v6 {
        frame.at::<OverV6>(network).is_some_and(|packet| packet.kiss(word, limits, sums))
    } else {
        frame.at::<OverV4>(network).is_some_and(|packet| packet.kiss(word, limits, sums))
    };
    if turned && let Some(macs) = frame.at::<[u8; 12]>(0) {
        // Read only now: in the kernel these bytes would otherwise occupy the small BPF stack while the checksums are
        // computed.
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *macs;
        *macs = [g, h, i, j, k, l, a, b, c, d, e, f];
    }
    turned
}

/// A time packet's header (RFC 5905 §7.3).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Time {
    /// Leap indicator, version, mode.
    first: u8,
    stratum: u8,
    poll: u8,
    /// Precision, root delay, root dispersion.
    root: [u8; 9],
    refid: [u8; 4],
    reference: [u8; 8],
    origin: [u8; 8],
    receive: [u8; 8],
    transmit: [u8; 8],
}

/// A time packet that is only a header, over IPv4 without IP options.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct OverV4 {
    ip: Ipv4Hdr,
    udp: UdpHdr,
    time: Time,
}

/// A time packet that is only a header, over IPv6 without extension headers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct OverV6 {
    ip: Ipv6Hdr,
    udp: UdpHdr,
    time: Time,
}

const _: () = assert!(size_of::<Time>() == TIME_HEADER_LEN && align_of::<Time>() == 1);
const _: () = assert!(size_of::<OverV4>() == 76 && align_of::<OverV4>() == 1);
const _: () = assert!(size_of::<OverV6>() == 96 && align_of::<OverV6>() == 1);

// SAFETY: `#[repr(C)]`, and all fields are bytes or headers made of bytes, without padding.
unsafe impl Wire for OverV4 {}
// SAFETY: as above.
unsafe impl Wire for OverV6 {}

/// Sums up the 16-bit words of a header (RFC 1071) in the machine's byte order, which doesn't affect the checksum. The
/// kernel has a helper for this; a loop would need bounds that the verifier can check.
pub trait Sums {
    /// The sum; carries may or may not be folded in. T has an even number of bytes and no padding.
    fn of<T>(&self, header: &T) -> u64;
}

/// An IP packet that can be answered.
trait Request {
    /// Turns the request into its kiss. Returns `false` and changes nothing if a length or checksum is wrong.
    fn kiss<S: Sums>(&mut self, word: PolicyWord, limits: &Limits, sums: &S) -> bool;
}

impl Request for OverV4 {
    #[inline(always)]
    fn kiss<S: Sums>(&mut self, word: PolicyWord, limits: &Limits, sums: &S) -> bool {
        let Self { ip, udp, time } = self;
        let length = (UdpHdr::LEN + TIME_HEADER_LEN) as u16;
        let plain = ip.ihl() as usize == Ipv4Hdr::LEN && ip.tot_len() as usize == size_of::<OverV4>();
        // The destination is multicast or broadcast, so it is no host's own address.
        if !plain || ip.dst_addr[0] >= 224 || udp.len() != length || folded(sums.of(ip)) != 0xffff {
            return false;
        }
        let pseudo = sums.of(&ip.src_addr) + sums.of(&ip.dst_addr) + fixed(length);
        // A checksum of 0 means that the sender computed none (RFC 768).
        if udp.check != [0; 2] && !intact(pseudo, udp, time, sums) {
            return false;
        }
        time.kiss(word, limits);
        (ip.src_addr, ip.dst_addr) = (ip.dst_addr, ip.src_addr);
        ip.ttl = HOPS;
        ip.check = [0; 2];
        ip.check = (!folded(sums.of(ip))).to_ne_bytes();
        answer(pseudo, udp, time, sums);
        true
    }
}

impl Request for OverV6 {
    #[inline(always)]
    fn kiss<S: Sums>(&mut self, word: PolicyWord, limits: &Limits, sums: &S) -> bool {
        let Self { ip, udp, time } = self;
        let length = (UdpHdr::LEN + TIME_HEADER_LEN) as u16;
        let plain = ip.next_hdr == IpProto::Udp as u8 && ip.payload_len() == length;
        if !plain || ip.dst_addr[0] == 0xff || udp.len() != length {
            return false;
        }
        let pseudo = sums.of(&ip.src_addr) + sums.of(&ip.dst_addr) + fixed(length);
        if udp.check == [0; 2] || !intact(pseudo, udp, time, sums) {
            return false;
        }
        time.kiss(word, limits);
        (ip.src_addr, ip.dst_addr) = (ip.dst_addr, ip.src_addr);
        ip.hop_limit = HOPS;
        answer(pseudo, udp, time, sums);
        true
    }
}

impl Time {
    /// Follows ntp_proto.c:fast_xmit with a restriction mask that has RES_KOD.
    #[inline(always)]
    fn kiss(&mut self, word: PolicyWord, limits: &Limits) {
        let (version, mode) = (self.first & 0x38, self.first & 7);
        // Where all kisses have mode 4, the only mode 1 packets that get one are a client's of version 1 (NTPsec's
        // ntp_proto.c:receive).
        let answers_client = matches!(mode, 0 | 3) || word.has(PolicyWord::KISSES_IN_MODE_4);
        let mode = if answers_client { 4 } else { 1 };
        self.first = 3 << 6 | version | mode;
        self.stratum = 0;
        if u32::from(self.poll) < limits.poll {
            self.poll = limits.poll as u8;
        }
        self.refid = *b"RATE";
        self.origin = self.transmit;
        self.receive = self.transmit;
    }
}

/// The sum of the pseudo header's fields that aren't addresses (RFC 768, RFC 8200 §8.1).
#[inline(always)]
fn fixed(length: u16) -> u64 {
    u64::from((IpProto::Udp as u16).to_be()) + u64::from(length.to_be())
}

/// Whether the UDP checksum is correct.
#[inline(always)]
fn intact<S: Sums>(pseudo: u64, udp: &UdpHdr, time: &Time, sums: &S) -> bool {
    folded(pseudo + sums.of(udp) + sums.of(time)) == 0xffff
}

/// Swaps the ports and recomputes the checksum. The sum of the addresses doesn't change when they are swapped.
#[inline(always)]
fn answer<S: Sums>(pseudo: u64, udp: &mut UdpHdr, time: &Time, sums: &S) {
    (udp.src, udp.dst) = (udp.dst, udp.src);
    udp.check = [0; 2];
    let check = !folded(pseudo + sums.of(udp) + sums.of(time));
    // A checksum of 0 would mean that none was computed.
    udp.check = if check == 0 { [0xff; 2] } else { check.to_ne_bytes() };
}

/// Folds the carries into 16 bits.
#[inline(always)]
const fn folded(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
