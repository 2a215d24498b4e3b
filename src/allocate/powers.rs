//! Powers of alpha, the weights of rules that allocate in proportion to them.

use crate::error::{Error, Result};

/// m^beta in units of the largest, so that it cannot overflow.
pub(super) fn powers(alphas: &[f64], beta: f64) -> Vec<f64> {
    let largest = alphas.iter().copied().fold(0.0, f64::max);
    alphas.iter().map(|alpha| (alpha / largest).powf(beta)).collect()
}

/// Checks that an exponent of alpha is finite and not negative.
pub(super) fn check_beta(beta: f64) -> Result<()> {
    if beta.is_finite() && beta >= 0.0 {
        return Ok(());
    }
    Err(Error::usage(format!("beta = {beta} is not a finite number >= 0")).hint("AlphaLoRA uses §beta=2.5"))
}
