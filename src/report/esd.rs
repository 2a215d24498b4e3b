//! One matrix in depth: its numbers, and all its eigenvalues.

use serde::{Deserialize, Serialize};

use super::{Cell, Document, Provenance, SCHEMA, Table};
use crate::device::Analysis;
use crate::metrics::METRICS;
use crate::score::MatrixScore;

/// The ESD of a matrix (schema 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Esd {
    /// Version of this layout.
    pub schema: u32,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The row of the matrix, as in the scores of a whole model.
    pub matrix: MatrixScore,
    /// The eigenvalues, ascending.
    pub eigenvalues: Vec<f64>,
    /// Bound on the relative error of each; null for zero eigenvalues.
    pub relative_errors: Vec<Option<f64>>,
}

impl Esd {
    /// The ESD of the matrix with this row.
    pub fn new(provenance: Provenance, matrix: MatrixScore, analysis: &Analysis) -> Esd {
        let spectrum = &analysis.spectrum;
        let errors = (0..spectrum.len()).map(|index| spectrum.relative_error(index));
        Esd {
            schema: SCHEMA,
            provenance,
            matrix,
            eigenvalues: spectrum.values().to_vec(),
            relative_errors: errors.map(|error| error.is_finite().then_some(error)).collect(),
        }
    }

    /// One row per number, with what it is or why it is missing.
    pub fn by_number(&self) -> Document<'_, Esd> {
        let MatrixScore { tensor, rows, cols, dtype, precision, rule, measured, .. } = &self.matrix;
        let text = |text: String| Cell::Text(text);
        let about = |name: &str, value: String| vec![text(name.into()), text(value), Cell::Text(String::new())];
        let mut table = Table {
            columns: vec![("number", true), ("value", true), ("what it is", true)],
            rows: vec![
                about("tensor", tensor.clone()),
                about("shape", format!("{rows} x {cols} {dtype}")),
                about("rule", format!("{rule} ({precision})")),
            ],
        };
        for metric in METRICS.iter().filter(|metric| measured.metrics.contains_key(metric.name)) {
            let what =
                measured.missing.get(metric.name).map_or(metric.about.to_owned(), |reason| format!("none: {reason}"));
            let value = Cell::optional(measured.get(metric.name).cloned(), Cell::from);
            table.rows.push(vec![text(metric.name.into()), text(value.shown()), text(what)]);
        }
        Document { table, footer: Vec::new(), json: self }
    }

    /// One row per eigenvalue.
    pub fn by_eigenvalue(&self) -> Document<'_, Esd> {
        let start = self.matrix.tail.map(|tail| self.eigenvalues.len() - tail);
        let row = |(index, (&value, &error)): (usize, (&f64, &Option<f64>))| {
            vec![
                Cell::Text(self.matrix.tensor.clone()),
                Cell::Whole(index as u64),
                Cell::real(value),
                Cell::optional(error, Cell::real),
                Cell::Text(if start.is_some_and(|start| index >= start) { "yes" } else { "no" }.into()),
            ]
        };
        let rows = self.eigenvalues.iter().zip(&self.relative_errors).enumerate().map(row).collect();
        let columns = ["tensor", "index", "eigenvalue", "relative_error", "tail"].map(|name| (name, true)).to_vec();
        Document { table: Table { columns, rows }, footer: Vec::new(), json: self }
    }
}
