//! Text of others on its way to a terminal: what a terminal would obey is shown, not sent.
//!
//! Paths, lines of files and names of interfaces may have any characters. Control characters (ECMA-48: C0, DEL and C1, of which
//! U+009B alone begins a sequence) can move the cursor, change titles or answer as if typed, and those for writing direction
//! (Unicode Annex 9) make text look like another one.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Stdout, Write},
};

/// Whether a terminal would obey a character. Line ends and tabs it may.
pub fn is_obeyed(c: char) -> bool {
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    directs || c.is_control() && !matches!(c, '\n' | '\t')
}

/// The text with U+FFFD in the place of each such character.
pub fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, |shown, _| shown.push('\u{fffd}'))
}

/// The text with another character in the place of each such one that takes as many bytes, so that columns stay what they are.
pub fn of_same_length(text: &str) -> Cow<'_, str> {
    replaced(text, |shown, c| {
        shown.push(match c.len_utf8() {
            1 => '?',
            2 => '\u{bf}',
            _ => '\u{fffd}',
        });
    })
}

/// JSON with its own escapes in the place of such characters: outside of strings it has none.
fn escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |escaped, c| {
        // A string takes everything.
        let _ = write!(escaped, "\\u{:04x}", u32::from(c));
    })
}

fn replaced(text: &str, replace: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) { replace(&mut shown, c) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text for people.
    Text,
    /// JSON.
    Json,
}

/// An output through which nothing comes that a terminal would obey.
pub struct Shown<W = Stdout> {
    out: W,
    content: Content,
}

impl Shown {
    /// Standard output.
    pub fn stdout(content: Content) -> Self {
        Self { out: io::stdout(), content }
    }
}

impl<W: Write> Write for Shown<W> {
    /// Takes whole characters, as all that is formatted comes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = match self.content {
            Content::Text => shown(&text),
            Content::Json => escaped(&text),
        };
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b]0;title\x07\u{9b}31m\x7f\u{202e}b\r\n\tc";

    fn written(content: Content, text: &str) -> String {
        let mut out = Shown { out: Vec::new(), content };
        writeln!(out, "{text}").unwrap();
        String::from_utf8(out.out).unwrap()
    }

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        let expected = "a\u{fffd}]0;title\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}b\u{fffd}\n\tc\n";
        assert_eq!(written(Content::Text, HOSTILE), expected);
        let plain = "restrict 192.0.2.0 # für alle \u{2603}";
        assert_eq!(written(Content::Text, plain), format!("{plain}\n"));
        assert!(matches!(shown(plain), Cow::Borrowed(_)));
    }

    #[test]
    fn columns_stay_what_they_are() {
        let shown = of_same_length(HOSTILE);
        assert_eq!(shown.len(), HOSTILE.len());
        assert!(!shown.contains(is_obeyed));
    }

    #[test]
    fn json_says_the_same_to_programs() {
        let text = written(Content::Json, &serde_json::json!({ "path": HOSTILE }).to_string());
        assert!(!text.contains(is_obeyed), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["path"], HOSTILE);
    }
}
