//! The words of a command, as ntpd's scanner cuts them (ntp_scanner.c:yylex).
//!
//! Contract: any bytes are accepted, nothing panics. `#` outside quotes begins a comment, even within a word; only `"`
//! quotes, and a missing closing quote is forgiven at the line's end. A command is usually one line; where it has
//! several (`commands.rs`), line ends are blanks.

use super::{
    Span,
    keywords::{self, Demand},
};
use crate::daemon::dialect::Dialect;
use std::borrow::Cow;

/// A word of a command, usually borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: Cow<'a, str>,
    /// Its length as the daemon counts it.
    pub(super) bytes: usize,
    /// A word with a quoted part is a string, never a keyword or a number.
    pub(super) quoted: bool,
    pub(super) span: Span,
}

impl Word<'_> {
    /// Whether this is the keyword: exact, case-sensitive, unquoted.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    /// Whether it ends a command: quotes that contain nothing but blanks (ntp_scanner.c:create_string_token).
    pub(super) fn is_end(&self) -> bool {
        self.quoted && self.text.bytes().all(is_space)
    }

    /// Whether it is one of the special characters, each of which is a word of its own.
    pub(super) fn is_special(&self) -> bool {
        !self.quoted && matches!(self.text.as_bytes(), [byte] if is_special(*byte))
    }

    /// Whether the daemon's scanner reads it as a keyword.
    pub(super) fn is_keyword(&self, dialect: Dialect) -> bool {
        !self.quoted && keywords::dialects(&self.text).contains(&dialect)
    }

    /// Whether the scanners read it as a number of any kind (ntp_scanner.c:is_integer, is_double): sign, digits with at
    /// most one point among them, exponent.
    pub(super) fn is_number(&self) -> bool {
        let past_digits = |text: &'_ str| text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unsigned = self.text.strip_prefix(['+', '-']).unwrap_or(&self.text);
        let whole = unsigned.len() - past_digits(unsigned);
        let rest = &unsigned[whole..];
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.len() - past_digits(rest)),
            None => ("", rest),
        };
        let exponent =
            rest.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        let ends = rest.is_empty() || exponent.is_some_and(|exponent| past_digits(exponent) == 0);
        !self.quoted && whole + fraction.len() > 0 && ends
    }

    /// The integer that the scanner reads the word as (ntp_scanner.c:is_integer, is_u_int); `None` if it reads it as
    /// something else. `Some(None)` is an integer whose value depends on the C library.
    pub(super) fn integer(&self, dialect: Dialect) -> Option<Option<i32>> {
        let digits = self.text.strip_prefix('-').unwrap_or(&self.text);
        // The scanner looks for keywords first, and `-4` and `-6` are keywords.
        if self.quoted || self.is_keyword(dialect) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let whole = self.text.parse().ok();
        // From 2^31 on a number is unsigned, which is another token; numbers of more than 32 bits wrap around first.
        // 4.2.6 truncates all of them to integers.
        let unsigned = self.text.parse::<u32>().is_ok() && dialect != Dialect::Ntp426;
        if whole.is_none() && unsigned { None } else { Some(whole) }
    }

    /// Whether 4.2.8 and NTPsec read it as an unsigned number, and 4.2.6 as a string (ntp_scanner.c:is_u_int).
    pub(super) fn is_hexadecimal(&self) -> bool {
        let digits = self.text.strip_prefix("0x").or(self.text.strip_prefix("0X"));
        !self.quoted && digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
    }
}

/// How the scanner treats bytes above 0x7f.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// As ordinary characters: 4.2.6.
    Kept,
    /// It deletes them before anything else looks at them: 4.2.8 and NTPsec (ntp_scanner.c:lex_getch).
    Deleted,
}

/// The words of a command, in order. The characters `{ } ( ) , ; | =` are words of their own, except where a keyword
/// demands strings.
#[derive(Clone)]
pub(super) struct Words<'a, 'd> {
    text: &'a [u8],
    at: usize,
    /// Number of the line that `at` is in, and the offset in the text at which that line begins; negative if the
    /// command begins in the middle of its line.
    number: usize,
    line_start: isize,
    foreign: Foreign,
    demand: Demand,
    demands: &'d dyn Fn(&Word<'_>) -> Demand,
}

impl<'a, 'd> Words<'a, 'd> {
    /// Cuts a text that begins in line `number` (from 1), `column` bytes after that line's beginning.
    pub(super) fn new(
        text: &'a [u8],
        (number, column): (usize, usize),
        foreign: Foreign,
        demands: &'d dyn Fn(&Word<'_>) -> Demand,
    ) -> Self {
        let line_start = -(column as isize);
        Self { text, at: 0, number, line_start, foreign, demand: Demand::Nothing, demands }
    }

    /// Number of bytes of the text that have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Skips blanks and comments.
    fn skip(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'#' => self.at += self.text[self.at..].iter().take_while(|byte| **byte != b'\n').count(),
                b'\n' => {
                    self.at += 1;
                    (self.number, self.line_start) = (self.number + 1, self.at as isize);
                }
                _ if is_space(byte) => self.at += 1,
                _ => break,
            }
        }
    }
}

