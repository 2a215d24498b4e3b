//! Who is told of a run while it goes on, and can stop it.

use crate::device::Outcome;
use crate::matrices::WeightMatrix;

/// Observes a run; called from several threads. `()` is a no-op.
pub trait Observer: Sync {
    /// These matrices are about to be analyzed, in this many lanes.
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        let _ = (matrices, lanes);
    }

    /// A lane starts on `matrix`, or on the batch that holds it.
    fn started(&self, matrix: &WeightMatrix) {
        let _ = matrix;
    }

    /// A lane is done with `matrix`.
    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        let _ = (matrix, outcome);
    }

    /// Called before each batch and at the end: true ends the run.
    fn canceled(&self) -> bool {
        false
    }
}

impl Observer for () {}
