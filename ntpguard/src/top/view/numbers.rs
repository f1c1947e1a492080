//! The totals with their plots, and the reasons with their bars.

use super::{
    super::{
        history::Rates,
        model::Top,
        rows::counted,
        theme::{FAINT, HEAD},
        words::{grouped, percent, rate, span},
    },
    list::fit,
};
use ntpguard_common::{Action, Reason};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Sparkline},
};

/// The widths, in columns, of a label, a total, a rate, and the highest rate of a plot.
const LABEL: usize = 10;
const TOTAL: usize = 14;
const RATE: usize = 12;
const HIGHEST: usize = 16;
/// The least width of a plot; a narrower one would show nothing.
const PLOT: usize = 12;

/// A total with its plot.
pub(super) struct Total {
    text: String,
    highest: String,
    /// The time span of the plot, if there is a line for it.
    span: String,
    columns: Vec<u64>,
    peak: u64,
    height: u16,
    style: Style,
}

/// How many lines the totals take.
pub(super) fn height(totals: &[Total]) -> u16 {
    totals.iter().map(|total| total.height).sum()
}

/// The totals of packets that passed, were dropped, were limited, and if there are any, were answered.
pub(super) fn totals(top: &Top, area: Rect) -> Vec<Total> {
    let data = top.data();
    let trial = data.sample().is_some_and(|sample| sample.trial);
    let room = usize::from(area.width).saturating_sub(LABEL + TOTAL + RATE + HIGHEST + 1);
    let (low, high) = match area.height {
        ..24 => (1, 1),
        24..32 => (1, 2),
        32..45 => (2, 4),
        45.. => (3, 6),
    };
    let total = |label: &str,
                 packets: &dyn Fn(&crate::top::Poll) -> u64,
                 which: Option<fn(&Rates) -> f64>,
                 height| {
        let count = data.sample().map_or_else(|| "-".to_owned(), |sample| grouped(packets(sample)));
        let now = rate(data.rate(packets));
        let peak = which.map_or(0.0, |which| data.history.peak(which));
        let columns = which.filter(|_| room >= PLOT).map(|which| data.history.columns(which, room));
        Total {
            text: format!("{label:<LABEL$}{count:>TOTAL$}{now:>RATE$}"),
            highest: which.map_or_else(String::new, |_| format!("max {}", rate(Some(peak)))),
            span: String::new(),
            columns: columns.unwrap_or_default(),
            peak: peak.round() as u64,
            height: if room >= PLOT { height } else { 1 },
            style: if label == "passed" { Style::new() } else { HEAD },
        }
    };
    let of = |action: Action| move |sample: &crate::top::Poll| sample.total(action).packets;
    let mut totals = vec![
        total("passed", &of(Action::Pass), Some(|rates| rates.passed), low),
        total(
            if trial { "would drop" } else { "dropped" },
            &of(Action::Drop),
            Some(|rates| rates.dropped),
            high,
        ),
        total("limited", &|sample| sample.reason(Reason::Limited).packets, Some(|rates| rates.limited), low),
    ];
    if data.sample().is_some_and(|sample| sample.total(Action::Transmit).packets > 0) {
        totals.push(total("answered", &of(Action::Transmit), None, 1));
    }
    // Outside a trial, what earlier trials would have dropped; in a trial, what was dropped outside of trials.
    if data.sample().is_some_and(|sample| sample.others > 0) {
        totals.push(total(if trial { "dropped" } else { "would drop" }, &|sample| sample.others, None, 1));
    }
    if let Some(tall) = totals.iter_mut().find(|total| total.height > 1) {
        tall.span = format!(" in {}", plotted(top));
    }
    totals
}

/// Draws the totals, one below the other.
pub(super) fn draw(frame: &mut Frame<'_>, totals: &[Total], area: Rect) {
    let mut left = area;
    for total in totals {
        let [row, rest] = split(left, total.height);
        left = rest;
        let line = Rect { height: row.height.min(1), ..row };
        frame.render_widget(Line::styled(total.text.as_str(), total.style), line);
        let start = (LABEL + TOTAL + RATE + 1) as u16;
        let room = row.width.saturating_sub(start + HIGHEST as u16);
        if usize::from(room) < PLOT {
            continue;
        }
        let plot = Rect { x: row.x + start, width: room, ..row };
        // The plot fills from the right, so that the newest column is at the edge.
        let pad = usize::from(room).saturating_sub(total.columns.len());
        let columns = std::iter::repeat_n(0, pad).chain(total.columns.iter().copied());
        frame.render_widget(Sparkline::default().data(columns).max(total.peak.max(1)), plot);
        let highest = fit(&format!(" {}", total.highest), HIGHEST);
        let edge = Rect { x: plot.right(), width: HIGHEST as u16, ..row };
        let words = [highest, total.span.clone()].map(|text| Line::styled(text, FAINT));
        frame.render_widget(Paragraph::new(words.to_vec()), edge);
    }
}

/// The upper part of an area, and the rest.
fn split(area: Rect, height: u16) -> [Rect; 2] {
    let height = height.min(area.height);
    let lower = Rect { y: area.y + height, height: area.height - height, ..area };
    [Rect { height, ..area }, lower]
}

/// The `most` most frequent reasons, each with its share of all packets as a bar.
pub(super) fn reasons(top: &Top, width: u16, most: usize) -> Vec<Line<'static>> {
    let data = top.data();
    let Some(sample) = data.sample() else { return Vec::new() };
    let counted = counted(data);
    let shown: Vec<_> = counted.iter().take(most).copied().collect();
    let name = shown.iter().map(|reason| reason.name().len()).max().unwrap_or(0);
    let bar = match width {
        ..60 => 0,
        60..110 => 8,
        110.. => 24,
    };
    let all: u64 = sample.reasons.iter().map(|counter| counter.packets).sum();
    let row = |reason: &Reason| {
        let packets = sample.reason(*reason).packets;
        let share = packets as f64 / all.max(1) as f64;
        let numbers = format!(
            "{:>13} {:>7} {:>11}",
            grouped(packets),
            percent(packets as f64, all as f64),
            rate(data.rate(|sample| sample.reason(*reason).packets)),
        );
        let refuses = reason.action() != Action::Pass;
        let would = if sample.trial && reason.action() == Action::Drop { "would drop: " } else { "" };
        let means = if bar == 0 { String::new() } else { format!("  {would}{}", reason.brief()) };
        let bars = drawn(share, bar);
        Line::from(vec![
            Span::styled(format!("{:<name$} ", reason.name()), if refuses { HEAD } else { Style::new() }),
            Span::raw(bars),
            Span::raw(fit(&format!("{numbers}{means}"), usize::from(width).saturating_sub(name + 1 + bar))),
        ])
    };
    shown.iter().map(row).collect()
}

/// A share as a bar of whole cells and possibly a half one.
fn drawn(share: f64, width: usize) -> String {
    let halves = (share * 2.0 * width as f64).round() as usize;
    let (whole, half) = (halves / 2, halves % 2);
    let text = "\u{2588}".repeat(whole) + if half == 1 { "\u{258c}" } else { "" };
    format!("{text:<width$}")
}

/// The time span of a plot, in words.
pub(super) fn plotted(top: &Top) -> String {
    span(top.data().history.seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(drawn(0.0, 4), "    ");
        assert_eq!(drawn(0.62, 4), "\u{2588}\u{2588}\u{258c} ");
        assert_eq!(drawn(1.0, 4), "\u{2588}".repeat(4));
    }
}
