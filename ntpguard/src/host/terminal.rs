//! Output of foreign text to a terminal: characters that a terminal would obey are replaced.
//!
//! Paths, lines of files and interface names may contain any characters. Control characters (ECMA-48: C0, DEL and C1,
//! of which U+009B alone begins a sequence) can move the cursor, change titles or produce input as if typed. Characters
//! for writing direction (Unicode Annex 9) make a text look like another, and invisible ones make two texts look the
//! same.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Stdout, Write},
};

/// Whether a terminal would obey a character, or show nothing for it. Line ends and tabs are allowed.
pub fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || !c.is_ascii() && is_invisible(c)
}

/// Format characters (Unicode's category Cf), and others that are invisible on their own: line and paragraph
/// separators, Hangul fillers, variation selectors.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The text, with U+FFFD for each such character.
pub fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, |shown, _| shown.push('\u{fffd}'))
}

/// The text, with each such character replaced by one or more others of the same length in bytes, so that columns stay
/// the same.
pub fn of_same_length(text: &str) -> Cow<'_, str> {
    replaced(text, |shown, c| {
        shown.push_str(match c.len_utf8() {
            1 => "?",
            2 => "\u{bf}",
            3 => "\u{fffd}",
            _ => "\u{fffd}?",
        });
    })
}

/// JSON, with such characters escaped; they occur only in strings.
fn escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |escaped, c| {
        for half in c.encode_utf16(&mut [0; 2]) {
            // Writing into a String can't fail.
            let _ = write!(escaped, "\\u{half:04x}");
        }
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

/// The maximum length of a line.
pub const COLUMNS: usize = 80;

/// The text in lines of at most [`COLUMNS`]. What doesn't fit continues on the next line, indented. Lines are broken
/// only at spaces: a path or an address that is longer stays whole.
pub fn folded(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(fold).collect();
    lines.join("\n")
}

fn fold(line: &str) -> Cow<'_, str> {
    if line.chars().count() <= COLUMNS {
        return Cow::Borrowed(line);
    }
    let own = line.len() - line.trim_start_matches(' ').len();
    let indent = if own == 0 { 2 } else { own.min(COLUMNS / 2) };
    let (mut folded, mut row) = (String::new(), " ".repeat(own));
    // The length of the row as long as it has no word.
    let mut begun = own;
    for word in line[own..].split_inclusive(' ') {
        let columns = row.chars().count() + word.trim_end().chars().count();
        if columns > COLUMNS && row.len() > begun {
            folded.push_str(row.trim_end());
            folded.push('\n');
            row = " ".repeat(indent);
            begun = indent;
        }
        // Spaces at a line break are dropped.
        if row.len() > begun || !word.trim_end().is_empty() {
            row.push_str(word);
        }
    }
    folded.push_str(row.trim_end());
    Cow::Owned(folded)
}

/// The kind of content that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text for people.
    Text,
    /// JSON.
    Json,
}

/// An output that replaces or escapes what a terminal would obey.
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
    /// Expects whole characters, as formatted output comes.
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
    fn lines_are_folded_where_spaces_are() {
        let address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff";
        let line = format!(
            "warning: enp0s31f6np0v15: can't put the filter back, since {address} and {address} came"
        );
        let folded = folded(&line);
        assert!(folded.lines().all(|row| row.chars().count() <= COLUMNS), "{folded}");
        assert_eq!(
            folded.split_whitespace().collect::<Vec<_>>(),
            line.split_whitespace().collect::<Vec<_>>()
        );
        assert!(folded.lines().skip(1).all(|row| row.starts_with("  2001:")), "{folded}");
        let indented = super::folded(&format!("head\n    {line}"));
        assert!(
            indented.lines().skip(1).all(|row| row.starts_with("    ") && row.len() <= COLUMNS),
            "{indented}"
        );
    }

    #[test]
    fn lines_that_fit_and_words_that_do_not_stay_as_they_are() {
        let table = format!("passed          3/s   dropped {:>30}\n{}\n", 7, "x".repeat(COLUMNS));
        assert_eq!(folded(&table), table);
        let path = format!("/{}", "folder/".repeat(20));
        assert_eq!(folded(&path), path);
        assert_eq!(folded(&format!("can't read {path} at all")), format!("can't read\n  {path}\n  at all"));
        assert_eq!(folded(&format!("{:<81}end", "a")), "a\n  end", "no spaces at an end");
    }

    #[test]
    fn what_shows_nothing_is_shown() {
        let marks =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        let others = "\u{ad}\u{200b}\u{200c}\u{200d}\u{2028}\u{2029}\u{2060}\u{2064}\u{3164}\u{fe0f}\u{feff}\u{fff9}\u{e0001}\u{e0041}";
        for c in marks.chars().chain(others.chars()) {
            let path = format!("/etc/ntp{c}.conf");
            assert_eq!(shown(&path), "/etc/ntp\u{fffd}.conf", "{c:?}");
            assert_eq!(of_same_length(&path).len(), path.len(), "{c:?}");
            let json = written(Content::Json, &serde_json::json!(path).to_string());
            assert!(!json.contains(is_obeyed), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), path);
        }
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
