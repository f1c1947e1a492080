//! The pcap format: a header, then records (draft-ietf-opsawg-pcap).
//!
//! Contract: [`Pcap::next`] returns and consumes every complete record in order; at the first one that isn't, it consumes
//! nothing and returns the error.

use super::{Error, packet::Packet, window::Window};
use pcap_parser::{
    LegacyPcapBlock, PcapError,
    nom::{self, IResult, Offset as _},
    parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};
use std::{io::Read, time::Duration};

type Parse = fn(&[u8]) -> IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

/// The file header, as far as it matters for records.
pub(super) struct Pcap {
    parse: Parse,
    /// The length of a record's header.
    head: usize,
    nanoseconds: bool,
    link: u16,
    /// The maximum length of a packet; a longer one is taken for damage.
    longest: u32,
}

impl Pcap {
    /// Reads the header; `None` if the file isn't pcap.
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Option<Self>, Error> {
        let header = match parse_pcap_header(window.peek(HEADER)?) {
            Ok((_, header)) => header,
            Err(nom::Err::Incomplete(_)) => return window.whole(HEADER).map(|_| None),
            Err(_) => return Ok(None),
        };
        // Before version 2.4, the order of a record's two lengths depended on the program that wrote it.
        let version = (header.version_major, header.version_minor);
        if version != (2, 4) {
            return Err(Error::Version { offset: window.offset(), format: "pcap", version });
        }
        window.consume(HEADER);
        let (parse, head): (Parse, _) = match (header.is_modified_format(), header.is_bigendian()) {
            (true, _) => (parse_pcap_frame_modified, 24),
            (false, true) => (parse_pcap_frame_be, 16),
            (false, false) => (parse_pcap_frame, 16),
        };
        Ok(Some(Self {
            parse,
            head,
            nanoseconds: header.is_nanosecond_precision(),
            // The upper half is about frame check sequences, which may follow a frame like any padding.
            link: (header.network.0 & 0xffff) as u16,
            longest: header.snaplen.max(LONGEST),
        }))
    }

    /// The next packet; `None` at the end.
    pub(super) fn next<R: Read>(&self, window: &mut Window<R>) -> Result<Option<Packet>, Error> {
        let offset = window.offset();
        let mut bytes = window.peek(1)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let (length, mut packet) = loop {
            match (self.parse)(bytes) {
                Ok((rest, record)) => {
                    self.believable(offset, record.caplen)?;
                    break (bytes.offset(rest), self.packet(bytes, &record));
                }
                Err(nom::Err::Incomplete(missing)) => {
                    let missing = match missing {
                        nom::Needed::Size(missing) => missing.get(),
                        nom::Needed::Unknown => 1,
                    };
                    let length = bytes.len().saturating_add(missing);
                    let captured = length.saturating_sub(self.head);
                    self.believable(offset, u32::try_from(captured).unwrap_or(u32::MAX))?;
                    bytes = window.whole(length)?;
                }
                Err(_) => {
                    return Err(Error::Damaged { offset, what: "this is no packet record".to_owned() });
                }
            }
        };
        packet.within(&window.consume(length));
        Ok(Some(packet))
    }

    /// If a record begins at a wrong place, its length is usually absurd. Reporting that at once is better than waiting for
    /// more bytes than will ever come.
    fn believable(&self, offset: u64, captured: u32) -> Result<(), Error> {
        if captured <= self.longest {
            return Ok(());
        }
        let what = format!("a packet of {captured} bytes, where {} is the most", self.longest);
        Err(Error::Damaged { offset, what })
    }

    fn packet(&self, bytes: &[u8], record: &LegacyPcapBlock<'_>) -> Packet {
        let LegacyPcapBlock { ts_sec, ts_usec: fraction, caplen: _, origlen, data } = record;
        let unit = if self.nanoseconds { 1 } else { 1000 };
        let start = bytes.offset(data);
        Packet {
            data: start..start + data.len(),
            link: self.link,
            length: *origlen,
            // Computed as a sum, because a damaged fraction may exceed a second.
            time: Some(
                Duration::from_secs((*ts_sec).into()) + Duration::from_nanos(u64::from(*fraction) * unit),
            ),
            outgoing: false,
        }
    }
}

