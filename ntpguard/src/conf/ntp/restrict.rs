//! The `restrict` line, and `unrestrict` and `delrestrict`, which undo it (ntp_parser.y: access_control_command).
//!
//! ```text
//! restrict [-4|-6] default|source|ADDRESS|NAME [mask MASK] [ippeerlimit N] FLAG…
//! ```
//!
//! Contract: the parsers of all daemons are LALR(1) with default reductions, so the part before the first word that
//! can't follow is applied, and the rest of the line is lost. `restrict 192.0.2.7 IGNORE` therefore gives 192.0.2.7
//! full access.

use super::{
    ConfFile,
    intent::hints,
    lexer::Word,
    line::Line,
    target::{Mask, inet_aton, leading_number, literal, named, prefix_mask},
};
use crate::{
    conf::{
        AccessLine, Action, Target,
        diagnostic::{Code, Diagnostic},
    },
    daemon::{
        dialect::Dialect::{Ntp426, Ntp428, NtpSec},
        family::Family,
        flags::Flags,
    },
};
use std::net::IpAddr;

/// Advice for a prefix length of 0 and an unspecified address.
const EVERYONE: &str = "to mean everyone, write `default`";

/// Reads the words of a restrict line (including the keyword) into `conf`.
pub(super) fn parse(conf: &mut ConfFile, line: &Line<'_>, words: &[Word<'_>]) {
    let Some((keyword, rest)) = words.split_first() else { return };
    let action = match &*keyword.text {
        "unrestrict" => Action::Unrestrict,
        "delrestrict" if conf.daemon.is_p18() => Action::Delete,
        "delrestrict" => {
            let message = "only 4.2.8p18 and later know `delrestrict`: the daemon drops the line";
            return conf.list.add(Diagnostic::at(Code::UnknownRestrict, line.at(keyword), message));
        }
        _ => Action::Add,
    };
    let parsed = Parser { conf, line, rest, keyword, action }.head();
    if let Some((family, target, mask, flags)) = parsed {
        let mask = match mask {
            Some(Mask::Named(name)) => {
                conf.list.mask_names.insert(conf.list.lines.len() as u32, name);
                None
            }
            Some(Mask::Is(mask)) => Some(mask),
            None => None,
        };
        let (number, start) = line.place_of(keyword);
        let (file, line) = (line.file as u32, number as u32);
        conf.list.lines.push(AccessLine { action, target, family, mask, flags, file, line, start });
    }
}

/// A restrict line, and its words that are still to be read.
struct Parser<'a> {
    conf: &'a mut ConfFile,
    line: &'a Line<'a>,
    keyword: &'a Word<'a>,
    rest: &'a [Word<'a>],
    action: Action,
}

type Head = (Option<Family>, Target, Option<Mask>, Flags);

impl<'a> Parser<'a> {
    /// The part of the line that the daemon applies; `None` if it drops the line.
    fn head(mut self) -> Option<Head> {
        let family = match self.rest.first() {
            Some(word) if word.is("-4") => Some(Family::V4),
            Some(word) if word.is("-6") => Some(Family::V6),
            _ => None,
        };
        self.rest = &self.rest[usize::from(family.is_some())..];
        if self.action == Action::Delete
            && let Some(word) = self.rest.first()
            && (family.is_some() || word.is("default"))
        {
            let message = "`delrestrict` takes an address: the daemon drops the line".to_owned();
            return self.lost(Code::Misplaced, word, message);
        }
        let Some(who) = self.next() else {
            let message = "whom? The line ends before an address, and the daemon drops it";
            return self.lost(Code::NoAddress, self.keyword, message.to_owned());
        };
        let (target, length) = self.target(who)?;
        let mut mask = length.map(Mask::Is);
        if target == Target::Source && family.is_some() {
            let message = "no `source` follows `-4` or `-6`: the daemon drops the line".to_owned();
            return self.lost(Code::Misplaced, who, message);
        }
        if let Target::Address(address) = target
            && family.is_some_and(|family| family != Family::of(address))
            && self.conf.daemon.is(&[Ntp428, NtpSec])
        {
            let message = format!("`{}` is of the other family: the daemon drops the line", who.text);
            return self.lost(Code::OtherFamily, who, message);
        }
        if let Some(word) = self.rest.first().filter(|word| word.is("mask")) {
            if matches!(target, Target::Default | Target::Source) {
                let message =
                    format!("no mask follows `{}`: the daemon applies the line without any flag", who.text);
                self.lose(Code::Misplaced, word, message, None);
                return Some((family, target, mask, Flags::NONE));
            }
            if family.is_some() && !self.conf.daemon.is(&[Ntp428]) {
                let message = format!(
                    "after `-4` or `-6` the daemon takes no mask: it opens {} alone, without a flag, and drops the rest",
                    who.text
                );
                self.lose(Code::FamilyMask, word, message, Some("leave the `-4` or `-6` away".to_owned()));
                return Some((family, target, mask, Flags::NONE));
            }
            let written = self.rest.get(1);
            let given = self.mask(word, &target)?;
            if let Some(written) = written {
                self.hint_at_mask(written, &target, &given);
            }
            // A prefix length takes precedence over a mask.
            mask = mask.or(Some(given));
        }
        self.hint_at_zero(who, &target, mask.as_ref());
        // `delrestrict` has no flags: what follows the address is lost, but the entry is removed all the same.
        let flags = if self.action == Action::Delete { Flags::NONE } else { self.flags(&target)? };
        Some((family, target, mask, flags))
    }

