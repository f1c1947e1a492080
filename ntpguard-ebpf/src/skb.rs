//! A frame as tc provides it: a socket buffer that begins with the link-layer header. On Ethernet the outer VLAN tag
//! may be stored outside of the frame's bytes (the driver, or the kernel before tc, has removed it). Such a frame is
//! read as an untagged one.
//!
//! Other links have no header (a tun device, PPP, WireGuard), or the header that a tunnel has removed is still there
//! (GRE). No field says which of these it is, and the frame's bytes could be forged to mislead. So the kernel is asked
//! for the distance to the network header, but only for frames that may be bare IP. A frame can't be if it doesn't begin
//! with an IP version, or if the length in what would be its IP header exceeds the frame.

use crate::{
    filter,
    frame::Frame,
    packed_verdict::PackedVerdict,
    packet::{Linear, copied},
    policy, sample,
};
use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_hdr_start_off::BPF_HDR_START_NET},
    cty::{c_long, c_void},
    helpers::{bpf_skb_load_bytes, bpf_skb_load_bytes_relative},
    programs::TcContext,
};
use core::{hint::cold_path, ops::Deref};
use ntpguard_common::{
    Action, Packet,
    abi::PolicyWord,
    limit::LimitRequest,
    packet::Wire,
    wire::{Datagram, Located, Network, segments::representative},
};

/// The whole socket buffer, including its pages.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn of(ctx: &TcContext) -> Self {
        Self { skb: ctx.skb.skb }
    }

    /// Whether the frame may begin with an IP header, judging by its first bytes. On a link without a header all frames
    /// do; of Ethernet frames, those whose destination address looks like the beginning of an IP header.
    #[inline(always)]
    pub(crate) fn may_be_bare(&self) -> bool {
        let Some([first, _, a, b, c, d]) = self.linear().load::<[u8; 6]>(0).map(|bytes| *bytes) else {
            return true;
        };
        // Version 4 or 6.
        if first & 0xd0 != 0x40 {
            return false;
        }
        cold_path();
        let length = if first & 0x20 == 0 {
            u64::from(u16::from_be_bytes([a, b]))
        } else {
            IPV6_HEADER + u64::from(u16::from_be_bytes([c, d]))
        };
        length <= self.len()
    }

    /// The length in bytes of each datagram if several share the frame's headers; 0 if there is only one. If a guest
    /// wants a datagram cut into fragments (UFO), it is a fragment's length, and the datagram is judged by that part of
    /// it.
    #[inline(always)]
    fn segment(&self) -> usize {
        // SAFETY: the context is the one that the kernel gave the program.
        unsafe { (*self.skb).gso_size as usize }
    }

    /// The number of bytes before the network header; less than [`BEFORE`].
    #[inline(always)]
    fn to_network_header(&self) -> usize {
        let (all, mut at_hand) = (self.len(), self.linear().len());
        if at_hand < BEFORE && at_hand < all {
            // If this fails, the network stack will fail as well.
            let _ = TcContext::new(self.skb).pull_data(if all < BEFORE { all } else { BEFORE } as u32);
            at_hand = self.linear().len();
        }
        // Determines the number bit by bit, without a branch: otherwise the verifier would check all following code for
        // each number.
        let mut before = 0;
        let mut bit = BEFORE / 2;
        while bit > 0 {
            before += bit * self.is_beyond(at_hand, before + bit - 1);
            bit /= 2;
        }
        before as usize
    }

    /// 1 if more than `before` bytes lie before the network header, else 0. The kernel counts from the network header
    /// up to the end of the bytes at hand. The last byte can be read at `last` only if the header doesn't lie beyond
    /// `before`.
    #[inline(always)]
    fn is_beyond(&self, at_hand: u64, before: u64) -> u64 {
        let last = at_hand.saturating_sub(before + 1) as u32;
        let mut byte = 0_u8;
        // SAFETY: the context is the one that the kernel gave the program, and there is room for one byte.
        let status = unsafe {
            bpf_skb_load_bytes_relative(self.skb.cast(), last, (&raw mut byte).cast(), 1, BPF_HDR_START_NET)
        };
        // The status is negative if the byte isn't there.
        (status as u64) >> 63
    }
}

/// Length in bytes of an Ethernet header, without a tag that is stored outside of the frame's bytes.
const ETHERNET_HEADER: usize = 14;
/// Length in bytes of the IPv6 header, which isn't included in its payload length (RFC 8200 §3).
const IPV6_HEADER: u64 = 40;
/// More bytes than links have before the network header; a power of two. This includes a tunnel's outer header, which
/// takes 76 bytes with all IPv4 options and GRE's own fields. After an outer IPv6 header with long extension headers, a
/// frame isn't read.
const BEFORE: u64 = 128;

