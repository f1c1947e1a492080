//! Recognises other daemons' configuration files that were given as an ntp.conf.
//!
//! Contract: a file counts as another daemon's only if one of its lines begins as no line of ntpd's does, and none
//! begins with a word that only ntpd has. The languages share `server`, `pool` and more.

use super::{ConfFile, Place, Span, keywords};
use crate::conf::diagnostic::{Code, Diagnostic};

/// Words that begin a line in chrony.conf, and none in ntp.conf (chrony.conf(5)).
const CHRONY: &str = "acquisitionport allow authselectmode bindacqaddress bindacqdevice bindaddress bindcmdaddress \
     bindcmddevice binddevice clientloglimit clockprecision cmdallow cmddeny cmdport cmdratelimit \
     combinelimit commandkey confdir corrtimeratio deny dumpdir dumponexit fallbackdrift generatecommandkey \
     hwclockfile hwtimeout hwtimestamp hwtstimeout initstepslew keyfile leapseclist leapsecmode leapsectz \
     linux_freq_scale lock_all logbanner logchange logdir mailonchange makestep maxchange maxclockerror \
     maxdistance maxdrift maxjitter maxntsconnections maxsamples maxslewrate maxtxbuffers maxupdateskew \
     minsamples minsources noclientlog nocerttimecheck nosystemcert ntsaeads ntscachedir ntsdumpdir \
     ntsntpserver ntsport ntsprocesses ntsratelimit ntsrefresh ntsrotate ntsservercert ntsserverkey \
     ntstrustedcerts ptpdomain ptpport ratelimit reselectdist rtcautotrim rtcdevice rtcfile rtconutc rtcsync \
     sched_priority smoothtime sourcedir stratumweight tempcomp";

/// Words that begin a line in ntp.conf, and none in the other daemons' files.
const NTPD: &str = "automax autokey broadcastclient broadcastdelay calldelay controlkey crypto delrestrict disable \
     discard enable filegen fudge includefile interface keys keysdir leapfile limit logconfig logfile manycastclient \
     manycastserver mru multicastclient nic nts ntpsigndsocket pidfile requestkey restrict revoke rlimit \
     saveconfigdir setvar statistics statsdir tinker tos trap trustedkey ttl unrestrict";

/// The tables of ntpd-rs's ntp.toml.
const NTPD_RS: [&str; 7] =
    ["source", "server", "source-defaults", "synchronization", "observability", "keyset", "nts-ke-server"];

/// The program whose configuration a file is.
struct Owner {
    name: &'static str,
    /// The line that proves it.
    span: Span,
}

/// Reports whose file it is, and drops all other findings about it as an ntp.conf.
pub(super) fn check(conf: &mut ConfFile, file: usize, bytes: &[u8]) {
    let Some(Owner { name, span }) = owner(bytes) else { return };
    conf.list.diagnostics.retain(|found| found.place.is_none_or(|place| place.file != file));
    let message = format!(
        "this is {name}'s configuration, which ntpguard doesn't read: read as an ntp.conf it restricts nobody"
    );
    let help = "name the ntp.conf of ntpd; if none runs here, there is nothing for ntpguard to go by";
    conf.list.add(Diagnostic::at(Code::WrongFile, Place { file, span }, message).help(help));
}

fn owner(bytes: &[u8]) -> Option<Owner> {
    let mut owner = None;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = String::from_utf8_lossy(line);
        let words: Vec<&str> = text.split_whitespace().take(2).collect();
        let Some(first) = words.first() else { continue };
        if first.starts_with(['#', '!', ';', '%']) {
            continue;
        }
        if NTPD.split_whitespace().any(|word| word == *first) {
            return None;
        }
        if let Some(name) = owner_of(&words, text.trim()).filter(|_| owner.is_none()) {
            let column = line.len() - line.trim_ascii_start().len() + 1;
            let span = Span { line: number, column, length: line.trim_ascii().len() };
            owner = Some(Owner { name, span });
        }
    }
    owner
}

/// The program that a line must belong to, by its first words.
fn owner_of(words: &[&str], line: &str) -> Option<&'static str> {
    let section = line.strip_prefix('[').and_then(|rest| rest.trim_start_matches('[').split(']').next());
    match (words, section) {
        (_, Some("Time")) => Some("systemd-timesyncd"),
        (_, Some(section)) => NTPD_RS.contains(&section.trim()).then_some("ntpd-rs"),
        (["listen", "on", ..] | ["servers" | "sensor" | "constraint" | "constraints", ..], _)
        | (["query", "from", ..], _) => Some("OpenNTPD"),
        ([word, ..], _) => {
            let chronys = CHRONY.split_whitespace().any(|known| known == *word);
            (chronys && keywords::dialects(word).is_empty()).then_some("chrony")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_file_it_is() {
        for (text, name) in [
            (
                "pool 2.pool.example.net iburst\ndriftfile /var/lib/chrony/drift\nmakestep 1.0 3\nrtcsync\n",
                Some("chrony"),
            ),
            ("! a comment\nserver 192.0.2.1\n  allow 192.0.2.0/24\n", Some("chrony")),
            ("listen on *\nserver 192.0.2.1\n", Some("OpenNTPD")),
            ("servers pool.example.net\nsensor *\n", Some("OpenNTPD")),
            ("constraints from \"https://www.example.net\"\n", Some("OpenNTPD")),
            ("[observability]\nlog-level = \"info\"\n\n[[source]]\nmode = \"pool\"\n", Some("ntpd-rs")),
            ("# a comment\n[Time]\nNTP=192.0.2.1\n", Some("systemd-timesyncd")),
            // Lines of both: a line of another daemon's is reported as an ordinary misplaced line.
            ("server 192.0.2.1\nmakestep 1.0 3\nrestrict default ignore\n", None),
            ("server 192.0.2.1 iburst\ndriftfile /var/lib/ntp/drift\n", None),
            ("", None),
        ] {
            assert_eq!(owner(text.as_bytes()).map(|owner| owner.name), name, "{text}");
        }
        assert_eq!(CHRONY.split_whitespace().find(|word| !keywords::dialects(word).is_empty()), None);
    }
}