/// The length of the file header.
const HEADER: usize = 24;
/// What libpcap and Wireshark accept regardless of the header's snapshot length (MAXIMUM_SNAPLEN,
/// WTAP_MAX_PACKET_SIZE_STANDARD): some files have packets that exceed it.
const LONGEST: u32 = 262_144;

#[cfg(test)]
mod tests {
    use super::super::tests::{Taken, read};

    /// A capture with one packet, 4 of its 64 bytes captured, link type 1, at second 2 plus a fraction of 3, in this byte
    /// order.
    fn file(magic: [u8; 4], big: bool) -> Vec<u8> {
        let fields = [(2 << 16) | 4, 0, 0, 4, 1, 2, 3, 4, 64];
        let mut file = magic.to_vec();
        for (index, field) in fields.into_iter().enumerate() {
            match (index, big) {
                // Two fields of 16 bits.
                (0, false) => file.extend([2, 0, 4, 0]),
                (_, true) => file.extend(u32::to_be_bytes(field)),
                (_, false) => file.extend(u32::to_le_bytes(field)),
            }
        }
        file.extend([0xaa, 0xbb, 0xcc, 0xdd]);
        file
    }

    fn expected(nanoseconds: u64) -> Vec<Taken> {
        let time = Some(2_000_000_000 + nanoseconds);
        vec![Taken { bytes: vec![0xaa, 0xbb, 0xcc, 0xdd], length: 64, time, outgoing: false }]
    }

    #[test]
    fn both_orders_and_both_units() {
        for (magic, big, nanoseconds) in [
            ([0xd4, 0xc3, 0xb2, 0xa1], false, 3_000),
            ([0x4d, 0x3c, 0xb2, 0xa1], false, 3),
            ([0xa1, 0xb2, 0xc3, 0xd4], true, 3_000),
            ([0xa1, 0xb2, 0x3c, 0x4d], true, 3),
        ] {
            assert_eq!(read(&file(magic, big)), (expected(nanoseconds), None));
        }
    }

    #[test]
    fn the_modified_format_has_longer_heads() {
        let mut file = file([0x34, 0xcd, 0xb2, 0xa1], false);
        file.splice(40..40, [0; 8]);
        assert_eq!(read(&file), (expected(3_000), None));
    }

    #[test]
    fn frame_check_bits_are_no_link_type() {
        let mut file = file([0xd4, 0xc3, 0xb2, 0xa1], false);
        file[23] = 0x14;
        assert_eq!(read(&file), (expected(3_000), None));
    }

    #[test]
    fn old_versions_are_refused() {
        let mut file = file([0xd4, 0xc3, 0xb2, 0xa1], false);
        file[6] = 3;
        let error =
            "pcap version 2.3 at byte 0 can't be read; convert the file (editcap -F pcapng)".to_owned();
        assert_eq!(read(&file), (vec![], Some((0, error))));
    }

    #[test]
    fn absurd_lengths_are_damage() {
        // A file that is shorter than the claimed length, and one that is as long.
        for filler in [0, 300_000] {
            let mut file = file([0xd4, 0xc3, 0xb2, 0xa1], false);
            let second = file.len() as u64;
            file.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 1, 0, 4, 0]);
            file.resize(file.len() + filler, 0);
            let error = format!(
                "the capture is damaged at byte {second}: a packet of 262145 bytes, where 262144 is the most"
            );
            assert_eq!(read(&file), (expected(3_000), Some((second, error))));
        }
    }

    #[test]
    fn a_fraction_of_more_than_a_second_carries() {
        let mut file = file([0xd4, 0xc3, 0xb2, 0xa1], false);
        file[28..32].fill(0xff);
        assert_eq!(read(&file), (expected(u64::from(u32::MAX) * 1000), None));
    }
}
