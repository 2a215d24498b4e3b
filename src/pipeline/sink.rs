//! A receiver of results as soon as they are available.

use crate::device::Outcome;
use crate::error::Result;
use crate::report::Report;
use crate::score::MatrixScore;

/// Takes results while a run goes on, such as a folder of plots; called from several threads.
///
/// [`Scorer::score_on`](super::Scorer::score_on) calls [`matrix`](Sink::matrix) once for each matrix. Its caller calls
/// [`finish`](Sink::finish), after it has secured the report, so that a sink that fails at the end costs no results.
pub trait Sink: Sync {
    /// A matrix is scored: its row is complete. `outcome` has the spectrum of the matrix, or of all its windows together.
    ///
    /// # Errors
    ///
    /// An error ends the run. A sink that can go without one result keeps its error for [`finish`](Sink::finish).
    fn matrix(&self, row: &MatrixScore, outcome: &Outcome) -> Result<()>;

    /// All matrices are scored.
    ///
    /// # Errors
    ///
    /// If the sink is incomplete.
    fn finish(&self, report: &Report) -> Result<()> {
        let _ = report;
        Ok(())
    }
}
