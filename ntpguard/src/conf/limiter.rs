//! What the flag `limited` means to a daemon: the parameters of its rate limiter.

use std::fmt;

/// Seconds of silence after which the daemon may have forgotten a source (ntpd's `mru minage`).
pub const MEMORY: u32 = 64;

/// The rate limiter that applies to sources with the flag `limited`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limiter {
    /// ntp.org: a headway between packets (`discard`; ntp_monitor.c:ntp_monitor).
    Headway {
        /// `average`: the mean headway that a source has to keep, as a power of two: 2^`average` seconds.
        average: u32,
        /// `minimum`: the headway that a source always has to keep, in seconds. 4.2.6's file has an exponent here.
        minimum: u32,
    },
    /// NTPsec: a score that decays (`limit`; ntp_monitor.c:ntp_monitor).
    Score {
        /// `average`: packets a second.
        average: f64,
        /// `burst`: the time in seconds in which the score decays to 1/e.
        burst: f64,
        /// `kod`: kisses are sent up to this many packets a second above the average.
        kod: f64,
    },
    /// The daemon accepts the value, but what it does with it depends on how it was built: nothing is limited here.
    Unknown,
}

impl fmt::Display for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Headway { average, minimum } => {
                let average = 2_f64.powf(f64::from(average));
                write!(f, "a packet each {average} s on average, and at least {minimum} s between two")
            }
            Self::Score { average, burst, kod } => write!(
                f,
                "{average} packets/s on average over {burst} s; kisses up to {} packets/s",
                average + kod
            ),
            Self::Unknown => f.write_str("as the daemon understands it"),
        }
    }
}
