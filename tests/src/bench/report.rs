//! What was measured: sections of rows, as JSON for programs; [`super::table`] makes it readable.

use super::{
    budget::{self, Outcome},
    sample::Spread,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What stands in a row under a heading.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Times something else.
    Ratio(f64),
    /// A measured value, with its spread.
    Measured(Spread),
    /// A value without one.
    Number(f64),
    /// Words.
    Text(String),
    /// Several values: how they read, and the same for programs.
    Several(String, Value),
    /// It can't be had here.
    None,
}

impl Cell {
    /// What was measured, if anything was.
    pub fn measured(spread: Option<Spread>) -> Self {
        spread.map_or(Self::None, Self::Measured)
    }

    /// A ratio, if there is one.
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

/// One kind of measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Its name on the command line and in JSON.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How it was measured: a paragraph.
    pub how: String,
    /// Headings of the columns; the first is that of what a row is about.
    pub head: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// What can't be measured here, and why.
    pub missing: Vec<String>,
    /// Values that have a budget.
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

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The machine, and what else a reader must know, in order.
    pub machine: Vec<(&'static str, String)>,
    /// What was measured.
    pub sections: Vec<Section>,
}

impl Report {
    /// What became of the budgets.
    pub fn budgets(&self) -> Vec<Outcome> {
        let found: BTreeMap<_, _> =
            self.sections.iter().flat_map(|section| section.found.iter().copied()).collect();
        budget::outcomes(&found)
    }

    /// All of it.
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
