//! The generalized exponential integral E_p(x), the integral from 1 to infinity of y^-p exp(-x y) dy, for real p >= -1
//! and x > 0, scaled by exp(x) and as a logarithm.
//!
//! Equivalently, x^(1-p) E_p(x) is the upper incomplete gamma function Gamma(1 - p, x). Its argument 1 - p is mostly
//! negative here, which the crates that offer this function do not support.
//!
//! For x >= 1 or p > 30 it is computed by its continued fraction (Abramowitz and Stegun, 5.1.22, contracted):
//!
//! ```text
//! 1 / (exp(x) E_p(x)) = x + p - 1 p/(x + p + 2 - 2 (p + 1)/(x + p + 4 - 3 (p + 2)/(x + p + 6 - ...)))
//! ```
//!
//! which takes about 20 / sqrt(x) terms, fewer for a large p. Otherwise by the series, with s = 1 - p,
//!
//! ```text
//! E_p(x) = x^-s (Gamma(s) - x^s sum_{k>=0} (-x)^k / (k! (s + k)))
//! ```
//!
//! To avoid the poles of Gamma for p > 1/2, p is first reduced by a whole number to 1/2 <= p < 3/2 and raised again by
//! E_{p+1}(x) = (exp(-x) - x E_p(x)) / p (5.1.14), which is stable for x < 1. At p = 1 the poles of two terms cancel;
//! the remainder is formed with expm1, so no digits are lost near it.

/// The Euler-Mascheroni constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
/// p above which the continued fraction is short for every x.
const LARGE: f64 = 30.0;

/// ln(exp(x) E_p(x)).
pub(super) fn ln_scaled(p: f64, x: f64) -> f64 {
    if x >= 1.0 || p > LARGE { -(x + p - p / fraction(p, x)).ln() } else { x + series(p, x).ln() }
}

/// The mean of y - 1 under the density proportional to y^-p exp(-x y) for y >= 1: E_{p-1}(x) / E_p(x) - 1, for p >= 0.
pub(super) fn mean_excess(p: f64, x: f64) -> f64 {
    if x >= 1.0 {
        // By 5.1.14 it is (1 / (exp(x) E_p) - x - p + 1) / x. With the fraction B this is 1 - p / B, without
        // cancellation.
        let fraction = fraction(p, x);
        (fraction - p) / (fraction * x)
    } else {
        (ln_scaled(p - 1.0, x) - ln_scaled(p, x)).exp_m1()
    }
}

/// The B of 1 / (exp(x) E_p(x)) = x + p - p / B, by Lentz's method.
fn fraction(p: f64, x: f64) -> f64 {
    const MOST_TERMS: u32 = 2000;
    let mut b = x + p + 2.0;
    let (mut c, mut d) = (b, 0.0);
    let mut value = b;
    for k in 2..MOST_TERMS {
        let k = f64::from(k);
        let a = -k * (p + k - 1.0);
        b += 2.0;
        d = 1.0 / (b + a * d);
        c = b + a / c;
        value *= c * d;
        if (c * d - 1.0).abs() < 0.5 * f64::EPSILON {
            break;
        }
    }
    value
}

/// E_p(x) for x < 1 and -1 <= p <= 30.
fn series(p: f64, x: f64) -> f64 {
    if p <= 0.5 {
        let s = 1.0 - p;
        return x.powf(-s) * libm::tgamma(s) - (1.0 / s + sum(s, x));
    }
    let steps = (p - 0.5).floor();
    let base = p - steps;
    let s = 1.0 - base;
    let ln_x = x.ln();
    let (gamma, power) = if s == 0.0 {
        (-EULER_GAMMA, ln_x)
    } else {
        ((s * ln_gamma_one_plus_by(s)).exp_m1() / s, (s * ln_x).exp_m1() / s)
    };
    let mut value = (-s * ln_x).exp() * (gamma - power) - sum(s, x);
    let exponential = (-x).exp();
    for step in 0..steps as u32 {
        value = (exponential - x * value) / (base + f64::from(step));
    }
    value
}

