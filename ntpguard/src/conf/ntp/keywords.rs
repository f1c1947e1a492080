//! The words that the daemons' scanners read as keywords (keyword-gen.c).
//!
//! A keyword in place of a name is a syntax error, and a line that doesn't begin with a keyword is lost.

use super::edit::is_one_edit;
use crate::daemon::dialect::Dialect::{self, Ntp426, Ntp428, NtpSec};
use std::{collections::HashMap, sync::LazyLock};

/// What a keyword makes the scanner expect of the words after it (keyword-gen.c: FOLLBY_*).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// They are read as keywords, numbers and strings.
    Nothing,
    /// The next word is read as a string.
    String,
    /// All words up to the line's end are read as strings.
    Strings,
}

/// The keywords, by the daemons that know them.
#[rustfmt::skip]
const KEYWORDS: &[(&[Dialect], &str)] = &[
    (
        &[Ntp426, Ntp428, NtpSec],
        "-4 -6 ... age all allan auth average burst calibrate ceiling clockstats controlkey day default disable \
         dispersion driftfile drop enable end file filegen flag1 flag2 flag3 flag4 flake floor freq fudge \
         huffpuff iburst ignore includefile interface ipv4 ipv6 kernel key keys kod leapfile limited link listen \
         logconfig logfile loopstats mask maxclock maxdist maxpoll minclock mindist minpoll minsane mode monitor \
         month mssntp nic nolink nomodify none nopeer noquery noselect noserve notrap notrust ntp ntpport \
         ntpsigndsocket orphan panic peer peerstats phone pid pidfile pool port prefer protostats rawstats refid \
         requestkey restrict server setvar statistics stats statsdir step stepout stratum sysstats tick time1 \
         time2 tinker tos true trustedkey type unconfig unpeer version week wildcard year",
    ),
    (
        &[Ntp426, Ntp428],
        "autokey automax bclient beacon beep_delay broadcast broadcastclient broadcastdelay cohort crypto \
         cryptostats digest discard duration freq_offset host ident jitter keysdir lowpriotrap manycastclient \
         manycastserver minimum multicastclient preempt proc_delay prop_delay pw randfile revoke saveconfigdir \
         server_offset simulate simulation_duration timingstats trap ttl wander xleave",
    ),
    (
        &[Ntp426, NtpSec],
        "bias",
    ),
    (
        &[Ntp428, NtpSec],
        "allpeers ctl dscp filenum incalloc incmem initalloc initmem io leapsmearinterval maxage maxdepth maxmem \
         mdnstries mem memlock mindepth mru nomrulist nonvolatile orphanwait reset rlimit source stacksize \
         stepback stepfwd sys timer",
    ),
    (
        &[Ntp426],
        "calldelay qos sign",
    ),
    (
        &[Ntp428],
        "abbrev basedate bcpollbstep checkhash delrestrict device epeer fuzz ignorehash ippeerlimit minjitter \
         mode7 noepeer peer_clear_digest_early poll pollskewlist ppsdata serverresponse timedata \
         unpeer_crypto_early unpeer_crypto_nak_early unpeer_digest_early xmtnonce",
    ),
    (
        &[NtpSec],
        "aead baud ca cert clock cookie extra limit maxdisp maxtls minage mintls noval nts ntskelog ntskestats \
         ntsstats path ppspath refclock subtype tlscipherserverpreference tlsciphersuites tlsecdhcurves unit \
         unrestrict usestats",
    ),
]; // the words of each daemon, as of 4.2.6p5, 4.2.8p18 and NTPsec 1.2.5

/// The keywords that demand one string, and those that demand strings up to the line's end.
#[rustfmt::skip]
const DEMANDS: [(Demand, &str); 2] = [
    (Demand::String,
     "abbrev aead basedate broadcast clock device digest driftfile file fudge host ident includefile keys keysdir \
     leapfile logfile manycastclient ntpsigndsocket path peer pidfile pool ppsdata ppspath pw randfile refclock \
     refid saveconfigdir server setvar sign statsdir timedata tlsciphersuites tlsecdhcurves trap unconfig unpeer"),
    (Demand::Strings, "logconfig manycastserver multicastclient phone"),
];

/// The words that `enable` and `disable` take (ntp_parser.y: system_option).
const SWITCHES: [(&[Dialect], &str); 4] = [
    (&[Ntp426, Ntp428, NtpSec], "calibrate kernel monitor ntp stats"),
    (&[Ntp426, Ntp428], "auth bclient"),
    (&[Ntp428], "mode7 peer_clear_digest_early unpeer_crypto_early unpeer_crypto_nak_early"),
    (&[Ntp428], "unpeer_digest_early"),
];

/// All keywords: the daemons that know each, and what it demands.
static BY_WORD: LazyLock<HashMap<&str, (&[Dialect], Demand)>> = LazyLock::new(|| {
    let words = KEYWORDS.iter().flat_map(|(dialects, words)| words.split(' ').map(|word| (word, *dialects)));
    let demand = |word| {
        let demand = DEMANDS.iter().find(|(_, words)| words.split_whitespace().any(|known| known == word));
        demand.map_or(Demand::Nothing, |(demand, _)| *demand)
    };
    words.map(|(word, dialects)| (word, (dialects, demand(word)))).collect()
});

/// The keywords at the start of a line that are important enough to suggest for a misspelling.
const GUESSED: [&str; 8] =
    ["restrict", "unrestrict", "server", "pool", "peer", "disable", "enable", "includefile"];

/// The daemons that read this word as a keyword.
pub(super) fn dialects(word: &str) -> &'static [Dialect] {
    known(word).map_or(&[], |(dialects, _)| *dialects)
}

/// What this word demands of those after it, if it is a keyword of this daemon.
pub(super) fn demands(word: &str, dialect: Dialect) -> Demand {
    let known = known(word).filter(|(dialects, _)| dialects.contains(&dialect));
    known.map_or(Demand::Nothing, |(_, demand)| *demand)
}

fn known(word: &str) -> Option<&'static (&'static [Dialect], Demand)> {
    // No keyword begins with a digit, but most words of a long file do.
    if word.starts_with(|c: char| c.is_ascii_digit()) { None } else { BY_WORD.get(word) }
}

/// Whether `enable` and `disable` take this word.
pub(super) fn is_switch(word: &str, dialect: Dialect) -> bool {
    let of_dialect = SWITCHES.iter().filter(|(dialects, _)| dialects.contains(&dialect));
    of_dialect.flat_map(|(_, words)| words.split(' ')).any(|known| known == word)
}

/// The keyword that a word at the start of a line was probably meant to be.
pub(super) fn meant(word: &str, dialect: Dialect) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let known = GUESSED.iter().copied().filter(|keyword| dialects(keyword).contains(&dialect));
    known.into_iter().find(|keyword| is_one_edit(keyword, &word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_daemons() {
        assert_eq!(dialects("restrict"), [Ntp426, Ntp428, NtpSec]);
        assert_eq!(dialects("unrestrict"), [NtpSec]);
        assert_eq!(dialects("source"), [Ntp428, NtpSec]);
        assert_eq!(dialects("delrestrict"), [Ntp428]);
        assert!(dialects("localhost").is_empty());
        assert!(BY_WORD.keys().all(|word| !dialects(word).is_empty()), "by `known`, too");
        assert_eq!(meant("Restrict", Ntp426), Some("restrict"));
        assert_eq!(meant("unrestict", Ntp426), None);
    }
}
