//! Cuts a file into commands: one a line, or after `simulate` one up to each `;` (ntp_scanner.c:is_EOC).

use super::line::Line;

/// The commands of a file that are still to be read, each as a [`Line`].
pub(super) struct Commands<'a> {
    file: usize,
    bytes: &'a [u8],
    /// Offset of the next command, or of blanks before it.
    at: usize,
    /// Number of the line that `at` is in, from 1, and the offset at which that line begins.
    number: usize,
    line_start: usize,
}

impl<'a> Commands<'a> {
    /// Starts at the beginning of a file; `file` is its index into [`crate::conf::AccessList::files`].
    pub(super) fn new(file: usize, bytes: &'a [u8]) -> Self {
        Self { file, bytes, at: 0, number: 1, line_start: 0 }
    }

    /// The next command, up to the line's end.
    pub(super) fn line(&mut self) -> Option<Line<'a>> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = self.cut(length);
        self.go((line.start as usize + length + 1).min(self.bytes.len()));
        Some(line)
    }

    /// The next command, up to `;` or the file's end. A `;` in quotes or in a comment doesn't count.
    pub(super) fn statement(&mut self) -> Option<Line<'a>> {
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        loop {
            let rest = &self.bytes[self.at..];
            match rest.first()? {
                b'#' => self.go(self.at + up_to(rest, b"\n")),
                byte if blank(byte) => self.go(self.at + 1),
                _ => break,
            }
        }
        let mut end = self.at;
        while let Some(byte) = self.bytes.get(end).filter(|byte| **byte != b';') {
            end += 1;
            let rest = &self.bytes[end..];
            end += match byte {
                b'"' => (up_to(rest, b"\"\n") + 1).min(rest.len()),
                b'#' => up_to(rest, b"\n"),
                _ => 0,
            };
        }
        let line = self.cut(end - self.at);
        self.go((end + 1).min(self.bytes.len()));
        Some(line)
    }

    /// Everything from offset `from` in this command to the file's end.
    pub(super) fn rest(&mut self, line: &Line<'a>, from: usize) -> Line<'a> {
        let start = line.start as usize;
        (self.at, self.number, self.line_start) = (start, line.number, start - line.column);
        self.go(from);
        self.cut(self.bytes.len() - self.at)
    }

    fn cut(&self, length: usize) -> Line<'a> {
        let Self { file, bytes, at, number, line_start } = *self;
        // The reader of files has made sure that an offset fits into a u32.
        Line { file, number, start: at as u32, column: at - line_start, text: &bytes[at..at + length] }
    }

    /// Moves forward to an offset, and counts lines.
    pub(super) fn go(&mut self, to: usize) {
        for (place, _) in self.bytes[self.at..to].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            self.number += 1;
            self.line_start = self.at + place + 1;
        }
        self.at = to;
    }
}

/// The number of bytes before the first of `ends`, or before the end.
fn up_to(bytes: &[u8], ends: &[u8]) -> usize {
    bytes.iter().position(|byte| ends.contains(byte)).unwrap_or(bytes.len())
}
