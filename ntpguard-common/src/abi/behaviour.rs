//! How a daemon treats packets, as bits of [`PolicyWord`]: what judges packets asks for these and never which daemon it is.
//!
//! None is set for "like everybody else": each bit is something that some daemon does and another doesn't. Which daemon does
//! what stands in one table on the host (ntpguard's daemon/profile.rs).

use super::PolicyWord;

impl PolicyWord {
    /// Packets from UDP ports below 123 are discarded (4.2.6's ntp_proto.c:receive).
    pub const REFUSES_PORTS_BELOW_123: u32 = 1 << 16;
    /// Packets from UDP port 0 are discarded (4.2.8's ntp_proto.c:receive, Bug 2174).
    pub const REFUSES_PORT_0: u32 = 1 << 17;
    /// Packets from ::1 that came over another interface than lo are discarded (ntp_io.c:read_network_packet, Bug 2672).
    pub const REFUSES_LOOPBACK_V6: u32 = 1 << 18;
    /// Time packets of versions above 4 are discarded; of version 0 they always are.
    pub const VERSIONS_1_TO_4: u32 = 1 << 19;
    /// Of time packets only modes 1, 3 and 4 are taken, and a bare header of version 1 in mode 0, which is read as mode 3
    /// (NTPsec's ntp_proto.c:is_packet_not_low_rot). Without: all modes but 0, which is taken of version 1.
    pub const MODES_1_3_4: u32 = 1 << 20;
    /// What follows a header is judged by its length and the packet's version alone (NTPsec's ntp_proto.c:parse_packet).
    /// Without: by walking the extension fields (ntp.org's ntp_proto.c:receive).
    pub const TRAILER_BY_LENGTH: u32 = 1 << 21;
    /// Crypto-NAKs that answer nobody are discarded, after the rate limiter has counted them (4.2.8's
    /// ntp_proto.c:valid_NAK).
    pub const DISCARDS_NAKS: u32 = 1 << 22;
    /// 1200 bytes of a datagram are received, and the rest is cut off; without, 1000 (recvbuff.h:RX_BUFF_SIZE).
    pub const RECEIVES_1200: u32 = 1 << 23;
    /// `notrust` is asked before extension fields are looked at, so that what they authenticate doesn't count (NTPsec's
    /// ntp_proto.c:receive).
    pub const NOTRUST_BEFORE_EXTENSIONS: u32 = 1 << 24;
    /// The flag `version` holds for queries, too (NTPsec's ntp_proto.c:check_early_restrictions).
    pub const VERSION_FOR_QUERIES: u32 = 1 << 25;
    /// The rate limiter is a score that decays (NTPsec's ntp_monitor.c:ntp_monitor). Without: a headway between packets
    /// (ntp.org's).
    pub const LIMIT_BY_SCORE: u32 = 1 << 26;
    /// A headway is measured by pauses that are rounded to the nearest second, each by itself (4.2.8's
    /// ntp_monitor.c:ntp_monitor). Without: by a counter of whole seconds (4.2.6's).
    pub const LIMIT_ROUNDS_PAUSES: u32 = 1 << 27;
    /// The rate limiter counts time packets that are discarded later for their form (NTPsec's ntp_proto.c:receive).
    pub const LIMIT_COUNTS_DISCARDED: u32 = 1 << 28;
    /// The rate limiter counts mode 6 (NTPsec's ntp_proto.c:receive).
    pub const LIMIT_COUNTS_CONTROL: u32 = 1 << 29;
    /// Some releases discard mode 1 before the rate limiter, and others count and answer it: NTPsec 1.2.2 and 1.2.5
    /// (ntp_proto.c:is_packet_not_low_rot). Which one runs isn't known.
    pub const MODE_1_VARIES: u32 = 1 << 30;
    /// A kiss is in mode 4, whatever it answers. Without: in mode 1 to what isn't a client's.
    pub const KISSES_IN_MODE_4: u32 = 1 << 31;
}
