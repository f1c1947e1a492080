//! How a daemon treats packets, as bits of [`PolicyWord`]: the code that judges packets tests these bits, and never
//! asks which daemon it is.
//!
//! Each bit stands for something that some daemon does and another doesn't; what all daemons do has no bit. Which daemon
//! has which bits is in one table on the host (ntpguard's daemon/profile.rs).

use super::PolicyWord;

impl PolicyWord {
    /// Packets from UDP ports below 123 are discarded (4.2.6's ntp_proto.c:receive).
    pub const REFUSES_PORTS_BELOW_123: u32 = 1 << 16;
    /// Packets from UDP port 0 are discarded (4.2.8's ntp_proto.c:receive, Bug 2174).
    pub const REFUSES_PORT_0: u32 = 1 << 17;
    /// Packets from ::1 that came in by another interface than lo are discarded (ntp_io.c:read_network_packet, Bug
    /// 2672).
    pub const REFUSES_LOOPBACK_V6: u32 = 1 << 18;
    /// Time packets of versions above 4 are discarded. Version 0 is always discarded.
    pub const VERSIONS_1_TO_4: u32 = 1 << 19;
    /// Of time packets only modes 1, 3 and 4 are accepted, and a bare header of version 1 in mode 0, which is read as
    /// mode 3 (NTPsec's ntp_proto.c:is_packet_not_low_rot). Without this bit: all modes but 0, and mode 0 in version 1.
    pub const MODES_1_3_4: u32 = 1 << 20;
    /// What follows a time packet's header is judged only by its length and the packet's version (NTPsec's
    /// ntp_proto.c:parse_packet). Without this bit: by walking the extension fields (ntp.org's ntp_proto.c:receive).
    pub const TRAILER_BY_LENGTH: u32 = 1 << 21;
    /// Crypto-NAKs outside of an association are discarded, after the rate limiter has counted them (4.2.8's
    /// ntp_proto.c:valid_NAK).
    pub const DISCARDS_NAKS: u32 = 1 << 22;
    /// 1200 bytes of a datagram are received, and the rest is cut off. Without this bit: 1000
    /// (recvbuff.h:RX_BUFF_SIZE).
    pub const RECEIVES_1200: u32 = 1 << 23;
    /// `notrust` is checked before extension fields are examined, so authentication by them doesn't count (NTPsec's
    /// ntp_proto.c:receive).
    pub const NOTRUST_BEFORE_EXTENSIONS: u32 = 1 << 24;
    /// The flag `version` applies to queries, too (NTPsec's ntp_proto.c:check_early_restrictions).
    pub const VERSION_FOR_QUERIES: u32 = 1 << 25;
    /// The rate limiter keeps a decaying score (NTPsec's ntp_monitor.c:ntp_monitor). Without this bit: it requires a
    /// headway between packets (ntp.org's).
    pub const LIMIT_BY_SCORE: u32 = 1 << 26;
    /// The headway is measured by pauses, each rounded to the nearest second (4.2.8's ntp_monitor.c:ntp_monitor).
    /// Without this bit: by a counter of whole seconds (4.2.6's).
    pub const LIMIT_ROUNDS_PAUSES: u32 = 1 << 27;
    /// The rate limiter also counts time packets that are discarded after it because of their form (NTPsec's
    /// ntp_proto.c:receive).
    pub const LIMIT_COUNTS_DISCARDED: u32 = 1 << 28;
    /// The rate limiter also counts mode 6 (NTPsec's ntp_proto.c:receive).
    pub const LIMIT_COUNTS_CONTROL: u32 = 1 << 29;
    /// Mode 1 depends on the release, which is unknown: NTPsec 1.2.2 discards it before the rate limiter, 1.2.5 counts
    /// and answers it (ntp_proto.c:is_packet_not_low_rot).
    pub const MODE_1_VARIES: u32 = 1 << 30;
    /// A kiss always has mode 4. Without this bit: mode 1 if the request isn't a client's.
    pub const KISSES_IN_MODE_4: u32 = 1 << 31;
}
