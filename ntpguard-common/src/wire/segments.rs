//! Several datagrams in one frame: what a neighbour on the same host sends with UDP segmentation offload (udp(7):
//! UDP_SEGMENT), or what the network stack has merged (GRO). They share one IP and one UDP header. The stack cuts the
//! payload into segments of equal size, of which the last may be shorter, and delivers each to the socket
//! (net/ipv4/udp_offload.c:__udp_gso_segment).

use super::{Datagram, Located, ntp::Mode};
use crate::packet::Packet;

/// The number of segments examined. Linux sends 64 in one frame, and 128 since 6.9
/// (include/linux/udp.h:UDP_MAX_SEGMENTS); a guest may claim any number.
pub const MAX_SEGMENTS: usize = 64;

/// The segment by whose verdict the whole frame is judged: the first query of mode 7, since a source that may send that
/// may also send mode 6; otherwise the first query of mode 6; otherwise the first segment. `size` is a segment's length
/// in bytes; 0 means that the frame is one datagram.
///
/// Segments beyond [`MAX_SEGMENTS`] aren't examined. If `hardened`, a frame that has any isn't judged by the others,
/// since a permitted query among those would let all of them pass. Otherwise the segments examined decide, if there is
/// a query among them.
#[inline(always)]
pub fn representative<P: Packet + ?Sized>(
    packet: &P,
    datagram: Datagram,
    size: usize,
    hardened: bool,
) -> Located {
    let Datagram { payload, length, .. } = datagram;
    if size == 0 || length <= size {
        return Located::Datagram(datagram);
    }
    let beyond = MAX_SEGMENTS * size;
    // A length that the headers leave open may be longer than the frame.
    if hardened && length > beyond && packet.load::<[u8; 1]>(payload + beyond).is_some() {
        return Located::TooManySegments;
    }
    let end = payload + length;
    // The offset of the first segment of mode 6; 0 if there is none. Updated without a branch: the verifier would check
    // the rest of the loop for each outcome.
    let (mut at, mut control) = (payload, 0);
    for _ in 0..MAX_SEGMENTS {
        if at >= end {
            break;
        }
        let Some(first) = packet.load::<[u8; 1]>(at).map(|first| first[0]) else {
            if at == payload {
                return Located::Truncated;
            }
            // The headers leave the length open (a payload length of 0 in IPv6), and the frame ends here.
            at = end;
            break;
        };
        if Mode::of(first) == Mode::Private {
            return Located::Datagram(segment(datagram, at, size));
        }
        let is_first = is_zero(u64::from(first & 7 ^ CONTROL)) & is_zero(control);
        control |= at as u64 & 0_u64.wrapping_sub(is_first);
        at += size;
    }
    match control as usize {
        0 if at < end => Located::TooManySegments,
        0 => Located::Datagram(segment(datagram, payload, size)),
        control => Located::Datagram(segment(datagram, control, size)),
    }
}

/// Mode 6.
const CONTROL: u8 = 6;

/// 1 for 0, else 0, for numbers below 2^63; computed without a branch.
#[inline(always)]
const fn is_zero(number: u64) -> u64 {
    number.wrapping_sub(1) >> 63
}

/// The segment that begins at this offset from the frame's start.
#[inline(always)]
const fn segment(datagram: Datagram, at: usize, size: usize) -> Datagram {
    let rest = datagram.payload + datagram.length - at;
    Datagram { payload: at, length: if rest < size { rest } else { size }, ..datagram }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges segments of this size, put together as a payload at offset 42, with hardening.
    fn judged(segments: &[&[u8]], size: usize) -> Located {
        of(segments, size, true)
    }

    fn of(segments: &[&[u8]], size: usize, hardened: bool) -> Located {
        let frame = [&[0; 42], segments.concat().as_slice()].concat();
        let length = frame.len() - 42;
        let datagram =
            Datagram { is_v6: false, network: 14, transport: 34, payload: 42, length, end: frame.len() };
        representative(frame.as_slice(), datagram, size, hardened)
    }

    fn at(located: Located) -> (usize, usize) {
        let Located::Datagram(Datagram { payload, length, transport: 34, .. }) = located else {
            panic!("{located:?}")
        };
        (payload, length)
    }

    const TIME: [u8; 8] = [0x23, 0, 0, 0, 0, 0, 0, 0];
    const CONTROL: [u8; 8] = [0x16, 2, 0, 1, 0, 0, 0, 0];
    const PRIVATE: [u8; 8] = [0x17, 0, 3, 42, 0, 0, 0, 0];

    #[test]
    fn a_query_stands_for_all_wherever_it_is() {
        assert_eq!(at(judged(&[&TIME, &TIME], 8)), (42, 8));
        assert_eq!(at(judged(&[&TIME, &CONTROL], 8)), (50, 8));
        assert_eq!(at(judged(&[&TIME, &CONTROL, &TIME, &PRIVATE[..4]], 8)), (66, 4), "mode 7 before mode 6");
        assert_eq!(at(judged(&[&CONTROL, &CONTROL], 8)), (42, 8), "the first of its kind");
        let mut many = vec![TIME.as_slice(); MAX_SEGMENTS];
        *many.last_mut().unwrap() = &PRIVATE;
        assert_eq!(at(judged(&many, 8)), (42 + 63 * 8, 8));
    }

    #[test]
    fn a_length_that_is_left_open_ends_with_the_frame() {
        for (segments, begins) in [([&TIME, &CONTROL], 50), ([&TIME, &TIME], 42), ([&CONTROL, &CONTROL], 42)]
        {
            let frame = [&[0; 42], segments.map(|segment| segment.as_slice()).concat().as_slice()].concat();
            let (payload, length, end) = (42, 1 << 20, 42 + (1 << 20));
            let datagram = Datagram { is_v6: true, network: 14, transport: 34, payload, length, end };
            let located = representative(frame.as_slice(), datagram, 8, true);
            assert_eq!(at(located).0, begins);
        }
        let datagram =
            Datagram { is_v6: true, network: 14, transport: 34, payload: 42, length: 1 << 20, end: 1 << 20 };
        assert_eq!(representative([0; 42].as_slice(), datagram, 8, true), Located::Truncated);
    }

    #[test]
    fn one_datagram_stays_as_it_is() {
        for size in [0, 16, 17] {
            assert_eq!(at(judged(&[&TIME, &PRIVATE], size)), (42, 16));
        }
    }

    #[test]
    fn more_than_are_looked_at_are_not_vouched_for() {
        let many = vec![TIME.as_slice(); MAX_SEGMENTS + 1];
        assert_eq!(judged(&many, 8), Located::TooManySegments);
        // A query among the segments examined doesn't let the others pass.
        for query in [&CONTROL, &PRIVATE] {
            for at in [0, 1, MAX_SEGMENTS - 1] {
                let mut many = many.clone();
                many[at] = query;
                assert_eq!(judged(&many, 8), Located::TooManySegments, "{at}");
                assert_eq!(
                    self::at(of(&many, 8, false)),
                    (42 + 8 * at, 8),
                    "without hardening it refuses what it may"
                );
            }
        }
        assert_eq!(of(&many, 8, false), Located::TooManySegments);
        let one_byte = judged(&[&[0x23; 128]], 1);
        assert_eq!(one_byte, Located::TooManySegments);
        assert_eq!(at(judged(&[&[&[0x23; 63][..], &[0x17]].concat()], 1)), (42 + 63, 1));
    }
}
