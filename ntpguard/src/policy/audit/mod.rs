//! What is wrong with a policy as a whole: lines that are read as written, but don't do what was meant.

mod clients;
mod entries;
mod left;
mod queries;
mod servers;

use super::{Entry, Line, Policy, Resolver};
use crate::{
    compile::Hardening,
    conf::{
        AccessList,
        diagnostic::{Code, Diagnostic},
        place::Place,
    },
    daemon::flags::Flags,
};

/// All findings about a configuration. Causes come before effects: first those from reading and resolving the lines,
/// then those about the whole; each in the order of the lines, and last those that no line is to blame for.
pub fn audit(
    conf: &AccessList,
    policy: &Policy,
    hardening: Hardening,
    resolver: Resolver<'_>,
) -> Vec<Diagnostic> {
    let lines = in_order([&conf.diagnostics[..], &policy.diagnostics].concat());
    let found = Vec::new();
    let mut audit = Audit { conf, policy, found };
    audit.merged();
    audit.unreachable();
    audit.limited();
    audit.switches();
    audit.families();
    audit.servers(resolver);
    audit.clients();
    audit.queries(hardening);
    audit.left_to_the_daemon();
    // On a line with a template's placeholder, or in another program's file, all other findings follow from that.
    let hidden = |found: &Diagnostic| {
        let in_file = |cause: &&Diagnostic| match (cause.code, cause.place, found.place) {
            // If the first file is another program's, no other finding makes sense.
            (Code::WrongFile, Some(cause), place) => {
                cause.file == 0 || place.is_some_and(|place| place.file == cause.file)
            }
            (Code::WrongFile, None, _) => true,
            (Code::Template, Some(cause), Some(place)) => {
                (cause.file, cause.span.line) == (place.file, place.span.line)
            }
            _ => false,
        };
        !matches!(found.code, Code::WrongFile | Code::Template)
            && conf.diagnostics.iter().any(|cause| in_file(&cause))
    };
    let mut found = [lines, in_order(audit.found)].concat();
    found.retain(|diagnostic| !hidden(diagnostic));
    found
}

/// The findings ordered by line, those of one line in the given order; on each line, one finding of a kind.
fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let line = |place: Option<Place>| place.map(|place| (place.file, place.span.line));
    found.sort_by_key(|diagnostic| (diagnostic.place.is_none(), line(diagnostic.place)));
    // A line for both families gives the same finding twice.
    found.dedup_by(|a, b| a.place.is_some() && (a.place, a.code) == (b.place, b.code));
    found
}

/// Findings about the file's own servers whose answers the daemon drops, or may drop.
pub fn cut_off(conf: &AccessList, policy: &Policy, resolver: Resolver<'_>) -> Vec<Diagnostic> {
    let mut audit = Audit { conf, policy, found: Vec::new() };
    audit.servers(resolver);
    in_order(audit.found)
}

/// Whether the daemon answers queries from an entry's sources.
pub fn answers_queries(entry: &Entry<'_>) -> bool {
    !entry.own && !entry.flags.has(Flags::IGNORE.with(Flags::NOQUERY))
}

struct Audit<'a> {
    conf: &'a AccessList,
    policy: &'a Policy,
    found: Vec<Diagnostic>,
}

impl Audit<'_> {
    fn add(&mut self, code: Code, place: Option<Place>, message: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        self.found.push(Diagnostic { code, place, message: message.into(), help });
    }

    fn place(&self, line: &Line) -> Place {
        self.conf.place(line.index)
    }

    fn first_line(&self, entry: &Entry<'_>) -> Option<Place> {
        entry.lines.first().map(|line| self.place(line))
    }

    /// The first line of an entry that sets one of these flags.
    fn line_of(&self, entry: &Entry<'_>, flags: Flags) -> Option<Place> {
        entry.lines.iter().find(|line| line.flags.has(flags)).map(|line| self.place(line))
    }

    /// `path:line:column` of the line that sets one of these flags in an entry.
    fn origin(&self, entry: &Entry<'_>, flags: Flags) -> String {
        let place = self.line_of(entry, flags).or_else(|| self.first_line(entry));
        place.map_or_else(|| "built in".to_owned(), |place| self.conf.show(place).to_string())
    }

    /// The first line that sets a flag which is still set in its entry, among all entries.
    fn line_with(&self, flag: Flags) -> Option<Place> {
        let lines =
            self.policy.entries.iter().filter(|entry| entry.flags.has(flag)).flat_map(|entry| entry.lines);
        lines.filter(|line| line.flags.has(flag)).map(|line| self.place(line)).min()
    }
}
