//! The options of `run` and `attach`.

use super::{Guarding, Places};
use crate::{export::Format, host::duration::duration, observe::feed};
use clap::Args;
use std::{net::SocketAddr, time::Duration};

/// The options of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// What is guarded, and by which rules.
    #[command(flatten)]
    pub guarding: Guarding,

    /// Where the filter stays.
    #[command(flatten)]
    pub places: Places,

    /// Detach at the end, however it comes.
    ///
    /// Instead of leaving the filter pinned.
    #[arg(long, help_heading = "Where it stays")]
    pub ephemeral: bool,

    /// A readable line or one JSON object a line.
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub format: Format,

    /// Time between two lines: 500ms, 1s, 5m.
    #[arg(long, help_heading = "Output", value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,

    /// Show the counters to Prometheus.
    ///
    /// At http://ADDR:PORT/metrics: an address that only those reach who may see them.
    #[arg(long, help_heading = "Output", value_name = "ADDR:PORT", value_parser = listen)]
    pub metrics: Option<SocketAddr>,

    /// Drops a second that become events, at most.
    ///
    /// `ntpguard events`, `top`, `capture` and `report` are made of them; 0 for none.
    #[arg(long, hide_short_help = true, help_heading = "Output", value_name = "N", default_value_t = feed::RATE, value_parser = clap::value_parser!(u32).range(..=feed::MOST as i64))]
    pub event_rate: u32,

    /// Log every packet to port 123 with its verdict.
    ///
    /// To standard error: for debugging, not for floods.
    #[arg(long, hide_short_help = true, help_heading = "Output", requires = "ephemeral")]
    pub trace: bool,

    /// Keep all rights and all files after the start.
    ///
    /// For debugging.
    #[arg(long, hide_short_help = true, help_heading = "Where it stays")]
    pub no_sandbox: bool,
}

/// The options of `attach`.
#[derive(Args, Debug)]
pub struct Attach {
    /// What is guarded, and by which rules.
    #[command(flatten)]
    pub guarding: Guarding,

    /// Where the filter stays.
    #[command(flatten)]
    pub places: Places,
}

/// An address and a port to listen on; `localhost` is 127.0.0.1, and no other name is looked up.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = address.as_deref().unwrap_or(text);
    address
        .parse()
        .map_err(|_| "an address and a port, as in 127.0.0.1:9123, [::1]:9123 or localhost:9123".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, address) in [
            ("localhost:9123", "127.0.0.1:9123"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:9123", "[::1]:9123"),
        ] {
            assert_eq!(listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for wrong in ["localhost", "localhost:", "localhost:99999", "9123", ":9123", "example.org:9123"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
