//! Who is there, and how much of what is sent.

/// Who asks what it shouldn't.
pub(crate) const ATTACKER: &str = "192.0.2.66";
/// Of a network that ntp.conf says to ignore.
pub(crate) const IGNORED: &str = "198.51.100.5";
/// Who wants the time.
pub(crate) const CLIENTS: [&str; 3] = ["192.0.2.2", "192.0.2.3", "203.0.113.9"];
/// Whom the attacker names as the sender of what it asks the old server.
pub(crate) const VICTIM: &str = "203.0.113.80";
pub(crate) const VICTIM_PORT: u16 = 80;
/// The old server: the last octet of its address, and its interface.
pub(crate) const OLD_HOST: u8 = 10;
pub(crate) const OLD_SERVER: &str = "192.0.2.10";
pub(crate) const OLD_INTERFACE: &str = "ntp1";

/// Rounds of the same traffic, so that the counters are seen moving.
pub(crate) const ROUNDS: u64 = 4;
/// Of each attack, in each round.
pub(crate) const QUERIES: u64 = 5_000;
/// Time requests of each client to each server in each round.
pub(crate) const REQUESTS: u64 = 5;
/// Requests in the victim's name, and how many of them a second.
pub(crate) const REFLECTIONS: u64 = 80;
pub(crate) const REFLECTIONS_PER_SECOND: u32 = 10;
/// Clients that the old server had before: with those here and the victim, the last packet of a reply isn't full.
pub(crate) const EARLIER_CLIENTS: usize = 592;
/// All whom it remembers during the attack.
pub(crate) const KNOWN_CLIENTS: usize = EARLIER_CLIENTS + CLIENTS.len() + 1;
