//! What the readers of both formats make of a packet.

use std::{ops::Range, time::Duration};

/// What a format knows of a packet.
pub(super) struct Packet {
    /// Its place in the window; while the block is parsed, in the block.
    pub(super) data: Range<usize>,
    pub(super) link: u16,
    pub(super) length: u32,
    pub(super) time: Option<Duration>,
    pub(super) outgoing: bool,
}

impl Packet {
    /// Makes the place in the block one in the window.
    pub(super) fn within(&mut self, block: &Range<usize>) {
        let Range { start, end } = &mut self.data;
        *start += block.start;
        *end += block.start;
    }
}
