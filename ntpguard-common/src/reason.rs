//! The reasons for a verdict, in one table.
//!
//! The table makes the enum, the counter's index, the name in every output and the documentation. A row's
//! position is its index in the kernel's counters; [`crate::abi::CAUSES`] lie side by side.

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// On to the stack and the daemon.
    Pass,
    /// Gone, before the stack has seen it.
    Drop,
    /// Answered by ntpguard, out of the interface it came in.
    Transmit,
}

macro_rules! reasons {
    ($($variant:ident $action:ident $name:literal $summary:literal;)+) => {
        /// Why a packet to UDP port 123 passed or was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Reason { $(#[doc = $summary] $variant,)+ }

        impl Reason {
            /// All of them, by index.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in outputs: lower case and hyphens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, for people.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// What becomes of the packet.
            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)+ }
            }
        }
    };
}

reasons! {
    Time             Pass     "time"              "a time packet (modes 0 to 5), left to the daemon";
    Query            Pass     "query"             "a query (mode 6 or 7) that the daemon answers this source";
    Unread           Pass     "unread"            "without hardening: a fragment, or more tags, IPv6 extension headers or segments than ntpguard follows: passed unread";
    NoPolicy         Pass     "no-policy"         "no policy is installed: everything passes";
    Mode6            Drop     "mode6"             "a mode 6 query (ntpq): the daemon answers nobody, or only hardening refuses this source, since no line but default names it";
    Mode7            Drop     "mode7"             "a mode 7 query (ntpdc, monlist): as mode 6, or the daemon takes no mode 7";
    Ignore           Drop     "ignore"            "the source's restrict line says ignore; or a multicast source, which the daemon ignores";
    Noquery          Drop     "noquery"           "a query, and the source's restrict line says noquery";
    Noserve          Drop     "noserve"           "a time packet, and the source's restrict line says noserve";
    Version          Drop     "version"           "another NTP version than 4, and the source's restrict line says version";
    Notrust          Drop     "notrust"           "a time packet without a MAC, and the source's restrict line says notrust";
    Limited          Drop     "limited"           "a packet beyond the rate limit, and the source's restrict line says limited";
    Kod              Transmit "kod"               "the same, and the line says kod: answered with a kiss-o'-death, RATE";
    ImpossibleSource Drop     "impossible-source" "a source that can't be: loopback, this host's own, unspecified, multicast, broadcast, IPv4-mapped";
    SourcePort       Drop     "source-port"       "a UDP source port that the daemon refuses: below 123 in 4.2.6, 0 in 4.2.8";
    Fragment         Drop     "fragment"          "the first fragment of a datagram to port 123, or one that hides its port in the next (RFC 8200, 4.5)";
    Malformed        Drop     "malformed"         "what the daemon discards by its form: empty, too short, impossible lengths, an impossible version";
    Mode             Drop     "mode"              "a mode that the daemon takes from nobody: 0 except in version 1, in NTPsec also 2 and 5";
    Mac              Drop     "mac"               "a MAC, which NTPsec without a trusted key discards";
    Response         Drop     "response"          "a response (mode 6 or 7) that arrives as if it were a query: a reflection, or a loop";
    BadQuery         Drop     "bad-query"         "a query that the daemon would answer with an error about its form";
    Untracked        Pass     "untracked"         "a packet under limited from a source that the table has no place for: passed unlimited";
    Overload         Drop     "overload"          "a time request above --max-rate";
    Encapsulated     Pass     "encapsulated"      "a packet within a packet (a tunnel, IPsec, MPLS and the like), which may hold anything: left to the stack unread";
    Tags             Drop     "tags"              "more than eight VLAN tags, behind which anything may be";
    Extensions       Drop     "extensions"        "more than eight IPv6 extension headers, behind which anything may be";
    Segments         Drop     "segments"          "more than 64 datagrams in one frame from a neighbour on this host, of which only so many are looked at";
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index of its counter.
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
}
