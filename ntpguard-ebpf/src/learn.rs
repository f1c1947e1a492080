//! Learns the daemon's associations from packets that leave this host, at the egress of the root cgroup. There it sees
//! what this host's own sockets send, whatever interface it leaves by, and before NAT.
//!
//! Every packet passes. Two programs differ in how they know a packet of the guarded network namespace from one of a
//! container's.

use crate::{
    associations::Associations,
    packet::{Linear, copied},
    policy::{self, InSlot},
};
use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_get_netns_cookie, bpf_ktime_get_ns, bpf_skb_load_bytes},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use core::{hint::cold_path, ops::Deref, ptr::read_volatile};
use network_types::{eth::EtherType, ip::IpProto};
use ntpguard_common::{
    AssociationState as _, Packet, Source,
    abi::{PolicyWord, Rule},
    associations::{Departure, learn},
    packet::Wire,
    ranges,
    wire::{self, Network, ntp},
};

/// The cookie of the guarded network namespace (SO_NETNS_COOKIE); set by the loader.
#[unsafe(no_mangle)]
static NAMESPACE: u64 = 0;

/// For how many nanoseconds this host's addresses are taken for known after a process has looked at them.
const FOLLOWED: u64 = 10_000_000_000;

/// The verdict of this hook that lets a packet pass.
const PASS: i32 = 1;

/// The program for kernels that say which namespace a packet is from (Linux 6.15 and newer).
#[cgroup_skb(egress)]
#[inline(always)]
fn ntpguard_learn(ctx: SkBuffContext) -> i32 {
    let skb = ctx.skb.skb;
    if may_be_ntp(skb) {
        cold_path();
        ntpguard_departure(skb);
    }
    PASS
}

/// The program for older kernels. A packet is of the guarded namespace if its source is one of this host's addresses
/// there.
#[cgroup_skb(egress)]
#[inline(always)]
fn ntpguard_learn_v6_1(ctx: SkBuffContext) -> i32 {
    let skb = ctx.skb.skb;
    if may_be_ntp(skb) {
        cold_path();
        ntpguard_departure_v6_1(skb);
    }
    PASS
}

/// Whether a packet may have to be noted. Nearly all others have plain headers, and are known here: also what a server
/// sends most, which is answers.
#[inline(always)]
fn may_be_ntp(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context is the one that the kernel gave the program.
    let (data, end, protocol) = unsafe { ((*skb).data, (*skb).data_end, (*skb).protocol) };
    let packet = Linear { data: data as usize, data_end: end as usize };
    let (next, plain, offset) = if protocol as u16 == EtherType::Ipv4 as u16 {
        let Some([first, _, _, _, _, _, _, _, _, next]) = packet.load::<[u8; 10]>(0).map(|it| *it) else {
            return true;
        };
        (next, first == 0x45, 20)
    } else {
        let Some([_, _, _, _, _, _, next]) = packet.load::<[u8; 7]>(0).map(|it| *it) else { return true };
        (next, next == IpProto::Udp as u8, 40)
    };
    if next == IpProto::Tcp as u8 {
        return false;
    }
    if !plain {
        return true;
    }
    if next != IpProto::Udp as u8 {
        return false;
    }
    let port = ntp::PORT.to_be_bytes();
    packet.load::<[u8; 9]>(offset).is_none_or(|head| {
        let [a, b, c, d, _, _, _, _, first] = *head;
        ([a, b] == port || [c, d] == port) && Departure::is_awaited(first)
    })
}

/// Notes an NTP packet, in a global function, which the verifier checks only once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_departure(skb: *mut __sk_buff) -> u32 {
    // SAFETY: a static of this program. Volatile, since the loader has changed it.
    let namespace = unsafe { read_volatile(&NAMESPACE) };
    // SAFETY: the context is the one that the kernel gave the program.
    let is_guarded = |_, _: &Source| unsafe { bpf_get_netns_cookie(skb.cast()) } == namespace;
    u32::from(note(skb, is_guarded).is_some())
}

/// The same for the other program.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ntpguard_departure_v6_1(skb: *mut __sk_buff) -> u32 {
    u32::from(note(skb, is_own).is_some())
}

/// Notes a packet. `is_guarded` says whether it is of the guarded namespace, by the slot in force and its source.
#[inline(always)]
fn note(skb: *mut __sk_buff, is_guarded: impl FnOnce(u32, &Source) -> bool) -> Option<()> {
    let word = policy::word();
    if !word.has(PolicyWord::INSTALLED) {
        return None;
    }
    // SAFETY: the context is the one that the kernel gave the program.
    let (data, end, ether_type) =
        unsafe { ((*skb).data as usize, (*skb).data_end as usize, (*skb).protocol as u16) };
    let linear = Linear { data, data_end: end };
    // A sender may keep the payload in other buffers (MSG_ZEROCOPY): then the whole of it is read by calls.
    let departure = read(&linear, ether_type).or_else(|| read(&Leaving { skb }, ether_type))?;
    let state = Associations;
    // Two CPUs may count as one: the number only shows that something leaves.
    let left = &state.learning()?.left;
    left.set(left.get().wrapping_add(1));
    let is_daemons = departure.local_port == ntp::PORT && is_guarded(word.slot(), &departure.local);
    learn(&departure, is_daemons, word.slot(), &state)
}

#[inline(always)]
fn read(packet: &impl Packet, ether_type: u16) -> Option<Departure> {
    let datagram = wire::locate_leaving(packet, Network { ether_type, offset: 0 })?;
    Departure::read(packet, &datagram)
}

/// Whether an address is one of the guarded host's. If no process looks whether these have changed, any address may be
/// one.
#[inline(always)]
fn is_own(slot: u32, local: &Source) -> bool {
    let chunks = InSlot(slot);
    // Without the non-contiguous masks, whose entries may come before the one for an own address.
    let rule = match *local {
        Source::V4(address) => ranges::of_v4(&chunks, address, true),
        Source::V6(halves) => ranges::of_v6(&chunks, halves, true),
    };
    if rule.is_some_and(|rule| rule.has(Rule::OWN)) {
        return true;
    }
    // SAFETY: it has no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    Associations.learning().is_none_or(|learning| now.wrapping_sub(learning.followed.get()) > FOLLOWED)
}

/// A packet that leaves, as the hook provides it: a socket buffer that begins with the IP header.
struct Leaving {
    skb: *mut __sk_buff,
}

impl Packet for Leaving {
    #[inline(always)]
    fn load<T: Wire>(&self, offset: usize) -> Option<impl Deref<Target = T>> {
        // SAFETY: the helper writes all bytes to the stack, or fails past the packet's end.
        unsafe {
            copied(offset, |offset, to, length| {
                bpf_skb_load_bytes(self.skb.cast_const().cast(), offset, to, length)
            })
        }
    }
}
