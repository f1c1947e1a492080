//! The operating system: the network cards and their drivers, what the kernel says of them, and what a process may do here.

pub mod clock;
pub mod driver;
pub(crate) mod farewell;
pub mod features;
pub mod file;
pub mod link_events;
pub mod lock;
pub(crate) mod memory;
pub mod netlink;
pub mod queues;
pub mod release;
pub mod routes;
pub(crate) mod seccomp;
pub(crate) mod secrets;
pub mod terminal;
pub mod timestamping;
mod xenstore;
