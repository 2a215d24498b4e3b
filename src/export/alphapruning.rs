//! AlphaPruning (arXiv 2410.10912): the alphas of all projections. AlphaPruning computes the sparsities itself.
//!
//! Its options `--ww_metric_cache DIR --ww_metric NAME` load `DIR/NAME.npy`: f64, 1-D, block after block in the order
//! of the model's modules (`ww_sparsity` in its `lib/prune.py`). The published files for the peak rule are named
//! `alpha_peak`.

use super::modules::nameless;
use super::{Target, blocks, npy};
use crate::error::{Error, Result};
use crate::report::Report;
use crate::score::MatrixScore;

pub(super) fn render(report: &Report) -> Result<Vec<u8>> {
    if report.matrices.is_empty() {
        return Err(nameless(Target::Alphapruning));
    }
    // The stacks that the allocation of the scores leaves out, such as a head for multi-token prediction, are left out here, too.
    let is_left_out =
        |matrix: &&MatrixScore| report.allocation.as_ref().is_some_and(|row| row.allocation.leaves_out(matrix));
    let matrices: Vec<&MatrixScore> = report.matrices.iter().filter(|matrix| !is_left_out(matrix)).collect();
    let matrices = blocks::llama(Target::Alphapruning, matrices, |matrix| matrix)?;
    let alpha = |matrix: &MatrixScore| {
        matrix.alpha.ok_or_else(|| {
            let reason = matrix.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let error =
                Error::unusable(format!("alphapruning needs an alpha for every matrix, and this one has none{reason}"));
            error.tensor(&matrix.tensor).hint("another fit rule may give one: score with §rule=median")
        })
    };
    let alphas: Vec<f64> = matrices.into_iter().map(alpha).collect::<Result<_>>()?;
    Ok(npy::of_vector(&alphas))
}
