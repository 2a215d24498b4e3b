//! The truncated power law: density y^-alpha exp(-lambda (y - 1)) / Z for y >= 1, with alpha >= 0 and lambda >= 0, not
//! both zero (Clauset et al., table 2.1: power law with cutoff).
//!
//! Z = exp(lambda) E_alpha(lambda), the scaled [generalized exponential integral](super::exponential_integral). lambda
//! = 0 gives the power law, alpha = 0 the exponential. A negative alpha is excluded: the density would first rise,
//! which is hardly a power law. (The `powerlaw` package has the same lower limit; its upper limit of 3 is not used
//! here.)
//!
//! This is an exponential family, so the likelihood is concave in (alpha, lambda) and has one maximum. For each alpha,
//! the best lambda is the one for which the mean of y is that of the data; the likelihood at that lambda is concave in
//! alpha. The best alpha is at most that of the power law, because the cutoff takes over part of the decay.

use super::exponential_integral::{ln_scaled, mean_excess};
use super::maximum::{maximum, root};
use super::{Density, Tail};

pub(super) struct TruncatedPowerLaw {
    pub alpha: f64,
    /// In units of 1 / xmin.
    pub lambda: f64,
    ln_norm: f64,
}

impl TruncatedPowerLaw {
    /// The maximum-likelihood estimate, for a tail whose power law has the exponent `power_law`.
    pub fn fit(tail: &Tail, power_law: f64) -> TruncatedPowerLaw {
        let best_of = |alpha: f64| TruncatedPowerLaw::new(alpha, best_lambda(tail, alpha));
        let likelihood = |alpha: f64| {
            let fitted = best_of(alpha);
            -alpha * tail.log - fitted.lambda * tail.excess - fitted.ln_norm
        };
        let inside = maximum(likelihood, 0.0, power_law);
        // If the maximum is at an end, the result is exactly that end: an exponential or a power law.
        let candidates = [power_law, 0.0, inside];
        let best = candidates.into_iter().reduce(|a, b| if likelihood(b) > likelihood(a) { b } else { a });
        best_of(best.unwrap_or(inside))
    }

    pub fn new(alpha: f64, lambda: f64) -> TruncatedPowerLaw {
        let ln_norm = if lambda == 0.0 { -(alpha - 1.0).ln() } else { ln_scaled(alpha, lambda) };
        TruncatedPowerLaw { alpha, lambda, ln_norm }
    }
}

/// The lambda for which the mean of y is that of the tail; 0 if that mean is too large.
fn best_lambda(tail: &Tail, alpha: f64) -> f64 {
    if alpha > 2.0 && tail.excess * (alpha - 2.0) >= 1.0 {
        return 0.0;
    }
    // The mean of y - 1 is at most 1 / lambda, the mean of the exponential, for alpha >= 0. Far below that it is 1 /
    // (alpha - 2), or depends on lambda only through its logarithm.
    let highest = -tail.excess.ln() + 1e-9;
    let lowest = highest - 800.0;
    let ln_lambda = root(|ln_lambda| tail.excess - mean_excess(alpha, ln_lambda.exp()), lowest.max(-690.0), highest);
    ln_lambda.exp()
}

impl Density for TruncatedPowerLaw {
    fn ln_density(&self, log: f64, excess: f64) -> f64 {
        -self.alpha * log - self.lambda * excess - self.ln_norm
    }
}
