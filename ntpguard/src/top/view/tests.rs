//! Tests of screens as text.

use super::{super::model::tests::*, *};
use crate::top::{
    data::tests::{event, sample},
    model::{Input, Press},
};
use ntpguard_common::Reason;
use ratatui::{Terminal, backend::TestBackend, style::Color};
use std::time::{Duration, Instant};

const FULL: Theme = Theme { colour: true, ascii: false };
const PLAIN: Theme = Theme { colour: false, ascii: true };

/// The content of a terminal of this size.
fn drawn(top: &Top, (width, height): (u16, u16), theme: Theme) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render(frame, top, theme)).unwrap();
    terminal
}

fn shown(top: &Top, size: (u16, u16), theme: Theme) -> Vec<String> {
    let terminal = drawn(top, size, theme);
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(size.0.into());
    rows.map(|cells| cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect()
}

fn has(screen: &[String], text: &str) {
    assert!(screen.iter().any(|line| line.contains(text)), "no `{text}` in\n{}", screen.join("\n"));
}

#[test]
fn at_80_by_24_a_newcomer_sees_what_which_line_and_how_much() {
    let screen = shown(&attacked(), (80, 24), FULL);
    assert!(screen[0].starts_with("ntpguard top  eth0  policy 1: 2 rules"), "{}", screen.join("\n"));
    assert!(screen[0].ends_with("22:13:50 UTC"), "{}", screen[0]);
    assert_eq!(screen[1], "UNDER ATTACK: dropping 90,000/s, 90.0 % mode 7 monlist (mode7)");
    assert!(
        screen[2].starts_with("stopped by ntp.conf:1, 81,000/s: nobody may query: restrict"),
        "{}",
        screen[2]
    );
    assert_eq!(screen[3], "most from 198.18.0.2 ~90.0 %, 198.51.100.5 ~10.0 %");
    assert!(screen[4].starts_with("passed             3,360        12/s"), "{}", screen[4]);
    assert!(screen[5].starts_with("dropped        2,700,000    90,000/s"), "{}", screen[5]);
    assert!(
        screen[5].ends_with("max 90,000/s")
            && screen[6].ends_with(" in 3 min")
            && screen[6].contains('\u{2588}'),
        "{}",
        screen[5]
    );
    assert!(screen[7].starts_with("limited                0         0/s"), "{}", screen[7]);
    has(&screen, "mode7  \u{2588}\u{2588}\u{2588}");
    has(&screen, "2,430,000  89.9 %    81,000/s  mode 7 queries (monlist)");
    has(&screen, "[Rules] Sources  Events  Reasons   by packets");
    has(&screen, "> 2,430,000  81,000/s  mode7    ntp.conf:1  nobody may query: restrict default \u{2026}");
    has(&screen, "    270,000   9,000/s  ignore   ntp.conf:2  restrict 198.51.100.0 mask 255.255.\u{2026}");
    assert!(screen[23].starts_with("q quit  ? help  Tab list  Enter drill in  / filter"), "{}", screen[23]);
    assert!(screen[23].ends_with("n names"), "{}", screen[23]);
}

#[test]
fn all_sizes_show_what_they_can() {
    let mut top = attacked();
    let small = shown(&top, (40, 10), FULL);
    assert_eq!(small[1], "UNDER ATTACK: dropping 90,000/s, 90.0 %");
    assert_eq!(small[2], "mode 7 monlist (mode7)");
    has(&small, "dropped        2,700,000    90,000/s");
    has(&small, "> 2,430,000  81,000/s  mode7   ntp.conf\u{2026}");
    has(&small, "q quit  ? help  Tab list");
    let large = shown(&top, (120, 40), FULL);
    has(&large, "270,000  10.0 %     9,000/s  from ignored sources");
    has(&large, "restrict 198.51.100.0 mask 255.255.255.0 ignore");
    has(&shown(&top, (20, 3), FULL), "30 x 8 at least (q:");
    for keys in [&[][..], &[Press::Tab], &[Press::Tab], &[Press::Tab], &[Press::Enter], &[Press::Char('?')]] {
        press(&mut top, keys);
        for width in 0..=130 {
            for height in [0, 1, 2, 5, 7, 8, 9, 10, 13, 19, 20, 24, 31, 32, 45, 60] {
                drawn(&top, (width, height), if width % 2 == 0 { FULL } else { PLAIN });
            }
        }
    }
}

#[test]
fn without_colours_and_beyond_ascii_nothing_is_lost() {
    let top = attacked();
    let terminal = drawn(&top, (80, 24), PLAIN);
    let cells = &terminal.backend().buffer().content;
    assert!(
        cells
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset && cell.symbol().is_ascii())
    );
    let (plain, full) = (shown(&top, (80, 24), PLAIN), shown(&top, (80, 24), FULL));
    assert_eq!((&plain[1], &plain[3]), (&full[1], &full[3]));
    has(&plain, "mode7  #######");
    has(&plain, "> 2,430,000");
    assert!(drawn(&top, (80, 24), FULL).backend().buffer().content.iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn panes_details_filters_and_pauses() {
    let mut top = attacked();
    press(&mut top, &[Press::Tab]);
    let screen = shown(&top, (80, 24), FULL);
    has(&screen, " Rules [Sources] Events  Reasons   by packets");
    has(&screen, "> ~2,430,000  ~90.0 %  ~81,000/s  198.18.0.2    mode7   -");
    press(&mut top, &[Press::Tab]);
    has(
        &shown(&top, (80, 24), FULL),
        "22:13:20  198.51.100.5:40000  mode 3          ignore  ntp.conf:2  ~64",
    );
    press(&mut top, &[Press::BackTab, Press::BackTab, Press::Down, Press::Enter]);
    let screen = shown(&top, (80, 24), FULL);
    has(&screen, "[ignore by ntp.conf:2]  Esc: back");
    has(&screen, "line    /etc/ntp.conf:2");
    has(&screen, "says    restrict 198.51.100.0 mask 255.255.255.0 ignore");
    has(&screen, "count   270,000 packets, 9,000/s, 10.0 % of what is refused, 16,200,000 bytes");
    has(&screen, "from    198.51.100.5 ~100.0 %");
    press(&mut top, &[Press::Escape, Press::Tab, Press::Enter]);
    top.update(Input::Name([198, 18, 0, 2].into(), Some("a\x1b]0;evil\x07.example".to_owned())));
    let screen = shown(&top, (80, 24), FULL);
    has(&screen, "name    a\u{fffd}]0;evil\u{fffd}.example");
    has(&screen, "count   ~2,430,000 packets (\u{b1} 6.0 %), ~81,000/s, ~90.0 % of what is refused");
    has(&screen, "for     mode7 ~100.0 %");
    has(&screen, "asks    mode 7 monlist ~100.0 %");
    press(&mut top, &[Press::Escape, Press::Char('/'), Press::Char('5'), Press::Char('1')]);
    let screen = shown(&top, (80, 24), FULL);
    assert!(screen[23].starts_with("filter: 51_  Enter: keep, Esc: none"), "{}", screen[23]);
    press(&mut top, &[Press::Enter, Press::Char('p')]);
    let screen = shown(&top, (80, 24), FULL);
    has(&screen, " Rules [Sources] Events  Reasons   filter: 51  by packets");
    assert!(screen[0].contains(" PAUSED  22:13:50 UTC"), "{}", screen[0]);
    press(&mut top, &[Press::Char('?')]);
    has(&shown(&top, (80, 24), FULL), "q, Ctrl-C       quit; the filter in the kernel stays");
}

#[test]
fn what_is_missing_is_said() {
    let mut top = Top::new(Duration::from_secs(1));
    has(&shown(&top, (80, 24), FULL), "reading counters");
    top.update(Input::Poll(Box::new(sample(Instant::now(), 0, &[(Reason::Mode7, 5)]))));
    top.update(Input::Silence("`ntpguard run` isn't running".to_owned()));
    has(&shown(&top, (80, 24), FULL), "5 packets refused so far");
    press(&mut top, &[Press::Tab]);
    has(&shown(&top, (80, 24), FULL), "no sources: `ntpguard run` isn't running");
    press(&mut top, &[Press::Tab]);
    has(&shown(&top, (80, 24), FULL), "no events: `ntpguard run` isn't running");
    top.update(Input::Events(vec![event([192, 0, 2, 1], Reason::Mode7)]));
    has(&shown(&top, (80, 24), FULL), "192.0.2.1:40000");
    top.update(Input::Trouble("nothing is guarded".to_owned()));
    has(&shown(&top, (80, 24), FULL), "NO COUNTERS: nothing is guarded");
}

#[test]
fn the_help_fits_60_columns() {
    let mut top = attacked();
    press(&mut top, &[Press::Char('?')]);
    let (narrow, wide) = (shown(&top, (60, 24), FULL), shown(&top, (200, 24), FULL));
    assert_eq!(narrow, wide, "nothing is cut off");
    has(&narrow, "Any key goes on.");
    assert_eq!(HELP.lines().filter(|line| line.chars().count() > 60).collect::<Vec<_>>(), [""; 0]);
    assert!(HELP.lines().count() <= 24);
}
