//! Findings about a configuration that an administrator should know: one table of codes, and the findings that use
//! them.
//!
//! The enum, the severities, the names in outputs and the documentation (docs/src/reference/diagnostics.md) are
//! generated from the table.

use super::place::Place;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Certainly not what was meant: the daemon does something else, and usually fails open.
    Error,
}

impl Severity {
    /// Its name in outputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $severity:ident $name:literal $summary:literal;)+) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $summary] $variant,)+ }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in outputs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the daemon does; for the documentation.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// How serious findings with this code are.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    UnknownFlag         Error   "unknown-flag"         "A word that is no flag, or one in upper case or quotes: the daemon applies the line with the flags before it, and drops the rest. Without any, that is full access.";
    ForeignFlag         Error   "foreign-flag"         "A flag of another daemon: this one applies the line with the flags before it, and drops the rest.";
    NoneFlag            Note    "none-flag"            "none ends a line: the daemon takes the flags before it, and there was nothing behind it to lose.";
    NoAddress           Error   "no-address"           "A restrict line that ends before an address: the daemon drops it.";
    NumberAddress       Error   "number-address"       "An address of fewer than four parts is a number to the daemon, which drops the line.";
    KeywordAddress      Error   "keyword-address"      "A keyword, or a character that is a word of its own, in place of an address: the daemon drops the line.";
    Cidr                Error   "cidr"                 "ntp.org's ntpd knows no ADDRESS/LENGTH: it takes it for a host name, and drops the line.";
    CidrHost            Error   "cidr-host"            "NTPsec cuts a length of 0, or one that is too long, off: the line speaks of one host only.";
    BadMask             Error   "bad-mask"             "A mask that is no address: the daemon drops the line.";
    MaskSpelling        Warning "mask-spelling"        "4.2.6 gives a mask to getaddrinfo, which takes more than four decimal parts: other spellings of an address, where the last part fills the bytes that are left, and names of hosts, whose first address is the mask. The other daemons drop such a line.";
    WildcardMask        Error   "wildcard-mask"        "A wildcard, as routers have it, in place of a mask: the daemon compares the last bits of an address and not the first.";
    ZeroAddress         Error   "zero-address"         "0.0.0.0 or :: without a mask is one address, from which no packet comes, and not everyone.";
    NameMask            Warning "name-mask"            "A mask after a name: the daemon applies it to the first of the name's addresses, or to none.";
    FamilyMask          Error   "family-mask"          "After -4 or -6, only 4.2.8 takes a mask; the others stop before it, and give this one host full access.";
    OtherFamily         Error   "other-family"         "An address or mask of the other family than -4 or -6 or the address says.";
    Misplaced           Error   "misplaced"            "A word where the daemon doesn't take it, or one missing: it applies what stands before, if that makes sense, and drops the rest.";
    UnknownKeyword      Warning "unknown-keyword"      "A line that doesn't begin as any of the daemon's lines does: the daemon drops it.";
    Syntax              Warning "syntax"               "A line other than restrict with a word that the daemon doesn't take there, or without one that it needs: the daemon drops a part of the line, or all of it.";
    UnknownRestrict     Error   "unknown-restrict"     "A line that was meant to be a restrict line, and isn't: the daemon drops it.";
    Simulate            Error   "simulate"             "A simulate block of ntp.org's ntpd: lines in it are no commands of their own, and after a mistake in it (for 4.2.6 all of it is one) commands no longer end with their lines, so that mostly all that follows is lost.";
    Template            Error   "unrendered-template"  "A placeholder of a template stands where a value was meant to be: the daemon reads its characters as they are.";
    WrongFile           Error   "wrong-file"           "The file is another program's configuration, such as chrony's, OpenNTPD's or ntpd-rs': ntpguard doesn't read those.";
    Epeer               Error   "epeer"                "4.2.8 stops at start-up when a restrict line says epeer.";
    IncludeLost         Warning "include-lost"         "An included file that isn't there, or nests too deep: the daemon goes on without it.";
    IncludeUnread       Error   "include-unread"       "An included file that ntpguard can't read, and the daemon may: no line is enforced, only hardening.";
    BadAddress          Error   "bad-address"          "What was meant for an address is a host name to the daemon, which drops the line when it can't resolve it.";
    UnresolvedName      Warning "unresolved-name"      "A name that doesn't resolve: the daemon drops the line if it can't resolve it either.";
    AmbiguousName       Warning "ambiguous-name"       "A name with several addresses, of which the daemon takes one: nothing is dropped on account of this line.";
    TooManyGaps         Warning "too-many-gaps"        "More non-contiguous masks than ntpguard enforces: nothing that they may open is dropped.";
    Merged              Warning "merged"               "A line for a network that has one already: the flags of both apply, and none is ever taken back.";
    UnreachableNtpport  Error   "unreachable-ntpport"  "From 4.2.8p18 on, an ntpport line after one without (the built-in default is one) is never reached.";
    KodWithoutLimited   Note    "kod-without-limited"  "kod does nothing without limited: those who ask too often are served all the same.";
    MonitorWithLimited  Note    "monitor-with-limited" "limited keeps the monitor list on, in spite of disable monitor.";
    NomodifyWithoutAuth Warning "nomodify-without-auth" "With disable auth, mode 7 needs no key and doesn't heed nomodify: whoever may query may configure.";
    ServerCutOff        Error   "server-cut-off"       "A restrict line drops the answers of one of the file's own servers.";
    NameBehindIgnore    Warning "name-behind-ignore"   "A server is known by a name whose addresses can't be known beforehand, and the default drops the answers of whoever no other line names.";
    PoolNopeer          Warning "pool-nopeer"          "4.2.8 takes no server from a pool whose addresses are restricted by nopeer, unless restrict source lifts it.";
    NotrustClients      Warning "notrust-clients"      "notrust asks clients for a MAC: without a trusted key none of them gets time.";
    MssntpClients       Warning "mssntp-clients"       "Up to NTPsec 1.2.2, ordinary clients whose line says mssntp get no answer.";
    OneFamily           Warning "one-family"           "A restrict line for the default of one family only: the other stays as it is built in.";
    DaemonOlder         Warning "daemon-older"         "The running daemon was started before a file that it reads was changed: until it is restarted, it goes by the old one.";
    QueriesOpen         Warning "queries-open"         "The daemon answers queries from everywhere.";
    MonlistOpen         Error   "monlist-open"         "The daemon answers monlist from everywhere: up to 100 packets for one.";
    QueriesBlocked      Note    "queries-blocked"      "ntpguard's hardening drops queries that the daemon would answer.";
    LimitedPasses       Note    "limited-passes"       "limited and kod are left to the daemon: `discard` or `limit` asks for more than ntpguard can do, or `disable monitor` may end it.";
    FlakePasses         Note    "flake-passes"         "flake is left to the daemon.";
}

impl Code {
    /// Whether it means that a restrict line, or a part of one, was lost; findings of the audit may follow from that.
    pub const fn loses_restrict(self) -> bool {
        matches!(
            self,
            Self::UnknownFlag
                | Self::ForeignFlag
                | Self::NoAddress
                | Self::NumberAddress
                | Self::KeywordAddress
                | Self::Cidr
                | Self::CidrHost
                | Self::BadMask
                | Self::BadAddress
                | Self::UnknownRestrict
                | Self::Template
        )
    }
}

/// The table of codes, as in docs/src/reference/diagnostics.md.
pub fn table() -> String {
    let rows = Code::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} |\n", code.name(), code.severity().name(), code.summary()));
    let head = "| code | severity | what the daemon does |\n|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}

/// One finding about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding it is.
    pub code: Code,
    /// Where; `None` if it is about the configuration as a whole.
    pub place: Option<Place>,
    /// What the daemon does, in a sentence.
    pub message: String,
    /// What was probably meant, or what to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding about a place.
    pub fn at(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self { code, place: Some(place), message: message.into(), help: None }
    }

    /// Adds advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for code in Code::ALL {
            assert_eq!(Code::ALL.iter().filter(|other| other.name() == code.name()).count(), 1);
        }
    }
}
