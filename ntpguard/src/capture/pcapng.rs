//! The pcapng format: sections of blocks, in which interfaces are described before their packets (draft-ietf-opsawg-pcapng).
//!
//! Contract: [`Pcapng::next`] returns the packet of every packet block (enhanced, simple, obsolete) up to the first damaged
//! block; of that one it consumes nothing and returns the error. Blocks of other types are skipped, whatever they hold.

use super::{
    Error,
    interface::{Interface, value},
    packet::Packet,
    window::Window,
};
use pcap_parser::{
    Block, EPB_MAGIC, IDB_MAGIC, OptionCode, PcapNGOption, SHB_MAGIC, SPB_MAGIC, nom::Offset as _,
    parse_block_be, parse_block_le, traits::PcapNGPacketBlock as _,
};
use std::io::Read;

/// The section being read.
#[derive(Default)]
pub(super) struct Pcapng {
    big: bool,
    interfaces: Vec<Interface>,
}

impl Pcapng {
    /// `None` if the file isn't pcapng.
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Option<Self>, Error> {
        let pcapng = window.peek(4)?.starts_with(&SHB_MAGIC.to_be_bytes());
        Ok(pcapng.then(Self::default))
    }

    /// The next packet; `None` at the end.
    pub(super) fn next<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Packet>, Error> {
        loop {
            let offset = window.offset();
            if window.peek(1)?.is_empty() {
                return Ok(None);
            }
            let damaged = |what| Error::Damaged { offset, what };
            let length = self.length(window.whole(HEAD)?).map_err(damaged)?;
            let block = window.whole(length)?;
            let packet = self.block(block).map_err(|fault| match fault {
                Fault::Damaged(what) => damaged(what),
                Fault::Version(version) => Error::Version { offset, format: "pcapng", version },
            })?;
            let place = window.consume(length);
            if let Some(mut packet) = packet {
                packet.within(&place);
                return Ok(Some(packet));
            }
        }
    }

    /// The length of a block, from its beginning; a section header also sets the byte order.
    fn length(&mut self, head: &[u8]) -> Result<usize, String> {
        // The only block type that reads the same in both byte orders.
        if head.starts_with(&SHB_MAGIC.to_be_bytes()) {
            self.big = match head.last_chunk() {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err("a section that doesn't say its byte order".to_owned()),
            };
        }
        let length = self.u32(head, 4);
        if length < HEAD as u32 || !length.is_multiple_of(4) {
            return Err(format!("a block of {length} bytes, which can't be"));
        }
        Ok(length as usize)
    }

    /// Parses a complete block; `None` if it has no packet.
    fn block(&mut self, block: &[u8]) -> Result<Option<Packet>, Fault> {
        let (first, last) = (self.u32(block, 4), self.u32(block, block.len() - 4));
        if first != last {
            return Err(
                format!("a block that begins with a length of {first} bytes and ends with {last}").into()
            );
        }
        let kind = self.u32(block, 0);
        match kind {
            OBSOLETE => return self.obsolete(block).map(Some),
            SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC => (),
            // Skipped, so its content can't be an error.
            _ => return Ok(None),
        }
        let parse = if self.big { parse_block_be } else { parse_block_le };
        let contradiction = |_| format!("a block (type {kind:#x}) whose contents don't fit its length");
        match parse(block).map_err(contradiction)?.1 {
            Block::SectionHeader(header) if header.major_version != 1 => {
                return Err(Fault::Version((header.major_version, header.minor_version)));
            }
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(_) if self.interfaces.len() == MAX_INTERFACES => {
                return Err(format!("more than {MAX_INTERFACES} interfaces in a section").into());
            }
            Block::InterfaceDescription(description) => {
                let interface = Interface::described(&description, self.big);
                self.interfaces.push(interface);
            }
            Block::EnhancedPacket(packet) => {
                let interface = self.interface(packet.if_id)?;
                let start = block.offset(packet.data);
                return Ok(Some(Packet {
                    data: start..start + packet.packet_data().len(),
                    link: interface.link,
                    length: packet.origlen,
                    time: interface.time(packet.ts_high, packet.ts_low),
                    outgoing: self.outgoing(&packet.options),
                }));
            }
            Block::SimplePacket(packet) => {
                let interface = self.interface(0)?;
                // A simple packet block doesn't have the captured length: it is limited by the snapshot length and excludes
                // the padding.
                let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                let kept = packet.data.len().min(packet.origlen.min(limit) as usize);
                let start = block.offset(packet.data);
                return Ok(Some(Packet {
                    data: start..start + kept,
                    link: interface.link,
                    length: packet.origlen,
                    time: None,
                    outgoing: false,
                }));
            }
            _ => (),
        }
        Ok(None)
    }

