//! The median rule: the tail is the upper half of the spectrum (PL_Alpha_Hill; TempBalance, AlphaDecay).

use super::{Fit, LogSpectrum, NoFit, Rule};

/// The published codes count from 0 and take i = trunc(N / 2), and divide by n; the paper's Hill estimator, one index
/// further, is not used by any of them.
pub(super) fn fit(logs: &LogSpectrum) -> Result<Fit, NoFit> {
    let start = logs.len() / 2;
    if start < logs.starts().start {
        return Err(logs.rank_deficient(Rule::Median));
    }
    logs.fit_at(start).ok_or_else(|| logs.nothing(start..start + 1))
}
