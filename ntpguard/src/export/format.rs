//! For whom verbs write.

use crate::host::terminal::{Content, Shown};

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

impl Format {
    /// Standard output for what is written so.
    pub(crate) fn stdout(self) -> Shown {
        Shown::stdout(match self {
            Self::Text => Content::Text,
            Self::Json => Content::Json,
        })
    }
}
