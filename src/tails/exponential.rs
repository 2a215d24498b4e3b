//! The exponential tail: density lambda exp(-lambda (y - 1)) for y >= 1 (Clauset et al., table 2.1).

use super::{Density, Tail};

pub(super) struct Exponential {
    /// In units of 1 / xmin.
    pub lambda: f64,
}

impl Exponential {
    /// The maximum-likelihood estimate, 1 / mean(y - 1).
    pub fn fit(tail: &Tail) -> Exponential {
        Exponential { lambda: 1.0 / tail.excess }
    }
}

impl Density for Exponential {
    fn ln_density(&self, _: f64, excess: f64) -> f64 {
        self.lambda.ln() - self.lambda * excess
    }
}
