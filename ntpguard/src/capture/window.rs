//! The part of the file that is in memory.
//!
//! Contract: it takes at most [`MAX_BLOCK`] bytes, and at most twice what the input has supplied (beyond the first 64 KiB),
//! so a short file that claims great lengths takes little memory. Consumed bytes stay in place until more are requested.

use super::Error;
use std::{
    io::{ErrorKind, Read},
    ops::Range,
};

/// The maximum length of a block. The longest packet that tools write has 256 KiB (libpcap's MAXIMUM_SNAPLEN; BIG TCP stays
/// below twice that), and 16 MiB is also where libpcap begins to distrust a pcapng block.
pub(super) const MAX_BLOCK: usize = 16 << 20;
/// The initial buffer size: large enough that the cost of system calls is negligible.
const FIRST: usize = 64 << 10;

/// A window on the input that only moves forward.
pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    /// `start..end` of the buffer has the bytes that were read and not consumed.
    start: usize,
    end: usize,
    /// The offset of `start` in the file.
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; FIRST], start: 0, end: 0, offset: 0 }
    }

    /// How many bytes were consumed.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that were read and not consumed: at least `wanted`, or fewer at the end of the input. `wanted` is at most
    /// [`MAX_BLOCK`].
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8], Error> {
        if self.end - self.start < wanted {
            self.refill(wanted)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next `length` bytes, which are a block or the beginning of one.
    pub(super) fn whole(&mut self, length: usize) -> Result<&[u8], Error> {
        let offset = self.offset;
        if length > MAX_BLOCK {
            let what =
                format!("a block claims {length} bytes; more than {MAX_BLOCK} are taken for a mistake");
            return Err(Error::Damaged { offset, what });
        }
        let bytes = self.peek(length)?;
        let present = bytes.len();
        bytes.get(..length).ok_or(Error::CutOff { offset, length, present })
    }

    /// Consumes bytes that were read; the range is valid for [`Window::bytes`] until more are requested.
    pub(super) fn consume(&mut self, length: usize) -> Range<usize> {
        let place = self.start..self.start + length;
        debug_assert!(place.end <= self.end);
        self.start = place.end;
        self.offset += length as u64;
        place
    }

    /// Bytes that were just consumed.
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    #[cold]
    fn refill(&mut self, wanted: usize) -> Result<(), Error> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted {
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.end).min(MAX_BLOCK), 0);
            }
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(source) => {
                    return Err(Error::Read { offset: self.offset + self.end as u64, source });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, repeat};

    #[test]
    fn memory_follows_what_is_there_and_not_what_is_claimed() {
        let mut window = Window::new(&[7_u8; 100][..]);
        assert!(matches!(
            window.whole(MAX_BLOCK),
            Err(Error::CutOff { offset: 0, length: MAX_BLOCK, present: 100 })
        ));
        assert_eq!(window.buffer.len(), FIRST);
        assert!(matches!(window.whole(MAX_BLOCK + 1), Err(Error::Damaged { offset: 0, .. })));
    }

    #[test]
    fn the_largest_block_fits_and_nothing_grows_after_it() {
        let mut window = Window::new(repeat(1));
        for block in 1..=3 {
            window.whole(1).unwrap();
            window.consume(1);
            assert_eq!(window.whole(MAX_BLOCK).unwrap().len(), MAX_BLOCK);
            window.consume(MAX_BLOCK);
            assert_eq!(window.offset(), block * (MAX_BLOCK as u64 + 1));
            assert_eq!(window.buffer.len(), MAX_BLOCK);
        }
    }

    /// A reader that returns one byte at a time, with interruptions, and finally fails.
    struct Reluctant(u8);

    impl Read for Reluctant {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                20.. => Err(io::Error::other("gone")),
                odd if odd % 2 == 1 => Err(ErrorKind::Interrupted.into()),
                even => {
                    buffer[0] = even;
                    Ok(1)
                }
            }
        }
    }

    #[test]
    fn short_reads_are_continued_and_failures_say_where() {
        let mut window = Window::new(Reluctant(0));
        assert_eq!(window.whole(3).unwrap(), [2, 4, 6]);
        let place = window.consume(3);
        assert_eq!(window.bytes(place), [2, 4, 6]);
        assert!(matches!(window.whole(30), Err(Error::Read { offset: 9, .. })));
    }
}
