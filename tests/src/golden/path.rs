//! Everything between the start of the frame and the payload: tags, options, extension headers, fragments, lengths, buffers.

use super::case::{Expect, Golden, OUTSIDER, OUTSIDER6, client, drops, golden, monlist, passes};
use crate::frame::{
    Frame,
    extension::{authentication, destination, fragment, hop_by_hop, routing},
    payload::time,
};
use ntpguard::daemon::dialect::Dialect;
use ntpguard_common::Reason;

/// All cases of this file.
pub(super) fn cases() -> Vec<Golden> {
    [wrapped(), sessions(), tunnels(), fragments(), lengths(), buffers()].concat()
}

/// Headers between the start of the frame and UDP.
fn wrapped() -> Vec<Golden> {
    let conf = "pool.conf";
    let mode7 = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Mode7));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    let eight = (0..8).fold(v6.clone(), |frame, _| frame.extension(destination(0)));
    vec![
        mode7("IPv4 options, 4 bytes", &v4.clone().options(1)),
        mode7("IPv4 options, 40 bytes", &v4.clone().options(10)),
        mode7("802.1Q", &v4.clone().vlan(0x8100, 7)),
        mode7("802.1ad", &v4.clone().vlan(0x88a8, 7)),
        mode7("priority tag", &v4.clone().vlan(0x8100, 0)),
        mode7("802.1ad and 802.1Q", &v4.clone().vlan(0x88a8, 7).vlan(0x8100, 8)),
        mode7("two 802.1Q tags, IPv6", &v6.clone().vlan(0x8100, 7).vlan(0x8100, 8)),
        mode7("tag, IPv4 options", &v4.clone().vlan(0x8100, 7).options(3)),
        mode7("hop-by-hop", &v6.clone().extension(hop_by_hop(0))),
        mode7("long destination options", &v6.clone().extension(destination(40))),
        mode7("routing", &v6.clone().extension(routing(2))),
        mode7("authentication, IPv6", &v6.clone().extension(authentication(4))),
        mode7("authentication of odd length", &v6.clone().extension(authentication(3))),
        mode7(
            "every extension header",
            &v6.clone()
                .extension(hop_by_hop(1))
                .extension(destination(2))
                .extension(routing(2))
                .extension(fragment(0, false))
                .extension(authentication(4))
                .extension(destination(0)),
        ),
        mode7("eight extension headers", &eight),
        golden(
            "nine extension headers",
            conf,
            &eight.clone().extension(destination(0)),
            drops(Reason::Extensions),
        ),
        golden(
            "client behind extension headers",
            conf,
            &client(OUTSIDER6).extension(hop_by_hop(0)),
            passes(Reason::Time),
        ),
        other(
            "an unknown next header is no extension header",
            &v6.clone().extension((253, vec![17, 0, 0, 0, 0, 0, 0, 0])),
        ),
        mode7("three tags", &v4.clone().vlan(0x8100, 1).vlan(0x8100, 2).vlan(0x8100, 3)),
        mode7("three priority tags", &(0..3).fold(v4.clone(), |frame, _| frame.vlan(0x8100, 0))),
        mode7("eight tags", &tagged(&v4, 8)),
        mode7("eight tags, IPv6 behind an extension header", &tagged(&v6, 8).extension(destination(0))),
        golden("nine tags", conf, &tagged(&v4, 9), drops(Reason::Tags)),
        golden("nine tags before what isn't NTP", conf, &tagged(&v4, 9).to_port(53), drops(Reason::Tags)),
        golden("client behind eight tags", conf, &tagged(&client(OUTSIDER), 8), passes(Reason::Time)),
        other("another port behind eight tags", &tagged(&v4, 8).to_port(53)),
        other("an old provider's tag, which Linux doesn't know", &v4.clone().vlan(0x9100, 7)),
        other("TCP with UDP's bytes", &v4.clone().protocol(6)),
        other("UDP-Lite", &v4.clone().protocol(136)),
        other("another port", &v4.clone().to_port(124)),
        other("port 123 << 8", &v4.clone().to_port(123 << 8)),
        other("ARP", &v4.clone().ether_type(0x0806)),
        other("IPv6 under IPv4's EtherType", &v6.clone().ether_type(0x0800)),
        other("IPv4 under IPv6's EtherType", &v4.clone().ether_type(0x86dd)),
    ]
}

/// The frame with this many VLAN tags, of both kinds.
fn tagged(frame: &Frame, tags: u16) -> Frame {
    (0..tags).fold(frame.clone(), |frame, number| {
        frame.vlan(if number % 2 == 0 { 0x88a8 } else { 0x8100 }, number)
    })
}

