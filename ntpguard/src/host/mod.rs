//! The operating system: the network cards and their drivers, and what the kernel says of them.

pub mod driver;
pub mod features;
pub mod link_events;
pub(crate) mod netlink;
pub mod release;
