//! Writes a pcapng file (draft-ietf-opsawg-pcapng) of dropped packets, each with the reason as its comment.
//!
//! Contract: whenever [`Writer::write`] returns, the file consists of complete blocks, provided that the output accepted
//! everything; an interface is described before its first packet. Numbers are little-endian, and times are in nanoseconds. A
//! comment is a single line of UTF-8, in which control characters from a line of ntp.conf are replaced.
//!
//! The blocks are assembled here, because pcap-parser doesn't pad packets, and leaves the lengths of options to the caller.

use crate::observe::event::Event;
use pcap_parser::{EPB_MAGIC, IDB_MAGIC, SHB_MAGIC};
use std::io::{self, Write};

/// A file being written. Each call writes to the output at once, so the output needs a buffer.
pub struct Writer<W> {
    out: W,
    snaplen: u32,
    /// The names of the interfaces described so far, in the order of their numbers.
    interfaces: Vec<String>,
    written: u64,
    /// Blocks that are written together.
    blocks: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the section header. At most `snaplen` bytes of each frame are stored; 0 for all.
    ///
    /// # Errors
    /// The output fails.
    pub fn new(out: W, snaplen: u32) -> io::Result<Self> {
        let mut writer = Self { out, snaplen, interfaces: Vec::new(), written: 0, blocks: Vec::new() };
        // §4.1: byte order, version 1.0, and an unknown section length.
        block(&mut writer.blocks, SHB_MAGIC, |body| {
            body.extend([BYTE_ORDER, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat());
            option(body, SHB_HARDWARE, std::env::consts::ARCH.as_bytes());
            option(body, SHB_OS, std::env::consts::OS.as_bytes());
            option(body, SHB_USERAPPL, concat!("ntpguard ", env!("CARGO_PKG_VERSION")).as_bytes());
            option(body, END, &[]);
        });
        writer.send()?;
        Ok(writer)
    }

    /// Writes a packet: the first bytes of its frame, from the Ethernet header on.
    ///
    /// # Errors
    /// The output fails. It may then end within a block; a reader gets everything before that block.
    pub fn write(&mut self, event: &Event, frame: &[u8]) -> io::Result<()> {
        let (number, is_new) = self.assemble(event, frame);
        self.send()?;
        if is_new {
            self.interfaces.insert(number, event.interface.clone());
        }
        Ok(())
    }

    /// How many bytes [`Writer::write`] would write.
    pub fn size(&mut self, event: &Event, frame: &[u8]) -> u64 {
        self.assemble(event, frame);
        self.blocks.len() as u64
    }

    /// How many bytes have been written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// The output fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Assembles the blocks of a packet; returns the number of its interface, and whether that is a new one.
    fn assemble(&mut self, event: &Event, frame: &[u8]) -> (usize, bool) {
        let Self { snaplen, interfaces, blocks, .. } = self;
        blocks.clear();
        let known = interfaces.iter().position(|name| *name == event.interface);
        if known.is_none() {
            // §4.2.
            block(blocks, IDB_MAGIC, |body| {
                body.extend([ETHERNET, *snaplen].map(u32::to_le_bytes).concat());
                option(body, IF_NAME, printable(&event.interface).as_bytes());
                option(body, IF_TSRESOL, &[NANOSECONDS]);
                option(body, END, &[]);
            });
        }
        let number = known.unwrap_or(interfaces.len());
        let most = if *snaplen == 0 { usize::MAX } else { *snaplen as usize };
        let kept = &frame[..frame.len().min(most)];
        let whole = event.length.max(u32::try_from(frame.len()).unwrap_or(u32::MAX));
        // §4.3.
        block(blocks, EPB_MAGIC, |body| {
            let (high, low) = ((event.time_ns >> 32) as u32, event.time_ns as u32);
            let numbers = [number as u32, high, low, kept.len() as u32, whole];
            body.extend(numbers.map(u32::to_le_bytes).concat());
            padded(body, kept);
            option(body, COMMENT, comment(event).as_bytes());
            option(body, EPB_FLAGS, &INBOUND.to_le_bytes());
            option(body, END, &[]);
        });
        (number, known.is_none())
    }

    fn send(&mut self) -> io::Result<()> {
        self.out.write_all(&self.blocks)?;
        self.written += self.blocks.len() as u64;
        Ok(())
    }
}

/// Why a packet was dropped, and by which line, as in `dropped: noquery, /etc/ntp.conf:12: restrict default noquery; stands
/// for 8 packets`.
fn comment(event: &Event) -> String {
    let mut text = format!("{}: {}", event.verb(), event.reason.name());
    if let Some(cause) = &event.cause {
        text = format!("{text}, {cause}");
    }
    let mut text = printable(&text);
    if event.scale > 1 {
        text += &format!("; stands for {} packets", event.scale);
    }
    text
}

/// The text as a single line of limited length.
fn printable(text: &str) -> String {
    let all = text.replace(char::is_control, "\u{fffd}");
    if all.len() <= LONGEST {
        return all;
    }
    format!("{}\u{2026}", &all[..all.floor_char_boundary(LONGEST)])
}

/// A block: type, length, body, length (§3.1).
fn block(blocks: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = blocks.len();
    blocks.extend(kind.to_le_bytes());
    blocks.extend([0; 4]);
    body(blocks);
    let length = (blocks.len() - start + 4) as u32;
    blocks[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    blocks.extend(length.to_le_bytes());
}

/// An option: code, length without padding, value (§3.5).
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    padded(body, value);
}

/// Pads with zeros to a multiple of four bytes.
fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.extend(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()]);
}