/// PPPoE is RFC 2516; PPP's protocol numbers for IPv4 and IPv6 are in RFC 1332 and RFC 5072; their short form is in RFC
/// 1661, 6.5.
fn sessions() -> Vec<Golden> {
    let conf = "pool.conf";
    let mode7 = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Mode7));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let hidden = |name, frame: &Frame| golden(name, conf, frame, passes(Reason::Encapsulated));
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    vec![
        mode7("PPPoE, IPv4", &v4.clone().pppoe(&[0x00, 0x21])),
        mode7("PPPoE, IPv6", &v6.clone().pppoe(&[0x00, 0x57])),
        mode7("PPPoE, IPv4 by one byte", &v4.clone().pppoe(&[0x21])),
        mode7("PPPoE, IPv6 by one byte", &v6.clone().pppoe(&[0x57])),
        mode7("PPPoE in a tag", &v4.clone().vlan(0x8100, 7).pppoe(&[0x00, 0x21])),
        mode7("PPPoE in eight tags", &tagged(&v6, 8).pppoe(&[0x00, 0x57])),
        mode7("PPPoE, IPv4 options", &v4.clone().options(10).pppoe(&[0x00, 0x21])),
        mode7("PPPoE, extension headers", &v6.clone().extension(destination(1)).pppoe(&[0x57])),
        golden(
            "client behind PPPoE",
            conf,
            &client(OUTSIDER).vlan(0x8100, 7).pppoe(&[0x00, 0x21]),
            passes(Reason::Time),
        ),
        golden(
            "first fragment behind PPPoE",
            conf,
            &v4.clone().fragment(0, true).pppoe(&[0x00, 0x21]),
            drops(Reason::Fragment),
        ),
        other("PPPoE, another port", &v4.clone().to_port(53).pppoe(&[0x00, 0x21])),
        other("PPPoE, IPv4 by IPv6's number", &v4.clone().pppoe(&[0x00, 0x57])),
        other("PPPoE, LCP", &v4.clone().pppoe(&[0xc0, 0x21])),
        other("PPPoE, IPCP", &v4.clone().pppoe(&[0x80, 0x21])),
        other("PPPoE discovery", &v4.clone().ether_type(0x8863)),
        hidden("PPPoE, multilink", &v4.clone().pppoe(&[0x00, 0x3d])),
        hidden("PPPoE, compressed", &v4.clone().pppoe(&[0xfd])),
        hidden("PPPoE, MPLS", &v4.clone().pppoe(&[0x02, 0x81])),
    ]
}

/// A packet inside another packet is counted as encapsulated, whatever it contains.
fn tunnels() -> Vec<Golden> {
    let conf = "pool.conf";
    let hidden = |name, frame: &Frame| golden(name, conf, frame, passes(Reason::Encapsulated));
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    vec![
        hidden("IPIP", &v4.clone().protocol(4)),
        hidden("IPv6 in IPv4", &v4.clone().protocol(41)),
        hidden("GRE", &v4.clone().protocol(47)),
        hidden("GRE behind IPv4 options, in a tag", &v4.clone().options(1).vlan(0x8100, 7).protocol(47)),
        hidden("a later fragment of GRE", &v4.clone().protocol(47).fragment(1, false)),
        hidden("IPsec's ESP", &v4.clone().protocol(50)),
        hidden("IPsec's AH over IPv4", &v4.clone().protocol(51)),
        hidden("L2TP", &v4.clone().protocol(115)),
        hidden("MPLS in IP", &v4.clone().protocol(137)),
        hidden("IPv4 in IPv6", &v6.clone().protocol(4)),
        hidden("IPv6 in IPv6 behind options", &v6.clone().extension(destination(0)).protocol(41)),
        hidden("GRE over IPv6", &v6.clone().protocol(47)),
        hidden("ESP", &v6.clone().extension((50, vec![17, 0, 0, 0, 0, 0, 0, 0]))),
        hidden("MPLS", &v4.clone().ether_type(0x8847)),
        hidden("MPLS for many, in a tag", &v4.clone().vlan(0x8100, 7).ether_type(0x8848)),
        hidden("MACsec", &v4.clone().ether_type(0x88e5)),
    ]
}

