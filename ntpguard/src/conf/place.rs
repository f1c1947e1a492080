//! Where something stands in the files that were read.

/// Where something stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Length in bytes.
    pub length: usize,
}

/// A place in one of the files read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index into [`crate::conf::AccessList::files`].
    pub file: usize,
    /// Where in that file.
    pub span: Span,
}
