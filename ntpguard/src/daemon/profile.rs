//! How daemons behave: a table with a row for each daemon that ntpguard knows.
//!
//! Contract: no code above this room and the readers in `conf/` asks which daemon it is; it asks the row. Fields have
//! no defaults, so whoever adds a behaviour states it for each daemon, and a new daemon is a complete row.

use crate::daemon::flags::Flags;
use ntpguard_common::abi::PolicyWord;

/// One daemon's behaviour, as far as ntpguard depends on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in output, and for a dialect its value of `--dialect`.
    pub name: &'static str,
    /// The flags of the default entries that it starts with (ntp_restrict.c:init_restrict).
    pub built_in_default: Flags,
    /// Flags that it accepts and ignores (NTPsec's ntp_config.c:config_access).
    pub inert: Flags,
    /// Where it sorts an entry for port 123 only, relative to others for the same network.
    pub port_order: PortOrder,
    /// Which of a name's addresses get an entry.
    pub name_use: NameUse,
    /// Whether a mask after a name has an effect. Otherwise it is ignored there (4.2.8p18, Bug 3872).
    pub masks_names: bool,
    /// Whether it accepts mode 7.
    pub mode_7: Mode7,
    /// Whether it has a list of clients that mode 7 can return (monlist).
    pub monlist: bool,
    /// What `restrict source` does.
    pub source_entries: SourceEntries,
    /// Whether `nopeer` keeps the servers of a pool from being used (ntp_proto.c:receive, AM_MANYCAST).
    pub nopeer_stops_pools: bool,
    /// Whether packets with a MAC are discarded when no key is trusted.
    pub discards_unknown_macs: bool,
    /// The releases that hand every request from a source with `mssntp` to Samba, if there are any.
    pub diverts_mssntp: Option<Diversion>,
    /// How it treats packets: bits of [`PolicyWord`], from bit 16 on.
    pub behaviours: u32,
}

/// Where an entry for port 123 only is sorted relative to others for the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortOrder {
    /// Before the entry for all ports.
    First,
    /// In the order of the lines, and after the built-in default (ntp_restrict.c:mflags_sorts_before, since 9404716a4).
    ByLine,
}

/// Which of a name's addresses get an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameUse {
    /// The first one that the resolver returns.
    First,
    /// All of them.
    All,
}

/// Whether a daemon accepts mode 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode7 {
    /// Always.
    Always,
    /// Only if its configuration enables it.
    OnDemand,
    /// Never.
    Never,
}

/// Which associations get an entry of their own by `restrict source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceEntries {
    /// None: the daemon doesn't know such a line.
    Unknown,
    /// All whose address has no line for that host.
    All,
    /// Only those that `ignore` or `notrust` would otherwise cut off (NTPsec's ntp_restrict.c:restrict_source).
    CutOff,
}

/// Releases that hand requests from sources with `mssntp` to Samba, whether they have Microsoft's extension or not
/// (ntp_proto.c:handle_fastxmit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// The releases that do, in words.
    pub releases: &'static str,
    /// The first release that doesn't.
    pub mended: &'static str,
}

/// ntp.org's ntpd 4.2.6, as of 4.2.6p5.
pub(super) const NTP_426: Profile = Profile {
    name: "ntp-4.2.6",
    built_in_default: Flags::NONE,
    inert: Flags::NONE,
    port_order: PortOrder::First,
    name_use: NameUse::First,
    masks_names: true,
    mode_7: Mode7::Always,
    monlist: true,
    source_entries: SourceEntries::Unknown,
    nopeer_stops_pools: false,
    discards_unknown_macs: false,
    diverts_mssntp: None,
    behaviours: PolicyWord::REFUSES_PORTS_BELOW_123,
};

/// ntp.org's ntpd 4.2.8, as of 4.2.8p18.
pub(super) const NTP_428: Profile = Profile {
    name: "ntp-4.2.8",
    built_in_default: Flags::NONE,
    inert: Flags::NONE,
    port_order: PortOrder::ByLine,
    name_use: NameUse::All,
    masks_names: false,
    mode_7: Mode7::OnDemand,
    monlist: false,
    source_entries: SourceEntries::All,
    nopeer_stops_pools: true,
    discards_unknown_macs: false,
    diverts_mssntp: None,
    behaviours: PolicyWord::REFUSES_PORT_0
        | PolicyWord::REFUSES_LOOPBACK_V6
        | PolicyWord::DISCARDS_NAKS
        | PolicyWord::RECEIVES_1200
        | PolicyWord::LIMIT_ROUNDS_PAUSES,
};

/// ntp.org's ntpd 4.2.8 before p18.
pub(super) const NTP_428_P17: Profile =
    Profile { name: "ntp-4.2.8 (before p18)", port_order: PortOrder::First, masks_names: true, ..NTP_428 };

/// NTPsec's ntpd 1.2.
pub(super) const NTPSEC: Profile = Profile {
    name: "ntpsec",
    built_in_default: Flags::NOQUERY.with(Flags::LIMITED),
    inert: Flags::NOPEER.with(Flags::NOTRAP),
    port_order: PortOrder::First,
    name_use: NameUse::All,
    masks_names: true,
    mode_7: Mode7::Never,
    monlist: false,
    source_entries: SourceEntries::CutOff,
    nopeer_stops_pools: false,
    discards_unknown_macs: true,
    diverts_mssntp: Some(Diversion { releases: "NTPsec up to 1.2.2", mended: "NTPsec 1.2.3" }),
    behaviours: PolicyWord::REFUSES_LOOPBACK_V6
        | PolicyWord::VERSIONS_1_TO_4
        | PolicyWord::MODES_1_3_4
        | PolicyWord::TRAILER_BY_LENGTH
        | PolicyWord::NOTRUST_BEFORE_EXTENSIONS
        | PolicyWord::VERSION_FOR_QUERIES
        | PolicyWord::LIMIT_BY_SCORE
        | PolicyWord::LIMIT_COUNTS_DISCARDED
        | PolicyWord::LIMIT_COUNTS_CONTROL
        | PolicyWord::MODE_1_VARIES
        | PolicyWord::KISSES_IN_MODE_4,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_and_the_rest_of_the_word_are_apart() {
        for profile in [NTP_426, NTP_428, NTP_428_P17, NTPSEC] {
            assert_eq!(profile.behaviours & 0xffff, 0, "{}", profile.name);
            let both = PolicyWord::DISCARDS_NAKS | PolicyWord::LIMIT_COUNTS_DISCARDED;
            assert_ne!(profile.behaviours & both, both, "{}: what is counted is said once", profile.name);
        }
    }
}
