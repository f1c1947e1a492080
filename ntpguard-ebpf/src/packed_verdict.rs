//! A verdict to be sampled or logged, packed into two numbers as the arguments of a global function.

use ntpguard_common::{Verdict, wire::Datagram};

/// A verdict to be sampled or logged.
#[derive(Clone, Copy)]
pub(crate) struct PackedVerdict {
    /// The rule's index; from bit 32 on the reason's index, from bit 40 on the offset of the UDP header.
    pub(crate) why: u64,
    /// The frame's length; [`KNOWN`]; [`OVER_V6`]; from bit 34 on the offset of the IP header, from bit 48 on that of
    /// the UDP payload.
    pub(crate) what: u64,
}

/// In [`PackedVerdict::what`]: the frame doesn't hide its datagram.
const KNOWN: u64 = 1 << 32;
/// In [`PackedVerdict::what`]: it has an IPv6 header.
const OVER_V6: u64 = 1 << 33;
const IP_SHIFT: u32 = 34;
const PAYLOAD_SHIFT: u32 = 48;
const TRANSPORT_SHIFT: u32 = 40;

impl PackedVerdict {
    /// Packs a verdict on a frame of this length.
    #[inline(always)]
    pub(crate) fn new(verdict: Verdict, length: u64) -> Self {
        let why = u64::from(verdict.rule) | u64::from(verdict.reason.index()) << 32;
        let length = length & 0xffff_ffff;
        let Some(Datagram { is_v6, network, transport, payload, .. }) = verdict.datagram else {
            return Self { why, what: length };
        };
        let offsets = (network as u64) << IP_SHIFT | (payload as u64) << PAYLOAD_SHIFT;
        let why = why | (transport as u64) << TRANSPORT_SHIFT;
        Self { why, what: length | KNOWN | if is_v6 { OVER_V6 } else { 0 } | offsets }
    }

    /// The datagram's position, if it is known. Its lengths are not packed, and are 0.
    #[inline(always)]
    pub(crate) fn datagram(self) -> Option<Datagram> {
        let (network, payload) = (self.what >> IP_SHIFT & 0xff, self.what >> PAYLOAD_SHIFT);
        (self.what & KNOWN != 0).then_some(Datagram {
            is_v6: self.what & OVER_V6 != 0,
            network: network as usize,
            transport: (self.why >> TRANSPORT_SHIFT) as usize,
            payload: payload as usize,
            length: 0,
            end: 0,
        })
    }
}
