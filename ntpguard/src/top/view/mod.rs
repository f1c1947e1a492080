//! Draws a [`Top`] into the cells of a terminal of any size.
//!
//! ```text
//! ntpguard top  eth0  policy 1: 6 rules                          12:00:00 UTC
//! what attacks, and how much            ┐
//! which line stops it                   ├ headline: in words
//! who it is                             ┘
//! totals, rates, and the last minutes   (numbers)
//! reasons as bars                       (numbers)
//! [Rules] TopSources Events Reasons
//! the list in front                     (list)
//! keys
//! ```
//!
//! Contract: nothing is drawn outside the area, however small it is. If there isn't enough room, parts are left out in this
//! order: the reasons, the plots, the later lines of the headline.

mod list;
mod numbers;

use super::{
    headline::{Headline, Level},
    model::Top,
    rows::Pane,
    theme::{ALARM, FAINT, FINE, HEAD, OPEN, SELECTED, Theme},
    words::{clean, clock},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

/// The smallest terminal, in columns and lines, that has room for a list and the totals.
const LEAST: (u16, u16) = (30, 8);

/// The keys in the last line, the most important first.
const KEYS: [(&str, &str); 8] = [
    ("q", "quit"),
    ("?", "help"),
    ("Tab", "list"),
    ("Enter", "drill in"),
    ("/", "filter"),
    ("s", "sort"),
    ("p", "pause"),
    ("n", "names"),
];

/// The help; it fits 60 columns.
const HELP: &str = "\
Tab, Shift-Tab  the next list, the one before: rules (lines
                of ntp.conf with hits), sources, events
                (sampled packets), reasons
Up, Down, PgUp, PgDn, Home, End   select
Enter           drill in: one line, source or reason, its
                numbers and events
Esc             back; takes a filter away
/               filter: only rows with these words
s               sort by something else
p, Space        pause: the screen stays, counting goes on
n               ask DNS for the names of the sources
q, Ctrl-C       quit; the filter in the kernel stays

Counts of lines and reasons are exact. What has a ~ is
estimated from sampled packets; > or \u{2265} is at least. Rates
are means of the last 3 s. Each plot has its own scale: max
is its highest bar. limited is a part of dropped. In a trial
drops are what would drop, and (trial) stands beside.
Any key goes on.";

/// Draws the whole screen.
pub fn render(frame: &mut Frame<'_>, top: &Top, theme: Theme) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{} x {} at least (q: quit)", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    } else if top.is_helping() {
        frame.render_widget(Paragraph::new(HELP), area);
    } else {
        screen(frame, top, area);
    }
    theme.reduce(frame.buffer_mut());
}

fn screen(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let headline = match area.height {
        ..10 => 1,
        10..20 => 2,
        20.. => 3,
    };
    let totals = numbers::totals(top, area);
    let details = list::details(top);
    let reasons = match area.height {
        _ if top.drilled().is_some() => 0,
        ..20 => 0,
        20..24 => 3,
        24..32 => 4,
        32.. => 6,
    };
    let reasons = numbers::reasons(top, area.width, reasons);
    // On a small screen, the rows of the list come first.
    let room =
        usize::from(area.height).saturating_sub(headline + 3 + usize::from(numbers::height(&totals)) + 3);
    let details = details.len().min(room).min(6);
    let heights = [1, headline as u16, numbers::height(&totals), reasons.len() as u16, 1, details as u16];
    let [title, head, numbers, bars, tabs, facts, list, foot] = {
        let fixed = heights.map(Constraint::Length);
        let all: [Constraint; 8] = [
            fixed[0],
            fixed[1],
            fixed[2],
            fixed[3],
            fixed[4],
            fixed[5],
            Constraint::Min(1),
            Constraint::Length(1),
        ];
        Layout::vertical(all).areas(area)
    };
    frame.render_widget(titled(top, title.width), title);
    headlined(frame, top, head);
    numbers::draw(frame, &totals, numbers);
    frame.render_widget(Paragraph::new(reasons), bars);
    frame.render_widget(tabbed(top), tabs);
    frame.render_widget(Paragraph::new(list::details(top)), facts);
    list::draw(frame, top, list);
    frame.render_widget(footer(top, foot.width), foot);
}

fn titled(top: &Top, width: u16) -> Line<'static> {
    let data = top.data();
    let mut right = vec![];
    if top.is_paused() {
        right.push(Span::styled(" PAUSED ", SELECTED));
    }
    if let Some(sample) = data.sample() {
        right.push(Span::raw(format!(" {} UTC", clock(sample.time * 1_000_000_000))));
    }
    let taken: usize = right.iter().map(Span::width).sum();
    let left = data.sample().map_or_else(String::new, |sample| {
        format!("{}  {}", clean(&sample.interfaces.join(" ")), clean(&sample.policy))
    });
    let left = list::fit(&format!("ntpguard top  {left}"), usize::from(width).saturating_sub(taken));
    let pad = usize::from(width).saturating_sub(taken + Span::raw(&left).width());
    let mut spans = vec![Span::styled(left, HEAD), Span::raw(" ".repeat(pad))];
    spans.extend(right);
    Line::from(spans)
}

fn headlined(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let Headline { level, lines } = Headline::of(top.data());
    let style = match level {
        Level::Calm => FINE,
        Level::Attack => ALARM,
        Level::Open => OPEN,
    };
    // A first line that is too long is wrapped, because it is the most important one.
    let wraps = Span::raw(&lines[0]).width() > usize::from(area.width) && area.height > 1;
    let lines: Vec<_> = lines
        .into_iter()
        .enumerate()
        .filter(|(number, line)| *number == 0 || !line.is_empty())
        .map(|(number, line)| {
            let line = if wraps && number == 0 { line } else { list::fit(&line, area.width.into()) };
            Line::styled(line, if number == 0 { style } else { Style::new() })
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn tabbed(top: &Top) -> Line<'static> {
    let mut spans = Vec::new();
    match top.drilled() {
        Some(subject) => {
            spans.push(Span::styled(format!("[{}]", list::name(subject)), SELECTED));
            spans.push(Span::raw("  Esc: back"));
        }
        None => {
            for pane in Pane::ALL {
                spans.push(if pane == top.pane() {
                    Span::styled(format!("[{}]", pane.title()), SELECTED)
                } else {
                    Span::raw(format!(" {} ", pane.title()))
                });
            }
        }
    }
    if let (filter, _) = top.filter()
        && !filter.is_empty()
    {
        spans.push(Span::styled(format!("  filter: {}", clean(filter)), HEAD));
    }
    spans.push(Span::styled(format!("  by {}", top.sort()), FAINT));
    Line::from(spans)
}

fn footer(top: &Top, width: u16) -> Line<'static> {
    if let (filter, true) = top.filter() {
        let text = format!("filter: {}_  Enter: keep, Esc: none", clean(filter));
        return Line::styled(text, SELECTED);
    }
    let mut spans = Vec::new();
    let mut taken = 0;
    for (key, word) in KEYS {
        let next = key.len() + word.len() + 3;
        if taken + next > usize::from(width) + 2 {
            break;
        }
        taken += next;
        spans.push(Span::styled(key, SELECTED));
        spans.push(Span::raw(format!(" {word}  ")));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests;
