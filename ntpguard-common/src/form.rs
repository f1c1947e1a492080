//! What a daemon discards by a packet's form alone, whoever sent it: mode, version, lengths, MAC.
//!
//! Contract: "discards" is certain. What a daemon may take, or answer with an error, isn't discarded here; nor is what
//! would need state to tell (an association, a key).

use crate::{Packet, Reason, abi::PolicyWord, wire::ntp::TIME_HEADER_LEN};

/// ntp.org's ntpd takes up to so many bytes at the end of a packet for a MAC, whatever they are (ntp.h:MAX_MAC_LEN).
const MAX_MAC_LEN: usize = 24;

/// Shorter packets are never counted by a limiter (NTPsec's ntp_proto.c:is_packet_not_low_rot).
const SHORTEST_COUNTED: usize = 12;

/// Extension fields that are followed. Behind more, a packet passes: Autokey (RFC 5906) has three at most.
pub const MAX_EXTENSION_FIELDS: usize = 8;

/// What follows a time packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// Nothing that authenticates.
    Nothing,
    /// What the daemon takes for a MAC.
    Mac,
    /// A crypto-NAK that answers nobody: the daemon discards it, unless its rate limiter comes first and sends a kiss.
    Nak,
    /// Extension fields that only the daemon can judge.
    Extensions,
    /// What the daemon discards.
    Bad,
}

/// The lowest UDP source port that the daemon takes.
#[inline(always)]
pub const fn lowest_source_port(word: PolicyWord) -> u16 {
    if word.has(PolicyWord::REFUSES_PORTS_BELOW_123) {
        123
    } else {
        word.has(PolicyWord::REFUSES_PORT_0) as u16
    }
}

/// Whether it is the request that nearly all clients send, which no daemon discards by its form: version 4, mode 3, a
/// header and nothing behind it. The leap indicator doesn't matter.
#[inline(always)]
pub const fn is_common_request(first_byte: u8, length: usize) -> bool {
    first_byte & 0x3f == 4 << 3 | 3 && length == TIME_HEADER_LEN
}

/// Why the daemon discards a time packet (modes 0 to 5) by the head of it, if it does.
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

/// Whether the daemon's limiter has counted a packet, of a source that may send its like, when the daemon discards it for its
/// form: its trailer, its MAC or a query's header.
///
/// NTPsec counts whatever has a length, a version and a mode that it knows (ntp_proto.c:receive: is_packet_not_low_rot, then
/// ntp_monitor, then parse_packet or process_control). ntp.org's limiter comes last; of what is discarded after it, 4.2.8 has
/// crypto-NAKs ([`Trailer::Nak`]).
#[inline(always)]
pub const fn is_counted(word: PolicyWord, first_byte: u8, length: usize) -> bool {
    let (version, mode) = (first_byte >> 3 & 7, first_byte & 7);
    if word.has(PolicyWord::LIMIT_COUNTS_DISCARDED) {
        // Of version 1 a bare header in mode 0 is a client's.
        let is_client = mode == 0 && version == 1 && length == TIME_HEADER_LEN;
        let is_control = mode == 6 && word.has(PolicyWord::LIMIT_COUNTS_CONTROL);
        let is_taken = is_control || matches!(mode, 1 | 3 | 4);
        length >= SHORTEST_COUNTED && matches!(version, 1..=4) && is_taken || is_client
    } else {
        let is_nak = is_nak(mode, length.wrapping_sub(TIME_HEADER_LEN));
        word.has(PolicyWord::DISCARDS_NAKS) && version != 0 && is_nak
    }
}

/// Whether a trailer of so many bytes is a crypto-NAK to 4.2.8, in a packet outside of an association
/// (ntp_proto.c:valid_NAK).
#[inline(always)]
const fn is_nak(mode: u8, rest: usize) -> bool {
    rest == 4 && matches!(mode, 0 | 3 | 5)
}

/// Whether it is a packet of symmetric mode 1 about which the daemon's releases differ: of version 1, a bare header is a
/// client's to all of them (NTPsec's ntp_proto.c:receive).
#[inline(always)]
pub const fn is_uncertain(word: PolicyWord, first_byte: u8, length: usize) -> bool {
    word.has(PolicyWord::MODE_1_VARIES)
        && first_byte & 7 == 1
        && !(first_byte >> 3 & 7 == 1 && length == TIME_HEADER_LEN)
}

/// What follows a time packet's header; `None` when a byte that matters lies past those at hand. `length` is at least
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
        // The daemon sees the beginning alone, and judges by that; how much depends on how it was built.
        Some(Trailer::Extensions)
    } else {
        walked_trailer(packet, payload + TIME_HEADER_LEN, rest)
    }
}

/// How many bytes of a datagram ntp.org's ntpd receives at least; the rest is cut off (recvbuff.h:RX_BUFF_SIZE, 2120
/// in builds with Autokey).
#[inline(always)]
const fn receive_buffer(word: PolicyWord) -> usize {
    if word.has(PolicyWord::RECEIVES_1200) { 1200 } else { 1000 }
}

/// NTPsec's ntp_proto.c:parse_packet: lengths are all that it looks at.
#[inline(always)]
const fn trailer_of_length(version: u8, rest: usize) -> Trailer {
    match rest {
        _ if version == 4 && rest > MAX_MAC_LEN => Trailer::Extensions,
        // A crypto-NAK (4) is refused by whatever key.
        20 | 24 if version >= 3 => Trailer::Mac,
        // The MACs of version 2 and of Microsoft's version 3 are cut off and not looked at.
        6 if version == 2 => Trailer::Nothing,
        72 if version == 3 => Trailer::Nothing,
        _ => Trailer::Bad,
    }
}

/// ntp.org's ntp_proto.c:receive: extension fields in packets of any version, until what is left may be a MAC.
#[inline(always)]
fn walked_trailer<P: Packet + ?Sized>(packet: &P, mut offset: usize, mut rest: usize) -> Option<Trailer> {
    if !rest.is_multiple_of(4) {
        // Fields are multiples of 4 long, so at the end it isn't one either.
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
