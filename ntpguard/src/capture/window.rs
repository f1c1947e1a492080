//! The part of the file that is in memory.
//!
//! Contract: never more than [`MAX_BLOCK`] bytes, and never more than twice what the input has given, so a short file
//! that claims much costs little. Bytes that were consumed stay in place until more are asked for.

use super::Error;
use std::{
    io::{ErrorKind, Read},
    ops::Range,
};

/// The longest block that is read. The longest packet that tools write is 256 KiB (libpcap's MAXIMUM_SNAPLEN; BIG TCP
/// stays below twice that); libpcap, too, starts to doubt a pcapng block at 16 MiB.
pub(super) const MAX_BLOCK: usize = 16 << 20;
/// Read at a time: enough that the system calls don't count.
const FIRST: usize = 64 << 10;

/// A window on the input that only moves forward.
pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    /// What is at hand lies at `start..end` of the buffer.
    start: usize,
    end: usize,
    /// Of `start`, in the file.
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; FIRST], start: 0, end: 0, offset: 0 }
    }

    /// Bytes consumed.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is at hand: `wanted` bytes or more, fewer only at the input's end. No more than [`MAX_BLOCK`] can be
    /// wanted.
    pub(super) fn peek(&mut self, wanted: usize) -> Result<&[u8], Error> {
        if self.end - self.start < wanted {
            self.refill(wanted)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next `length` bytes, which begin a block or are one.
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

    /// Steps over bytes that are at hand; the place is good for [`Window::bytes`] until more are asked for.
    pub(super) fn consume(&mut self, length: usize) -> Range<usize> {
        let place = self.start..self.start + length;
        debug_assert!(place.end <= self.end);
        self.start = place.end;
        self.offset += length as u64;
        place
    }

    /// Bytes that were consumed last.
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

    /// Gives a byte at a time, with interruptions, then fails.
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
