//! Captures: from a pcap or pcapng file to Ethernet frames, and from sampled drops to a pcapng file ([`Writer`]).
//!
//! Contract: [`Reader::next`] returns the frames in the file's order, each before it reads further, and at the first block
//! that is cut off or damaged an error with its offset. Packets that can't be converted to a frame are counted. Memory is
//! bounded whatever the file's size, and no input causes a panic.

mod content;
mod error;
mod interface;
mod link;
mod packet;
mod pcap;
mod pcapng;
mod ppp;
mod window;
mod writer;

pub use error::Error;
pub use link::Skipped;
pub use writer::Writer;

use self::{content::Content, packet::Packet, pcap::Pcap, pcapng::Pcapng, window::Window};
use std::{io::Read, time::Duration};

/// A frame as it would have arrived at a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The bytes from the Ethernet header on. If the capture had another link type, its addresses are zero.
    pub bytes: &'a [u8],
    /// The original length of the frame in bytes, including this Ethernet header even if the capture had none.
    pub length: u32,
    /// The time since 1970, if the capture has it.
    pub time: Option<Duration>,
    /// Whether the capture says that this host sent it, so that XDP never saw it. Many captures don't say.
    pub outgoing: bool,
}

impl Frame<'_> {
    /// Whether fewer bytes were captured than the frame had.
    pub const fn cut(&self) -> bool {
        self.bytes.len() < self.length as usize
    }
}

/// Reads a capture from beginning to end, in large pieces, so the input needs no buffer.
pub struct Reader<R> {
    window: Window<R>,
    format: Format,
    skipped: Skipped,
    /// A frame that was given an Ethernet header.
    made: Vec<u8>,
    /// Whether reading has ended. Nothing is read after an error, because the beginning of the next block is unknown.
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of the file.
    ///
    /// # Errors
    /// The input is empty, isn't a capture, or can't be read.
    pub fn new(input: R) -> Result<Self, Error> {
        let mut window = Window::new(input);
        let format = Format::open(&mut window)?;
        Ok(Self { window, format, skipped: Skipped::default(), made: Vec::new(), ended: false })
    }

    /// The next frame; `None` at the end, and after an error.
    ///
    /// # Errors
    /// The capture is cut off or damaged at this point, or can't be read.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items can't borrow from it")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        if self.ended {
            return Ok(None);
        }
        // Set here and unset below, so that it stays set whenever an error returns early.
        self.ended = true;
        let (packet, content) = loop {
            let Some(packet) = self.format.next(&mut self.window)? else { return Ok(None) };
            match link::content(packet.link, self.window.bytes(packet.data.clone())) {
                Ok(content) => break (packet, content),
                Err(skip) => self.skipped.count(skip),
            }
        };
        self.ended = false;
        let Packet { data, link: _, length, time, outgoing: sent } = packet;
        let captured = self.window.bytes(data);
        // Some tools write an original length of 0.
        let length = (length as usize).max(captured.len());
        let (bytes, length, outgoing) = match content {
            Content::Ethernet => (captured, length, sent),
            Content::Network { ether_type, offset, outgoing } => {
                self.made.clear();
                self.made.extend([0; ADDRESSES]);
                self.made.extend(ether_type);
                let header = self.made.len();
                self.made.extend_from_slice(&captured[offset..]);
                (&*self.made, length - offset + header, outgoing || sent)
            }
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Ok(Some(Frame { bytes, length, time, outgoing }))
    }

    /// How many bytes of the input have been consumed.
    pub const fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// What was skipped so far.
    pub const fn skipped(&self) -> &Skipped {
        &self.skipped
    }
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Format {
    fn open<R: Read>(window: &mut Window<R>) -> Result<Self, Error> {
        let beginning = window.peek(LONGEST_MAGIC)?;
        if beginning.is_empty() {
            return Err(Error::Empty);
        }
        if beginning.len() >= MAGIC {
            if let Some(pcapng) = Pcapng::open(window)? {
                return Ok(Self::Pcapng(pcapng));
            }
            if let Some(pcap) = Pcap::open(window)? {
                return Ok(Self::Pcap(pcap));
            }
        }
        Err(Error::not_a_capture(window.peek(0)?))
    }

    fn next<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Packet>, Error> {
        match self {
            Self::Pcap(pcap) => pcap.next(window),
            Self::Pcapng(pcapng) => pcapng.next(window),
        }
    }
}

