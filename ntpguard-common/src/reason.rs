//! The reasons for a verdict, in one table.
//!
//! The table generates the enum, each reason's name in outputs, its brief and its full description, and the
//! documentation. A row's position is the index of the reason's counter in the kernel. The reasons in
//! [`crate::abi::CAUSES`] must be adjacent rows, in the same order.

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet goes on to the network stack and the daemon.
    Pass,
    /// The packet is discarded before the network stack sees it.
    Drop,
    /// ntpguard answers the packet out of the interface that it came in by.
    Transmit,
}

macro_rules! reasons {
    ($($variant:ident $action:ident $name:literal $brief:literal $summary:literal;)+) => {
        /// Why a packet to UDP port 123 passed or was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Reason { $(#[doc = $summary] $variant,)+ }

        impl Reason {
            /// All reasons, by index.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in outputs: lower case and hyphens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the reason means, short enough for a line of `ntpguard top`.
            pub const fn brief(self) -> &'static str {
                match self { $(Self::$variant => $brief,)+ }
            }

            /// What the reason means, in full.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// What becomes of a packet with this reason.
            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)+ }
            }
        }
    };
}

reasons! {
    Time             Pass     "time"              "time requests, to the daemon" "a time packet (modes 0 to 5), left to the daemon";
    Query            Pass     "query"             "queries that are allowed"     "a query (mode 6 or 7) that the daemon answers this source";
    Unread           Pass     "unread"            "passed unread"                "without hardening: a fragment, or more tags, IPv6 extension headers or segments than ntpguard follows: passed unread";
    NoPolicy         Pass     "no-policy"         "no policy: all passes"        "no policy is installed: everything passes";
    Mode6            Drop     "mode6"             "mode 6 queries (ntpq)"        "a mode 6 query (ntpq): the daemon answers nobody, or only hardening refuses this source, since no line but default names it";
    Mode7            Drop     "mode7"             "mode 7 queries (monlist)"     "a mode 7 query (ntpdc, monlist): as mode 6, or the daemon takes no mode 7";
    Ignore           Drop     "ignore"            "from ignored sources"         "the source's restrict line says ignore; or a multicast source, which the daemon ignores";
    Noquery          Drop     "noquery"           "queries, line says noquery"   "a query, and the source's restrict line says noquery";
    Noserve          Drop     "noserve"           "time, line says noserve"      "a time packet, and the source's restrict line says noserve";
    Version          Drop     "version"           "other versions than 4"        "another NTP version than 4, and the source's restrict line says version";
    Notrust          Drop     "notrust"           "time without a MAC"           "a time packet without a MAC, and the source's restrict line says notrust";
    Limited          Drop     "limited"           "beyond the rate limit"        "a packet beyond the rate limit, and the source's restrict line says limited";
    Kod              Transmit "kod"               "rate limit, told so (kiss)"   "the same, and the line says kod: answered with a kiss-o'-death, RATE";
    ImpossibleSource Drop     "impossible-source" "forged: impossible source"    "a source that can't be: loopback, this host's own, unspecified, multicast, broadcast, IPv4-mapped";
    SourcePort       Drop     "source-port"       "refused source port"          "a UDP source port that the daemon refuses: below 123 in 4.2.6, 0 in 4.2.8";
    Fragment         Drop     "fragment"          "fragments"                    "the first fragment of a datagram to port 123, or one that hides its port in the next (RFC 8200, 4.5)";
    Malformed        Drop     "malformed"         "malformed packets"            "what the daemon discards by its form: empty, too short, impossible lengths, an impossible version";
    Mode             Drop     "mode"              "modes nobody may send"        "a mode that the daemon takes from nobody: 0 except in version 1, in NTPsec also 2 and 5";
    Mac              Drop     "mac"               "MAC without trusted key"      "a MAC, which NTPsec without a trusted key discards";
    Response         Drop     "response"          "responses (reflection)"       "a response (mode 6 or 7) that arrives as if it were a query: a reflection, or a loop";
    BadQuery         Drop     "bad-query"         "malformed queries"            "a query that the daemon would answer with an error about its form";
    Untracked        Pass     "untracked"         "no room to limit: passed"     "a packet under limited from a source that the table has no place for: passed unlimited";
    Overload         Drop     "overload"          "above --max-rate"             "a time request above --max-rate";
    Encapsulated     Pass     "encapsulated"      "tunnels: passed unread"       "a packet within a packet (a tunnel, IPsec, MPLS and the like), which may hold anything: left to the stack unread";
    Tags             Drop     "tags"              "too many VLAN tags"           "more than eight VLAN tags, behind which anything may be";
    Extensions       Drop     "extensions"        "too many IPv6 headers"        "more than eight IPv6 extension headers, behind which anything may be";
    Segments         Drop     "segments"          "too many in one frame"        "more than 64 datagrams in one frame from a neighbour on this host, of which only so many are looked at";
}

impl Reason {
    /// The number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// The index of the reason's counter.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_position_and_names_are_unique() {
        for (position, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index() as usize, position);
            assert_eq!(Reason::ALL.iter().filter(|r| r.name() == reason.name()).count(), 1);
        }
    }

    #[test]
    fn what_is_brief_fits() {
        let long: std::vec::Vec<_> = Reason::ALL.iter().filter(|reason| reason.brief().len() > 28).collect();
        assert!(long.is_empty(), "{long:?}");
    }
}
