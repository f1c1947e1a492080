//! The current list, and the facts about the subject that was drilled into.

use super::super::{
    data::Data,
    model::Top,
    rows::{Pane, Row, Subject},
    sources::Source,
    theme::{FAINT, HEAD, SELECTED},
    words::{clean, grouped, percent, place, rate},
};
use ntpguard_common::Action;
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

/// Below this width, a column is omitted that others make up for.
const NARROW: u16 = 60;

/// Draws the rows, scrolled so that the selected one is visible.
pub(super) fn draw(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let pane = if top.drilled().is_some() { Pane::Events } else { top.pane() };
    let rows = top.rows();
    if rows.is_empty() {
        frame.render_widget(
            Paragraph::new(Line::styled(fit(&empty(top, pane), area.width.into()), FAINT)),
            area,
        );
        return;
    }
    let place = top.place(&rows);
    // If there is only one line, it shows a row rather than the headings.
    let head = usize::from(area.height > 1);
    let room = usize::from(area.height) - head;
    let first = (place + 1).saturating_sub(room);
    let shown = &rows[first..rows.len().min(first + room)];
    let heads = pane.heads();
    let without = match pane {
        Pane::Sources | Pane::Reasons => Some(1),
        Pane::Events => Some(0),
        Pane::Rules => None,
    };
    let columns: Vec<_> =
        (0..heads.len()).filter(|column| area.width >= NARROW || Some(*column) != without).collect();
    let width = |column: &usize| {
        let cells = shown.iter().map(|row| width(&row.cells[*column]));
        cells.chain([heads[*column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = columns.iter().map(|column| (*column, width(column))).collect();
    let line = |mark: &str, cells: &[&str]| {
        let cells = widths.iter().map(|(column, width)| padded(cells[*column], heads[*column], *width));
        fit(&format!("{mark} {}", cells.collect::<Vec<_>>().join("  ")), area.width.into())
    };
    let mut lines = Vec::new();
    if head == 1 {
        lines.push(Line::styled(line(" ", heads), FAINT));
    }
    lines.extend(shown.iter().enumerate().map(|(number, Row { cells, .. })| {
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        let selected = first + number == place;
        Line::styled(
            line(if selected { ">" } else { " " }, &cells),
            if selected { SELECTED } else { Style::new() },
        )
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

/// Why the list is empty.
fn empty(top: &Top, pane: Pane) -> String {
    let data = top.data();
    match (&data.silence, pane) {
        _ if !top.filter().0.is_empty() => "nothing matches the filter; Esc takes it away".to_owned(),
        (Some(why), Pane::Sources) => format!("no sources: {}", clean(why)),
        (Some(why), Pane::Events) => format!("no events: {}", clean(why)),
        (None, Pane::Sources) => "nobody was refused since you look".to_owned(),
        (None, Pane::Events) => "nothing was refused since you look".to_owned(),
        (_, Pane::Rules) => data
            .sample()
            .and_then(|sample| sample.unknown.clone())
            .map_or_else(|| "no line refuses anything".to_owned(), |why| clean(&why)),
        (_, Pane::Reasons) => "nothing was counted yet".to_owned(),
    }
}

/// The facts about the subject that was drilled into.
pub(super) fn details(top: &Top) -> Vec<Line<'static>> {
    let data = top.data();
    let facts = match top.drilled() {
        None => Vec::new(),
        Some(subject @ Subject::Rule(reason, line)) => {
            let rule = data.rules.iter().find(|rule| rule.reason == *reason && rule.line == *line);
            let mut facts = Vec::new();
            if let Some(line) = line {
                facts.push(("line", format!("{}:{}", line.file, line.line)));
            }
            facts.extend(rule.map(|rule| ("says", rule.text.clone())));
            facts.push(("meaning", reason.summary().to_owned()));
            facts.extend(rule.map(|rule| ("count", exact(data, rule.counter, rule.rate))));
            facts.push(("from", from(data, subject)));
            facts
        }
        Some(subject @ Subject::Reason(reason)) => {
            let counter = data.sample().map(|sample| sample.reason(*reason)).unwrap_or_default();
            let rate = data.rate(|sample| sample.reason(*reason).packets);
            let mut facts = vec![("meaning", reason.summary().to_owned())];
            if reason.action() == Action::Pass {
                facts.push(("count", format!("{} packets, {}", grouped(counter.packets), self::rate(rate))));
            } else {
                facts.extend([("count", exact(data, counter, rate)), ("from", from(data, subject))]);
            }
            facts
        }
        Some(subject @ Subject::Source(source)) => {
            let asked = top.names().get(source);
            let name = match asked {
                None => "n asks DNS for it".to_owned(),
                Some(None) => "none".to_owned(),
                Some(Some(name)) => name.clone(),
            };
            vec![
                ("name", name),
                ("count", estimated(data, *source)),
                ("for", reasons(data, *source)),
                ("asks", asks(data, subject)),
            ]
        }
        Some(Subject::Event(_)) => Vec::new(),
    };
    let fact = |(head, text): (&'static str, String)| {
        Line::from(vec![Span::styled(format!("{head:<8}"), HEAD), Span::raw(clean(&text))])
    };
    facts.into_iter().map(fact).collect()
}

fn exact(data: &Data, counter: ntpguard_common::abi::Counter, rate: Option<f64>) -> String {
    let refused = data.sample().map_or(0, crate::top::Poll::refused);
    let trial = data.sample().is_some_and(|sample| sample.trial);
    format!(
        "{} packets, {}, {} of what {}, {} bytes",
        grouped(counter.packets),
        self::rate(rate),
        percent(counter.packets as f64, refused as f64),
        if trial { "would be refused (trial)" } else { "is refused" },
        grouped(counter.bytes),
    )
}

fn estimated(data: &Data, source: IpAddr) -> String {
    let limited = data.sample().and_then(|sample| sample.limited.iter().find(|(other, _)| *other == source));
    let limited = limited.map(|(_, packets)| format!("limited \u{2265}{}", grouped(*packets)));
    let seen = data.sources.get(source).map(|Source { seen, share, recent, .. }| {
        let rate = data.rate(crate::top::Poll::refused).map(|refused| refused * recent);
        format!(
            "~{} packets (\u{b1} {}), ~{}, ~{} of what is refused",
            grouped((share * data.followed() as f64).round() as u64),
            percent(seen.error(), seen.packets as f64),
            self::rate(rate),
            percent(share, 1.0),
        )
    });
    seen.into_iter().chain(limited).collect::<Vec<_>>().join("; ")
}

fn reasons(data: &Data, source: IpAddr) -> String {
    let Some(source) = data.sources.get(source) else { return "limited".to_owned() };
    let one = |(reason, line, packets): &(ntpguard_common::Reason, Option<String>, u64)| {
        let line = line.as_ref().map_or_else(String::new, |line| format!(" by {line}"));
        format!("{}{line} ~{}", reason.name(), percent(*packets as f64, source.seen.packets as f64))
    };
    source.reasons.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What a source asks for, according to the events that are kept.
fn asks(data: &Data, subject: &Subject) -> String {
    common(data, subject, |event| Some(event.asked()))
}

/// The sources of a subject, according to the events that are kept.
fn from(data: &Data, subject: &Subject) -> String {
    common(data, subject, |event| event.source.map(|source| source.to_string()))
}

/// The most common values among the events of a subject.
fn common(
    data: &Data,
    subject: &Subject,
    what: impl Fn(&crate::observe::event::Event) -> Option<String>,
) -> String {
    let mut weights: HashMap<String, u64> = HashMap::new();
    let mut all = 0;
    for (_, event) in data.events.iter().filter(|(_, event)| subject.concerns(data, event)) {
        if let Some(what) = what(event) {
            *weights.entry(what).or_default() += u64::from(event.scale);
            all += u64::from(event.scale);
        }
    }
    let mut weights: Vec<_> = weights.into_iter().collect();
    weights.sort_by_key(|(what, weight)| (Reverse(*weight), what.clone()));
    let one = |(what, weight): &(String, u64)| format!("{what} ~{}", percent(*weight as f64, all as f64));
    match weights.len() {
        0 => "no event lately".to_owned(),
        _ => weights.iter().take(4).map(one).collect::<Vec<_>>().join(", "),
    }
}

/// Pads a cell; numbers are aligned to the right.
fn padded(cell: &str, head: &str, to: usize) -> String {
    let pad = " ".repeat(to.saturating_sub(width(cell)));
    if matches!(head, "packets" | "share" | "rate" | "for") { pad + cell } else { cell.to_owned() + &pad }
}

fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// As much of a text as there is room for, with an ellipsis if it is cut.
pub(super) fn fit(text: &str, room: usize) -> String {
    let text = text.trim_end();
    if width(text) <= room {
        return text.to_owned();
    }
    let mut fitting = String::new();
    for c in text.chars() {
        fitting.push(c);
        if width(&fitting) + 1 > room {
            fitting.pop();
            break;
        }
    }
    if room > 0 {
        fitting.push('\u{2026}');
    }
    fitting
}

/// The subject that was drilled into, in a word or two.
pub(super) fn name(subject: &Subject) -> String {
    match subject {
        Subject::Rule(reason, Some(line)) => format!("{} by {}", reason.name(), place(line)),
        Subject::Rule(reason, None) | Subject::Reason(reason) => reason.name().to_owned(),
        Subject::Source(source) => source.to_string(),
        Subject::Event(number) => format!("event {number}"),
    }
}
