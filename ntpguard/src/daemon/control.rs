//! Messages of mode 6 (RFC 9327 §2): questions as they are sent, and answers put together from their fragments.
//!
//! Contract: any bytes may be given to an answer. It holds at most [`LARGEST`] bytes in [`MOST_FRAGMENTS`], and it is whole
//! only when each of its bytes has arrived exactly once.

use ntpguard_common::wire::ntp::CONTROL_HEADER_LEN;
use std::collections::BTreeMap;

/// Opcodes (RFC 9327 §2): the list of associations, and the variables of one.
pub(super) const READSTAT: u8 = 1;
pub(super) const READVAR: u8 = 2;
/// The error code for an association that doesn't exist (RFC 9327 §3.4).
pub(super) const UNKNOWN_ASSOCIATION: u8 = 4;

/// The largest answer: offsets have 16 bits.
const LARGEST: usize = 64 << 10;
/// The largest answer takes 141 fragments of 468 bytes, as daemons send them.
const MOST_FRAGMENTS: usize = 1024;
/// Bits of the second octet: response, error, more fragments follow; the rest is the opcode.
const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x40;
const MORE: u8 = 0x20;
const OPCODE: u8 = 0x1f;
const MODE: u8 = 6;

/// What identifies a question; its answer repeats all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) version: u8,
    pub(super) opcode: u8,
    pub(super) sequence: u16,
    /// The association that it is about; 0 is the daemon itself.
    pub(super) association: u16,
}

impl Question {
    /// The datagram with this data, padded to 32 bits, as daemons demand it.
    pub(super) fn datagram(self, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![self.version << 3 | MODE, self.opcode];
        // After the sequence number come the status and, before the count, the offset: both 0 in questions.
        for word in [self.sequence, 0, self.association, 0, data.len() as u16] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

/// What is wrong with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// How far an answer is after a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The datagram has another sequence number.
    Unrelated,
    /// Fragments are missing.
    Partial,
    /// All of the answer's data.
    Whole(Vec<u8>),
    /// The daemon refuses, with this error code (RFC 9327 §3.4).
    Refused(u8),
}

/// The answer to one question, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    /// The data of each fragment by its offset; they don't overlap.
    fragments: BTreeMap<usize, Vec<u8>>,
    /// The sum of their lengths.
    length: usize,
    /// Where the last fragment ends, once it is there.
    end: Option<usize>,
}

impl Answer {
    /// The answer of which nothing has arrived.
    pub(super) fn to(question: Question) -> Self {
        Self { question, fragments: BTreeMap::new(), length: 0, end: None }
    }

    /// Takes in a datagram. One that is malformed changes nothing.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Result<Progress, Malformed> {
        let Some((header, rest)) = datagram.split_first_chunk::<CONTROL_HEADER_LEN>() else {
            return Err(Malformed("a datagram that is shorter than a header"));
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let [first, second, ..] = *header;
        if first & 7 != MODE || second & RESPONSE == 0 {
            return Err(Malformed("a datagram that is no answer of mode 6"));
        }
        if word(2) != self.question.sequence {
            return Ok(Progress::Unrelated);
        }
        let Question { version, opcode, association, .. } = self.question;
        if (first >> 3 & 7, second & OPCODE, word(6)) != (version, opcode, association) {
            return Err(Malformed("an answer with the version, opcode or association of another question"));
        }
        if second & ERROR != 0 {
            // Daemons leave the offset of their previous answer in it (ntp_control.c:ctl_error).
            return Ok(Progress::Refused(header[4]));
        }
        let data = rest.get(..usize::from(word(10))).ok_or(Malformed("an answer shorter than its count"))?;
        self.insert(word(8).into(), data, second & MORE != 0)
    }

