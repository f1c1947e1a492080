//! Skips `simulate { … }` of ntp.org's ntpd (ntp_parser.y: simulate_command). Nothing in the block matters, but it must
//! not be read as other commands, and commands after it may end differently.
//!
//! Contract: from the word `simulate` on, the scanner treats line ends as blanks, and commands end at `;`. Only the
//! block's last brace reverts that. A mistake in the block loses everything up to the next `;`, and commands keep
//! ending at `;` for the rest of the file and of the files that include it. In 4.2.6 every block is a mistake, since
//! its scanner reads the number after `=` as a string.

use super::{
    ConfFile,
    commands::Commands,
    dispatch::{Directive, too_long},
    keywords::Demand,
    lexer::{Word, Words},
    line::Line,
};
use crate::{
    conf::diagnostic::{Code, Diagnostic},
    daemon::dialect::Dialect,
};

/// How a block ends, with the offset from its beginning.
enum End {
    /// After its last brace.
    Closed(usize),
    /// Before a word that can't follow.
    Mistake(usize),
    /// With its file: it is never closed.
    File,
}

/// Reads what follows `keyword` in this command, up to where other commands begin. `included` is whether another file
/// includes this one, and so goes on after it.
pub(super) fn skip<'a>(
    conf: &mut ConfFile,
    commands: &mut Commands<'a>,
    line: &Line<'a>,
    keyword: &Word<'a>,
    included: bool,
) -> Directive<'a> {
    let place = line.at(keyword);
    let rest = commands.rest(line, line.place_of(keyword).1 as usize + keyword.span.length);
    let begin = rest.start as usize;
    let end = match conf.daemon.dialect {
        Dialect::Ntp426 => End::Mistake(0),
        _ => match (Block { words: rest.scan(conf.daemon.dialect, &|_| Demand::Nothing), conf }).end() {
            Ok(end) => end,
            Err(long) => return long,
        },
    };
    let message = match end {
        End::Closed(at) => {
            conf.by_statement = false;
            commands.go(begin + at);
            // What follows the brace in its line is a syntax error.
            let lost = commands.line();
            if let Some(long) = lost.and_then(|line| too_long_in(conf, &line)) {
                return long;
            }
            "no line up to the block's last brace is a command of its own"
        }
        End::Mistake(at) => {
            conf.by_statement = true;
            commands.go(begin + at);
            let lost = commands.statement();
            if let Some(long) = lost.and_then(|line| too_long_in(conf, &line)) {
                return long;
            }
            "the daemon finds a mistake in this block, and from here on commands end at `;`, not with their lines: all up \
             to the next `;` is lost, and mostly all that follows"
        }
        End::File if included => {
            let why = "a `simulate` block goes on behind the end of its file".to_owned();
            conf.list.blind(Some(place), why);
            commands.go(begin + rest.text.len());
            return Directive::Done;
        }
        End::File => {
            commands.go(begin + rest.text.len());
            "the block never ends: all that follows is lost"
        }
    };
    let found = Diagnostic::at(Code::Simulate, place, message);
    conf.list.add(found.help("leave the block away: only a simulator (ntpdsim) has a use for it"));
    Directive::Done
}

fn too_long_in<'a>(conf: &ConfFile, line: &Line<'a>) -> Option<Directive<'a>> {
    let words: Vec<_> = line.scan(conf.daemon.dialect, &|_| Demand::Nothing).collect();
    too_long(words.iter(), conf.daemon)
}

/// The words of a block, which are checked against its grammar.
struct Block<'a, 'd> {
    words: Words<'a, 'd>,
    conf: &'d ConfFile,
}

/// Why parsing a block stopped.
enum Stop<'a> {
    Mistake(usize),
    File,
    Long(Directive<'a>),
}

