//! The fenced blocks of a page of the book, and the commands in them.
//!
//! ```text
//! a console block          its commands, the lines that begin with `$ `, are run by tests/tests/book.rs (which compiles this
//!                          file too); the lines below a command must occur in its output, where `…` stands for any text
//! exit=N                   the exit code of its commands, if it isn't 0
//! shown=WHY-IT-ISN'T-RUN   its commands are only shown, for this reason
//! ^C                       on a line of its own: ends the `ntpguard run` in progress
//! ```

use std::fmt;

/// The languages of blocks that contain no commands.
const OTHERS: [&str; 5] = ["text", "conf", "toml", "yaml", "json"];

/// A block of commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line on which it begins.
    pub(crate) line: usize,
    /// Why its commands aren't run.
    pub(crate) shown: Option<String>,
    /// The exit code of its commands.
    pub(crate) exit: i32,
    /// What a reader types.
    pub(crate) steps: Vec<Step>,
}

/// One thing that a reader types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A command, and lines of its output.
    Command(String, Vec<String>),
    /// Ctrl-C, for the `ntpguard run` in progress.
    Interrupt,
}

/// A fault of a page, with its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) usize, pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.0, self.1)
    }
}

/// All blocks of commands on a page.
///
/// # Errors
/// A block of commands that a reader might type but no test would run, or a malformed one.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, Wrong> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(page.lines());
    let mut blank = true;
    while let Some((number, line)) = lines.next() {
        if line.starts_with("    ") && blank && !line.trim().is_empty() {
            return Err(Wrong(number, "an indented block: fence it, and name its language".to_owned()));
        }
        blank = line.trim().is_empty();
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        // In a list, a block is indented as far as the list's text.
        let margin = &line[..line.len() - line.trim_start().len()];
        let text = lines.by_ref().map(|(_, line)| line.strip_prefix(margin).unwrap_or(line));
        let text: Vec<_> = text.take_while(|line| *line != "```").collect();
        let mut words = info.split_whitespace();
        match words.next() {
            Some("console") => blocks.push(block(number, words, &text)?),
            Some(other) if OTHERS.contains(&other) => {
                if let Some(command) = text.iter().find(|line| line.starts_with("$ ")) {
                    return Err(Wrong(number, format!("a command in a {other} block: {command}")));
                }
            }
            other => {
                let name = other.unwrap_or("no language");
                return Err(Wrong(number, format!("a block of {name}: console or one of {OTHERS:?}")));
            }
        }
    }
    Ok(blocks)
}

fn block<'a>(line: usize, words: impl Iterator<Item = &'a str>, text: &[&str]) -> Result<Block, Wrong> {
    let mut block = Block { line, shown: None, exit: 0, steps: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some(("shown", why)) if !why.is_empty() => block.shown = Some(why.replace('-', " ")),
            Some(("exit", code)) => {
                block.exit = code.parse().map_err(|_| Wrong(line, format!("`{code}` is no exit code")))?;
            }
            _ => return Err(Wrong(line, format!("`{word}`: shown=WHY or exit=N"))),
        }
    }
    for text in text {
        match (text.strip_prefix("$ "), block.steps.last_mut()) {
            (Some(command), _) => block.steps.push(Step::Command(command.to_owned(), Vec::new())),
            (None, _) if *text == "^C" => block.steps.push(Step::Interrupt),
            (None, Some(Step::Command(_, output))) => output.push((*text).to_owned()),
            (None, _) => return Err(Wrong(line, format!("no command stands above `{text}`"))),
        }
    }
    if block.steps.is_empty() {
        return Err(Wrong(line, "no command: a line that begins with `$ `".to_owned()));
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_write() {
        let page = "```console exit=1\n$ ntpguard check a\nerror[cidr]: …\n$ b\n^C\n```\n\n```text\nx\n```\n\
                    - a\n\n  ```console shown=systemd-starts-it\n  $ c\n  ```\n";
        let command = |line: &str, output: &[&str]| {
            Step::Command(line.to_owned(), output.iter().map(|&line| line.to_owned()).collect())
        };
        let first =
            vec![command("ntpguard check a", &["error[cidr]: …"]), command("b", &[]), Step::Interrupt];
        let shown = Some("systemd starts it".to_owned());
        assert_eq!(
            blocks(page),
            Ok(vec![
                Block { line: 1, shown: None, exit: 1, steps: first },
                Block { line: 13, shown, exit: 0, steps: vec![command("c", &[])] },
            ])
        );
    }

    #[test]
    fn nothing_escapes() {
        for page in [
            "text\n\n    ntpguard run\n",
            "```\nntpguard run\n```\n",
            "```sh\nntpguard run\n```\n",
            "```text\n$ ntpguard run\n```\n",
            "```console\nntpguard run\n```\n",
            "```console shown\n$ ntpguard run\n```\n",
            "```console shown=\n$ ntpguard run\n```\n",
            "```console exit=x\n$ ntpguard run\n```\n",
            "```console\n```\n",
        ] {
            assert!(blocks(page).is_err(), "{page}");
        }
    }
}
