//! Positions in the files that were read.

/// A position within one file, and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Length in bytes.
    pub length: usize,
}

/// A position in one of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index into [`crate::conf::AccessList::files`].
    pub file: usize,
    /// The position in that file.
    pub span: Span,
}
