//! `ntpguard top`: what happens now, for somebody at a terminal.
//!
//! ```text
//! FilterView ─Sample::of→ Sample ─┐                            ┌─view::render→ cells ─Screen→ terminal
//! Follower ─take──→ events ─┼─Input─→ Top::update ─ Top ─┤
//! keys ───────press─────────┘                            └─Effect─→ names, quit
//! ```
//!
//! Contract: everything but [`terminal`] is pure: a [`Top`] is what was put in, and a screen is what it
//! is and how large the terminal is. Counts are the kernel's, exact; what comes of sampled events is an estimate, and has
//! a `~` before it. What others wrote (ntp.conf, DNS) is shown without control characters.

pub mod data;
pub mod headline;
pub mod history;
pub mod keys;
pub mod model;
pub mod rows;
pub mod sample;
pub mod sources;
pub mod terminal;
pub mod theme;
pub mod view;
pub mod words;

pub use model::{Effect, Input, Top};
pub use sample::Sample;
