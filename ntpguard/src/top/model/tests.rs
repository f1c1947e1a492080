//! Tests of the keys.

use super::*;
use crate::top::data::tests::{event, sample};
use ntpguard_common::Reason;
use std::time::Instant;

/// The screen of a server under attack.
pub(crate) fn attacked() -> Top {
    let (mut top, start) = (Top::new(Duration::from_secs(1)), Instant::now());
    top.update(Input::Poll(Box::new(sample(start, 0, &[(Reason::Time, 3000)]))));
    let mut events: Vec<_> = (0..9).map(|_| event([198, 18, 0, 2], Reason::Mode7)).collect();
    events.push(event([198, 51, 100, 5], Reason::Ignore));
    for second in 1..=30 {
        top.update(Input::Events(events.clone()));
        let counts = [
            (Reason::Time, 3000 + 12 * second),
            (Reason::Mode7, 81_000 * second),
            (Reason::Ignore, 9_000 * second),
        ];
        top.update(Input::Poll(Box::new(sample(start, second, &counts))));
    }
    top
}

pub(crate) fn press(top: &mut Top, keys: &[Press]) {
    keys.iter().for_each(|key| {
        top.update(Input::Press(*key));
    });
}

fn first(top: &Top) -> String {
    top.rows().first().map_or_else(String::new, |row| row.cells.join(" "))
}

#[test]
fn keys_turn_panes_sort_and_quit() {
    let mut top = attacked();
    assert_eq!((top.pane(), top.sort()), (Pane::Rules, "packets"));
    press(&mut top, &[Press::Tab]);
    assert_eq!((top.pane(), first(&top).contains("198.18.0.2")), (Pane::Sources, true));
    press(&mut top, &[Press::Char('s'), Press::Char('s')]);
    assert_eq!(top.sort(), "address");
    press(&mut top, &[Press::BackTab, Press::BackTab]);
    assert_eq!(top.pane(), Pane::Reasons);
    for key in [Press::Char('q'), Press::Interrupt] {
        assert_eq!(top.update(Input::Press(key)), Effect::Quit);
    }
    press(&mut top, &[Press::Char('?')]);
    assert!(top.is_helping());
    assert_eq!(top.update(Input::Press(Press::Tab)), Effect::None);
    assert_eq!((top.is_helping(), top.pane()), (false, Pane::Reasons));
}

#[test]
fn paused_nothing_moves_and_nothing_is_lost() {
    let mut top = attacked();
    press(&mut top, &[Press::Char('p')]);
    let (shown, last) = (first(&top), top.data().sample().unwrap().clone());
    let next =
        sample(last.taken, 1, &[(Reason::Time, 5000), (Reason::Mode7, 2_500_000), (Reason::Ignore, 270_000)]);
    top.update(Input::Poll(Box::new(next)));
    assert!(top.is_paused() && first(&top) == shown, "{shown}");
    press(&mut top, &[Press::Char(' ')]);
    assert!(!top.is_paused() && first(&top).starts_with("2,500,000 "), "{}", first(&top));
}

#[test]
fn a_filter_is_written_kept_and_taken_away() {
    let mut top = attacked();
    press(
        &mut top,
        &[Press::Char('/'), Press::Char('i'), Press::Char('g'), Press::Char('q'), Press::Backspace],
    );
    assert_eq!((top.filter(), top.rows().len()), (("ig", true), 1));
    press(&mut top, &[Press::Enter]);
    assert_eq!((top.filter(), top.rows().len()), (("ig", false), 1));
    press(&mut top, &[Press::Escape]);
    assert_eq!((top.filter(), top.rows().len()), (("", false), 3));
    press(&mut top, &[Press::Char('/'), Press::Char('x'), Press::Escape]);
    assert_eq!(top.filter(), ("", false));
}

#[test]
fn one_drills_into_lines_sources_and_the_source_of_an_event() {
    let mut top = attacked();
    press(&mut top, &[Press::Down, Press::Enter]);
    assert!(matches!(top.drilled(), Some(Subject::Rule(Reason::Ignore, Some(_)))), "{:?}", top.drilled());
    assert!(top.rows().len() == 30 && first(&top).contains("198.51.100.5"), "{}", first(&top));
    press(&mut top, &[Press::Escape, Press::Tab, Press::Enter]);
    assert_eq!(top.drilled(), Some(&Subject::Source([198, 18, 0, 2].into())));
    press(&mut top, &[Press::Tab, Press::Down, Press::Down, Press::Enter]);
    assert_eq!(top.drilled(), Some(&Subject::Source([198, 18, 0, 2].into())));
}

#[test]
fn what_is_selected_stays_so_when_others_come() {
    let mut top = attacked();
    press(&mut top, &[Press::Tab, Press::Tab]);
    assert_eq!(top.place(&top.rows()), 0);
    press(&mut top, &[Press::Down, Press::PageDown]);
    assert_eq!(top.place(&top.rows()), 9);
    top.update(Input::Events(vec![event([198, 18, 0, 9], Reason::Mode7); 5]));
    assert_eq!(top.place(&top.rows()), 14);
    press(&mut top, &[Press::Home]);
    top.update(Input::Events(vec![event([198, 18, 0, 9], Reason::Mode7); 5]));
    assert_eq!(top.place(&top.rows()), 0);
    press(&mut top, &[Press::End]);
    assert_eq!(top.place(&top.rows()), 309);
}

#[test]
fn names_are_asked_for_once_and_on_demand() {
    let mut top = attacked();
    let evil = IpAddr::from([198, 18, 0, 2]);
    let Effect::Names(asked) = top.update(Input::Press(Press::Char('n'))) else { panic!("no names") };
    assert_eq!(asked, [evil, IpAddr::from([198, 51, 100, 5])]);
    top.update(Input::Name(evil, Some("evil.example".to_owned())));
    press(&mut top, &[Press::Tab]);
    assert!(first(&top).ends_with("evil.example"), "{}", first(&top));
    let Effect::Names(asked) = top.update(Input::Press(Press::Char('n'))) else { panic!("no names") };
    assert_eq!(asked, [IpAddr::from([198, 51, 100, 5])]);
}
