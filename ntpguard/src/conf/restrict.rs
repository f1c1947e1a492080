//! The `restrict` line (ntp_parser.y: access_control_command).
//!
//! ```text
//! restrict [-4|-6] default|source|ADDRESS|NAME [mask MASK] [ippeerlimit N] FLAG…
//! ```
//!
//! Contract: the parsers of all daemons are LALR(1) with default reductions, so what stands before the first
//! word that can't follow is applied, and the rest of the line is lost. `restrict 192.0.2.7 IGNORE` therefore
//! gives 192.0.2.7 full access.

use super::{
    ConfFile, Flags, Line, Place,
    lexer::{Word, is_foreign},
};
use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Whom a line speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `default`: everyone without a line.
    Default,
    /// `source`: the hosts of all associations.
    Source,
    /// An address; with a mask a network.
    Address(IpAddr),
    /// A host name, one entry for each of its addresses.
    Name(String),
}

/// A restrict line, as far as the daemon applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restrict {
    /// Whom it speaks of.
    pub target: Target,
    /// `-4` or `-6`; `None` is both for `default` and names.
    pub family: Option<Family>,
    /// `mask MASK`.
    pub mask: Option<IpAddr>,
    /// The flags that take effect.
    pub flags: Flags,
    /// `unrestrict` or `delrestrict`: takes away, where the daemon knows the word at all.
    pub undoes: bool,
    /// The daemons read this line differently: nothing may be dropped on its account.
    pub uncertain: bool,
    /// Where it stands.
    pub place: Place,
    /// The line as written.
    pub text: String,
}

/// Reads the words of a restrict line (the keyword included) into `conf`.
pub(super) fn parse(conf: &mut ConfFile, line: &Line<'_>, words: &[Word]) {
    let Line { file, .. } = *line;
    let Some((keyword, mut rest)) = words.split_first() else { return };
    let family = match rest.first() {
        Some(word) if word.is("-4") => Some(Family::V4),
        Some(word) if word.is("-6") => Some(Family::V6),
        _ => None,
    };
    rest = &rest[usize::from(family.is_some())..];
    let Some((who, after)) = rest.split_first() else {
        conf.warn(file, keyword.span, "whom? The line ends before an address, and the daemon drops it");
        return;
    };
    rest = after;
    if who.is_number() {
        conf.warn(
            file,
            who.span,
            "the daemon takes this for a number and drops the line; write all four parts",
        );
        return;
    }
    let (target, prefix) = target(who);
    let mut mask = None;
    if let [word, after @ ..] = rest
        && word.is("mask")
        // No grammar has a mask after `default` or `source`: it is a word too many there.
        && !matches!(target, Target::Default | Target::Source)
    {
        mask = after.first().and_then(|word| literal(&word.text));
        if mask.is_none() {
            conf.warn(file, word.span, "no address follows `mask`: the daemon drops the line");
            return;
        }
        rest = &after[1..];
    }

    let undoes = !keyword.is("restrict");
    if undoes {
        let message =
            format!("not every daemon knows `{}`: nothing is dropped of what it undoes", keyword.text);
        conf.warn(file, keyword.span, message);
    }
    let doubt = doubt(line, who, &target, prefix, family, mask.is_some());
    if let Some(message) = doubt {
        conf.warn(
            file,
            who.span,
            format!("`{}` {message}. Nothing is dropped on account of this line", who.text),
        );
    }
    let flags = flags(conf, file, rest);
    conf.restricts.push(Restrict {
        mask: prefix.and_then(|length| prefix_mask(&target, length)).or(mask),
        target,
        family,
        flags,
        undoes,
        uncertain: doubt.is_some() || line.uncertain,
        place: Place { file, span: keyword.span },
        text: String::from_utf8_lossy(line.text).trim().to_owned(),
    });
}

