//! One command, usually a line: its words, and their positions.

use super::{
    Place, Span,
    keywords::{self, Demand},
    lexer::{Foreign, Word, Words},
};
use crate::daemon::dialect::{Daemon, Dialect};

/// One command, usually a line, and its position.
pub(super) struct Line<'a> {
    pub(super) file: usize,
    /// Number of the line in which it begins, from 1.
    pub(super) number: usize,
    /// Offset of its first byte in the file.
    pub(super) start: u32,
    /// Number of bytes in that line before it.
    pub(super) column: usize,
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Its words, as the daemon cuts them.
    pub(super) fn words(&self, Daemon { dialect, .. }: Daemon) -> Vec<Word<'a>> {
        let demands = |word: &Word<'_>| match word.quoted {
            true => Demand::Nothing,
            false => keywords::demands(&word.text, dialect),
        };
        // Few commands have more words.
        let mut words = Vec::with_capacity(8);
        words.extend(self.scan(dialect, &demands));
        words
    }

    /// Its words; `demands` says what each keyword demands of those after it.
    pub(super) fn scan<'d>(
        &self,
        dialect: Dialect,
        demands: &'d dyn Fn(&Word<'_>) -> Demand,
    ) -> Words<'a, 'd> {
        let foreign = if dialect == Dialect::Ntp426 { Foreign::Kept } else { Foreign::Deleted };
        Words::new(self.text, (self.number, self.column), foreign, demands)
    }

    /// The number of the line in which a word begins, and the offset of the word's first byte in the file.
    pub(super) fn place_of(&self, word: &Word<'_>) -> (usize, u32) {
        let Span { line, column, .. } = word.span;
        let begins = |number: usize| {
            let ends = self.text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.map(|(at, _)| at + 1).nth(number - 1).unwrap_or(0)
        };
        let within = match line - self.number {
            0 => column - 1 - self.column,
            further => begins(further) + column - 1,
        };
        (line, self.start + within as u32)
    }

    /// The place of a word.
    pub(super) fn at(&self, word: &Word<'_>) -> Place {
        Place { file: self.file, span: word.span }
    }
}