    fn next(&mut self) -> Option<&'a Word<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn lose(&mut self, code: Code, word: &Word<'_>, message: String, help: Option<String>) {
        let place = Some(self.line.at(word));
        self.conf.list.add(Diagnostic { code, place, message, help });
    }

    /// Reports that the daemon drops the line.
    fn lost<T>(&mut self, code: Code, word: &Word<'_>, message: String) -> Option<T> {
        self.lose(code, word, message, None);
        None
    }

    fn is_number(&self, word: &Word<'_>) -> bool {
        word.is_number() || (word.is_hexadecimal() && self.conf.daemon.is(&[Ntp428, NtpSec]))
    }

    /// Whether the daemon reads a word as a keyword or a number, and not as a string.
    fn is_token(&self, word: &Word<'_>) -> bool {
        word.is_keyword(self.conf.daemon.dialect) || self.is_number(word)
    }

    /// The target that a word names, and the mask if a prefix length follows the address.
    fn target(&mut self, word: &Word<'_>) -> Option<(Target, Option<IpAddr>)> {
        let daemon = self.conf.daemon;
        let keyword = word.is_keyword(daemon.dialect);
        if word.is("default") {
            return Some((Target::Default, None));
        } else if keyword && word.is("source") {
            return Some((Target::Source, None));
        } else if keyword || word.is_special() {
            let what = if keyword { "a keyword" } else { "no address" };
            let message = format!("`{}` is {what}: the daemon drops the line", word.text);
            self.lose(Code::KeywordAddress, word, message, hints::instead_of(&word.text));
            return None;
        } else if self.is_number(word) {
            let message = format!("the daemon takes `{}` for a number, and drops the line", word.text);
            self.lose(
                Code::NumberAddress,
                word,
                message,
                Some("write all four parts of the address".to_owned()),
            );
            return None;
        }
        match word.text.rsplit_once('/') {
            Some((address, length)) if daemon.is_ntpsec() => self.cidr(word, address, length),
            Some((address, length)) if literal(address).is_some() => {
                let message = format!(
                    "{daemon} knows no prefix length: it takes `{}` for a host name, and drops the line",
                    word.text
                );
                let help = literal(address).and_then(|address| prefix_mask(address, leading_number(length)));
                let help = match help {
                    Some(mask) => Some(format!("write `{address} mask {mask}`")),
                    None => (leading_number(length) == 0).then(|| EVERYONE.to_owned()),
                };
                self.lose(Code::Cidr, word, message, help);
                None
            }
            _ => Some((named(&word.text), None)),
        }
    }

    /// Reports a mask that the daemon reads as written, but that was probably meant otherwise.
    fn hint_at_mask(&mut self, word: &Word<'_>, target: &Target, mask: &Mask) {
        let &Mask::Is(mask) = mask else { return };
        match target {
            Target::Address(address) => {
                if let Some(meant) = hints::wildcard(*address, mask) {
                    let message = format!(
                        "`{}` is a wildcard and no mask: the line speaks of all addresses that end as {address} does",
                        word.text
                    );
                    self.lose(Code::WildcardMask, word, message, Some(format!("write `mask {meant}`")));
                }
            }
            Target::Name(name) => {
                if let Some(message) = hints::mask_of_name(name, mask, self.conf.daemon) {
                    let help = Some("leave `mask` away: a name stands for single addresses".to_owned());
                    self.lose(Code::NameMask, word, message, help);
                }
            }
            Target::Default | Target::Source => (),
        }
    }

    /// Reports an unspecified address without a mask, which doesn't mean everyone.
    fn hint_at_zero(&mut self, word: &Word<'_>, target: &Target, mask: Option<&Mask>) {
        if let Target::Address(address) = target
            && address.is_unspecified()
            && mask.is_none()
            // A length of 0 has already been reported.
            && !word.text.contains('/')
        {
            let message =
                format!("without a mask the line speaks of {address} alone, from which no packet comes");
            self.lose(Code::ZeroAddress, word, message, Some(EVERYONE.to_owned()));
        }
    }

    /// NTPsec's ADDRESS/LENGTH (ntp_config.c:fix_node_cidr).
    fn cidr(&mut self, word: &Word<'_>, address: &str, length: &str) -> Option<(Target, Option<IpAddr>)> {
        let target = named(address);
        let mask = match target {
            Target::Address(address) => prefix_mask(address, leading_number(length)),
            // Without a colon the length is an IPv4 prefix length.
            _ => prefix_mask(IpAddr::from([0; 4]), leading_number(length)),
        };
        if mask.is_none() {
            let message = format!("NTPsec cuts `/{length}` off: the line speaks of {address} alone");
            let help = (leading_number(length) == 0).then(|| EVERYONE.to_owned());
            self.lose(Code::CidrHost, word, message, help);
        }
        Some((target, mask))
    }

    /// Reads the address after `mask`.
    fn mask(&mut self, word: &Word<'_>, target: &Target) -> Option<Mask> {
        self.next();
        let written = self.next();
        if self.conf.daemon.is(&[Ntp426])
            && let Some(written) = written
            && !self.is_token(written)
        {
            return Some(self.looked_up_mask(written, target));
        }
        let mask = written.and_then(|word| literal(&word.text));
        if matches!(target, Target::Name(_))
            && self.conf.daemon.is_p18()
            && let Some(written) = written
            && !self.is_token(written)
        {
            // Any string is accepted, and ignored (ntp_config.c:config_access, Bug 3872).
            return Some(Mask::Is(mask.unwrap_or(IpAddr::from([255; 4]))));
        }
        let Some(mask) = mask else {
            let message = "no address follows `mask`: the daemon drops the line".to_owned();
            let length = written.map_or(0, |word| leading_number(&word.text));
            let meant = match target {
                Target::Address(address) => prefix_mask(*address, length),
                _ => None,
            };
            let help = match meant {
                Some(mask) => format!("write `mask {mask}`"),
                None => "write the mask as an address, as in 255.255.255.0".to_owned(),
            };
            self.lose(Code::BadMask, written.unwrap_or(word), message, Some(help));
            return None;
        };
        self.other_family(word, target, mask);
        Some(Mask::Is(mask))
    }

    /// The mask as 4.2.6 finds it: any string is passed to getaddrinfo(3), which takes the spellings of inet_aton(3)
    /// and host names (ntp_config.c:config_access, get_multiple_netnums).
    fn looked_up_mask(&mut self, written: &Word<'_>, target: &Target) -> Mask {
        let spelled = inet_aton(&written.text).map(IpAddr::V4);
        let Some(mask) = literal(&written.text).or(spelled) else {
            let message = format!(
                "`{}` is no address: the daemon looks it up as the name of a host, and takes that host's first address for \
                 the mask",
                written.text
            );
            let help = "write the mask as an address, as in 255.255.255.0".to_owned();
            self.lose(Code::MaskSpelling, written, message, Some(help));
            return Mask::Named(written.text.as_ref().into());
        };
        if literal(&written.text).is_none() {
            let message = format!("the daemon reads the mask `{}` as {mask}", written.text);
            let help = format!("write `mask {mask}` if that is meant: other daemons drop this line");
            self.lose(Code::MaskSpelling, written, message, Some(help));
        }
        self.other_family(written, target, mask);
        Mask::Is(mask)
    }

    /// Reports a mask whose family isn't that of the address.
    fn other_family(&mut self, word: &Word<'_>, target: &Target, mask: IpAddr) {
        if let Target::Address(address) = target
            && Family::of(*address) != Family::of(mask)
        {
            let message = "the mask is of the other family, and the daemon reads it as 0: the line speaks of \
                           everyone of the address's family (a 4.2.8 with its debugging code aborts)";
            self.lose(Code::OtherFamily, word, message.to_owned(), None);
        }
    }

    /// The flags that take effect: those before the first word that isn't one. `None` if the daemon drops the line,
    /// because a word that requires another one lacks it.
    fn flags(&mut self, target: &Target) -> Option<Flags> {
        let dialect = self.conf.daemon.dialect;
        if let Some(word) = self.rest.first()
            && word.is("ippeerlimit")
            && dialect == Ntp428
        {
            self.next();
            match self.next() {
                Some(number) if number.integer(dialect).is_some() => (),
                _ => {
                    let message = "no number follows `ippeerlimit`: the daemon drops the line".to_owned();
                    return self.lost(Code::Misplaced, word, message);
                }
            }
        }
        let mut flags = Flags::NONE;
        while let Some(word) = self.next() {
            let known = if word.quoted { None } else { Flags::named(&word.text, dialect) };
            let Some(flag) = known else {
                self.not_a_flag(word, flags, target);
                break;
            };
            if word.is("serverresponse") && !self.next().is_some_and(|word| word.is("fuzz")) {
                let message = "`fuzz` must follow `serverresponse`: the daemon drops the line".to_owned();
                return self.lost(Code::Misplaced, word, message);
            }
            if flag == Flags::EPEER {
                let message = "`epeer` stops the daemon at start-up".to_owned();
                self.lose(Code::Epeer, word, message, Some("leave it away: it is the default".to_owned()));
            }
            flags = flags.with(flag);
        }
        Some(flags)
    }

    /// Reports a word that isn't a flag, and what the daemon loses by it.
    fn not_a_flag(&mut self, word: &Word<'_>, flags: Flags, target: &Target) {
        let daemon = self.conf.daemon;
        if word.is("none") && self.rest.is_empty() {
            let message = "`none` is no flag, and ends the line: nothing is lost by it".to_owned();
            return self.lose(Code::NoneFlag, word, message, Some("leave it away".to_owned()));
        }
        let applied = match (flags, target) {
            (Flags::NONE, Target::Default) => "without any flag".to_owned(),
            (Flags::NONE, _) => {
                "without any flag, which is full access unless another line sets one".to_owned()
            }
            _ => format!("with `{flags}` alone"),
        };
        let foreign = Flags::dialects(&word.text);
        let (code, what) = if word.quoted {
            (Code::UnknownFlag, format!("`\"{}\"` is no flag, since it is quoted", word.text))
        } else if !foreign.is_empty() || word.is("ippeerlimit") {
            (Code::ForeignFlag, format!("{daemon} doesn't take `{}` here", word.text))
        } else {
            (Code::UnknownFlag, format!("`{}` is no flag", word.text))
        };
        let meant = Flags::meant(&word.text, daemon.dialect).map(|flag| format!("did you mean `{flag}`?"));
        let place = match &*word.text {
            "mask" => Some("`mask` stands right behind the address".to_owned()),
            "netmask" => Some("did you mean `mask`?".to_owned()),
            "-4" | "-6" => Some(format!("`{}` stands before the address", word.text)),
            "," => Some(hints::after_comma(self.rest.first().map(|word| &*word.text))),
            ";" | "//" | "\\" => {
                Some("a comment begins with `#`, and no line goes on in the next".to_owned())
            }
            text => hints::second_address(text, target),
        };
        let message = format!("{what}: the daemon applies the line {applied}, and drops the rest");
        self.lose(code, word, message, meant.or(place));
    }
}