    /// The packet block used before 2009, which pcap-parser doesn't parse: like the enhanced packet block, except that two
    /// bytes are the interface and two more are a count of lost packets.
    fn obsolete(&self, block: &[u8]) -> Result<Packet, Fault> {
        // The packet is followed by options, which nobody wrote then, and by the length.
        let room = (block.len() - 4).checked_sub(OBSOLETE_HEAD);
        let room = room.ok_or_else(|| "a packet block too short for a packet".to_owned())?;
        let kept = self.u32(block, 20) as usize;
        if kept > room {
            return Err(format!("a packet of {kept} bytes in a block that has room for {room}").into());
        }
        let id = self.u32(block, 8);
        let interface = self.interface(if self.big { id >> 16 } else { id & 0xffff })?;
        Ok(Packet {
            data: OBSOLETE_HEAD..OBSOLETE_HEAD + kept,
            link: interface.link,
            length: self.u32(block, 24),
            time: interface.time(self.u32(block, 12), self.u32(block, 16)),
            outgoing: false,
        })
    }

    fn interface(&self, id: u32) -> Result<&Interface, String> {
        let count = self.interfaces.len();
        let missing =
            || format!("a packet from interface {id}, of which this section (with {count}) says nothing");
        self.interfaces.get(id as usize).ok_or_else(missing)
    }

    /// Whether a packet's flags say that it is outbound (§4.3.1).
    fn outgoing(&self, options: &[PcapNGOption<'_>]) -> bool {
        value::<4>(options, OptionCode(EPB_FLAGS)).is_some_and(|flags| self.u32(&flags, 0) & 3 == 2)
    }

    /// The number at an offset; 0 past the end, which isn't used.
    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let field = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        if self.big { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) }
    }
}

/// An error found by [`Pcapng::block`], before the offset is added.
enum Fault {
    Damaged(String),
    Version((u16, u16)),
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Damaged(what)
    }
}

