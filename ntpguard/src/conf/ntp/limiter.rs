//! What `limited` means to a daemon: the parameters of its rate limiter.

use crate::daemon::dialect::{Daemon, Dialect};
use std::fmt;

/// `mru minage`: a source that has been silent for so many seconds, the daemon may have forgotten.
pub const MEMORY: u32 = 64;

/// What `limited` means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limiter {
    /// ntp.org: a headway between packets (`discard`; ntp_monitor.c:ntp_monitor).
    Headway {
        /// `average`: the headway that a source has to keep on average, as the exponent of a power of two in seconds.
        average: u32,
        /// `minimum`: what it always has to keep, in seconds; 4.2.6 has it as an exponent.
        minimum: u32,
    },
    /// NTPsec: a score that decays (`limit`; ntp_monitor.c:ntp_monitor).
    Score {
        /// `average`: packets a second.
        average: f64,
        /// `burst`: the time in seconds in which the score decays to 1/e.
        burst: f64,
        /// `kod`: up to so many packets a second above the average there are kisses.
        kod: f64,
    },
    /// A value that the daemon takes, and what it then does hangs on how it was built: nothing is limited here.
    Unknown,
}

impl Limiter {
    /// Without a line.
    pub const fn default_of(daemon: Daemon) -> Self {
        match daemon.dialect {
            // ntp_monitor.c: `ntp_minpoll` 3, `ntp_minpkt` 1 in 4.2.6 and 2 in 4.2.8.
            Dialect::Ntp426 | Dialect::Ntp428 => Self::Headway { average: 3, minimum: 2 },
            // ntp_monitor.c: `mon_data`.
            Dialect::NtpSec => Self::Score { average: 1.0, burst: 20.0, kod: 0.5 },
        }
    }

    /// Sets one parameter; `None` is a number, but nobody knows which.
    pub(super) fn set(&mut self, parameter: &str, value: Option<f64>, daemon: Daemon) {
        let Some(value) = value else { return *self = Self::Unknown };
        match self {
            Self::Score { average, burst, kod } => {
                let place = match parameter {
                    "average" => average,
                    "burst" => burst,
                    _ => kod,
                };
                *place = value;
            }
            Self::Headway { average, minimum } => {
                // ntp.org's values come from an i32.
                match (parameter, value as i32) {
                    // Out of range, 4.2.8 says so and keeps what it had (ntp_config.c:config_access).
                    ("average", value) if daemon.dialect == Dialect::Ntp428 => {
                        *average = u8::try_from(value).map_or(*average, u32::from);
                    }
                    ("average", value @ 0..) => *average = value as u32,
                    // In 4.2.6 a power of two, whose shift C leaves undefined from 31 on.
                    ("minimum", value @ 0..=30) if daemon.dialect == Dialect::Ntp426 => {
                        *minimum = 1 << value;
                    }
                    ("minimum", value) if daemon.dialect == Dialect::Ntp428 => {
                        *minimum = value.max(0) as u32;
                    }
                    ("monitor", _) => (),
                    _ => *self = Self::Unknown,
                }
            }
            Self::Unknown => (),
        }
    }
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
