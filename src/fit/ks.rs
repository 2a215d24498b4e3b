//! The ks rule: the start with the smallest KS distance of all (Clauset et al. section 3.3; WeightWatcher's alpha).

use super::{Fit, LogSpectrum, NoFit, Rule};

pub(super) fn fit(logs: &LogSpectrum) -> Result<Fit, NoFit> {
    if logs.starts().is_empty() {
        return Err(logs.rank_deficient(Rule::Ks));
    }
    logs.best(logs.starts()).ok_or_else(|| logs.why_no_fit(logs.starts()))
}
