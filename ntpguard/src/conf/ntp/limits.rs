//! The rate limiter's parameters: `discard` of ntp.org's ntpd, `limit` of NTPsec's.

use super::{ConfFile, lexer::Word, limiter, line::Line};
use crate::{
    conf::{
        Limiter, MEMORY,
        diagnostic::{Code, Diagnostic},
    },
    daemon::dialect::{Daemon, Dialect},
};

/// The number that the daemon's scanner reads a word as, if it is of a kind that may follow a parameter: an integer, or
/// for NTPsec any number (ntp_scanner.c:yylex; ntp_parser.y:discard_option, number). `Some(None)` is a number whose
/// value depends on the C library.
fn value(word: &Word<'_>, daemon: Daemon) -> Option<Option<f64>> {
    if let Some(whole) = word.integer(daemon.dialect) {
        return Some(whole.map(f64::from));
    }
    // The suffixes `g` and `G` are GPS eras, which add 1024 or 8192 weeks in seconds.
    let plain = Word { text: word.text.trim_end_matches(['g', 'G']).into(), ..word.clone() };
    let integer = plain.text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    if !daemon.is_ntpsec() || !plain.is_number() || integer && plain.text == word.text {
        None
    } else if plain.text != word.text {
        Some(None)
    } else {
        // C reads `1e` as 1.
        Some(word.text.trim_end_matches(['e', 'E', '+', '-']).parse().ok())
    }
}

