//! Ways by which packets may reach the daemon without being judged by the filter on the card: tunnels that end on this
//! host, rules that redirect another port to 123, and several datagrams in one frame.

use super::{Check, Finding, card::Card};
use crate::bpf::How;
use std::{fs, path::Path};

/// Kinds of interfaces whose packets the card has carried inside other packets (`ip -details link`).
const TUNNELS: [&str; 24] = [
    "amt",
    "bareudp",
    "batadv",
    "erspan",
    "fou",
    "geneve",
    "gre",
    "gretap",
    "gtp",
    "hsr",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "l2tp",
    "macsec",
    "ovpn",
    "sit",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
    "xfrm",
];

/// Targets of rules that redirect a port: the kernel module whose use is counted in /proc/modules, and the command that
/// lists the rules.
const REDIRECTS: [(&str, &str); 2] =
    [("nft_redir", "nft list ruleset"), ("xt_REDIRECT", "iptables-save -t nat; ip6tables-save -t nat")];

/// Checks all interfaces, not only those to be guarded, and the redirecting rules of the network stack.
pub(super) fn examine(root: &Path, cards: &[Card]) -> Vec<Finding> {
    let modules = fs::read_to_string(root.join("proc/modules")).unwrap_or_default();
    cards.iter().filter_map(tunnel).chain(redirects(&modules)).collect()
}

/// A note if the interface is up, is unguarded and is the end of a tunnel.
fn tunnel(card: &Card) -> Option<Finding> {
    let interface = &card.interface;
    let kind = interface.kind.as_deref()?;
    // A tap is usually a guest's network card; a tun is the end of a tunnel that a process runs.
    let ends_here = TUNNELS.contains(&kind) || kind == "tun" && interface.bare;
    if !ends_here || !card.up || card.guarded.is_some() {
        return None;
    }
    let name = &interface.name;
    let message = format!(
        "{kind}: what comes out of it is carried within other packets on the card, and isn't judged there"
    );
    let hook = if interface.bare { "--hook tc " } else { "" };
    Some(
        Finding::note(Check::Around, name, message).fix(format!(
            "ntpguard run {hook}--interface {name}, if strangers can reach the daemon through it"
        )),
    )
}

/// A note for each module that rules use. Modules compiled into the kernel, and rules of other kinds, aren't seen.
fn redirects(modules: &str) -> impl Iterator<Item = Finding> {
    REDIRECTS.into_iter().filter_map(move |(module, command)| {
        let mut fields = modules.lines().map(str::split_whitespace).find_map(|mut fields| {
            (fields.next() == Some(module)).then_some(fields)
        })?;
        // The module's size, then its use count.
        let rules: u64 = fields.nth(1)?.parse().ok()?;
        if rules == 0 {
            return None;
        }
        let message = format!(
            "{rules} rules on this host redirect ports: one that leads to port 123 stands behind the filter, which sees the port before"
        );
        Some(Finding::note(Check::Around, module, message).fix(format!("{command} tells whether one does")))
    })
}

/// A note if neighbours on the same host can send several datagrams in one frame, of which generic XDP judges only the first.
pub(super) fn several(card: &Card) -> Option<Finding> {
    let from_neighbours = card.interface.kind.as_deref() == Some("veth")
        || matches!(card.setup.driver.as_deref(), Some("virtio_net" | "xen_netfront" | "vif"));
    if !from_neighbours || !matches!(card.guarded, Some((How::Generic, _))) {
        return None;
    }
    let name = &card.interface.name;
    let message = "in generic mode several datagrams that a neighbour on the same host sends in one frame \
                   (UDP_SEGMENT) are judged by the first alone";
    Some(Finding::note(Check::Around, name, message).fix(format!(
        "--xdp-mode native, or --hook tc, which judges each (ntpguard attach --interface {name} --hook tc)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::native::tests::with;

    #[test]
    fn tunnels_are_named_while_they_are_unguarded() {
        let of = |kind: &'static str, bare: bool, up: bool| {
            let card = with(|card| {
                (card.interface.kind, card.interface.bare, card.up) = (Some(kind.to_owned()), bare, up);
            });
            tunnel(&card)
        };
        let wireguard = of("wireguard", true, true).unwrap();
        assert!(wireguard.fix.unwrap().starts_with("ntpguard run --hook tc --interface "));
        assert!(!of("vxlan", false, true).unwrap().fix.unwrap().contains("--hook"));
        assert!(of("tun", true, true).is_some());
        for (kind, bare, up) in [("tun", false, true), ("veth", false, true), ("ipip", true, false)] {
            assert_eq!(of(kind, bare, up), None, "{kind}");
        }
        let guarded = with(|card| {
            (card.interface.kind, card.up) = (Some("vxlan".to_owned()), true);
            card.guarded = Some((How::Native, 7));
        });
        assert_eq!(tunnel(&guarded), None);
    }

    #[test]
    fn redirects_are_named_where_rules_use_them() {
        let found = |modules: &str| redirects(modules).map(|finding| finding.subject).collect::<Vec<_>>();
        assert_eq!(
            found("nf_nat 57344 2 nft_redir,nft_chain_nat, Live 0x0\nnft_redir 16384 1 - Live 0x0\n"),
            ["nft_redir"]
        );
        assert_eq!(found("nft_redir 16384 0 - Live 0x0\nxt_REDIRECT 16384 3 - Live 0x0\n"), ["xt_REDIRECT"]);
        assert_eq!(found(""), Vec::<String>::new());
    }

    #[test]
    fn generic_mode_on_a_virtual_link_is_told() {
        let on = |kind: &str, how| {
            let card = with(|card| {
                card.interface.kind = Some(kind.to_owned());
                card.setup.driver = None;
                card.guarded = Some((how, 7));
            });
            several(&card).is_some()
        };
        assert_eq!(
            [
                on("veth", How::Generic),
                on("veth", How::Native),
                on("veth", How::Tcx),
                on("bond", How::Generic)
            ],
            [true, false, false, false]
        );
    }
}
