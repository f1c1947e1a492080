//! The parameters of the daemons' rate limiters, as configuration lines set them.

use crate::{
    conf::Limiter,
    daemon::dialect::{Daemon, Dialect},
};

/// The daemon's defaults.
pub(super) const fn default_of(daemon: Daemon) -> Limiter {
    match daemon.dialect {
        // ntp_monitor.c: `ntp_minpoll` 3, `ntp_minpkt` 1 in 4.2.6 and 2 in 4.2.8.
        Dialect::Ntp426 | Dialect::Ntp428 => Limiter::Headway { average: 3, minimum: 2 },
        // ntp_monitor.c: `mon_data`.
        Dialect::NtpSec => Limiter::Score { average: 1.0, burst: 20.0, kod: 0.5 },
    }
}

/// Sets one parameter; `None` is a number whose value is unknown.
pub(super) fn set(limiter: &mut Limiter, parameter: &str, value: Option<f64>, daemon: Daemon) {
    let Some(value) = value else { return *limiter = Limiter::Unknown };
    match limiter {
        Limiter::Score { average, burst, kod } => {
            let place = match parameter {
                "average" => average,
                "burst" => burst,
                _ => kod,
            };
            *place = value;
        }
        Limiter::Headway { average, minimum } => {
            // ntp.org's values come from an i32.
            match (parameter, value as i32) {
                // 4.2.8 reports a value out of range, and keeps the previous one (ntp_config.c:config_access).
                ("average", value) if daemon.dialect == Dialect::Ntp428 => {
                    *average = u8::try_from(value).map_or(*average, u32::from);
                }
                ("average", value @ 0..) => *average = value as u32,
                // In 4.2.6 the exponent of a power of two, whose shift C leaves undefined from 31 on.
                ("minimum", value @ 0..=30) if daemon.dialect == Dialect::Ntp426 => {
                    *minimum = 1 << value;
                }
                ("minimum", value) if daemon.dialect == Dialect::Ntp428 => {
                    *minimum = value.max(0) as u32;
                }
                ("monitor", _) => (),
                _ => *limiter = Limiter::Unknown,
            }
        }
        Limiter::Unknown => (),
    }
}