impl<'a> Block<'a, '_> {
    fn end(mut self) -> Result<End, Directive<'a>> {
        match self.block() {
            Ok(()) => Ok(End::Closed(self.words.at())),
            Err(Stop::Mistake(at)) => Ok(End::Mistake(at)),
            Err(Stop::File) => Ok(End::File),
            Err(Stop::Long(long)) => Err(long),
        }
    }

    fn block(&mut self) -> Result<(), Stop<'a>> {
        self.word("{")?;
        self.some(&["beep_delay", "simulation_duration"], Self::setting)?;
        self.some(&["server"], |block| {
            block.word("=")?;
            block.host()?;
            block.word("{")?;
            block.word("server_offset")?;
            block.setting()?;
            block.some(&["duration"], |block| {
                block.word("=")?;
                block.number()?;
                block.word("{")?;
                let settings = ["freq_offset", "wander", "jitter", "prop_delay", "proc_delay"];
                block.some(&settings, Self::setting)?;
                block.word("}")
            })?;
            block.word("}")
        })?;
        self.word("}")
    }

    /// `= NUMBER ;`
    fn setting(&mut self) -> Result<(), Stop<'a>> {
        self.word("=")?;
        self.number()?;
        self.word(";")
    }

    /// One or more items, each of which begins with one of these keywords; `rest` reads what follows the keyword.
    fn some(
        &mut self,
        keywords: &[&str],
        rest: impl Fn(&mut Self) -> Result<(), Stop<'a>>,
    ) -> Result<(), Stop<'a>> {
        self.next(|_, word| keywords.iter().any(|keyword| word.is(keyword)))?;
        rest(self)?;
        while self.follows(keywords) {
            rest(self)?;
        }
        Ok(())
    }

    /// Takes the next word if it is one of these keywords.
    fn follows(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = self.words.clone();
        let follows = ahead.next().is_some_and(|word| keywords.iter().any(|keyword| word.is(keyword)));
        if follows {
            self.words = ahead;
        }
        follows
    }

    fn word(&mut self, wanted: &str) -> Result<(), Stop<'a>> {
        self.next(|_, word| word.is(wanted))
    }

    /// A signed 32-bit integer, or a number with a point or an exponent.
    fn number(&mut self) -> Result<(), Stop<'a>> {
        self.next(|dialect, word| {
            let digits = word.text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
            let double = word.is_number() && !digits && !word.is_keyword(dialect);
            double || word.integer(dialect).is_some()
        })
    }

    /// A string, optionally preceded by `-4` or `-6`.
    fn host(&mut self) -> Result<(), Stop<'a>> {
        self.follows(&["-4", "-6"]);
        self.next(|dialect, word| {
            let token = word.is_keyword(dialect) || word.is_number() || word.is_hexadecimal();
            let special = !word.quoted && word.text.len() == 1 && "{}(),;|=".contains(&*word.text);
            !token && !special && !word.is_end()
        })
    }

    fn next(&mut self, fits: impl Fn(Dialect, &Word<'_>) -> bool) -> Result<(), Stop<'a>> {
        let before = self.words.at();
        let word = self.words.next().ok_or(Stop::File)?;
        if let Some(long) = too_long([&word].into_iter(), self.conf.daemon) {
            return Err(Stop::Long(long));
        }
        if fits(self.conf.daemon.dialect, &word) { Ok(()) } else { Err(Stop::Mistake(before)) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        conf::{AccessList, Target, ntp},
        daemon::dialect::{
            Daemon,
            Dialect::{self, Ntp426, Ntp428, NtpSec},
        },
    };
    use std::{fs, path::Path};

    /// A block as in ntpdsim's manual, without its last brace.
    const BLOCK: &str = "simulate {\n simulation_duration = 86400;\n beep_delay = -3;\n server = 192.0.2.1 {\n \
                         server_offset = 400.0;\n duration = 86400 {\n freq_offset = 400;\n wander = 1.0; jitter = 1e-2;\n \
                         prop_delay = .5; # ;}\n proc_delay = 1.;\n }\n }\n server = -4 \"ntp;1\" {\n server_offset = 0;\n \
                         duration = 1 { jitter = 1; } duration = 2 {\n jitter = 1; }\n }\n";

    fn read(text: &str, dialect: Dialect) -> AccessList {
        ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect)).unwrap()
    }

    /// The last bytes of the addresses in the restrict lines that take effect.
    fn applied(conf: &AccessList) -> Vec<u8> {
        let last = |target: &Target| match target {
            Target::Address(std::net::IpAddr::V4(address)) => address.octets()[3],
            other => panic!("{other:?}"),
        };
        conf.lines.iter().map(|line| last(&line.target)).collect()
    }

    /// What 4.2.6 and 4.2.8 apply, according to their grammar and their scanner.
    #[test]
    fn lines_in_a_block_and_behind_it() {
        let then = "restrict 192.0.2.9 ignore\n";
        let lines = "restrict 192.0.2.8 ignore\nrestrict 192.0.2.9\n";
        for (text, of_426, of_428) in [
            (format!("{BLOCK}}}\n{then}"), vec![], vec![9]),
            (format!("{BLOCK}}} restrict 192.0.2.7\n{then}"), vec![], vec![9]),
            (format!("restrict 192.0.2.7\n{BLOCK}}}\n{then}"), vec![7], vec![7, 9]),
            (format!("{}}}\n{then}", BLOCK.replace("simulate {", "simulate # x\n\n{")), vec![], vec![9]),
            // A block that isn't closed.
            (format!("{BLOCK}{lines}"), vec![], vec![]),
            (format!("{BLOCK}{lines};\n{then}"), vec![9], vec![9]),
            (BLOCK.to_owned(), vec![], vec![]),
            ("simulate\n".to_owned(), vec![], vec![]),
            // Other lines within the block.
            (format!("simulate {{\n{lines}}}\n{then}"), vec![], vec![]),
            (format!("simulate\n{lines}"), vec![], vec![]),
            (format!("simulate {{\n{lines}}};\n{then}"), vec![9], vec![9]),
            // After the mistake `;` ends commands: the first line takes the flags that stand before the second one.
            (format!("simulate x;{lines}\n;{then}"), vec![8, 9], vec![8, 9]),
            (
                format!("simulate {{\nrestrict 192.0.2.7;\n{lines} ; restrict\n192.0.2.10"),
                vec![8, 10],
                vec![8, 10],
            ),
            // A correct block makes commands end with their lines again, except in 4.2.6.
            (format!("simulate x;\n{BLOCK}}}\n{lines}"), vec![], vec![8, 9]),
            // The block's own grammar, with a word too few or too many.
            (format!("{}}}\n{then}", BLOCK.replace("= 400.0", "400.0")), vec![], vec![]),
            (format!("{}}}\n{then}", BLOCK.replace("400.0", "0x1")), vec![], vec![]),
            (format!("{}}}\n{then}", BLOCK.replace("400.0", "\"4\"")), vec![], vec![]),
            (format!("{}}}\n{then}", BLOCK.replace("400.0", "3000000000")), vec![], vec![]),
            (format!("{}}}\n{then}", BLOCK.replace("192.0.2.1", "")), vec![], vec![]),
            (format!("{}}}\n{then}", BLOCK.replace("wander", "bogus")), vec![], vec![]),
            (format!("simulate {{ }}\n{then}"), vec![], vec![]),
            // A `;` in quotes or in a comment doesn't end a command.
            (format!("simulate {{ # ;\n\"a;\nb\" ;\n{then}"), vec![], vec![]),
            (format!("simulate {{ \"a;\" # b;\n;{then}"), vec![9], vec![9]),
            // A quoted word isn't a keyword.
            (format!("\"simulate\" {{\n{then}"), vec![9], vec![9]),
            (format!("restrict 192.0.2.7 simulate {{\n{then}"), vec![7, 9], vec![7, 9]),
            (format!("Simulate {{\n{then}"), vec![9], vec![9]),
        ] {
            assert_eq!(applied(&read(&text, Ntp426)), of_426, "4.2.6: {text}");
            assert_eq!(applied(&read(&text, Ntp428)), of_428, "4.2.8: {text}");
        }
        assert_eq!(applied(&read(&format!("simulate {{\n{lines}}}\n"), NtpSec)), [8, 9], "no such word");
    }

    #[test]
    fn where_a_command_among_several_stands() {
        let conf = read("simulate x;; restrict\n 192.0.2.7 ignore; #\n\n  restrict 192.0.2.8\nbogus", Ntp428);
        assert_eq!(conf.quote(0), "ntp.conf:1:14: simulate x;; restrict");
        assert_eq!(conf.quote(1), "ntp.conf:4:3: restrict 192.0.2.8");
        let place = conf.diagnostics.last().unwrap().place.unwrap();
        assert_eq!((place.span.line, place.span.column, place.span.length), (5, 1, 5));
        assert_eq!(conf.lines[0].flags.to_string(), "ignore");
    }

    #[test]
    fn an_included_block_is_one_of_the_including_file() {
        let folder = tempfile::tempdir().unwrap();
        let [outer, inner] = ["ntp.conf", "inner"].map(|name| folder.path().join(name));
        let read = |text: &str, dialect| {
            fs::write(&inner, text).unwrap();
            let text = format!("includefile {}\nrestrict 192.0.2.8\nrestrict 192.0.2.9\n", inner.display());
            fs::write(&outer, text).unwrap();
            let conf = ntp::read(Some(&outer), Daemon::new(dialect)).unwrap();
            (applied(&conf), conf.blind)
        };
        assert_eq!(read(&format!("{BLOCK}}}\n"), Ntp428), (vec![8, 9], false));
        assert_eq!(read("simulate bogus", Ntp428), (vec![8], false), "the file's end ends the command alone");
        assert_eq!(read("simulate bogus", Ntp426), (vec![8], false));
        assert!(read(BLOCK, Ntp428).1, "the block may go on in the other file");
    }

    #[test]
    fn a_word_that_is_too_long_stops_the_daemon_there_too() {
        let long = "x".repeat(2000);
        for text in
            [format!("simulate {{\n{long}"), format!("{BLOCK}}} {long}\n"), format!("simulate x {long};")]
        {
            for dialect in [Ntp426, Ntp428] {
                let read = ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect));
                assert!(read.is_err(), "{dialect}: {text}");
            }
        }
    }
}
