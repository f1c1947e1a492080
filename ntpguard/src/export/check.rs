//! What `ntpguard check` prints: diagnostics, the effective policy, and what it exposes.

use crate::{
    compile::{self, Hardening, Queries},
    conf::{
        Limiter,
        diagnostic::{Diagnostic, Severity},
        locate::Read,
        place::{Place, Span},
    },
    daemon::flags::Flags,
    host::terminal::{self, of_same_length},
    policy::{Entry, Line, Policy, SourceEntry, audit::answers_queries, limiter},
};
use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _};

/// The content of the output.
pub struct Report<'a> {
    /// The configuration that was read.
    pub read: &'a Read,
    /// The policy made from it.
    pub policy: &'a Policy,
    /// The diagnostics, in the order of the file.
    pub diagnostics: &'a [Diagnostic],
    /// What is dropped beyond the policy.
    pub hardening: Hardening,
}

/// The sources for which one kind of query is answered.
struct Exposure<'a> {
    what: &'static str,
    entries: Vec<Entry<'a>>,
}

impl Report<'_> {
    /// The output as text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", terminal::shown(&self.read.because));
        let files = &self.read.conf.files;
        let lines: Vec<Vec<&[u8]>> =
            files.iter().map(|file| file.bytes.split(|&b| b == b'\n').collect()).collect();
        for diagnostic in self.diagnostics {
            text.push_str(&self.rendered(diagnostic, &lines));
            text.push_str("\n\n");
        }
        text.push_str(&self.table());
        if self.policy.entries.iter().any(|entry| entry.flags.has(Flags::LIMITED)) {
            text.push_str(&format!("limited: {}\n", self.read.conf.limiter));
        }
        if self.read.conf.blind {
            text.push_str("this is what is known: a file that can't be read may say otherwise\n");
        }
        for Exposure { what, entries } in self.exposures() {
            let who: Vec<_> =
                entries.iter().map(|entry| format!("{} ({})", entry.net, self.origin(entry.lines))).collect();
            let who = if who.is_empty() {
                "answered for nobody".to_owned()
            } else {
                format!("answered for {}", who.join(", "))
            };
            text.push_str(&format!("{what}: {who}\n"));
        }
        text
    }

    /// The output as a JSON object. Fields are added, never renamed.
    pub fn json(&self) -> Value {
        let diagnostics = self.diagnostics.iter().map(|found| {
            let place = found.place;
            json!({
                "code": found.code.name(),
                "severity": found.code.severity().name(),
                "file": place.map(|place| self.path(place)),
                "line": place.map(|place| place.span.line),
                "column": place.map(|place| place.span.column),
                "length": place.map(|place| place.span.length),
                "message": found.message,
                "help": found.help,
            })
        });
        let lines = |lines: &[Line]| -> Vec<Value> {
            let line = |line: &Line| {
                let place = self.read.conf.place(line.index);
                let text = self.read.conf.text(line.index);
                json!({ "file": self.path(place), "line": place.span.line, "text": text })
            };
            lines.iter().map(line).collect()
        };
        let policy = self.policy.entries.iter().map(|entry| {
            json!({
                "net": entry.net.to_string(),
                "ntpport": entry.ntpport,
                "flags": entry.flags.to_string(),
                "time": self.time(entry.flags),
                "queries": answers_queries(&entry),
                "enforced": { "time": self.time(self.enforced(&entry)), "queries": !self.refuses_queries(&entry) },
                "lines": lines(entry.lines),
            })
        });
        let associations = self.policy.source.map(|source| {
            let (time, queries) = self.of_associations(&source);
            json!({
                "ntpport": source.ntpport,
                "flags": source.flags.to_string(),
                "enforced": { "time": time, "queries": queries },
                "lines": lines(&[source.line]),
            })
        });
        let exposures = self.exposures().into_iter().map(|Exposure { what, entries }| {
            let nets: Vec<_> = entries
                .iter()
                .map(|entry| json!({ "net": entry.net.to_string(), "lines": lines(entry.lines) }))
                .collect();
            (what.to_owned(), Value::from(nets))
        });
        json!({
            "file": self.read.path.as_ref().map(|path| path.display().to_string()),
            "daemon": self.read.conf.profile.name,
            "blind": self.read.conf.blind,
            "limiter": limiter(&self.read.conf.limiter),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "diagnostics": diagnostics.collect::<Vec<_>>(),
            "policy": policy.collect::<Vec<_>>(),
            "associations": associations,
            "exposure": exposures.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// How many diagnostics have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|found| found.code.severity() == severity).count()
    }

    fn path(&self, place: Place) -> String {
        of_same_length(&self.read.conf.files[place.file].path.to_string_lossy()).into_owned()
    }

    /// A diagnostic in the style of rustc, below the line that it is about; `lines` are the lines of all files.
    fn rendered(&self, diagnostic: &Diagnostic, lines: &[Vec<&[u8]>]) -> String {
        let Diagnostic { code, place, message, help } = diagnostic;
        // The renderer adds escape sequences, so its input must be free of them.
        let (message, help) = (of_same_length(message), help.as_deref().map(of_same_length));
        let level = match code.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(&*message).id(code.name());
        let mut group = match place {
            Some(place) => {
                let (line, span) = shown(lines[place.file][place.span.line - 1], place.span);
                let snippet = Snippet::source(line).line_start(place.span.line).path(self.path(*place));
                title.element(snippet.annotation(AnnotationKind::Primary.span(span)))
            }
            // The diagnostic is about the file as a whole.
            None => match self.read.conf.files.first() {
                Some(file) => {
                    title.element(Origin::path(of_same_length(&file.path.to_string_lossy()).into_owned()))
                }
                None => title.elements(std::iter::empty::<Element<'_>>()),
            },
        };
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(&**help));
        }
        let groups = [group];
        let renderer = if io::stdout().is_terminal() { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&groups)
    }

    /// The flags of an entry that ntpguard enforces.
    fn enforced(&self, entry: &Entry<'_>) -> Flags {
        let conf = &self.read.conf;
        let flags = compile::enforced(entry.flags, conf);
        let limits = conf.limits && limiter::enforced(&conf.limiter);
        if limits { flags } else { flags.without(Flags::LIMITED) }
    }

    /// Whether ntpguard drops queries from an entry's sources.
    fn refuses_queries(&self, entry: &Entry<'_>) -> bool {
        let unlisted = self.hardening.queries == Queries::Listed && !entry.permits_queries();
        unlisted || self.enforced(entry).has(Flags::IGNORE.with(Flags::NOQUERY))
    }

    /// Whether sources with these flags get time.
    fn time(&self, flags: Flags) -> &'static str {
        let conf = &self.read.conf;
        // With `mssntp`, a MAC may also be a request to Samba, which the daemon takes without a key.
        let keyless = conf.profile.discards_unknown_macs && !conf.trusts_any_key && !flags.has(Flags::MSSNTP);
        if flags.has(Flags::IGNORE.with(Flags::NOSERVE)) || (flags.has(Flags::NOTRUST) && keyless) {
            "no"
        } else if flags.has(Flags::NOTRUST) {
            "with a MAC"
        } else if flags.has(Flags::LIMITED) {
            "limited"
        } else {
            "yes"
        }
    }

    /// Whether associations get time by the entry that `restrict source` gives them, and whether they may query.
    fn of_associations(&self, source: &SourceEntry) -> (&'static str, bool) {
        let flags = compile::enforced(source.flags, &self.read.conf);
        let refused =
            self.hardening.queries == Queries::Listed || flags.has(Flags::IGNORE.with(Flags::NOQUERY));
        (self.time(flags), !refused)
    }

    /// The lines that made an entry, in short form.
    fn origin(&self, lines: &[Line]) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                let place = self.read.conf.place(line.index);
                let path = &self.read.conf.files[place.file].path;
                let name =
                    path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
                format!("{}:{}", terminal::shown(&name), place.span.line)
            })
            .collect();
        if lines.is_empty() { "built in".to_owned() } else { lines.join(", ") }
    }

    /// A table of who may get time and who may query, in the daemon's order.
    fn table(&self) -> String {
        let rows = self.policy.entries.iter().map(|entry| {
            let port = if entry.ntpport { " port 123" } else { "" };
            let time = self.time(entry.flags);
            let time = match self.time(self.enforced(&entry)) {
                enforced if enforced == time => time.to_owned(),
                _ => format!("{time}, by the daemon"),
            };
            let queries = match (answers_queries(&entry), self.refuses_queries(&entry)) {
                (true, _) => "yes",
                (false, true) => "no",
                (false, false) => "no, by the daemon",
            };
            [format!("{}{port}", entry.net), time, queries.to_owned(), self.origin(entry.lines)]
        });
        let rows = rows.chain(self.policy.source.map(|source| {
            let port = if source.ntpport { " port 123" } else { "" };
            let (time, queries) = self.of_associations(&source);
            let queries = if queries { "yes" } else { "no" };
            [format!("associations{port}"), time.to_owned(), queries.to_owned(), self.origin(&[source.line])]
        }));
        let head = ["source", "time", "queries", "from"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [source, time, queries] = [0, 1, 2].map(width);
        let line = |row: &[String; 4]| {
            format!("{:<source$}  {:<time$}  {:<queries$}  {}\n", row[0], row[1], row[2], row[3])
        };
        rows.iter().map(line).collect::<String>() + "\n"
    }

    fn exposures(&self) -> Vec<Exposure<'_>> {
        let conf = &self.read.conf;
        let open: Vec<_> = self.policy.entries.iter().filter(|entry| answers_queries(entry)).collect();
        let monlist = if conf.profile.monlist { open.clone() } else { Vec::new() };
        let mut exposures = vec![
            Exposure { what: "monlist", entries: monlist },
            Exposure { what: "mode 6", entries: open.clone() },
        ];
        if conf.takes_mode_7 && !conf.profile.monlist {
            exposures.push(Exposure { what: "mode 7", entries: open });
        }
        exposures
    }
}

/// The text of a line, and the byte range in it that a span covers.
fn shown(line: &[u8], span: Span) -> (String, std::ops::Range<usize>) {
    // Bytes that aren't UTF-8 are replaced, so the range is computed from the replaced text.
    let width = |end: usize| String::from_utf8_lossy(&line[..end.min(line.len())]).len();
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    let start = width(span.column - 1).min(text.len());
    let end = width(span.column - 1 + span.length).min(text.len());
    (of_same_length(&text).into_owned(), start..end.max(start))
}

/// The limiter's parameters, with the daemon's own names and units; `null` if unknown.
fn limiter(limiter: &Limiter) -> Value {
    match *limiter {
        Limiter::Headway { average, minimum } => {
            json!({ "average_seconds_log2": average, "minimum_seconds": minimum })
        }
        Limiter::Score { average, burst, kod } => {
            json!({ "average_per_second": average, "burst_seconds": burst, "kod_per_second": kod })
        }
        Limiter::Unknown => Value::Null,
    }
}
