//! A packet as the readers of both formats return it.

use std::{ops::Range, time::Duration};

/// What the format says about a packet.
pub(super) struct Packet {
    /// Its place in the window; while the block is being parsed, its place in the block.
    pub(super) data: Range<usize>,
    pub(super) link: u16,
    pub(super) length: u32,
    pub(super) time: Option<Duration>,
    pub(super) outgoing: bool,
}

impl Packet {
    /// Converts its place in the block to one in the window.
    pub(super) fn within(&mut self, block: &Range<usize>) {
        let Range { start, end } = &mut self.data;
        *start += block.start;
        *end += block.start;
    }
}
