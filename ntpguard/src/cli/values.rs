//! The values of options that are enums of the rooms, with the help text of each value.
//!
//! Where a room also prints the name of a value, that name is taken from the room.

use crate::{
    bpf::{Hook, Mode},
    daemon::dialect::{Dialect, Ordering},
    export::Format,
    policy::{
        hardening::{Harden, Queries},
        limiter_options::Kod,
    },
    simulate::EngineChoice,
};
use clap::{ValueEnum, builder::PossibleValue};

/// Implements `ValueEnum` for an enum, with each variant's name and help text; a missing variant is a compile error.
macro_rules! values {
    ($kind:ident { $($variant:ident = $name:expr, $help:literal;)+ }) => {
        impl ValueEnum for $kind {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$variant),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $(Self::$variant => PossibleValue::new($name).help($help),)+
                })
            }
        }
    };
}

values! { Dialect {
    Ntp426 = Self::Ntp426.name(), "ntp.org's ntpd 4.2.6, as of 4.2.6p5";
    Ntp428 = Self::Ntp428.name(), "ntp.org's ntpd 4.2.8, as of 4.2.8p18";
    NtpSec = Self::NtpSec.name(), "NTPsec's ntpd 1.2";
} }

values! { Ordering {
    P17 = "p17", "Up to 4.2.8p17: before the one without, whatever the order of lines (as in 4.2.6 and NTPsec, whose order no \
        option changes)";
    P18 = "p18", "From 4.2.8p18 on: in the order of lines, and after the built-in default \
        (ntp_restrict.c:mflags_sorts_before, since 9404716a4)";
} }

values! { Hook {
    Xdp = Self::Xdp.name(), "On the interface itself: the least that a packet can cost. Takes one program an interface";
    Tc = Self::Tc.name(), "At tc's ingress, behind XDP and before the stack, beside others (tcx, Linux 6.6): where XDP is taken \
        or not to be had";
} }

values! { Mode {
    Auto = Self::Auto.name(), "Native where the driver has it, else generic, and say so";
    Native = Self::Native.name(), "In the driver, before the kernel has spent anything on the packet";
    Generic = Self::Generic.name(), "In the stack: works everywhere, at a multiple of the cost";
} }

values! { Queries {
    Listed = "listed", "Sources that a restrict line other than `default` names and lets query: hardening";
    Restrict = "restrict", "Whoever the daemon would answer, by its own reading";
} }

values! { Harden {
    Sources = "sources", "Sources that can't be";
    Fragments = "fragments", "Fragments of UDP to port 123";
    Responses = "responses", "Responses of mode 6 and 7 that arrive as requests";
    Malformed = "malformed", "Queries that the daemon would answer with an error about their form";
    Extensions = "extensions", "More IPv6 extension headers than are followed";
    Tags = "tags", "More VLAN tags than are followed";
    Segments = "segments", "More datagrams in one frame than are looked at (`--hook tc`)";
} }

values! { Kod {
    Auto = "auto", "ntpguard, where what it is attached to can send; else the daemon";
    Xdp = "xdp", "ntpguard";
    Daemon = "daemon", "The daemon: whatever earns a kiss passes";
} }

values! { EngineChoice {
    Auto = "auto", "The kernel if it may be, else the host";
    Kernel = "kernel", "The XDP program, by BPF_PROG_TEST_RUN";
    Host = "host", "The same code, compiled for the host";
} }

values! { Format {
    Text = "text", "For people";
    Json = "json", "For programs: one object a line";
} }
