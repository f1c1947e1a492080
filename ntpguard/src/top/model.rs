//! The state of the screen: the data, and what the user chose to see of it.

use super::{
    data::Data,
    poll::Poll,
    rows::{self, Names, Pane, Row, Subject},
};
use crate::observe::event::Event;
use std::{net::IpAddr, time::Duration};

/// The maximum number of sources whose names are looked up at a time: as many as fit a screen.
const ASKED: usize = 20;
/// The maximum number of names that are kept. Beyond that all are forgotten, because they can be looked up again.
const NAMES: usize = 1000;
/// The maximum length of a filter: what fits a line.
const FILTER: usize = 60;
/// The number of rows that a page key moves by.
const PAGE: isize = 8;

/// An input.
#[derive(Clone, Debug)]
pub enum Input {
    /// A key.
    Press(Press),
    /// A reading.
    Poll(Box<Poll>),
    /// There is no reading; the reason.
    Trouble(String),
    /// Events that arrived since the last time.
    Events(Vec<Event>),
    /// There are no events; the reason.
    Silence(String),
    /// The name of an address; `None` if it has none.
    Name(IpAddr, Option<String>),
}

/// The keys that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the keys")]
pub enum Press {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Return to the shell for a while.
    Suspend,
    /// Look up the names of these addresses.
    Names(Vec<IpAddr>),
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub struct Top {
    live: Data,
    /// The data that is shown while paused.
    frozen: Option<Box<Data>>,
    names: Names,
    pane: Pane,
    /// The index of each pane's sort order.
    sorts: [usize; Pane::ALL.len()],
    /// Each pane's selection; `None` is the first row, whatever that is.
    selected: [Option<Subject>; Pane::ALL.len()],
    drilled: Option<Subject>,
    /// The selection among the events of the subject that was drilled into; `None` is the first row.
    scrolled: Option<Subject>,
    filter: String,
    editing: bool,
    help: bool,
}

impl Top {
    /// The initial state; readings will be `interval` apart.
    pub fn new(interval: Duration) -> Self {
        Self {
            live: Data::new(interval),
            frozen: None,
            names: Names::new(),
            pane: Pane::Rules,
            sorts: [0; Pane::ALL.len()],
            selected: [const { None }; Pane::ALL.len()],
            drilled: None,
            scrolled: None,
            filter: String::new(),
            editing: false,
            help: false,
        }
    }

    /// Processes an input.
    pub fn update(&mut self, input: Input) -> Effect {
        match input {
            Input::Press(press) => return self.press(press),
            Input::Poll(sample) => self.live.read(*sample),
            Input::Trouble(why) => self.live.trouble = Some(why),
            Input::Events(events) => self.live.take(events),
            Input::Silence(why) => self.live.silence = Some(why),
            Input::Name(address, name) => {
                if self.names.len() >= NAMES {
                    self.names.clear();
                }
                self.names.insert(address, name);
            }
        }
        Effect::None
    }

    /// The data that is shown: the live data, or while paused, the data of that moment.
    pub fn data(&self) -> &Data {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// Whether the display is paused.
    pub fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// The current pane.
    pub fn pane(&self) -> Pane {
        self.pane
    }

    /// The names of sources.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The name of the current sort order.
    pub fn sort(&self) -> &'static str {
        let pane = if self.drilled.is_some() { Pane::Events } else { self.pane };
        pane.sorts()[self.sorts[pane as usize]]
    }

    /// The rule, source or reason that was drilled into.
    pub fn drilled(&self) -> Option<&Subject> {
        self.drilled.as_ref()
    }

    /// The filter, and whether it is being edited.
    pub fn filter(&self) -> (&str, bool) {
        (&self.filter, self.editing)
    }

    /// Whether the help is shown.
    pub fn is_helping(&self) -> bool {
        self.help
    }

    /// The rows of the current pane, or the events of the subject that was drilled into; filtered.
    pub fn rows(&self) -> Vec<Row> {
        let data = self.data();
        let mut rows = match &self.drilled {
            Some(subject) => {
                let sort = self.sorts[Pane::Events as usize];
                rows::events(data, sort, |event| subject.concerns(data, event))
            }
            None => rows::rows(data, &self.names, self.pane, self.sorts[self.pane as usize]),
        };
        rows.retain(|row| row.matches(&self.filter));
        rows
    }