/// The length of both addresses of an Ethernet header.
const ADDRESSES: usize = 12;
/// The magic number of both formats has 4 bytes; those of files that people mistake for a capture have up to 6.
const MAGIC: usize = 4;
const LONGEST_MAGIC: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A frame with bytes of its own.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Taken {
        pub(super) bytes: Vec<u8>,
        pub(super) length: u32,
        /// The time in nanoseconds.
        pub(super) time: Option<u64>,
        pub(super) outgoing: bool,
    }

    /// Reads a capture to its end: the frames, and the error if one ended it.
    pub(super) fn read(file: &[u8]) -> (Vec<Taken>, Option<(u64, String)>) {
        let mut frames = Vec::new();
        let told = |error: Error| Some((error.offset(), error.to_string()));
        let mut reader = match Reader::new(file) {
            Ok(reader) => reader,
            Err(error) => return (frames, told(error)),
        };
        loop {
            match reader.next() {
                Ok(Some(Frame { bytes, length, time, outgoing })) => {
                    let time = time.map(|time| time.as_nanos() as u64);
                    frames.push(Taken { bytes: bytes.to_vec(), length, time, outgoing });
                }
                Ok(None) => {
                    assert_eq!(reader.offset(), file.len() as u64);
                    return (frames, None);
                }
                Err(error) => {
                    assert_eq!(reader.offset(), error.offset(), "what isn't handed out isn't consumed");
                    assert!(matches!(reader.next(), Ok(None)));
                    return (frames, told(error));
                }
            }
        }
    }

    /// A little-endian pcap header for times in microseconds.
    fn pcap(link: u8) -> Vec<u8> {
        vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, link, 0, 0, 0]
    }

    /// A record at second 1 with the whole packet.
    fn record(packet: &[u8]) -> Vec<u8> {
        let length = packet.len() as u8;
        let mut record = vec![1, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, length, 0, 0, 0];
        record.extend(packet);
        record
    }

    #[test]
    fn cooked_and_raw_packets_get_an_ethernet_header() {
        let sll = [0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0x86, 0xdd, 0x60, 0x11];
        let mut file = pcap(113);
        file.extend(record(&sll));
        let mut made = [0; 16];
        made[12..].copy_from_slice(&[0x86, 0xdd, 0x60, 0x11]);
        let taken = Taken { bytes: made.to_vec(), length: 16, time: Some(1_000_000_000), outgoing: true };
        assert_eq!(read(&file), (vec![taken.clone()], None));

        let mut file = pcap(101);
        file.extend(record(&[0x60, 0x11]));
        // 40 bytes on the wire.
        file[36] = 40;
        assert_eq!(read(&file), (vec![Taken { length: 54, outgoing: false, ..taken }], None));
    }

    #[test]
    fn what_is_skipped_is_counted() {
        let mut file = pcap(127);
        file.extend([record(&[1, 2, 3]), record(&[])].concat());
        let mut reader = Reader::new(&*file).unwrap();
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(reader.skipped(), &Skipped { link_types: [(127, 2)].into(), ..Skipped::default() });
        assert_eq!(reader.skipped().total(), 2);
    }

    #[test]
    fn a_missing_original_length_is_what_was_kept() {
        let mut file = pcap(1);
        file.extend(record(&[1, 2, 3]));
        file[36] = 0;
        let mut reader = Reader::new(&*file).unwrap();
        let frame = reader.next().unwrap().unwrap();
        assert_eq!((frame.length, frame.cut()), (3, false));
    }

    #[test]
    fn what_is_no_capture_is_told_so() {
        assert_eq!(
            read(b""),
            (vec![], Some((0, "the file is empty; even a capture without packets has a header".to_owned())))
        );
        for other in [&b"\x0a"[..], b"\xd4\xc3\xb2", b"\x0a\x0d\x0d", b"server pool.ntp.org", &[0; 100]] {
            let error = Some((0, "the file is no pcap or pcapng capture".to_owned()));
            assert_eq!(read(other), (vec![], error));
        }
    }

    /// A small capture of each format, split into its header and blocks, with whether each is a frame.
    fn captures() -> [Vec<(Vec<u8>, bool)>; 2] {
        let pcap =
            vec![(pcap(1), false), (record(&[1; 14]), true), (record(&[2; 5]), true), (record(&[]), true)];
        [pcap, pcapng::tests::two_sections()]
    }

    #[test]
    fn cut_anywhere_everything_before_the_cut_is_handed_out() {
        for pieces in captures() {
            let file: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
            let (all, None) = read(&file) else { panic!("the whole file is readable") };
            let (mut begin, mut frames) = (0, 0);
            for (piece, is_frame) in pieces {
                for cut in begin..begin + piece.len() {
                    let (taken, error) = read(&file[..cut]);
                    assert_eq!(taken, all[..frames]);
                    match error {
                        // Between two blocks, nothing shows that more are missing.
                        None => assert!(cut == begin && begin > 0),
                        Some((_, error)) if cut < MAGIC => assert!(!error.contains("byte"), "{error}"),
                        Some((offset, error)) => {
                            assert_eq!(offset, begin as u64);
                            let start = format!("the capture breaks off: the block at byte {begin} takes ");
                            let middle = format!(", and the file has {} of them", cut - begin);
                            assert!(error.starts_with(&start) && error.contains(&middle), "{error}");
                        }
                    }
                }
                begin += piece.len();
                frames += usize::from(is_frame);
            }
        }
    }

    #[test]
    fn no_mutation_makes_it_panic() {
        let captures =
            captures().map(|pieces| pieces.into_iter().flat_map(|(piece, _)| piece).collect::<Vec<u8>>());
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let (mut whole, mut broken) = (0, 0);
        for case in 0..100_000 {
            let mut file = captures[random(2)].clone();
            for _ in 0..=random(4) {
                let at = random(file.len());
                match random(4) {
                    0 => file[at] ^= 1 << random(8),
                    1 => file[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                    2 => file[at] = random(256) as u8,
                    // Four bytes at once, so that other fields become lengths.
                    _ => {
                        let from = random(file.len());
                        let word: Vec<u8> = file[from..].iter().take(4).copied().collect();
                        file.iter_mut().skip(at & !3).zip(word).for_each(|(byte, new)| *byte = new);
                    }
                }
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&file)));
            let Ok((frames, error)) = outcome else { panic!("case {case}: {file:02x?}") };
            assert!(frames.len() * 16 <= file.len());
            assert!(frames.iter().all(|frame| frame.bytes.len() <= frame.length as usize));
            assert!(error.as_ref().is_none_or(|(offset, _)| *offset < file.len() as u64));
            *if error.is_none() { &mut whole } else { &mut broken } += 1;
        }
        // Both outcomes occurred often.
        assert!(whole > 10_000 && broken > 10_000, "{whole} whole, {broken} broken");
    }
}
