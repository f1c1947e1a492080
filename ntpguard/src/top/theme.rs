//! What the terminal can display: colours, and characters beyond ASCII.
//!
//! Contract: colour never carries information that words, positions and marks don't carry, too.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

/// What the terminal can display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether it has colours.
    pub colour: bool,
    /// Whether it has only ASCII.
    pub ascii: bool,
}

/// Terminals without colours, by the beginnings of their names (terminfo(5)), and by their ends.
const MONOCHROME: [&str; 6] = ["vt", "dumb", "ansi-m", "xterm-mono", "wy", "hp"];
const MONOCHROME_ENDS: [&str; 2] = ["-m", "-mono"];

/// ASCII replacements for other characters.
const ASCII: [(&str, &str); 18] = [
    ("\u{2581}", "."), // vertical bars, the lowest first
    ("\u{2582}", ":"),
    ("\u{2583}", "-"),
    ("\u{2584}", "="),
    ("\u{2585}", "+"),
    ("\u{2586}", "*"),
    ("\u{2587}", "%"),
    ("\u{2588}", "#"),
    ("\u{258f}", "."), // horizontal bars
    ("\u{258c}", "-"),
    ("\u{2500}", "-"),
    ("\u{2502}", "|"),
    ("\u{2265}", ">"),
    ("\u{b1}", "+"),
    ("\u{2026}", "."),
    ("\u{2191}", "^"),
    ("\u{2193}", "v"),
    ("\u{2591}", "."),
];

impl Theme {
    /// The theme according to the environment (<https://no-color.org>; `LC_ALL`, `LC_CTYPE` and `LANG`, in this order), and
    /// to what was asked for.
    pub fn of(variable: impl Fn(&str) -> Option<String>, ascii: bool) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = set("TERM").unwrap_or_default();
        let monochrome = MONOCHROME.iter().any(|start| terminal.starts_with(start))
            || MONOCHROME_ENDS.iter().any(|end| terminal.ends_with(end));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let unicode = ["utf-8", "utf8"].iter().any(|name| locale.to_lowercase().contains(name));
        Self {
            colour: set("NO_COLOR").is_none() && !monochrome,
            ascii: ascii || !unicode || terminal.starts_with("vt"),
        }
    }

    /// Replaces what the terminal can't display.
    pub fn reduce(self, buffer: &mut Buffer) {
        for cell in &mut buffer.content {
            if !self.colour {
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
            }
            if self.ascii && !cell.symbol().is_ascii() {
                let other = ASCII.iter().find(|(symbol, _)| *symbol == cell.symbol());
                cell.set_symbol(other.map_or("?", |(_, ascii)| ascii));
            }
        }
    }
}

/// The style of alarms.
pub const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
/// The style of what is in order.
pub const FINE: Style = Style::new().fg(Color::Green).add_modifier(Modifier::BOLD);
/// The style of what should be different.
pub const OPEN: Style =
    Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD).add_modifier(Modifier::REVERSED);
/// The style of headings.
pub const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
/// The style of explanations.
pub const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// The style of the selection.
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(variables: &[(&str, &str)]) -> Theme {
        let find = |name: &str| {
            variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
        };
        Theme::of(find, false)
    }

    #[test]
    fn the_environment_says_what_is_shown() {
        let usual = [("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8")];
        assert_eq!(theme(&usual), Theme { colour: true, ascii: false });
        let with = |variable| theme(&[usual[0], usual[1], variable]);
        assert!(!with(("NO_COLOR", "1")).colour && with(("NO_COLOR", "")).colour);
        assert!(with(("LC_ALL", "C")).ascii && !with(("LC_ALL", "C.utf8")).ascii);
        assert_eq!(theme(&[("TERM", "vt220"), usual[1]]), Theme { colour: false, ascii: true });
        assert!(!theme(&[("TERM", "xterm-mono"), usual[1]]).colour);
        assert!(Theme::of(|_| Some("C.UTF-8".to_owned()), true).ascii);
    }
}
