//! The row of a matrix: its fit, its metrics, and what is measured of its elements.
//!
//! It is made on the thread that computed the last of the matrix's spectra, right after it.

use super::floored::Floored;
use super::pooled::pooled;
use super::sampling::Sampling;
use super::schedule::unanswered;
use crate::checkpoint::Checkpoint;
use crate::device::{Failure, Method, Outcome};
use crate::floor::Floor;
use crate::matrices::WeightMatrix;
use crate::metrics::{self, AnalyzedMatrix, MetricSelection};
use crate::score::{MatrixScore, WindowSet};
use crate::uncertainty::{self, PositionsCache};

/// What is measured of every matrix of a checkpoint.
pub(super) struct Examination<'a> {
    checkpoint: &'a Checkpoint,
    sampling: Sampling,
    method: Method,
    floor: Floor,
    metrics: &'a MetricSelection,
    positions: PositionsCache,
}

impl<'a> Examination<'a> {
    pub fn new(
        checkpoint: &'a Checkpoint,
        sampling: Sampling,
        method: Method,
        floor: Floor,
        metrics: &'a MetricSelection,
    ) -> Examination<'a> {
        Examination {
            checkpoint,
            sampling,
            method,
            floor,
            metrics,
            positions: PositionsCache::new(metrics.simulations()),
        }
    }

    /// The row of `matrix`, given the outcomes of its parts, and the one outcome that the row describes.
    pub fn examine(&self, matrix: &WeightMatrix, outcomes: Vec<Outcome>) -> (MatrixScore, Outcome) {
        let rule = self.method.rule;
        let windows = match self.sampling {
            Sampling::Windows(farms) => Some(farms.windows(matrix.rows, matrix.cols)),
            Sampling::Whole | Sampling::Randomized(_) => None,
        };
        let (mut outcome, randomized) = match &windows {
            Some(windows) => (pooled(rule, windows, outcomes), None),
            None => {
                let mut outcomes = outcomes.into_iter();
                (outcomes.next().unwrap_or_else(unanswered), outcomes.next())
            }
        };
        let floored = Floored::new(self.floor, matrix, self.checkpoint, self.sampling, &self.method, &mut outcome);
        let seen = floored.seen(&outcome);
        let mut row = MatrixScore::of_part(matrix, &self.method, &outcome, seen);
        row.windows =
            windows.map(|windows| WindowSet { count: windows.len(), rows: windows[0].rows, cols: windows[0].cols });
        let analyzed = match row.windows {
            Some(set) => AnalyzedMatrix::of_windows(set.count, (set.rows, set.cols), rule, &outcome),
            None => AnalyzedMatrix::new(matrix, rule, &outcome),
        };
        let analyzed = analyzed.fitted_in(seen);
        row.eigenvalues = row.windows.map_or(row.eigenvalues, |windows| windows.eigenvalues());
        row.measured = metrics::measure(self.metrics, &analyzed);
        let elements = || self.check_elements(matrix, &outcome);
        metrics::simulate(&self.positions, matrix.name(), &analyzed, elements, &mut row.measured);
        if let Some(randomized) = randomized {
            for (name, measurement) in metrics::compare(&analyzed, &AnalyzedMatrix::new(matrix, rule, &randomized)) {
                row.measured.insert(name, measurement);
            }
        }
        floored.describe(rule, &outcome, &mut row);
        (row, outcome)
    }

    /// Confirms that no single elements of `matrix` stand out, or returns why they do or why that is unknown.
    fn check_elements(&self, matrix: &WeightMatrix, outcome: &Outcome) -> Result<(), String> {
        if self.checkpoint.adapter().is_some() {
            return Err("it needs the elements of the matrix, and an adapter's update is never formed".into());
        }
        let trace = outcome.as_ref().map_err(ToString::to_string)?.spectrum.trace();
        let mean_square = trace / (matrix.rows as f64 * matrix.cols as f64);
        let sentence = |unavailable| Failure::from(unavailable).to_string();
        let loaded = matrix.load(self.checkpoint, self.method.cast).map_err(sentence)?;
        let checked = uncertainty::check_elements(&loaded.view(), mean_square);
        loaded.finish().map_err(sentence)?;
        checked
    }
}
