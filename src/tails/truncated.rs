//! The truncated power law: density y^-alpha exp(-lambda (y - 1)) / Z for y >= 1, with alpha >= 0 and lambda >= 0, not both
//! zero (Clauset et al., table 2.1: power law with cutoff).
//!
//! Z = exp(lambda) E_alpha(lambda), the scaled [generalised exponential integral](super::exponential_integral). The power law
//! is the case lambda = 0, the exponential the case alpha = 0; with a negative alpha the density would rise first, and hardly
//! be called a power law (the `powerlaw` package has the same limit, and a limit of 3 above, which is not kept here).
//!
//! It is an exponential family, so the likelihood is concave in (alpha, lambda) and has one maximum. For each alpha the best
//! lambda is where the mean of y is that of the data; the likelihood at it is concave in alpha. The best alpha is no larger
//! than that of the power law, of which the cutoff takes over a part.

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
        // A maximum at an end, an exponential or a power law, is meant exactly.
        let candidates = [power_law, 0.0, inside];
        let best = candidates.into_iter().reduce(|a, b| if likelihood(b) > likelihood(a) { b } else { a });
        best_of(best.unwrap_or(inside))
    }

    pub fn new(alpha: f64, lambda: f64) -> TruncatedPowerLaw {
        let ln_norm = if lambda == 0.0 { -(alpha - 1.0).ln() } else { ln_scaled(alpha, lambda) };
        TruncatedPowerLaw { alpha, lambda, ln_norm }
    }
}

/// The lambda with which the mean of y is that of the tail; 0 if it is too large for that.
fn best_lambda(tail: &Tail, alpha: f64) -> f64 {
    if alpha > 2.0 && tail.excess * (alpha - 2.0) >= 1.0 {
        return 0.0;
    }
    // The mean of y - 1 is at most 1 / lambda, that of the exponential, for alpha >= 0. Far below that it is 1 / (alpha - 2)
    // or does not depend on lambda by more than its logarithm.
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
