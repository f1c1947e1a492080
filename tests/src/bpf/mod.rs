//! Programs that only measure (`tests/ebpf`), and what can be said of a program that somebody else has loaded.
//!
//! Contract: none of them is in the product; what is loaded here goes with its value.

mod bare;
mod flood;
mod loaded;
mod object;
mod spray;
mod trie;

pub use bare::{Bare, DROP};
pub use flood::Flood;
pub use loaded::{Figures, Loaded, memory_since, newest_map};
pub use ntpguard_tests_ebpf::spread;
pub use spray::{Sources, Spray};
pub use trie::Trie;