/// The byte-order magic, which reads differently in another byte order (§4.1).
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// LINKTYPE_ETHERNET, followed by two reserved bytes.
const ETHERNET: u32 = 1;
/// opt_endofopt and opt_comment (§3.5, table 1).
const END: u16 = 0;
const COMMENT: u16 = 1;
/// Options of the section (§4.1, table 2).
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
/// Options of an interface (§4.2, table 3), and the value for times in units of 10^-9 s.
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const NANOSECONDS: u8 = 9;
/// The option with a packet's flags, and the only flag that is known: inbound (§4.3.1).
const EPB_FLAGS: u16 = 2;
const INBOUND: u32 = 1;
/// The maximum length of a text. An option's length has 16 bits, and longer lines of ntp.conf are unreadable anyway.
const LONGEST: usize = 2000;

#[cfg(test)]
mod tests {
    use super::super::{
        pcapng::tests::section,
        tests::{Taken, read},
    };
    use super::*;
    use crate::observe::event::Blamed;
    use ntpguard_common::Reason;

    fn event() -> Event {
        Event {
            time_ns: 1_700_000_000_123_456_789,
            interface: "eth0".to_owned(),
            source: Some([192, 0, 2, 1].into()),
            port: Some(80),
            mode: Some(7),
            version: Some(2),
            request: Some("monlist".to_owned()),
            length: 90,
            reason: Reason::Mode7,
            cause: None,
            scale: 8,
            trial: false,
            frame: None,
        }
    }

    fn blamed(text: &str) -> Event {
        let cause = Blamed { file: "/etc/ntp.conf".to_owned(), line: 12, text: text.to_owned() };
        Event { reason: Reason::Noquery, cause: Some(cause), ..event() }
    }

