//! The log-likelihood ratio of two fitted tails, and the probability of a ratio that large by chance.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{Density, Tail};

/// R and p for two distributions, neither of which contains the other (Vuong 1989; Clauset et al., eq. C.6): p =
/// erfc(|R| / sqrt(2 n s^2)), where s^2 is the variance (divided by n) of the individual terms.
pub(super) fn vuong(tail: &Tail, first: &impl Density, second: &impl Density) -> (f64, f64) {
    let terms = terms(tail, first, second);
    let n = terms.len() as f64;
    let ratio = terms.iter().sum::<f64>();
    let mean = ratio / n;
    let variance = terms.iter().map(|term| (term - mean) * (term - mean)).sum::<f64>() / n;
    let deviation = (n * variance).sqrt();
    let p_value = if deviation > 0.0 {
        libm::erfc(ratio.abs() / deviation * FRAC_1_SQRT_2)
    } else {
        // The densities are equal at every point.
        f64::from(u8::from(ratio == 0.0))
    };
    (ratio, p_value)
}

/// R and p if the first distribution is a special case of the second with one parameter fewer: 2 |R| is chi-squared
/// with one degree of freedom if the first is true (Wilks 1938), P(> 2 |R|) = erfc(sqrt |R|).
pub(super) fn nested(tail: &Tail, first: &impl Density, second: &impl Density) -> (f64, f64) {
    let ratio = terms(tail, first, second).iter().sum::<f64>();
    (ratio, libm::erfc(ratio.abs().sqrt()))
}

fn terms(tail: &Tail, first: &impl Density, second: &impl Density) -> Vec<f64> {
    let term = |&(log, excess): &(f64, f64)| first.ln_density(log, excess) - second.ln_density(log, excess);
    tail.points.iter().map(term).collect()
}
