//! What a daemon discards because of a packet's form alone, whoever sent it: mode, version, lengths, MAC.
//!
//! Contract: whatever is reported as discarded here, the daemon certainly discards. What a daemon may accept or may
//! answer with an error isn't reported, nor is what depends on state (an association, a key).

use crate::{Packet, Reason, abi::PolicyWord, wire::ntp::TIME_HEADER_LEN};

/// ntp.org's ntpd takes up to this many bytes at the end of a packet for a MAC, whatever they are (ntp.h:MAX_MAC_LEN).
const MAX_MAC_LEN: usize = 24;

/// Shorter packets are never counted by a limiter (NTPsec's ntp_proto.c:is_packet_not_low_rot). In bytes.
const SHORTEST_COUNTED: usize = 12;

/// The number of extension fields that are followed. A packet with more of them passes: Autokey (RFC 5906) has at most
/// three.
pub const MAX_EXTENSION_FIELDS: usize = 8;

/// What follows a time packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// Nothing that could authenticate the packet.
    Nothing,
    /// What the daemon takes for a MAC.
    Mac,
    /// A crypto-NAK outside of an association: the daemon discards it, unless its rate limiter sends a kiss first.
    Nak,
    /// Extension fields that only the daemon can judge.
    Extensions,
    /// Something for which the daemon discards the packet.
    Bad,
}

/// The lowest UDP source port that the daemon accepts.
#[inline(always)]
pub const fn lowest_source_port(word: PolicyWord) -> u16 {
    if word.has(PolicyWord::REFUSES_PORTS_BELOW_123) {
        123
    } else {
        word.has(PolicyWord::REFUSES_PORT_0) as u16
    }
}

/// Whether it is the request that nearly all clients send: version 4, mode 3, a header and nothing after it. No daemon
/// discards it because of its form. The leap indicator doesn't matter.
#[inline(always)]
pub const fn is_common_request(first_byte: u8, length: usize) -> bool {
    first_byte & 0x3f == 4 << 3 | 3 && length == TIME_HEADER_LEN
}

/// The reason why the daemon discards a time packet (modes 0 to 5) by its first byte and its length, if it does.
///
/// ntp.org: ntp_proto.c:receive; NTPsec: ntp_proto.c:is_packet_not_low_rot, parse_packet.
#[inline(always)]
pub const fn discards_time(word: PolicyWord, first_byte: u8, length: usize) -> Option<Reason> {
    let (version, mode) = (first_byte >> 3 & 7, first_byte & 7);
    if length < TIME_HEADER_LEN || version == 0 || version > 4 && word.has(PolicyWord::VERSIONS_1_TO_4) {
        return Some(Reason::Malformed);
    }
    let taken = if word.has(PolicyWord::MODES_1_3_4) {
        0b1_1010 >> mode & 1 != 0 || (mode == 0 && version == 1 && length == TIME_HEADER_LEN)
    } else {
        mode != 0 || version == 1
    };
    if taken { None } else { Some(Reason::Mode) }
}

/// Whether the daemon's limiter has already counted a packet when the daemon discards it because of its form: its
/// trailer, its MAC or a query's header. The source is one that may send packets of this kind.
///
/// NTPsec counts whatever has an acceptable length, version and mode (ntp_proto.c:receive: is_packet_not_low_rot, then
/// ntp_monitor, then parse_packet or process_control). ntp.org's limiter comes last; what 4.2.8 discards after it are
/// crypto-NAKs ([`Trailer::Nak`]).
#[inline(always)]
pub const fn is_counted(word: PolicyWord, first_byte: u8, length: usize) -> bool {
    let (version, mode) = (first_byte >> 3 & 7, first_byte & 7);
    if word.has(PolicyWord::LIMIT_COUNTS_DISCARDED) {
        // A bare header of version 1 in mode 0 is a client's request.
        let is_client = mode == 0 && version == 1 && length == TIME_HEADER_LEN;
        let is_control = mode == 6 && word.has(PolicyWord::LIMIT_COUNTS_CONTROL);
        let is_taken = is_control || matches!(mode, 1 | 3 | 4);
        length >= SHORTEST_COUNTED && matches!(version, 1..=4) && is_taken || is_client
    } else {
        let is_nak = is_nak(mode, length.wrapping_sub(TIME_HEADER_LEN));
        word.has(PolicyWord::DISCARDS_NAKS) && version != 0 && is_nak
    }
}

