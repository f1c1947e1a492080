//! The output format of verbs.

use crate::host::terminal::{Content, Shown};

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs: one object per line.
    Json,
}

impl Format {
    /// Standard output in this format.
    pub(crate) fn stdout(self) -> Shown {
        Shown::stdout(match self {
            Self::Text => Content::Text,
            Self::Json => Content::Json,
        })
    }
}
