//! `ntpguard top`: what is happening now, for somebody at a terminal.
//!
//! ```text
//! FilterView ─Poll::of→ Poll ─┐                            ┌─view::render→ cells ─Screen→ terminal
//! Follower ───take──────→ events ─┼─Input─→ Top::update ─ Top ─┤
//! keys ───────press───────────────┘                            └─Effect─→ names, quit
//! ```
//!
//! Contract: everything but [`terminal`] is pure: a [`Top`] depends only on its inputs, and a screen only on the [`Top`] and
//! the size of the terminal. Counts are the kernel's, and exact; numbers from sampled events are estimates, and marked by a
//! `~`. Text from elsewhere (ntp.conf, DNS) is shown without control characters.

pub mod data;
pub mod headline;
pub mod history;
pub mod keys;
pub mod model;
pub mod poll;
pub mod rows;
pub mod sources;
pub mod terminal;
pub mod theme;
pub mod view;
pub mod words;

pub use model::{Effect, Input, Top};
pub use poll::Poll;