impl Packet for Skb {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        // SAFETY: the helper writes all bytes to the stack, or fails past the frame's end.
        unsafe { copied(offset, |offset, to, length| self.copy(offset, to, length)) }
    }
}

impl Frame for Skb {
    #[inline(always)]
    fn linear(&self) -> Linear {
        let ctx = TcContext::new(self.skb);
        Linear::new(ctx.data(), ctx.data_end())
    }

    #[inline(always)]
    fn len(&self) -> u64 {
        u64::from(TcContext::new(self.skb).len())
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the context is the one that the kernel gave the program.
        unsafe { (*self.skb).ifindex }
    }

    #[inline(always)]
    fn queue(&self) -> u32 {
        // The queue's number plus one, or 0 for none (include/linux/skbuff.h:skb_record_rx_queue): suitable for
        // counting, too.
        // SAFETY: as above.
        unsafe { (*self.skb).queue_mapping }
    }

    /// Nothing can be sent back at this hook: a packet that would get a kiss passes, and the daemon sends it.
    #[inline(always)]
    fn kiss(&self, _: LimitRequest, _: u64) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long {
        // SAFETY: the context is the one that the kernel gave the program; the caller guarantees the room.
        unsafe { bpf_skb_load_bytes(self.skb.cast_const().cast(), offset, to, length) }
    }

    #[inline(always)]
    fn emit(&self, PackedVerdict { why, what }: PackedVerdict) {
        ntpguard_tell(self.skb, why, what);
    }

    #[inline(always)]
    fn network(&self) -> Option<Network> {
        if !self.may_be_bare() {
            return None;
        }
        let offset = self.to_network_header();
        // SAFETY: the context is the one that the kernel gave the program.
        let ether_type = unsafe { (*self.skb).protocol } as u16;
        (offset != ETHERNET_HEADER).then_some(Network { ether_type, offset })
    }

    #[inline(always)]
    fn is_several(&self) -> bool {
        self.segment() != 0
    }

    #[inline(always)]
    fn of_several(&self, datagram: Datagram) -> Located {
        let Datagram { payload, length, .. } = datagram;
        if !self.is_several() {
            return Located::Datagram(datagram);
        }
        match ntpguard_several(self.skb, payload as u64, length as u64) {
            TRUNCATED => Located::Truncated,
            TOO_MANY => Located::TooManySegments,
            found => Located::Datagram(Datagram {
                payload: (found >> 32) as usize,
                length: found as u32 as usize,
                ..datagram
            }),
        }
    }

    #[inline(always)]
    fn judge_whole(&self) -> u32 {
        ntpguard_whole(self.skb)
    }

    #[inline(always)]
    fn code(action: Action) -> u32 {
        let code = match action {
            Action::Drop => TC_ACT_SHOT,
            // TC_ACT_UNSPEC instead of "accepted", so that other programs at the hook run, too. Nothing is sent back.
            Action::Pass | Action::Transmit => TC_ACT_UNSPEC,
        };
        code as u32
    }
}

/// [`Frame::judge_whole`] as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_whole(skb: *mut __sk_buff) -> u32 {
    filter::whole(&Skb { skb })
}

/// [`Frame::of_several`] as a global function, which the verifier checks only once (`limit.rs`). Takes the payload's
/// offset and length; returns the offset (upper 32 bits) and the length of the datagram to judge.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_several(skb: *mut __sk_buff, payload: u64, length: u64) -> u64 {
    let frame = Skb { skb };
    let (payload, length) = (payload as u32 as usize, length as u32 as usize);
    // Only the payload's position and length matter here.
    let datagram = Datagram { is_v6: false, network: 0, transport: 0, payload, length, end: 0 };
    // Looked up here rather than passed as an argument: a caller's stack has no room for more.
    let hardened = policy::word().has(PolicyWord::HARDEN_SEGMENTS);
    match representative(&frame, datagram, frame.segment(), hardened) {
        Located::Datagram(Datagram { payload, length, .. }) => (payload as u64) << 32 | length as u64,
        Located::TooManySegments => TOO_MANY,
        // For a datagram, `representative` returns only the variants above and Truncated.
        Located::Truncated
        | Located::NotNtp
        | Located::TooManyTags
        | Located::TooManyExtensions
        | Located::Encapsulated
        | Located::Fragment
        | Located::Malformed => TRUNCATED,
    }
}

// Results of [`ntpguard_several`] if there is no datagram to judge. They can't be confused with one, since no payload
// begins at a frame's start.
const TRUNCATED: u64 = 0;
const TOO_MANY: u64 = 1;

/// [`Frame::emit`] as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_tell(skb: *mut __sk_buff, why: u64, what: u64) -> u32 {
    sample::record(&Skb { skb }, PackedVerdict { why, what })
}
