//! The upper tail of the standard normal distribution without underflow: Q(z) = P(Z > z) scaled by exp(z^2 / 2), and
//! the moments of Z - z given Z > z.
//!
//! From [`FRACTION`] upward it is computed by Laplace's continued fraction for the hazard h(z) = phi(z) / Q(z)
//! (Abramowitz and Stegun, 26.2.14),
//!
//! ```text
//! h(z) = z + 1/(z + 2/(z + 3/(z + ...)))
//! ```
//!
//! whose parts give the differences that would otherwise cancel; below, by erfc.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// The z from which the continued fraction is used.
const FRACTION: f64 = 3.0;
/// Terms of the fraction that give the last digit at that z.
const TERMS: u32 = 120;

/// ln(exp(z^2 / 2) Q(z)).
pub(super) fn ln_scaled_upper(z: f64) -> f64 {
    if z < FRACTION {
        0.5 * z * z + (0.5 * libm::erfc(z * FRAC_1_SQRT_2)).ln()
    } else {
        let (first, _) = fraction(z);
        -(z + first).ln() - 0.5 * TAU.ln()
    }
}

/// The first two moments of Z - z for Z > z: h - z and 1 - z (h - z).
pub(super) fn moments(z: f64) -> (f64, f64) {
    if z < FRACTION {
        let hazard = (-ln_scaled_upper(z) - 0.5 * TAU.ln()).exp();
        let first = hazard - z;
        (first, 1.0 - z * first)
    } else {
        fraction(z)
    }
}

/// The moments from the fraction: with g = 2/(z + 3/(z + ...)), they are 1 / (z + g) and g / (z + g).
fn fraction(z: f64) -> (f64, f64) {
    let mut g = 0.0;
    for k in (2..TERMS).rev() {
        g = f64::from(k) / (z + g);
    }
    (1.0 / (z + g), g / (z + g))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree_where_they_meet() {
        for z in [2.5, 2.9, FRACTION, 3.5, 4.0] {
            let hazard = (-0.5 * z * z).exp() / TAU.sqrt() / (0.5 * libm::erfc(z * FRAC_1_SQRT_2));
            let (first, second) = fraction(z);
            assert!((first / (hazard - z) - 1.0).abs() < 1e-13, "{z}");
            assert!((second / (1.0 - z * (hazard - z)) - 1.0).abs() < 1e-11, "{z}");
        }
    }

    #[test]
    fn far_out_the_moments_are_those_of_an_exponential_distribution() {
        for z in [1e3, 1e6, 1e100] {
            let (first, second) = moments(z);
            assert!((first * z - 1.0).abs() < 3.0 / (z * z) + 1e-15);
            assert!((second * z * z - 2.0).abs() < 20.0 / (z * z) + 1e-14);
        }
    }

    #[test]
    fn known_values() {
        // Q(0) = 1/2, whose moments are sqrt(2 / pi) and 1.
        assert!((ln_scaled_upper(0.0) - 0.5_f64.ln()).abs() < 1e-15);
        assert!((moments(0.0).0 - std::f64::consts::FRAC_2_PI.sqrt()).abs() < 1e-15 && moments(0.0).1 == 1.0);
        // Far below 0, nothing is truncated.
        let (first, second) = moments(-30.0);
        assert!((first - 30.0).abs() < 1e-14 && (second - 901.0).abs() < 1e-12);
        // mpmath: log(exp(z^2/2) * erfc(z/sqrt(2))/2) at 50 digits.
        for (z, expected) in [(10.0, -3.231_285_150_512_470_7_f64), (38.0, -4.557_216_018_820_13)] {
            assert!((ln_scaled_upper(z) - expected).abs() < 1e-14, "{}", ln_scaled_upper(z));
        }
    }
}
