//! Configuration files, each format in a room of its own, and the findings about them.

mod access_line;
mod access_list;
pub mod diagnostic;
mod limiter;
pub mod locate;
pub mod ntp;
pub mod place;

pub use access_line::{AccessLine, Action, Target};
pub use access_list::{AccessList, Association, File, Passive};
pub use limiter::{Limiter, MEMORY};