    fn insert(&mut self, offset: usize, data: &[u8], more: bool) -> Result<Progress, Malformed> {
        let end = offset + data.len();
        if end > LARGEST {
            return Err(Malformed("an answer of more than 64 KiB"));
        }
        if more && data.is_empty() {
            return Err(Malformed("an empty fragment"));
        }
        if self.fragments.len() == MOST_FRAGMENTS {
            return Err(Malformed("an answer in more than 1,024 fragments"));
        }
        if self.fragments.get(&offset).is_some_and(|known| known == data) && more == (self.end != Some(end)) {
            // It has been duplicated on its way.
            return Ok(Progress::Partial);
        }
        let before = self.fragments.range(..=offset).next_back();
        let after = self.fragments.range(offset..).next();
        let overlaps = before.is_some_and(|(at, known)| at + known.len() > offset || *at == offset)
            || after.is_some_and(|(at, _)| *at < end);
        if overlaps {
            return Err(Malformed("fragments that overlap"));
        }
        let last = self.fragments.last_key_value().map_or(0, |(at, known)| at + known.len());
        if self.end.is_some_and(|known| !more || end > known) || !more && last > end {
            return Err(Malformed("fragments past the last one"));
        }
        if !more {
            self.end = Some(end);
        }
        self.length += data.len();
        self.fragments.insert(offset, data.to_vec());
        if self.end != Some(self.length) {
            return Ok(Progress::Partial);
        }
        Ok(Progress::Whole(self.fragments.values().flatten().copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: Question = Question { version: 2, opcode: READSTAT, sequence: 1, association: 0 };
    /// Two associations, 0x6d2a and 0x6d2b, with their status words.
    const TWO: [u8; 20] = [
        0x16, 0x81, 0, 1, 0x06, 0x15, 0, 0, 0, 0, 0, 8, // header
        0x6d, 0x2a, 0x96, 0x1a, 0x6d, 0x2b, 0x80, 0x11,
    ];

    fn take(datagram: &[u8]) -> Result<Progress, Malformed> {
        Answer::to(STATUS).take(datagram)
    }

    /// `TWO` with other octets at these places.
    fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = TWO.to_vec();
        for (at, octet) in changes {
            bytes[*at] = *octet;
        }
        bytes
    }

    fn fragment(offset: u16, data: &[u8], more: bool) -> Vec<u8> {
        let mut bytes = vec![0x16, 0x81 | if more { 0x20 } else { 0 }, 0, 1, 0, 0, 0, 0];
        bytes.extend(offset.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn questions() {
        assert_eq!(STATUS.datagram(&[]), [0x16, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let question = Question { version: 4, opcode: READVAR, sequence: 0x0102, association: 0x6d2a };
        let expected = [0x26, 2, 1, 2, 0, 0, 0x6d, 0x2a, 0, 0, 0, 5, b'h', b'p', b'o', b'l', b'l', 0, 0, 0];
        assert_eq!(question.datagram(b"hpoll"), expected);
    }

    #[test]
    fn an_answer_in_one_datagram() {
        let whole = Ok(Progress::Whole(TWO[12..].to_vec()));
        assert_eq!(take(&TWO), whole);
        // What follows the counted data is padding or a MAC; the leap bits are the daemon's.
        assert_eq!(take(&[&changed(&[(0, 0xd6)])[..], &[0; 4]].concat()), whole);
        assert_eq!(take(&fragment(0, &[], false)), Ok(Progress::Whole(vec![])), "no association");
    }

    #[test]
    fn errors() {
        let refused = [0x16, 0xc1, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(take(&refused), Ok(Progress::Refused(7)));
        let mut stale = refused;
        stale[8..].copy_from_slice(&[1, 0xd4, 1, 0xd4]);
        assert_eq!(take(&stale), Ok(Progress::Refused(7)), "with an offset and a count from before");
    }

    #[test]
    fn what_answers_something_else() {
        assert_eq!(take(&changed(&[(3, 2)])), Ok(Progress::Unrelated));
        for (at, octet) in [
            (0, 0x1e), // version 3
            (0, 0x17), // mode 7
            (0, 0x14), // mode 4
            (1, 0x01), // a question
            (1, 0x82), // another opcode
            (7, 1),    // another association
        ] {
            assert!(take(&changed(&[(at, octet)])).is_err(), "{at}: {octet:#x}");
        }
    }

    #[test]
    fn lies_about_the_length() {
        for length in 0..TWO.len() {
            assert!(take(&TWO[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(take(&changed(&[(11, 9)])), Err(Malformed("an answer shorter than its count")));
        assert_eq!(take(&changed(&[(10, 0xff)])), Err(Malformed("an answer shorter than its count")));
        let garbage: Vec<_> = (0..=255).cycle().take(2048).collect();
        assert!(take(&garbage).is_err());
    }

    #[test]
    fn fragments_in_any_order() {
        let parts =
            [fragment(0, b"srcadr=19", true), fragment(9, b"2.0.2.1,", true), fragment(17, b" x", false)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut answer = Answer::to(STATUS);
            let [first, second, third] = order.map(|at| &parts[at]);
            for part in [first, first, second, first] {
                assert_eq!(answer.take(part), Ok(Progress::Partial), "{order:?}");
            }
            assert_eq!(answer.take(third), Ok(Progress::Whole(b"srcadr=192.0.2.1, x".to_vec())), "{order:?}");
        }
    }

    #[test]
    fn fragments_that_contradict_each_other() {
        let after = |first: &[u8], second: &[u8]| {
            let mut answer = Answer::to(STATUS);
            assert_eq!(answer.take(first), Ok(Progress::Partial));
            answer.take(second).unwrap_err().0
        };
        let middle = fragment(4, b"abcd", true);
        for (offset, data) in [(4, b"abcx"), (3, b"abcd"), (5, b"abcd"), (7, b"abcd"), (1, b"abcd")] {
            assert_eq!(after(&middle, &fragment(offset, data, true)), "fragments that overlap");
        }
        assert_eq!(after(&middle, &fragment(2, b"abcdefgh", true)), "fragments that overlap");
        assert_eq!(after(&middle, &fragment(4, b"abcd", false)), "fragments that overlap", "last after all");
        assert_eq!(after(&middle, &fragment(0, b"ab", false)), "fragments past the last one");
        let last = fragment(4, b"abcd", false);
        assert_eq!(after(&last, &fragment(8, b"a", true)), "fragments past the last one");
        assert_eq!(after(&last, &fragment(8, b"", false)), "fragments past the last one");
        assert_eq!(after(&last, &fragment(0, b"ab", false)), "fragments past the last one");
        assert_eq!(after(&middle, &fragment(0, b"", true)), "an empty fragment");
        assert_eq!(after(&middle, &fragment(0xffff, b"ab", true)), "an answer of more than 64 KiB");
    }

    #[test]
    fn what_is_malformed_changes_nothing() {
        let mut answer = Answer::to(STATUS);
        assert_eq!(answer.take(&fragment(2, b"cd", false)), Ok(Progress::Partial));
        for bad in [fragment(1, b"xx", true), fragment(4, b"x", true), fragment(0, b"x", false)] {
            answer.take(&bad).unwrap_err();
        }
        assert_eq!(answer.take(&fragment(0, b"ab", true)), Ok(Progress::Whole(b"abcd".to_vec())));
    }

    #[test]
    fn the_largest_answer() {
        let mut answer = Answer::to(STATUS);
        let data = [7; 256];
        for at in 1..256 {
            assert_eq!(answer.take(&fragment(at * 256, &data, at < 255)), Ok(Progress::Partial));
        }
        assert_eq!(answer.take(&fragment(0, &data, true)), Ok(Progress::Whole(vec![7; LARGEST])));
    }

    #[test]
    fn crumbs() {
        let mut answer = Answer::to(STATUS);
        for at in 0..1024 {
            assert_eq!(answer.take(&fragment(at, b"x", true)), Ok(Progress::Partial));
        }
        let error = answer.take(&fragment(1024, b"x", true)).unwrap_err();
        assert_eq!(error.0, "an answer in more than 1,024 fragments");
        assert_eq!(answer.fragments.len(), 1024);
    }
}
