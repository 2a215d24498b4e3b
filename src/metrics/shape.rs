//! Metrics of the shape alone; every matrix has them.

use super::{AnalyzedMatrix, Measurement};

pub(super) fn num_evals(matrix: &AnalyzedMatrix) -> Measurement {
    Ok((matrix.short * matrix.windows).into())
}

pub(super) fn aspect_ratio(matrix: &AnalyzedMatrix) -> Measurement {
    if matrix.short == 0 {
        return Err("the matrix is empty".into());
    }
    Ok((matrix.long as f64 / matrix.short as f64).into())
}