impl<'a> Iterator for Words<'a, '_> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            self.skip();
            let Self { text, at: start, demand, foreign, .. } = *self;
            let first = *text.get(start)?;
            let special = demand == Demand::Nothing && is_special(first);
            let goes_on = |&byte: &u8| byte != b'"' && !ends_word(byte, demand);
            let length =
                if special { 1 } else { text[start..].iter().take_while(|byte| goes_on(byte)).count() };
            let mut at = start + length;
            let mut bytes = Cow::Borrowed(&text[start..at]);
            let quoted = !special && text.get(at) == Some(&b'"');
            if quoted {
                let rest = &text[at + 1..];
                let length = rest.iter().position(|b| b"\"\n".contains(b)).unwrap_or(rest.len());
                bytes.to_mut().extend_from_slice(&rest[..length]);
                // The closing quote is part of the word; a line end that closes the quotes is still to be read.
                at += length + 1 + usize::from(rest.get(length) == Some(&b'"'));
            }
            self.at = at;
            if foreign == Foreign::Deleted && !bytes.is_ascii() {
                bytes.to_mut().retain(u8::is_ascii);
            }
            if !quoted && bytes.is_empty() {
                continue;
            }
            let column = (start as isize - self.line_start) as usize + 1;
            let span = Span { line: self.number, column, length: at - start };
            let length = bytes.len();
            let text = match bytes {
                Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
                Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
            };
            let word = Word { text, bytes: length, quoted, span };
            self.demand = match (demand, (self.demands)(&word)) {
                (Demand::Strings, _) => Demand::Strings,
                // `-4` or `-6` may stand between a keyword and its host.
                (Demand::String, _) if word.is("-4") || word.is("-6") => Demand::String,
                (Demand::String, _) => Demand::Nothing,
                (Demand::Nothing, demand) => demand,
            };
            return Some(word);
        }
    }
}

fn ends_word(byte: u8, demand: Demand) -> bool {
    is_space(byte) || byte == b'#' || (demand == Demand::Nothing && is_special(byte))
}

fn is_special(byte: u8) -> bool {
    b"{}(),;|=".contains(&byte)
}

/// C's isspace().
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &[u8], foreign: Foreign) -> Vec<Word<'_>> {
        let demands = |word: &Word<'_>| match &*word.text {
            "includefile" => Demand::String,
            "phone" => Demand::Strings,
            _ => Demand::Nothing,
        };
        Words::new(line, (1, 0), foreign, &demands).collect()
    }

    fn texts(line: &[u8]) -> Vec<String> {
        cut(line, Foreign::Deleted).into_iter().map(|word| word.text.into_owned()).collect()
    }

    #[test]
    fn spaces_comments_and_quotes() {
        assert_eq!(texts(b"\t restrict 10.0.0.1#x y\r"), ["restrict", "10.0.0.1"]);
        assert_eq!(texts(b"keys \"/etc/a b\" x"), ["keys", "/etc/a b", "x"]);
        assert_eq!(texts(b"keys ab\"c # d"), ["keys", "abc # d"]);
        assert_eq!(texts(b"restrict \"192.0.2.7\"nomodify"), ["restrict", "192.0.2.7", "nomodify"]);
        assert_eq!(texts(b"# nothing"), [""; 0]);
    }

    #[test]
    fn special_characters_are_words_only_where_no_string_is_demanded() {
        assert_eq!(texts(b"ignore,noquery"), ["ignore", ",", "noquery"]);
        assert_eq!(texts(b"includefile -4 a=b c=d"), ["includefile", "-4", "a=b", "c", "=", "d"]);
        assert_eq!(texts(b"phone a=b c;d"), ["phone", "a=b", "c;d"]);
        assert_eq!(texts(b"end;"), ["end", ";"]);
    }

    #[test]
    fn bytes_over_0x7f_vanish_but_for_4_2_6() {
        let kept = cut(b"\xef\xbb\xbfrestrict x", Foreign::Kept);
        assert_eq!(kept[0].text, "\u{feff}restrict");
        assert_eq!(texts(b"\xef\xbb\xbfrestrict 1.2.3.4 \xc3\xa4"), ["restrict", "1.2.3.4"]);
    }

    #[test]
    fn numbers() {
        let number = |text: &str| cut(text.as_bytes(), Foreign::Deleted)[0].is_number();
        for text in ["10", "-1", "+1", "10.1", "10.", ".5", "1e5", "1.5E-3", "1e"] {
            assert!(number(text), "{text}");
        }
        for text in ["10.0.0.1", "\"10\"", ".", "x", "1x", "1e5x", "0x10", "2001:db8::1", "-"] {
            assert!(!number(text), "{text}");
        }
    }
}
