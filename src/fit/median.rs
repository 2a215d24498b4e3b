//! The median rule: the tail is the upper half of the spectrum (PL_Alpha_Hill; TempBalance, AlphaDecay).

use super::{Fit, LogSpectrum, NoFit, Rule};

/// Fits from i = trunc(N / 2), counted from 0, and divides by n, as the published codes do. None of them uses the
/// paper's Hill estimator, which is one index further. Eigenvalues equal to x_i belong to the tail, too; the published
/// codes count only those from i on.
pub(super) fn fit(logs: &LogSpectrum) -> Result<Fit, NoFit> {
    let start = logs.first_equal(logs.len() / 2);
    if start < logs.starts().start {
        return Err(logs.rank_deficient(Rule::Median));
    }
    logs.fit_at(start).ok_or_else(|| logs.why_no_fit(start..start + 1))
}