    /// The index of the selected row among these.
    pub fn place(&self, rows: &[Row]) -> usize {
        let chosen = match &self.drilled {
            Some(_) => &self.scrolled,
            None => &self.selected[self.pane as usize],
        };
        let found = chosen.as_ref().and_then(|chosen| rows.iter().position(|row| row.subject == *chosen));
        found.unwrap_or_default()
    }

    fn press(&mut self, press: Press) -> Effect {
        match press {
            Press::Interrupt => return Effect::Quit,
            Press::Suspend => return Effect::Suspend,
            _ if self.editing => self.edit(press),
            // Any key closes the help; of these, only `q` does more.
            _ if self.help => {
                self.help = false;
                if press == Press::Char('q') {
                    return Effect::Quit;
                }
            }
            Press::Char('q') => return Effect::Quit,
            Press::Char('?' | 'h') => self.help = true,
            Press::Char('p' | ' ') => {
                self.frozen = self.frozen.is_none().then(|| Box::new(self.live.clone()));
            }
            Press::Char('/') => self.editing = true,
            Press::Char('s') => {
                let pane = if self.drilled.is_some() { Pane::Events } else { self.pane };
                let sort = &mut self.sorts[pane as usize];
                *sort = (*sort + 1) % pane.sorts().len();
            }
            Press::Char('n') => return self.ask(),
            Press::Tab => self.turn(1),
            Press::BackTab => self.turn(Pane::ALL.len() - 1),
            Press::Up | Press::Char('k') => self.step(-1),
            Press::Down | Press::Char('j') => self.step(1),
            Press::PageUp => self.step(-PAGE),
            Press::PageDown => self.step(PAGE),
            Press::Home => self.step(isize::MIN),
            Press::End => self.step(isize::MAX),
            Press::Enter => self.drill(),
            Press::Escape if self.drilled.is_some() => self.drilled = None,
            Press::Escape => self.filter.clear(),
            Press::Char(_) | Press::Backspace => (),
        }
        Effect::None
    }

    fn edit(&mut self, press: Press) {
        match press {
            Press::Char(c) if self.filter.chars().count() < FILTER => self.filter.push(c),
            Press::Backspace => drop(self.filter.pop()),
            Press::Enter | Press::Tab => self.editing = false,
            Press::Escape => {
                self.editing = false;
                self.filter.clear();
            }
            _ => (),
        }
    }

    /// Moves on by this number of panes.
    fn turn(&mut self, by: usize) {
        self.drilled = None;
        self.pane = Pane::ALL[(self.pane as usize + by) % Pane::ALL.len()];
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows();
        let place = self.place(&rows).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        // At the first row, nothing is selected, so that the selection stays at the top when rows are inserted.
        let chosen = rows.get(place).filter(|_| place > 0).map(|row| row.subject.clone());
        match &self.drilled {
            Some(_) => self.scrolled = chosen,
            None => self.selected[self.pane as usize] = chosen,
        }
    }

    /// Drills into the selected row, or for an event, into its source.
    fn drill(&mut self) {
        let rows = self.rows();
        let Some(row) = rows.get(self.place(&rows)) else { return };
        let subject = match &row.subject {
            Subject::Event(number) => {
                let event = self.data().events.iter().find(|(other, _)| other == number);
                event.and_then(|(_, event)| event.source).map(Subject::Source)
            }
            other => Some(other.clone()),
        };
        if subject.is_some() {
            (self.drilled, self.scrolled) = (subject, None);
            // The filter was for the list that is left.
            self.filter.clear();
        }
    }

    /// Asks for the names of the listed sources that have none yet.
    fn ask(&self) -> Effect {
        let data = self.data();
        let wanted: Vec<_> = match &self.drilled {
            Some(Subject::Source(source)) => vec![*source],
            _ => {
                let mut rows =
                    rows::rows(data, &self.names, Pane::Sources, self.sorts[Pane::Sources as usize]);
                rows.retain(|row| row.matches(&self.filter));
                let chosen = self.selected[Pane::Sources as usize].as_ref();
                let first = rows.iter().position(|row| Some(&row.subject) == chosen).unwrap_or_default();
                let source =
                    |row: Row| if let Subject::Source(source) = row.subject { Some(source) } else { None };
                rows.into_iter()
                    .skip(first.saturating_sub(ASKED / 2))
                    .filter_map(source)
                    .take(ASKED)
                    .collect()
            }
        };
        let known = |source: &IpAddr| matches!(self.names.get(source), Some(Some(_)));
        Effect::Names(wanted.into_iter().filter(|source| !known(source)).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests;
