//! Numbers, times and places in short form.

use crate::{host::terminal::is_obeyed, observe::event::Blamed};
use std::path::Path;

/// A text from elsewhere, without characters that a terminal obeys.
pub fn clean(text: &str) -> String {
    text.replace('\t', " ").replace(|c: char| c.is_control() || is_obeyed(c), "\u{fffd}")
}

/// All digits of a number, in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate per second; a dash if it is unknown.
pub fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}/s"),
        Some(rate) => format!("{}/s", grouped(rate.round() as u64)),
    }
}

/// A part in percent; a dash if the whole is zero.
pub fn percent(part: f64, all: f64) -> String {
    if all > 0.0 { format!("{:.1} %", 100.0 * part / all) } else { "-".to_owned() }
}

/// The time of day in UTC, from nanoseconds since 1970.
pub fn clock(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A span of time as in options, such as `3 min`.
pub fn span(seconds: u64) -> String {
    if seconds >= 120 && seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

/// The place of a line, without the folder of its file.
pub fn place(blamed: &Blamed) -> String {
    let name = Path::new(&blamed.file).file_name().map(|name| name.to_string_lossy());
    clean(&format!("{}:{}", name.unwrap_or_else(|| (&*blamed.file).into()), blamed.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(clean("a\x1b[2J\u{9b}b\tc\u{202e}d\n"), "a\u{fffd}[2J\u{fffd}b c\u{fffd}d\u{fffd}");
        assert_eq!(clean("e\u{61c}t\u{ad}h\u{e0041}0"), "e\u{fffd}t\u{fffd}h\u{fffd}0");
        assert_eq!(clean("restrict ntp.example ignore # für"), "restrict ntp.example ignore # für");
    }

    #[test]
    fn numbers_have_all_their_digits() {
        let all = [0, 7, 999, 1000, 2_700_000, u64::MAX].map(grouped);
        assert_eq!(all[..5], ["0", "7", "999", "1,000", "2,700,000"]);
        assert_eq!(all[5], "18,446,744,073,709,551,615");
        assert_eq!(
            [None, Some(0.0), Some(0.25), Some(41_203.4)].map(rate),
            ["-", "0/s", "0.2/s", "41,203/s"]
        );
        assert_eq!((percent(1.0, 3.0), percent(0.0, 0.0)), ("33.3 %".to_owned(), "-".to_owned()));
    }

    #[test]
    fn times_and_places() {
        assert_eq!(clock(1_700_000_000_000_000_000), "22:13:20");
        assert_eq!([span(90), span(180), span(60)], ["90 s", "3 min", "60 s"]);
        let blamed = Blamed { file: "/etc/ntp\x1b.conf".to_owned(), line: 3, text: String::new() };
        assert_eq!(place(&blamed), "ntp\u{fffd}.conf:3");
    }
}