/// Whether 4.2.8 takes a trailer of `rest` bytes for a crypto-NAK, in a packet outside of an association
/// (ntp_proto.c:valid_NAK).
#[inline(always)]
const fn is_nak(mode: u8, rest: usize) -> bool {
    rest == 4 && matches!(mode, 0 | 3 | 5)
}

/// Whether it is a packet of mode 1 (symmetric active) that the daemon's releases treat differently. All of them take a
/// bare header of version 1 for a client's request (NTPsec's ntp_proto.c:receive).
#[inline(always)]
pub const fn is_uncertain(word: PolicyWord, first_byte: u8, length: usize) -> bool {
    word.has(PolicyWord::MODE_1_VARIES)
        && first_byte & 7 == 1
        && !(first_byte >> 3 & 7 == 1 && length == TIME_HEADER_LEN)
}

/// What follows a time packet's header; `None` if a byte that matters lies past the bytes at hand. `length` is at least
/// that of the header.
#[inline(always)]
pub fn trailer<P: Packet + ?Sized>(
    packet: &P,
    word: PolicyWord,
    first_byte: u8,
    payload: usize,
    length: usize,
) -> Option<Trailer> {
    let rest = length - TIME_HEADER_LEN;
    if rest == 0 {
        Some(Trailer::Nothing)
    } else if word.has(PolicyWord::TRAILER_BY_LENGTH) {
        Some(trailer_of_length(first_byte >> 3 & 7, rest))
    } else if word.has(PolicyWord::DISCARDS_NAKS) && is_nak(first_byte & 7, rest) {
        Some(Trailer::Nak)
    } else if length > receive_buffer(word) {
        // The daemon sees only the beginning of the datagram and judges that; how much it sees depends on how it was
        // built.
        Some(Trailer::Extensions)
    } else {
        walked_trailer(packet, payload + TIME_HEADER_LEN, rest)
    }
}

/// The minimum number of bytes that ntp.org's ntpd receives of a datagram; it cuts off the rest
/// (recvbuff.h:RX_BUFF_SIZE, 2120 in builds with Autokey).
#[inline(always)]
const fn receive_buffer(word: PolicyWord) -> usize {
    if word.has(PolicyWord::RECEIVES_1200) { 1200 } else { 1000 }
}

/// The trailer as NTPsec's ntp_proto.c:parse_packet sees it, which looks only at lengths.
#[inline(always)]
const fn trailer_of_length(version: u8, rest: usize) -> Trailer {
    match rest {
        _ if version == 4 && rest > MAX_MAC_LEN => Trailer::Extensions,
        // A crypto-NAK (4 bytes) is bad: no key verifies it.
        20 | 24 if version >= 3 => Trailer::Mac,
        // The MACs of version 2 and of Microsoft's version 3 are cut off and ignored.
        6 if version == 2 => Trailer::Nothing,
        72 if version == 3 => Trailer::Nothing,
        _ => Trailer::Bad,
    }
}

