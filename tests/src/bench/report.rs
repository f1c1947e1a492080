//! The results of measurements: sections with rows, as JSON for programs; [`super::table`] formats them for people.

use super::{
    budget::{self, Outcome},
    sample::Spread,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The value in one column of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A multiple of something else.
    Ratio(f64),
    /// A measured value, with its spread.
    Measured(Spread),
    /// A value without a spread.
    Number(f64),
    /// Text.
    Text(String),
    /// Several values: as text, and as JSON.
    Several(String, Value),
    /// Not available on this machine.
    None,
}

impl Cell {
    /// A cell with a measured value, if there is one.
    pub fn measured(spread: Option<Spread>) -> Self {
        spread.map_or(Self::None, Self::Measured)
    }

    /// A cell with a ratio, if there is one.
    pub fn ratio(ratio: Option<f64>) -> Self {
        ratio.map_or(Self::None, Self::Ratio)
    }

    fn json(&self) -> Value {
        match self {
            Self::Ratio(value) | Self::Number(value) => json!(value),
            Self::Measured(spread) => spread.json(),
            Self::Text(text) => json!(text),
            Self::Several(_, values) => values.clone(),
            Self::None => Value::Null,
        }
    }
}

/// The results of one kind of measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Its name on the command line and in JSON.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// A paragraph that says how it was measured.
    pub how: String,
    /// The headings of the columns; the first column names what a row is about.
    pub head: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// What can't be measured on this machine, with the reason.
    pub missing: Vec<String>,
    /// Values for which there is a budget.
    pub found: Vec<(budget::Id, f64)>,
}

impl Section {
    fn json(&self) -> Value {
        let Self { name, title: _, how, head, rows, missing, found: _ } = self;
        let row = |row: &Vec<Cell>| -> Value {
            let cells = head.iter().zip(row).map(|(head, cell)| ((*head).to_owned(), cell.json()));
            Value::Object(cells.collect::<Map<_, _>>())
        };
        json!({
            "section": name,
            "how": how,
            "rows": rows.iter().map(row).collect::<Vec<_>>(),
            "missing": missing,
        })
    }
}

/// The results of a whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Facts about the machine and the run, in the order of the report.
    pub machine: Vec<(&'static str, String)>,
    /// What was measured.
    pub sections: Vec<Section>,
}

impl Report {
    /// All budgets, with their outcomes.
    pub fn budgets(&self) -> Vec<Outcome> {
        let found: BTreeMap<_, _> =
            self.sections.iter().flat_map(|section| section.found.iter().copied()).collect();
        budget::outcomes(&found)
    }

    /// The whole report as JSON.
    pub fn json(&self) -> Value {
        let machine: Map<_, _> =
            self.machine.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        json!({
            "machine": machine,
            "budgets": self.budgets().iter().map(Outcome::json).collect::<Vec<_>>(),
            "sections": self.sections.iter().map(Section::json).collect::<Vec<_>>(),
        })
    }
}
