//! The lognormal tail: t = ln y is normal with mean mu and standard deviation sigma, truncated at t = 0 (Clauset et
//! al., table 2.1).
//!
//! With z = -mu / sigma, the density of t is exp(-t^2 / (2 sigma^2) - z t / sigma) / (sigma sqrt(2 pi) q(z)), where
//! q(z) = exp(z^2 / 2) Q(z) is the scaled upper tail of the normal distribution. Nothing in it overflows, even for mu
//! far below 0. As sigma -> infinity with z / sigma = alpha - 1, the density becomes that of the power law, (alpha - 1)
//! exp(-(alpha - 1) t).
//!
//! This is an exponential family, so its likelihood has one maximum: the parameters for which the means of t and t^2
//! are those of the data. With the hazard h(z) = 1 / (sqrt(2 pi) q(z)) these means are (Cohen, Technometrics 1, 217,
//! 1959)
//!
//! ```text
//! E t = sigma (h - z),  E t^2 = sigma^2 (1 - z (h - z))
//! ```
//!
//! The ratio E t^2 / (E t)^2 depends on z alone. It rises from 1 to 2, the value of an exponential distribution. Data
//! with a ratio of 2 or more have no best lognormal.

use super::maximum::root;
use super::{Density, Tail, normal_tail};

pub(super) struct Lognormal {
    /// -mu / sigma of t.
    z: f64,
    sigma: f64,
    /// ln(sigma sqrt(2 pi) q(z)).
    ln_norm: f64,
}

/// The z from which the ratio of moments differs from 2 only by rounding errors.
const FARTHEST: f64 = 1e6;

impl Lognormal {
    /// The maximum-likelihood estimate; `None` if there is none.
    pub fn fit(tail: &Tail) -> Option<Lognormal> {
        let wanted = tail.log_squared / (tail.log * tail.log);
        if wanted.is_nan() || wanted >= moment_ratio(FARTHEST) {
            return None;
        }
        // As z -> -infinity, the truncation has no effect and the ratio is 1 + 1 / z^2.
        let nearest = -2.0 / (wanted - 1.0).max(f64::EPSILON).sqrt() - 2.0;
        let z = root(|z| moment_ratio(z) - wanted, nearest, FARTHEST);
        Some(Lognormal::new(z, tail.log / normal_tail::moments(z).0))
    }

    pub fn new(z: f64, sigma: f64) -> Lognormal {
        let ln_norm = sigma.ln() + 0.5 * std::f64::consts::TAU.ln() + normal_tail::ln_scaled_upper(z);
        Lognormal { z, sigma, ln_norm }
    }

    /// Mean of ln y before truncation.
    pub fn mu(&self) -> f64 {
        -self.z * self.sigma
    }

    /// Standard deviation of ln y before truncation.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }
}

/// E t^2 / (E t)^2.
fn moment_ratio(z: f64) -> f64 {
    let (first, second) = normal_tail::moments(z);
    second / (first * first)
}

impl Density for Lognormal {
    fn ln_density(&self, log: f64, _: f64) -> f64 {
        let scaled = log / self.sigma;
        // With respect to y, not t; hence the last term.
        -scaled * (0.5 * scaled + self.z) - self.ln_norm - log
    }
}