/// The sum over k >= 1 of (-x)^k / (k! (s + k)).
fn sum(s: f64, x: f64) -> f64 {
    let (mut power, mut sum) = (1.0, 0.0);
    for k in 1..40 {
        let k = f64::from(k);
        power *= -x / k;
        let term = power / (s + k);
        sum += term;
        if term.abs() < f64::EPSILON * 0.1 * sum.abs() {
            break;
        }
    }
    sum
}

/// ln Gamma(1 + s) / s for |s| <= 1/2 (Abramowitz and Stegun, 6.1.33).
fn ln_gamma_one_plus_by(s: f64) -> f64 {
    let first = if s == 0.0 { 1.0 } else { s.ln_1p() / s };
    let (mut power, mut sum) = (1.0, 0.0);
    for (index, zeta) in ZETA_LESS_ONE.iter().enumerate() {
        power *= -s;
        sum -= power * zeta / (index + 2) as f64;
    }
    1.0 - EULER_GAMMA - first + sum
}

/// zeta(k) - 1 for k = 2, 3 ...
const ZETA_LESS_ONE: [f64; 26] = [
    0.6449340668482264,
    0.2020569031595943,
    0.08232323371113819,
    0.03692775514336993,
    0.01734306198444914,
    0.008349277381922827,
    0.00407735619794434,
    0.0020083928260822143,
    0.0009945751278180853,
    0.0004941886041194645,
    0.0002460865533080483,
    0.00012271334757848915,
    6.124813505870483e-05,
    3.058823630702049e-05,
    1.528225940865187e-05,
    7.637197637899763e-06,
    3.81729326499984e-06,
    1.908212716553939e-06,
    9.539620338727962e-07,
    4.769329867878064e-07,
    2.38450502727733e-07,
    1.1921992596531106e-07,
    5.960818905125948e-08,
    2.980350351465228e-08,
    1.4901554828365043e-08,
    7.45071178983543e-09,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of mpmath's `expint` at 50 digits: tests/data/tails/make.py.
    #[test]
    fn agrees_with_a_library_of_arbitrary_precision() {
        let text = include_str!("../../tests/data/tails/exponential_integral.csv");
        let mut count = 0;
        for line in text.lines().skip(1) {
            let numbers: Vec<f64> = line.split(',').map(|number| number.parse().unwrap()).collect();
            let [p, x, ln_expected, mean_expected] = numbers[..] else { panic!("{line}") };
            let error = (ln_scaled(p, x) - ln_expected).abs() / ln_expected.abs().max(1.0);
            assert!(error < 2e-14, "ln E_{p}({x}): {error:e}");
            if p >= 0.0 {
                let error = (mean_excess(p, x) / mean_expected - 1.0).abs();
                // A small mean is a difference of nearly equal numbers.
                let allowed = 1e-13 + 4.0 * f64::EPSILON * (1.0 + p / x.max(1.0)) / mean_expected.min(1.0);
                assert!(error < allowed, "mean at {p}, {x}: {error:e} {allowed:e}");
            }
            count += 1;
        }
        assert!(count > 300);
    }

    #[test]
    fn both_ways_agree_where_they_meet() {
        for p in [-1.0, -0.5, 0.0, 0.5, 1.0 - 1e-9, 1.0, 1.5, 2.0, 7.3, 29.9] {
            let (below, above) = (ln_scaled(p, 1.0 - 1e-15), ln_scaled(p, 1.0));
            assert!((below - above).abs() < 1e-13, "{p}: {below} {above}");
        }
        for x in [1e-12, 1e-3, 0.9] {
            assert!((ln_scaled(LARGE, x) - ln_scaled(LARGE + 1e-14, x)).abs() < 1e-13);
        }
    }
}