    #[test]
    fn every_byte_by_hand() {
        let mut writer = Writer::new(Vec::new(), 64).unwrap();
        // The length of the build's name varies.
        let start = writer.written() as usize;
        writer.write(&event(), &[0xaa, 0xbb, 0xcc, 0xdd, 0xee]).unwrap();
        let file = writer.into_inner();
        assert_eq!((&file[..4], &file[8..24]), (&section(false)[..4], &section(false)[8..24]));
        #[rustfmt::skip]
        let blocks = [
            1, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0,                      // interface: Ethernet, 64 bytes
            2, 0, 4, 0, b'e', b't', b'h', b'0', 9, 0, 1, 0, 9, 0, 0, 0,            // if_name, if_tsresol: 10^-9
            0, 0, 0, 0, 40, 0, 0, 0,                                               // no more options
            6, 0, 0, 0, 92, 0, 0, 0, 0, 0, 0, 0,                                   // packet of interface 0
            0xfe, 0x9c, 0x97, 0x17, 0x15, 0xcd, 0x85, 0x3d,                        // time, upper half first
            5, 0, 0, 0, 90, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0, 0, 0,        // five bytes of 90, padded
            1, 0, 36, 0,                                                            // opt_comment
            b'd', b'r', b'o', b'p', b'p', b'e', b'd', b':', b' ', b'm', b'o', b'd', b'e', b'7', b';', b' ', b's', b't',
            b'a', b'n', b'd', b's', b' ', b'f', b'o', b'r', b' ', b'8', b' ', b'p', b'a', b'c', b'k', b'e', b't', b's',
            2, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 92, 0, 0, 0,                       // flags: inbound; end
        ];
        assert_eq!(file[start..], blocks);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new(Vec::new(), 20).unwrap();
        let mut sizes = vec![writer.written()];
        let mut frames = Vec::new();
        for (place, (length, interface)) in
            [(0, "eth0"), (19, "eth1"), (20, "eth0"), (21, "bond0.7"), (64, "eth1")].into_iter().enumerate()
        {
            let frame: Vec<u8> = (0..length).collect();
            let time_ns = event().time_ns + place as u64;
            let one = Event { interface: interface.to_owned(), time_ns, ..event() };
            let size = writer.size(&one, &frame);
            writer.write(&one, &frame).unwrap();
            sizes.push(writer.written());
            assert_eq!(sizes[place] + size, sizes[place + 1]);
            let bytes = frame[..frame.len().min(20)].to_vec();
            frames.push(Taken { bytes, length: 90, time: Some(time_ns), outgoing: false });
        }
        let file = writer.into_inner();
        assert_eq!(read(&file), (frames.clone(), None));
        // The file is complete after each packet.
        for (count, size) in sizes.iter().enumerate() {
            assert_eq!(read(&file[..*size as usize]), (frames[..count].to_vec(), None));
        }
    }

    #[test]
    fn comments_say_why_and_stay_on_a_line() {
        assert_eq!(comment(&event()), "dropped: mode7; stands for 8 packets");
        let line = "restrict default noquery";
        assert_eq!(
            comment(&blamed(line)),
            "dropped: noquery, /etc/ntp.conf:12: restrict default noquery; stands for 8 packets"
        );
        let trial = Event { trial: true, scale: 1, ..event() };
        assert_eq!(comment(&trial), "would be dropped: mode7");
        assert!(
            comment(&blamed("restrict\tdefault \x1b[31m\n"))
                .contains(":12: restrict\u{fffd}default \u{fffd}[31m\u{fffd};")
        );
        let long = comment(&blamed(&"ä".repeat(40_000)));
        assert!(long.len() < 2100 && long.ends_with("ä\u{2026}; stands for 8 packets"));
        let mut writer = Writer::new(Vec::new(), 0).unwrap();
        writer
            .write(&Event { interface: "x".repeat(70_000), ..blamed(&"ä".repeat(40_000)) }, &[1; 70_000])
            .unwrap();
        let (frames, error) = read(&writer.into_inner());
        assert_eq!((frames[0].bytes.len(), frames[0].length, error), (70_000, 70_000, None));
    }

    /// A disk that is full after this number of bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cant_be_written_is_said_and_not_counted() {
        assert!(Writer::new(Full(0), 0).is_err());
        let start = Writer::new(Vec::new(), 0).unwrap().written();
        let mut writer = Writer::new(Full(start as usize + 10), 0).unwrap();
        assert_eq!(writer.write(&event(), &[1]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((writer.written(), writer.interfaces.len()), (start, 0));
    }
}