fn fragments() -> Vec<Golden> {
    let conf = "pool.conf";
    let first = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Fragment));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    let tiny = Frame::from(OUTSIDER, 40000).udp_length(16); // only UDP's header, without the mode byte
    vec![
        first("first fragment", &v4.clone().fragment(0, true)),
        first("first fragment of a time packet", &client(OUTSIDER).fragment(0, true)),
        first("first fragment without the mode byte", &tiny.fragment(0, true)),
        first("first fragment, IPv6", &v6.clone().extension(fragment(0, true))),
        first(
            "first fragment that ends before the next extension header",
            &v6.clone()
                .extension(fragment(0, true))
                .extension(destination(0))
                .extension(destination(0))
                .ip_length(16),
        ),
        first(
            "first fragment that ends in an extension header",
            &v6.clone().extension(fragment(0, true)).extension(destination(5)).ip_length(16),
        ),
        first(
            "first fragment that ends before UDP's header",
            &v6.clone().extension(fragment(0, true)).extension(destination(0)).ip_length(16),
        ),
        first(
            "first fragment between extension headers",
            &v6.clone().extension(hop_by_hop(0)).extension(fragment(0, true)).extension(destination(0)),
        ),
        golden("atomic fragment", conf, &v6.clone().extension(fragment(0, false)), drops(Reason::Mode7)),
        other("later fragment whose bytes look like UDP to 123", &v4.clone().fragment(1, true)),
        other("last fragment whose bytes look like UDP to 123", &v4.clone().fragment(185, false)),
        other("later fragment, IPv6", &v6.clone().extension(fragment(1, true))),
        other("last fragment, IPv6", &v6.clone().extension(fragment(185, false))),
        other("first fragment to another port", &v4.clone().to_port(53).fragment(0, true)),
    ]
}

/// Length fields with wrong values.
fn lengths() -> Vec<Golden> {
    let conf = "pool.conf";
    let mode7 = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Mode7));
    let malformed = |name, frame: &Frame| golden(name, conf, frame, drops(Reason::Malformed));
    let other = |name, frame: &Frame| golden(name, conf, frame, Expect::Untouched);
    let (v4, v6) = (monlist(OUTSIDER), monlist(OUTSIDER6));
    vec![
        malformed("UDP length past the packet", &v4.clone().udp_length(17)),
        malformed("UDP length past the packet, IPv6", &v6.clone().udp_length(17)),
        malformed("UDP length under its header", &v4.clone().udp_length(7)),
        malformed("UDP length 0", &v4.clone().udp_length(0)),
        mode7("UDP length 0 in IPv6 is up to the end", &v6.clone().udp_length(0)),
        mode7("UDP length shorter than the packet", &v4.clone().udp_length(10)),
        malformed("UDP length for one byte", &v4.clone().udp_length(9)),
        malformed("no payload, and padding that looks like one", &Frame::from(OUTSIDER, 40000)),
        malformed("UDP length without a payload", &v4.clone().udp_length(8)),
        mode7("bytes after the packet", &v4.clone().trailer(&[0; 100])),
        golden(
            "a time packet, and 0x17 after it",
            conf,
            &client(OUTSIDER).trailer(&[0x17; 9]),
            passes(Reason::Time),
        ),
        mode7(
            "IPv6 payload length 0 before hop-by-hop is up to the end",
            &v6.clone().extension(hop_by_hop(0)).ip_length(0),
        ),
        other("IPv6 payload length 0", &v6.clone().ip_length(0)),
        other("IPv6 payload length up to UDP's header", &v6.clone().ip_length(7)),
        other("IPv4 total length inside UDP's header", &v4.clone().ip_length(27)),
        other("IPv4 total length 0", &v4.clone().ip_length(0)),
        other("cut in the Ethernet header's last byte", &v4.clone().cut(14)),
        other("cut in the IPv4 header", &v4.clone().cut(33)),
        other("cut in the UDP header", &v4.clone().cut(41)),
        other("cut before the mode byte", &v4.clone().cut(42)),
        other("cut after the mode byte", &v4.clone().cut(43)),
        mode7("cut after the second byte", &v4.clone().cut(44)),
        other("cut in an extension header", &v6.clone().extension(hop_by_hop(0)).cut(55)),
    ]
}

/// Frames whose headers aren't all in the first buffer.
fn buffers() -> Vec<Golden> {
    let conf = "pool.conf";
    let v6 = monlist(OUTSIDER6);
    let long = |frame: &Frame| frame.clone().extension(destination(255)).extension(destination(255));
    let mut all = vec![
        golden("UDP header in the second buffer", conf, &long(&v6), drops(Reason::Mode7)),
        golden("a client's in the second buffer", conf, &long(&client(OUTSIDER6)), passes(Reason::Time)),
        golden(
            "jumbo time packet",
            conf,
            &Frame::from(OUTSIDER, 40000).payload(&[time(3, 4), vec![0; 8000]].concat()),
            passes(Reason::Time),
        )
        .before(Dialect::NtpSec),
        golden(
            "jumbo, cut before the mode byte",
            conf,
            &long(&v6).cut(14 + 40 + 2 * 2048 + 8),
            Expect::Untouched,
        ),
    ];
    for (name, linear) in [
        ("first buffer ends after Ethernet", 14),
        ("first buffer ends in IPv4", 20),
        ("first buffer ends after IPv4", 34),
        ("first buffer ends in UDP", 38),
        ("first buffer ends before the mode byte", 42),
    ] {
        let frame = monlist(OUTSIDER).trailer(&[0; 64]);
        all.push(Golden { linear: Some(linear), ..golden(name, conf, &frame, drops(Reason::Mode7)) });
    }
    all
}
