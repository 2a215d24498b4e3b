//! `--by`: what a row of a table of scores is.

use crate::report::{Document, Report};
use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreRow {
    Layer,
    Matrix,
    Role,
}

impl ScoreRow {
    /// `report` with these rows; by default one for each allocated number.
    pub fn of(row: Option<ScoreRow>, report: &Report) -> Document<'_, Report> {
        match row {
            None => report.by_unit(),
            Some(ScoreRow::Layer) => report.by_layer(),
            Some(ScoreRow::Matrix) => report.by_matrix(),
            Some(ScoreRow::Role) => report.by_role(),
        }
    }
}