/// The length of a block's type and length, and of a section's byte order or another block's second length.
const HEAD: usize = 12;
/// The maximum number of interfaces of a section, more than any machine has. Descriptions are kept for the whole section, so
/// this bounds memory.
const MAX_INTERFACES: usize = 1 << 16;
/// The type of the obsolete packet block (draft-ietf-opsawg-pcapng, appendix A).
const OBSOLETE: u32 = 2;
/// The offset of its packet.
const OBSOLETE_HEAD: usize = 28;
/// The option code of `epb_flags`.
const EPB_FLAGS: u16 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Taken, read};
    use super::*;

    /// A block whose body consists of 32-bit words, in this byte order.
    fn block(big: bool, kind: u32, words: &[u32]) -> Vec<u8> {
        let length = 12 + 4 * words.len() as u32;
        let all = [&[kind, length], words, &[length]].concat();
        all.into_iter().flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }).collect()
    }

    pub(in super::super) fn section(big: bool) -> Vec<u8> {
        let version = if big { 0x1_0000 } else { 1 };
        block(big, SHB_MAGIC, &[0x1a2b_3c4d, version, u32::MAX, u32::MAX])
    }

    /// A description of an interface with this link type and snapshot length, and options.
    pub(in super::super) fn interface(big: bool, link: u32, snaplen: u32, options: &[u32]) -> Vec<u8> {
        let link = if big { link << 16 } else { link };
        block(big, IDB_MAGIC, &[&[link, snaplen], options].concat())
    }

    /// A packet of interface 0 at time 1,000,003: 5 of 64 bytes captured, padded.
    pub(in super::super) fn packet(big: bool) -> Vec<u8> {
        let mut packet = block(big, EPB_MAGIC, &[0, 0, 1_000_003, 5, 64, 0, 0]);
        packet[28..33].copy_from_slice(&[1, 2, 3, 4, 5]);
        packet
    }

    pub(in super::super) fn taken(time: Option<u64>) -> Taken {
        Taken { bytes: vec![1, 2, 3, 4, 5], length: 64, time, outgoing: false }
    }

    fn error(offset: usize, what: &str) -> Option<(u64, String)> {
        Some((offset as u64, format!("the capture is damaged at byte {offset}: {what}")))
    }

    /// A capture split into blocks: a section in each byte order, all kinds of packet blocks, and two link types. Each comes
    /// with whether it is a frame.
    pub(in super::super) fn two_sections() -> Vec<(Vec<u8>, bool)> {
        vec![
            (section(false), false),
            (interface(false, 1, 0, &[]), false),
            // A name resolution block with invalid contents.
            (block(false, 4, &[u32::MAX]), false),
            (packet(false), true),
            (block(false, SPB_MAGIC, &[8, 0x0403_0201, 0x0807_0605]), true),
            (section(true), false),
            (interface(true, 101, 4, &[]), false),
            (interface(true, 1, 0, &[]), false),
            (block(true, SPB_MAGIC, &[64, 0x4500_0040]), true),
            // A packet of interface 1, with a count of 7 lost packets.
            (block(true, OBSOLETE, &[0x1_0007, 0, 1_000_003, 4, 4, 0x0102_0304]), true),
        ]
    }

    #[test]
    fn every_byte_by_hand() {
        #[rustfmt::skip]
        let file = [
            0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, // section, version 1.0
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0,             // of unknown length
            1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0,            // interface: Ethernet
            6, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0f, 0,    // packet, second 1
            2, 0, 0, 0, 3, 0, 0, 0, 0xaa, 0xbb, 0, 0,                                // two bytes of three, padded
            2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0,                         // flags: outbound
        ];
        let frame = Taken { bytes: vec![0xaa, 0xbb], length: 3, time: Some(1_000_000_000), outgoing: true };
        assert_eq!(read(&file), (vec![frame], None));
    }

    #[test]
    fn sections_have_their_own_order_and_interfaces() {
        let file: Vec<u8> = two_sections().into_iter().flat_map(|(block, _)| block).collect();
        let simple = Taken { bytes: (1..=8).collect(), length: 8, time: None, outgoing: false };
        let mut raw = vec![0; 12];
        raw.extend([8, 0, 0x45, 0, 0, 0x40]);
        let raw = Taken { bytes: raw, length: 78, time: None, outgoing: false };
        let obsolete =
            Taken { bytes: vec![1, 2, 3, 4], length: 4, time: Some(1_000_003_000), outgoing: false };
        assert_eq!(read(&file), (vec![taken(Some(1_000_003_000)), simple, raw, obsolete], None));
    }

    #[test]
    fn a_block_must_make_sense() {
        let start = [section(false), interface(false, 1, 0, &[])].concat();
        let at = start.len();
        for (bad, what) in [
            (block(false, SHB_MAGIC, &[0; 4]), "a section that doesn't say its byte order"),
            (vec![6, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0], "a block of 8 bytes, which can't be"),
            (vec![6, 0, 0, 0, 13, 0, 0, 0, 0, 13, 0, 0, 0], "a block of 13 bytes, which can't be"),
            (
                vec![6, 0, 0, 0, 12, 0, 0, 0, 16, 0, 0, 0],
                "a block that begins with a length of 12 bytes and ends with 16",
            ),
            (
                vec![9, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0],
                "a block claims 16777220 bytes; more than 16777216 are taken for a mistake",
            ),
            (block(false, EPB_MAGIC, &[0; 2]), "a block (type 0x6) whose contents don't fit its length"),
            (
                block(false, EPB_MAGIC, &[0, 0, 0, 5, 5, 0]),
                "a block (type 0x6) whose contents don't fit its length",
            ),
            (
                block(false, EPB_MAGIC, &[0, 0, 0, u32::MAX, 5, 0]),
                "a block (type 0x6) whose contents don't fit its length",
            ),
            (
                block(false, EPB_MAGIC, &[1, 0, 0, 0, 0]),
                "a packet from interface 1, of which this section (with 1) says nothing",
            ),
            (block(false, OBSOLETE, &[0; 4]), "a packet block too short for a packet"),
            (
                block(false, OBSOLETE, &[0, 0, 0, 5, 5, 0]),
                "a packet of 5 bytes in a block that has room for 4",
            ),
        ] {
            let file = [start.clone(), packet(false), bad].concat();
            let at = at + packet(false).len();
            assert_eq!(read(&file), (vec![taken(Some(1_000_003_000))], error(at, what)));
        }
    }

    #[test]
    fn an_interface_of_the_section_before_is_gone() {
        let file = [section(true), interface(true, 1, 0, &[]), section(true), packet(true)].concat();
        let what = "a packet from interface 0, of which this section (with 0) says nothing";
        assert_eq!(read(&file), (vec![], error(76, what)));
    }

    #[test]
    fn other_versions_are_refused() {
        let mut file = section(false);
        file[12] = 2;
        let error =
            "pcapng version 2.0 at byte 0 can't be read; convert the file (editcap -F pcapng)".to_owned();
        assert_eq!(read(&file), (vec![], Some((0, error))));
    }

    #[test]
    fn endless_interfaces_end() {
        let mut file = section(false);
        let description = interface(false, 1, 0, &[]);
        (0..=MAX_INTERFACES).for_each(|_| file.extend(&description));
        let at = file.len() - description.len();
        assert_eq!(read(&file), (vec![], error(at, "more than 65536 interfaces in a section")));
    }
}
