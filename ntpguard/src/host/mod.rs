//! The operating system: the network cards and their drivers, and what the kernel says of them.

pub mod driver;
pub(crate) mod netlink;
pub mod release;
