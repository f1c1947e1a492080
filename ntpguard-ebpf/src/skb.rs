//! A frame as tc has it: a socket buffer, with the link's header before it. On Ethernet the outer VLAN tag may lie beside the bytes
//! (the driver, or the kernel before tc, has taken it out): the frame then is an untagged one, and is read as such.
//!
//! Other links have no header (a tun device, PPP, WireGuard), or what a tunnel has taken off still lies there (GRE). No field says
//! which it is, and bytes could lie, so the kernel is asked how far it is to the network header, but only about frames that can't
//! be told from bare IP: the others begin with another nibble than a version's, or with a header that is longer than the frame.

use crate::{
    filter, maps,
    packed::PackedVerdict,
    packet::{Frame, Linear, copied},
    sample,
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

/// All of the socket buffer, its pages included.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn of(ctx: &TcContext) -> Self {
        Self { skb: ctx.skb.skb }
    }

    /// Whether it may begin with an IP header, as far as its first bytes tell. On a link without a header all do; of Ethernet
    /// frames those whose destination looks like the beginning of one.
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

    /// The length in bytes of each of several datagrams that share the frame's headers; 0 if there is one. Of a datagram that a guest
    /// wants to have cut into fragments (UFO) it is a fragment's, and the datagram is judged by that part of it.
    #[inline(always)]
    fn segment(&self) -> usize {
        // SAFETY: the context that the kernel handed to the program.
        unsafe { (*self.skb).gso_size as usize }
    }

    /// How many bytes lie before the network header; [`BEFORE`] at most.
    #[inline(always)]
    fn to_network_header(&self) -> usize {
        let (all, mut at_hand) = (self.len(), self.linear().len());
        if at_hand < BEFORE && at_hand < all {
            // Where that fails, the stack fails as well.
            let _ = TcContext::new(self.skb).pull_data(if all < BEFORE { all } else { BEFORE } as u32);
            at_hand = self.linear().len();
        }
        // The number of those before it is found bit by bit. Without a branch: the verifier would walk all that follows for
        // each number.
        let mut before = 0;
        let mut bit = BEFORE / 2;
        while bit > 0 {
            before += bit * self.is_beyond(at_hand, before + bit - 1);
            bit /= 2;
        }
        before as usize
    }

    /// 1 if more than so many bytes lie before the network header, else 0. The kernel counts from the network header up to the
    /// end of what is at hand: the last byte is there if it is counted from a place that isn't behind that header.
    #[inline(always)]
    fn is_beyond(&self, at_hand: u64, before: u64) -> u64 {
        let last = at_hand.saturating_sub(before + 1) as u32;
        let mut byte = 0_u8;
        // SAFETY: the context that the kernel handed to the program, and room for one byte.
        let status = unsafe {
            bpf_skb_load_bytes_relative(self.skb.cast(), last, (&raw mut byte).cast(), 1, BPF_HDR_START_NET)
        };
        // Negative if it isn't there.
        (status as u64) >> 63
    }
}

/// Length in bytes of an Ethernet header, a tag beside the bytes not counted.
const ETHERNET_HEADER: usize = 14;
/// Length in bytes of IPv6's header, which its own length field leaves out (RFC 8200 §3).
const IPV6_HEADER: u64 = 40;
/// More than links have before the network header, in bytes; a power of two. A tunnel's outer header counts: with all IPv4 options
/// and GRE's own fields that is 76. Behind an outer IPv6 header with longer extensions a frame isn't read.
const BEFORE: u64 = 128;

impl Packet for Skb {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        // SAFETY: the helper writes every byte to the stack, or fails past the frame's end.
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
        // SAFETY: the context that the kernel handed to the program.
        unsafe { (*self.skb).ifindex }
    }

    #[inline(always)]
    fn queue(&self) -> u32 {
        // One more than the queue's number, or 0 (include/linux/skbuff.h:skb_record_rx_queue): as good for counting.
        // SAFETY: as above.
        unsafe { (*self.skb).queue_mapping }
    }

    /// Here nothing can be sent back by the way it came: what has earned a kiss gets the daemon's.
    #[inline(always)]
    fn kiss(&self, _: LimitRequest, _: u64) -> bool {
        false
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut c_void, length: u32) -> c_long {
        // SAFETY: the context that the kernel handed to the program; the caller has room.
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
        // SAFETY: the context that the kernel handed to the program.
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
            // Says nothing instead of "accepted", so that other programs at the hook have their say. Nothing is sent back.
            Action::Pass | Action::Transmit => TC_ACT_UNSPEC,
        };
        code as u32
    }
}

/// [`Frame::judge_whole`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_whole(skb: *mut __sk_buff) -> u32 {
    filter::whole(&Skb { skb })
}

/// [`Frame::of_several`] with numbers: the payload's offset and length, and back above 32 bits the offset of the one to be judged,
/// below its length. A function of its own for the verifier, as the limiter is (`limit.rs`).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_several(skb: *mut __sk_buff, payload: u64, length: u64) -> u64 {
    let frame = Skb { skb };
    let (payload, length) = (payload as u32 as usize, length as u32 as usize);
    // Only the payload's place and length matter here.
    let datagram = Datagram { is_v6: false, network: 0, transport: 0, payload, length, end: 0 };
    // LimitRequest here and not handed over: a caller's stack has no room for more.
    let hardened = maps::word().has(PolicyWord::HARDEN_SEGMENTS);
    match representative(&frame, datagram, frame.segment(), hardened) {
        Located::Datagram(Datagram { payload, length, .. }) => (payload as u64) << 32 | length as u64,
        Located::TooManySegments => TOO_MANY,
        // A datagram's segments are nothing but these and what is cut short.
        Located::Truncated
        | Located::NotNtp
        | Located::TooManyTags
        | Located::TooManyExtensions
        | Located::Encapsulated
        | Located::Fragment
        | Located::Malformed => TRUNCATED,
    }
}

// What [`ntpguard_several`] returns where there is none to be judged; no payload begins at a frame's start.
const TRUNCATED: u64 = 0;
const TOO_MANY: u64 = 1;

/// [`Frame::tell`], as a function of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_tell(skb: *mut __sk_buff, why: u64, what: u64) -> u32 {
    sample::record(&Skb { skb }, PackedVerdict { why, what })
}