/// Reads the words after `mru`, pairs of a parameter and an integer: for how long, and how many sources, the daemon
/// remembers. A daemon that may forget a source before ntpguard does may not limit it either
/// (ntp_config.c:config_monitor).
pub(super) fn parse_mru(conf: &mut ConfFile, words: &[Word<'_>]) {
    let dialect = conf.daemon.dialect;
    let ample = |pair: &[Word<'_>]| {
        let [parameter, value] = pair else { return false };
        let value = value.integer(dialect).flatten();
        // The defaults of both daemons (ntp_monitor.c), whose entries take about 100 bytes each.
        let least = match &*parameter.text {
            "initalloc" | "initmem" | "incalloc" | "incmem" => 0,
            "minage" | "maxage" => MEMORY as i32,
            "mindepth" => 600,
            "maxmem" => 1024,
            "maxdepth" => 1 << 14,
            _ => return false,
        };
        value.is_some_and(|value| value >= least)
    };
    if !words[1..].chunks(2).all(ample) {
        conf.list.limiter = Limiter::Unknown;
    }
}

/// Reads the words after `discard` or `limit`: pairs of a parameter and a number. The pairs before a word that isn't a
/// parameter take effect; a parameter without its number loses the whole line (ntp_parser.y:discard_option).
pub(super) fn parse(conf: &mut ConfFile, line: &Line<'_>, words: &[Word<'_>]) {
    let daemon = conf.daemon;
    let mut parameters = conf.list.limiter;
    let is_parameter = |word: &Word<'_>| match daemon.dialect {
        Dialect::NtpSec => ["average", "burst", "kod"].iter().any(|parameter| word.is(parameter)),
        _ => ["average", "minimum", "monitor"].iter().any(|parameter| word.is(parameter)),
    };
    let mut rest = &words[1..];
    let mut tell = |word: &Word<'_>, message: String| {
        conf.list.diagnostics.push(Diagnostic::at(Code::Misplaced, line.at(word), message));
    };
    if rest.is_empty() {
        tell(&words[0], format!("`{}` without parameters: the daemon drops it", words[0].text));
    }
    while let [parameter, after @ ..] = rest {
        if !is_parameter(parameter) {
            let what = if words[1] == *parameter { "the line" } else { "it and what follows" };
            tell(parameter, format!("`{}` can't be limited: the daemon drops {what}", parameter.text));
            break;
        }
        let Some((word, value)) = after.first().and_then(|word| Some((word, value(word, daemon)?))) else {
            tell(parameter, format!("`{}` needs a number: the daemon drops the line", parameter.text));
            return;
        };
        if daemon.dialect == Dialect::Ntp428
            && parameter.is("average")
            && value.is_some_and(|value| !(0.0..=255.0).contains(&value))
        {
            tell(word, format!("`{}` is out of range, 0 to 255: the daemon ignores it", word.text));
        }
        limiter::set(&mut parameters, &parameter.text, value, daemon);
        rest = &after[1..];
    }
    conf.list.limiter = parameters;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_line_sets_the_limiter() {
        let read = |text: &str, dialect| {
            let conf = crate::conf::ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect))
                .unwrap();
            (conf.limiter, conf.diagnostics.len())
        };
        let headway = |average, minimum| Limiter::Headway { average, minimum };
        let score = |average, burst, kod| Limiter::Score { average, burst, kod };
        use Dialect::{Ntp426, Ntp428, NtpSec};
        for (text, dialect, limiter, found) in [
            ("", Ntp426, headway(3, 2), 0),
            ("", Ntp428, headway(3, 2), 0),
            ("", NtpSec, score(1.0, 20.0, 0.5), 0),
            // The same word in two units.
            ("discard average 5 minimum 3 monitor 100", Ntp426, headway(5, 8), 0),
            ("discard average 5 minimum 3 monitor 100", Ntp428, headway(5, 3), 0),
            ("discard average 5\ndiscard minimum 0\ndiscard average 4", Ntp428, headway(4, 0), 0),
            ("discard average 256 minimum -1", Ntp428, headway(3, 0), 1),
            ("discard average -1", Ntp426, Limiter::Unknown, 0),
            ("discard minimum 31", Ntp426, Limiter::Unknown, 0),
            ("limit average 2 burst 10.5 kod .25", NtpSec, score(2.0, 10.5, 0.25), 0),
            // The pairs before a word that can't follow count; a parameter without its number loses the line.
            ("discard average 5 burst 3", Ntp428, headway(5, 2), 1),
            ("discard average 5 minimum", Ntp428, headway(3, 2), 1),
            ("discard average 5.0", Ntp428, headway(3, 2), 1),
            ("limit average 2 kod often", NtpSec, score(1.0, 20.0, 0.5), 1),
            ("limit", NtpSec, score(1.0, 20.0, 0.5), 1),
            // Numbers as the scanners read them.
            ("discard minimum +9", Ntp426, headway(3, 2), 1),
            ("discard minimum +9", Ntp428, headway(3, 2), 1),
            ("discard minimum 9 average -4", Ntp428, headway(3, 2), 1),
            ("discard minimum 9 monitor 3000000000", Ntp428, headway(3, 2), 1),
            ("discard minimum 9 monitor 5000000000", Ntp428, Limiter::Unknown, 0),
            ("discard minimum 3000000000", Ntp426, Limiter::Unknown, 0),
            ("discard average -", Ntp428, Limiter::Unknown, 0),
            ("discard minimum \"9\"", Ntp428, headway(3, 2), 1),
            ("limit average +5 burst 1e kod 1.5e1", NtpSec, score(5.0, 1.0, 15.0), 0),
            ("limit average .1 kod -4", NtpSec, score(1.0, 20.0, 0.5), 1),
            ("limit average .1 burst 3000000000", NtpSec, score(1.0, 20.0, 0.5), 1),
            ("limit average 0x1", NtpSec, score(1.0, 20.0, 0.5), 1),
            ("limit average 20g", NtpSec, Limiter::Unknown, 0),
            // The sizes of the daemon's monitor list.
            ("mru maxage 3600 maxmem 4096 initmem 0 mindepth 600", Ntp428, headway(3, 2), 0),
            ("mru maxdepth 100", Ntp428, Limiter::Unknown, 0),
            ("mru maxage 30\nlimit average 5", NtpSec, Limiter::Unknown, 0),
            ("mru maxage", NtpSec, Limiter::Unknown, 0),
            ("mru minage 64", NtpSec, score(1.0, 20.0, 0.5), 0),
            // The other daemon's keyword.
            ("limit average 2", Ntp428, headway(3, 2), 1),
            ("discard average 2", NtpSec, score(1.0, 20.0, 0.5), 1),
        ] {
            assert_eq!(read(text, dialect), (limiter, found), "{dialect}: {text}");
        }
    }

    #[test]
    fn without_a_monitor_list_the_daemon_may_not_limit() {
        let limits = |text: &str, dialect| {
            crate::conf::ntp::parse(Path::new("ntp.conf"), text.as_bytes(), Daemon::new(dialect))
                .unwrap()
                .limits
        };
        use Dialect::{Ntp426, Ntp428, NtpSec};
        let default = "restrict default limited\n";
        let off = &format!("{default}disable monitor\n");
        assert!([Ntp426, Ntp428, NtpSec].iter().all(|dialect| limits(default, *dialect)));
        assert!(limits(off, Ntp426) && limits(off, Ntp428) && !limits(off, NtpSec));
        assert!(!limits("disable monitor\n", NtpSec));
        assert!(limits(&format!("{off}restrict 192.0.2.1 limited\n"), NtpSec));
        let gone = format!("{off}restrict 192.0.2.1 limited\nrestrict 192.0.2.2\nunrestrict 192.0.2.2\n");
        assert!(!limits(&gone, NtpSec));
    }
}
