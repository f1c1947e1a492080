//! A frame as its hook provides it: what the filter needs of XDP's and tc's.

use crate::{packed_verdict::PackedVerdict, packet::Linear};
use aya_ebpf::cty::{c_long, c_void};
use ntpguard_common::{
    Action, Packet, Verdict,
    limit::LimitRequest,
    wire::{Datagram, Located, Network},
};

/// A frame as its hook provides it. Its [`Packet`] implementation reads from the whole frame, with a helper call for
/// each access.
pub(crate) trait Frame: Packet {
    /// The first buffer.
    fn linear(&self) -> Linear;

    /// The frame's length in bytes.
    fn len(&self) -> u64;

    /// The index of the interface that it came in by.
    fn interface(&self) -> u32;

    /// A number for the receive queue that it came in by: at XDP the driver's own, from 0.
    fn queue(&self) -> u32;

    /// Turns the frame into a kiss. Returns `false` and changes nothing if that isn't possible at this hook. `offsets`
    /// packs the offsets of the UDP payload and of the IP header (`limit.rs`).
    fn kiss(&self, request: LimitRequest, offsets: u64) -> bool;

    /// Copies `length` bytes from an offset on to `to`. Returns 0 on success; fails past the frame's end.
    ///
    /// # Safety
    /// `to` must have room for `length` bytes.
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long;

    /// Writes a sample of a drop to the ring buffer ([`crate::sample`]).
    fn emit(&self, verdict: PackedVerdict);

    /// Logs a line about a verdict, in the program for `run --trace`.
    #[inline(always)]
    fn trace(&self, _: Verdict) {}

    /// The network header's type and position, if it isn't an Ethernet frame.
    #[inline(always)]
    fn network(&self) -> Option<Network> {
        None
    }

    /// Whether several datagrams share its headers (`wire::segments`).
    #[inline(always)]
    fn is_several(&self) -> bool {
        false
    }

    /// The datagram to judge if several share the headers; otherwise the one that there is.
    #[inline(always)]
    fn of_several(&self, datagram: Datagram) -> Located {
        Located::Datagram(datagram)
    }

    /// Judges the frame by all of its buffers ([`crate::filter::whole`]), in a global function: it is rarely needed,
    /// and the verifier needn't check it again after every path that leads to it.
    fn judge_whole(&self) -> u32;

    /// The hook's code for an action.
    fn code(action: Action) -> u32;
}

impl Linear {
    /// Its length in bytes, which is the frame's unless the frame has several buffers.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        (self.data_end - self.data) as u64
    }
}
