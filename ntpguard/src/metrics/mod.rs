//! Counters for Prometheus: a reading is published every few seconds, and served to whoever scrapes it.
//!
//! Contract: a scrape sees one [`MetricValues`], which never changes, and touches neither the filter nor the loop that looks
//! after it; clients can't block the guard, however slow and however many they are. No metric has an address in a label.

mod families;
mod lines;
mod reading;
mod server;
mod text;

pub use families::table;
pub use lines::{Hit, LinePlace, Lines, MOST};
pub use reading::{Drawn, Live, MetricValues, Names, Tracked, interfaces};
pub use server::serve;

use std::sync::{Arc, Mutex, PoisonError};

/// The latest reading, shared by the thread that takes it and the thread that serves it.
#[derive(Clone, Default)]
pub struct Published(Arc<Mutex<Option<Arc<MetricValues>>>>);

impl Published {
    /// Replaces the reading.
    pub fn put(&self, reading: MetricValues) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
    }

    /// The latest reading; `None` before the first.
    fn get(&self) -> Option<Arc<MetricValues>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
