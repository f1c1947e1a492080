//! Programs that are only for measuring (`tests/ebpf`), and facts about programs that other processes have loaded.
//!
//! Contract: none of them is part of the product; what is loaded here is unloaded when its value is dropped.

mod bare;
mod flood;
mod leave;
mod loaded;
mod object;
mod spray;
mod trie;

pub use bare::{Bare, DROP};
pub use flood::Flood;
pub use leave::Leave;
pub use loaded::{Figures, Loaded, memory_since, newest_map};
pub use ntpguard_tests_ebpf::spread;
pub use spray::{Sources, Spray};
pub use trie::Trie;
