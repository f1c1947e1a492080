//! The hosts of the demo, and how much they send.

/// The source of forbidden queries.
pub(crate) const ATTACKER: &str = "192.0.2.66";
/// A source in a network that ntp.conf ignores.
pub(crate) const IGNORED: &str = "198.51.100.5";
/// Clients that request the time.
pub(crate) const CLIENTS: [&str; 3] = ["192.0.2.2", "192.0.2.3", "203.0.113.9"];
/// The address that the attacker forges as the source of its requests to the old server.
pub(crate) const VICTIM: &str = "203.0.113.80";
pub(crate) const VICTIM_PORT: u16 = 80;
/// The old server: the last octet of its address, and its interface.
pub(crate) const OLD_HOST: u8 = 10;
pub(crate) const OLD_SERVER: &str = "192.0.2.10";
pub(crate) const OLD_INTERFACE: &str = "ntp1";

/// Number of rounds with the same traffic, so that the counters can be seen moving.
pub(crate) const ROUNDS: u64 = 4;
/// Number of packets of each attack in each round.
pub(crate) const QUERIES: u64 = 5_000;
/// Time requests of each client to each server in each round.
pub(crate) const REQUESTS: u64 = 5;
/// Number of requests in the victim's name, and how many of them are sent a second.
pub(crate) const REFLECTIONS: u64 = 80;
pub(crate) const REFLECTIONS_PER_SECOND: u32 = 10;
/// Number of clients that the old server knew before: together with the clients here and the victim, they leave the last
/// packet of a reply partly empty.
pub(crate) const EARLIER_CLIENTS: usize = 592;
/// Number of clients that the old server knows during the attack.
pub(crate) const KNOWN_CLIENTS: usize = EARLIER_CLIENTS + CLIENTS.len() + 1;
