//! The results with their provenance (schema 1), and the formats that they are written in.

mod allocation;
#[cfg(feature = "cli")]
mod benchmark;
mod comparison;
mod csv;
mod esd;
mod inspection;
mod json;
mod markdown;
mod metrics;
mod provenance;
mod read;
mod schema;

use serde::Serialize;

#[cfg(feature = "cli")]
pub(crate) use benchmark::{Benchmark, BenchmarkOptions, BenchmarkRow, Work, WorkOptions};
pub use comparison::ModelComparison;
pub use esd::Esd;
pub use inspection::Inspection;
pub use provenance::{Input, InputAdapter, InputFile, Options, Provenance};
pub use schema::{AllocationRow, LayerRow, Report, SCHEMA};

use crate::error::printable;
use crate::message::{Message, Style};
use crate::metrics::MetricValue;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Everything, for programs.
    Json,
    /// One record per row, in full precision, each with its provenance.
    Csv,
    /// A Markdown table.
    Md,
}

/// A value in a row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A real number, shown to people with this many significant digits.
    Real(f64, usize),
    /// No value.
    Missing,
}

impl Cell {
    /// `value` for people, to four significant digits.
    pub fn real(value: f64) -> Cell {
        Cell::Real(value, 4)
    }

    /// The cell for `value`, or [`Cell::Missing`].
    pub fn optional<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
        value.map_or(Cell::Missing, cell)
    }

    /// The value for people.
    fn shown(&self) -> String {
        match self {
            Cell::Text(text) => printable(text).into_owned(),
            Cell::Whole(number) => number.to_string(),
            Cell::Real(number, digits) => significant(*number, *digits),
            Cell::Missing => "-".into(),
        }
    }
}

impl From<MetricValue> for Cell {
    fn from(value: MetricValue) -> Cell {
        match value {
            MetricValue::Flag(flag) => Cell::Text(if flag { "yes" } else { "no" }.into()),
            MetricValue::Whole(count) => Cell::Whole(count),
            MetricValue::Real(number) => Cell::real(number),
            MetricValue::Word(word) => Cell::Text(word),
        }
    }
}

/// Formats `number` to `digits` significant digits, with an exponent if it would be long.
fn significant(number: f64, digits: usize) -> String {
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if (-4..7).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        format!("{number:.decimals$}")
    } else {
        format!("{number:.*e}", digits - 1)
    }
}

/// Rows under named columns.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Table {
    /// Name of each column, and whether tables for people show it; CSV has all.
    pub columns: Vec<(&'static str, bool)>,
    /// One cell per column each.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Names and formatted rows of the columns for people.
    pub(crate) fn for_people(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let keep: Vec<usize> = (0..self.columns.len()).filter(|&column| self.columns[column].1).collect();
        let names = keep.iter().map(|&column| self.columns[column].0).collect();
        let rows = self.rows.iter().map(|row| keep.iter().map(|&column| row[column].shown()).collect()).collect();
        (names, rows)
    }

    /// For each column for people: true if it contains numbers only.
    pub(crate) fn numeric(&self) -> Vec<bool> {
        let shown = (0..self.columns.len()).filter(|&column| self.columns[column].1);
        shown.map(|column| self.rows.iter().all(|row| !matches!(row[column], Cell::Text(_)))).collect()
    }
}

/// Results in all their forms.
#[derive(Debug)]
#[non_exhaustive]
pub struct Document<'a, J> {
    /// The main table.
    pub table: Table,
    /// Lines below it, for people: label and text.
    pub footer: Vec<(&'static str, Message)>,
    /// The complete results.
    pub json: &'a J,
}

/// Lines whose texts mention no options.
pub(crate) fn literal(lines: Vec<(&'static str, String)>) -> Vec<(&'static str, Message)> {
    lines.into_iter().map(|(label, text)| (label, Message::literal(&text))).collect()
}

impl<J> Document<'_, J> {
    /// The document with options and commands as `style` writes them.
    pub fn in_style(mut self, style: &dyn Style) -> Self {
        for (_, text) in &mut self.footer {
            *text = Message::literal(&text.in_style(style));
        }
        self
    }
}

impl<J: Serialize> Document<'_, J> {
    /// The document as text, ending with a newline.
    ///
    /// # Errors
    ///
    /// None in practice: only if the results could not be serialized.
    pub fn render(&self, format: Format) -> std::io::Result<String> {
        match format {
            Format::Json => json::render(self.json),
            Format::Csv => csv::render(&self.table),
            Format::Md => Ok(markdown::render(&self.table, &self.footer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document<'static, [u8; 2]> {
        let table = Table {
            columns: vec![("tensor", true), ("alpha", true), ("tail", true), ("device", false)],
            rows: vec![
                vec![Cell::Text("a|b,c".into()), Cell::real(2.35650253), Cell::Whole(115), Cell::Text("cpu".into())],
                vec![Cell::Text("d".into()), Cell::Missing, Cell::Whole(7), Cell::Text("cpu".into())],
            ],
        };
        Document { table, footer: literal(vec![("top_k", "2,1".into())]), json: &[1, 2] }
    }

    #[test]
    fn every_format() {
        let render = |format| document().render(format).unwrap();
        assert_eq!(render(Format::Csv), "tensor,alpha,tail,device\n\"a|b,c\",2.35650253,115,cpu\nd,,7,cpu\n");
        assert_eq!(
            render(Format::Md),
            "| tensor | alpha | tail |\n\
             |:--|--:|--:|\n\
             | a\\|b,c | 2.357 | 115 |\n\
             | d | - | 7 |\n\
             \n\
             top_k: `2,1`\n"
        );
        assert_eq!(render(Format::Json), "[\n  1,\n  2\n]\n");
    }

    #[test]
    fn numbers_for_people() {
        for (number, shown) in [
            (0.0, "0.000"),
            (2.5, "2.500"),
            (1234.5, "1234"),
            (0.00012346, "0.0001235"),
            (1.5e-9, "1.500e-9"),
            (3e7, "3.000e7"),
        ] {
            assert_eq!(significant(number, 4), shown);
        }
    }
}
