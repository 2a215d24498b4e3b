//! Exact scaling by powers of two, which keeps the squares of tiny and huge weights in range.

/// The e for which 2^-e `largest` is in [1, 2), clamped so that 2^e and 2^-e are normal numbers.
pub(super) fn binary_exponent(largest: f64) -> i32 {
    (largest.log2().floor() as i32).clamp(-1000, 1000)
}

pub(super) fn power_of_two(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}