/// The trailer as ntp.org's ntp_proto.c:receive sees it: in packets of any version, it walks the extension fields until
/// what is left may be a MAC.
#[inline(always)]
fn walked_trailer<P: Packet + ?Sized>(packet: &P, mut offset: usize, mut rest: usize) -> Option<Trailer> {
    if !rest.is_multiple_of(4) {
        // Field lengths are multiples of 4, so what is left after the last field won't be a multiple of 4 either.
        return Some(Trailer::Bad);
    }
    for _ in 0..MAX_EXTENSION_FIELDS {
        if rest <= MAX_MAC_LEN {
            break;
        }
        let [high, low]: [u8; 2] = *packet.load(offset + 2)?;
        let field = usize::from(u16::from_be_bytes([high, low]));
        if field < 4 || !field.is_multiple_of(4) || field > rest {
            return Some(Trailer::Bad);
        }
        offset += field;
        rest -= field;
    }
    Some(match rest {
        0 => Trailer::Nothing,
        _ if rest <= MAX_MAC_LEN => Trailer::Mac,
        _ => Trailer::Extensions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: PolicyWord = PolicyWord { flags: 0, generation: 0 };
    const NARROW: PolicyWord =
        PolicyWord { flags: PolicyWord::VERSIONS_1_TO_4 | PolicyWord::MODES_1_3_4, generation: 0 };

    #[test]
    fn modes_and_versions() {
        let head = |version: u8, mode: u8| version << 3 | mode;
        for version in 0..8 {
            for mode in 0..6 {
                let classic = discards_time(WIDE, head(version, mode), 48);
                assert_eq!(classic.is_none(), version > 0 && (mode > 0 || version == 1));
                let sec = discards_time(NARROW, head(version, mode), 48);
                let taken = [1, 3, 4].contains(&mode) || (mode, version) == (0, 1);
                assert_eq!(sec.is_none(), (1..5).contains(&version) && taken, "v{version} m{mode}");
            }
        }
        assert_eq!(discards_time(NARROW, head(1, 0), 68), Some(Reason::Mode));
        assert_eq!(discards_time(WIDE, head(4, 3), 47), Some(Reason::Malformed));
    }

    #[test]
    fn four_lengths_are_known() {
        let trailers = [(3, 20), (4, 4), (4, 24), (2, 6), (3, 72), (4, 29), (2, 20), (4, 8), (3, 28)]
            .map(|(version, rest)| trailer_of_length(version, rest));
        use Trailer::{Bad, Extensions, Mac, Nothing};
        assert_eq!(trailers, [Mac, Bad, Mac, Nothing, Nothing, Extensions, Bad, Bad, Bad]);
    }

    #[test]
    fn extension_fields_are_walked() {
        let walk = |fields: &[(u16, usize)], mac: usize| {
            let mut bytes = Vec::new();
            for &(length, real) in fields {
                bytes.extend([0, 0]);
                bytes.extend(length.to_be_bytes());
                bytes.resize(bytes.len() + real - 4, 0xaa);
            }
            bytes.resize(bytes.len() + mac, 0);
            walked_trailer(bytes.as_slice(), 0, bytes.len())
        };
        assert_eq!(walk(&[], 20), Some(Trailer::Mac));
        assert_eq!(walk(&[], 8), Some(Trailer::Mac));
        assert_eq!(walk(&[], 9), Some(Trailer::Bad));
        assert_eq!(walk(&[(28, 28)], 0), Some(Trailer::Nothing));
        assert_eq!(walk(&[(28, 28), (32, 32)], 24), Some(Trailer::Mac));
        assert_eq!(walk(&[(29, 28)], 0), Some(Trailer::Bad));
        assert_eq!(walk(&[(0, 28)], 0), Some(Trailer::Bad));
        assert_eq!(walk(&[(32, 28)], 0), Some(Trailer::Bad));
        assert_eq!(walk(&[(28, 28); MAX_EXTENSION_FIELDS], 0), Some(Trailer::Nothing));
        assert_eq!(walk(&[(28, 28); MAX_EXTENSION_FIELDS + 2], 0), Some(Trailer::Extensions));
    }

    #[test]
    fn what_the_daemon_cuts_off_is_its_own_to_judge() {
        let packet = [0; 1300];
        let judged =
            |flags, length| trailer(packet.as_slice(), PolicyWord { flags, generation: 0 }, 0x23, 0, length);
        assert_eq!(judged(0, 1000), Some(Trailer::Bad), "a field of length 0");
        assert_eq!(judged(0, 1001), Some(Trailer::Extensions));
        assert_eq!(judged(PolicyWord::RECEIVES_1200, 1200), Some(Trailer::Bad));
        assert_eq!(judged(PolicyWord::RECEIVES_1200, 1201), Some(Trailer::Extensions));
    }

    #[test]
    fn a_field_past_the_bytes_at_hand_is_not_judged() {
        assert_eq!(walked_trailer([0; 2].as_slice(), 0, 28), None);
    }
}
