//! One matrix in depth.

use super::observer::Observer;
use super::parts::Parts;
use super::problems::problem;
use super::schedule::analyze_and;
use super::scorer::Scorer;
use crate::checkpoint::Checkpoint;
use crate::device::{Analysis, Device};
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::matrices::WeightMatrix;
use crate::report::Esd;
use crate::tails::{self, Alternative, TailComparison};

/// One matrix in depth.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// Its numbers.
    pub esd: Esd,
    /// Its spectrum and fit.
    pub analysis: Analysis,
    /// The other tails, where they can be compared.
    pub comparisons: Vec<TailComparison>,
    /// Why it has no alpha, if it has none.
    pub problem: Option<Error>,
}

impl Scorer {
    /// Examines one matrix of `checkpoint` on `device`.
    ///
    /// # Errors
    ///
    /// If the matrix has no spectrum, the device fails, or the observer cancels.
    pub fn examine(
        &self,
        checkpoint: &Checkpoint,
        matrix: &WeightMatrix,
        device: &dyn Device,
        observer: &dyn Observer,
    ) -> Result<Examined> {
        self.sampling().check(checkpoint)?;
        let examination = self.examination(checkpoint);
        let parts = Parts::new(std::slice::from_ref(matrix), self.sampling());
        let keep = |part, outcome| {
            let complete = parts.collect(part, outcome);
            Ok(complete.map(|(_, outcomes)| examination.examine(matrix, outcomes)))
        };
        let examined = analyze_and(checkpoint, parts.matrices(), self.method(), device, observer, keep)?;
        let (row, outcome) = examined.into_iter().flatten().next().expect("the last part completes the matrix");
        let problem = problem(checkpoint, matrix, &outcome, &row);
        let analysis = match (outcome, &problem) {
            (Ok(analysis), _) => analysis,
            (Err(_), Some(problem)) => return Err(problem.clone()),
            (Err(failure), None) => {
                return Err(Error::input(checkpoint.path(), failure.to_string()).tensor(matrix.name()));
            }
        };
        let compare = |fit: &Fit| {
            let each = Alternative::ALL.iter().map(|&alternative| tails::compare(&analysis.spectrum, fit, alternative));
            each.filter_map(|comparison| comparison.ok()).collect()
        };
        let comparisons = analysis.fit.as_ref().map_or(Vec::new(), compare);
        let esd = Esd::new(self.provenance(device, checkpoint, checkpoint.base_rename()), row, &analysis);
        Ok(Examined { esd, analysis, comparisons, problem })
    }
}
