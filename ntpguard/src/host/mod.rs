//! The operating system: the network cards and their drivers, and what the kernel says of them.

pub mod driver;
pub mod features;
pub mod link_events;
pub mod netlink;
pub mod release;
pub mod timestamping;
mod xenstore;
