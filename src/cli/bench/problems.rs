//! What went wrong with the matrices of a benchmark.

use crate::checkpoint::Checkpoint;
use crate::device::{Method, Outcome};
use crate::error::Error;
use crate::matrices::WeightMatrix;
use crate::pipeline::problem;
use crate::score::MatrixScore;

/// One error for each of `matrices` without an alpha.
pub fn problems(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: &Method,
    outcomes: &[Outcome],
) -> Vec<Error> {
    let problem = |(matrix, outcome)| problem(checkpoint, matrix, outcome, &MatrixScore::new(matrix, method, outcome));
    matrices.iter().zip(outcomes).filter_map(problem).collect()
}
