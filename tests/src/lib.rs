//! The parts that the tests, the demo and the VM runs share: frames, golden cases, namespaces, real daemons.
//!
//! Contract: everything that is started here ends with the test that started it, however the test ends. Namespaces have no
//! names and live only as long as a descriptor of them is open; child processes die with their parent.

pub mod agreement;
pub mod bench;
pub mod bpf;
pub mod chrony;
pub mod client;
pub mod dns;
pub mod fixture;
pub mod following;
pub mod frame;
pub mod golden;
pub mod guard;
pub mod home;
pub mod judged;
pub mod load;
pub mod matrix;
pub mod netns;
pub mod ntpd;
pub mod prometheus;
pub mod random;
pub mod reader;
pub mod replies;
pub mod stand_in;
pub mod stranger;
pub mod tmux;
pub mod told;
pub mod train;
pub mod tun;
pub mod unit;
pub mod victim;
pub mod visit;