/// In what the daemons differ about a line, in words that follow its address.
fn doubt(
    line: &Line<'_>,
    who: &Word,
    target: &Target,
    prefix: Option<u8>,
    family: Option<Family>,
    masked: bool,
) -> Option<&'static str> {
    let other_family = match target {
        Target::Address(address) => family.is_some_and(|family| family != Family::of(*address)),
        _ => false,
    };
    if is_foreign(line.text) {
        Some("stands in a line with bytes over 0x7f, which 4.2.8 and NTPsec skip and 4.2.6 stops at")
    } else if prefix.is_some() {
        Some(
            "is a network to NTPsec; to ntp.org's ntpd it is a host name, and the line is lost: write `mask`",
        )
    } else if other_family {
        Some("is of the other family: 4.2.8 and NTPsec drop the line, 4.2.6 applies it")
    } else if family.is_some() && masked {
        Some(
            "has `-4` or `-6` and a mask, which only 4.2.8 takes; 4.2.6 and NTPsec stop before `mask`, and give this \
             one host full access: leave the `-4` or `-6` away",
        )
    } else if who.is_hexadecimal() {
        Some("is a number to 4.2.8 and NTPsec, which drop the line, and an address to 4.2.6")
    } else if matches!(target, Target::Name(name) if !name.contains(['.', ':'])) && !who.quoted {
        Some(
            "has no dot, and would be no name to the daemon if it were one of its keywords: write the whole name",
        )
    } else {
        None
    }
}

/// Whom a word names, and the length of a CIDR prefix after it.
fn target(word: &Word) -> (Target, Option<u8>) {
    let named = |text: &str| literal(text).map_or_else(|| Target::Name(text.to_owned()), Target::Address);
    if word.is("default") {
        (Target::Default, None)
    } else if word.is("source") {
        (Target::Source, None)
    } else if let Some((address, length)) = word.text.rsplit_once('/') {
        (named(address), Some(leading_number(length)))
    } else {
        (named(&word.text), None)
    }
}

/// An address as the daemons take it (ntp_net.c:is_ip_address): IPv4 as it is, IPv6 up to a closing bracket if it
/// begins with one, and without its scope.
fn literal(text: &str) -> Option<IpAddr> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => text,
    };
    let v6 = inner.split('%').next().and_then(|text| text.parse().ok());
    text.parse().ok().map(IpAddr::V4).or(v6.map(IpAddr::V6))
}

/// As strtol(3) reads it: a sign, digits, and what follows is ignored; no digits are 0. Out of range is 0 too, since
/// NTPsec takes both for a host (ntp_config.c:fix_node_cidr).
fn leading_number(text: &str) -> u8 {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

/// The mask of a CIDR length; none, which means a host, for 0 and lengths past the address's end.
fn prefix_mask(target: &Target, length: u8) -> Option<IpAddr> {
    match target {
        Target::Address(IpAddr::V4(_)) | Target::Name(_) if (1..=32).contains(&length) => {
            Some(IpAddr::V4((u32::MAX << (32 - length)).into()))
        }
        Target::Address(IpAddr::V6(_)) if (1..=128).contains(&length) => {
            Some(IpAddr::V6((u128::MAX << (128 - length)).into()))
        }
        _ => None,
    }
}

/// The flags that take effect: those before the first word that is none.
fn flags(conf: &mut ConfFile, file: usize, words: &[Word]) -> Flags {
    let mut flags = Flags::default();
    // Past a word that some daemon doesn't know, a flag may be lost: it is kept only if it drops nothing.
    let mut doubted: Option<&Word> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.is("ippeerlimit") {
            doubted = doubted.or(Some(word));
            words.next();
            continue;
        }
        let known = if word.quoted { None } else { Flags::named(&word.text) };
        let Some((flag, everywhere)) = known else {
            conf.warn(file, word.span, lost(word, flags));
            break;
        };
        if !everywhere {
            doubted = doubted.or(Some(word));
        }
        if word.is("serverresponse") {
            words.next();
        }
        match doubted {
            Some(doubt) if flag.has(Flags::DROPPING) => {
                let message = format!(
                    "not every daemon knows `{}`, and one that doesn't loses this flag: it is left to the daemon; \
                     write it before `{}`",
                    doubt.text, doubt.text
                );
                conf.warn(file, word.span, message);
            }
            _ => flags = flags.with(flag),
        }
    }
    flags
}

/// What a word that is no flag costs.
fn lost(word: &Word, flags: Flags) -> String {
    let applied = if flags == Flags::default() {
        "without any flag: full access".to_owned()
    } else {
        format!("with `{flags}` alone")
    };
    let meant = match Flags::meant(&word.text) {
        Some(flag) => format!("; did you mean `{flag}`?"),
        None => String::new(),
    };
    format!("`{}` is no flag: the daemon applies the line {applied}, and drops the rest{meant}", word.text)
}
