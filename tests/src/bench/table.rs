//! A report as Markdown, with padded columns, so that the source is readable too.

use super::report::{Cell, Report, Section};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;

/// The lines of a document between which the report is put.
pub const MARKS: [&str; 2] = [
    "<!-- written by `cargo xtask bench --write`; begin -->",
    "<!-- written by `cargo xtask bench --write`; end -->",
];

/// The whole report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("### The machine\n\n");
    for (key, value) in &report.machine {
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "- {key}: {value}");
    }
    text.push_str("\n### Budgets\n\n");
    let budgets = report.budgets();
    let budgets = budgets.iter().map(|outcome| {
        let value = outcome.value.map_or("–".into(), |value| format!("{} {}", number(value), outcome.unit));
        let side = if outcome.at_least { "≥" } else { "≤" };
        let limit = format!("{side} {} {}", number(outcome.limit), outcome.unit);
        [outcome.what.to_owned(), value, limit, outcome.word().to_owned()].to_vec()
    });
    text.push_str(&table(&["what", "measured", "budget", ""], &budgets.collect::<Vec<_>>()));
    for section in &report.sections {
        text.push_str(&self::section(section));
    }
    text
}

fn section(section: &Section) -> String {
    let Section { title, how, head, rows, missing, .. } = section;
    let mut text = format!("\n### {title}\n\n{how}\n\n");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    text.push_str(&table(head, &rows));
    for missing in missing {
        let _ = writeln!(text, "\nMissing here: {missing}");
    }
    text
}

/// Puts a report between the [`MARKS`] of a document.
///
/// # Errors
/// The document doesn't have the marks.
pub fn insert(document: &str, report: &str) -> Result<String> {
    let [begin, end] = MARKS;
    let (before, rest) = document.split_once(begin).with_context(|| format!("there is no line `{begin}`"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("there is no line `{end}`"))?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", report.trim_end()))
}

/// A table with padded columns: the first is left-aligned, the others are right-aligned.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |column: usize| {
        cells(column)
            .map(|cell| cell.chars().count())
            .chain([head[column].chars().count(), 3])
            .max()
            .unwrap_or(3)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!(" {cell:width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match column {
        0 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    });
    let rule = format!("|{}\n", rule.collect::<String>());
    let rows = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    line(&mut head.iter().copied()) + &rule + &rows.collect::<String>()
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Ratio(ratio) => format!("{} ×", number(*ratio)),
        Cell::Measured(spread) => {
            format!("{} ({}–{})", number(spread.median), number(spread.low), number(spread.high))
        }
        Cell::Number(value) => number(*value),
        Cell::Text(text) | Cell::Several(text, _) => text.clone(),
        Cell::None => "–".into(),
    }
}

/// A number with three significant digits; from a hundred on, without decimals.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.0995 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample::Spread, *};

    #[test]
    fn numbers_have_the_digits_that_count() {
        let cases = [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.333, "0.33"),
            (1.0, "1"),
            (9.87, "9.87"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1234"),
            (-3.21, "-3.21"),
            (10.0, "10"),
            (200.0, "200"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_report_reads_as_a_table() {
        let spread = Spread { median: 12.0, low: 11.0, high: 13.5 };
        let measured = Section {
            title: "Frames",
            how: "By a clock.".into(),
            head: vec!["frame", "ratio", "ns"],
            rows: vec![
                vec![Cell::Text("monlist".into()), Cell::Ratio(1.25), Cell::Measured(spread)],
                vec![Cell::Text("µ".into()), Cell::None, Cell::Number(3.0)],
            ],
            missing: vec!["the rest".into()],
            ..Section::default()
        };
        let expected = "\n### Frames\n\nBy a clock.\n\n\
             | frame   |  ratio |           ns |\n\
             |---------|-------:|-------------:|\n\
             | monlist | 1.25 × | 12 (11–13.5) |\n\
             | µ       |      – |            3 |\n\
             \nMissing here: the rest\n";
        assert_eq!(section(&measured), expected);
    }

    #[test]
    fn a_report_takes_the_place_of_the_one_before() {
        let [begin, end] = MARKS;
        let document = format!("# Title\n{begin}\nold\n{end}\nrest\n");
        let once = insert(&document, "new\n").unwrap();
        assert_eq!(once, format!("# Title\n{begin}\n\nnew\n\n{end}\nrest\n"));
        assert_eq!(insert(&once, "new").unwrap(), once);
        assert!(insert("# Title\n", "new").is_err());
    }
}
