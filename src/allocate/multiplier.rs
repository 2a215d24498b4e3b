//! The linear map from alphas to multipliers that several rules share.

use crate::error::{Error, Result};

/// Maps the smallest alpha to `low`, the largest to `high`, and is linear in between.
///
/// # Errors
///
/// [`Kind::Input`](crate::error::Kind::Input) if all alphas are equal; the published codes divide by zero then.
pub(super) fn linear(alphas: &[f64], low: f64, high: f64) -> Result<Vec<f64>> {
    let min = alphas.iter().copied().fold(f64::INFINITY, f64::min);
    let max = alphas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if min == max {
        return Err(all_equal(min));
    }
    // Exact at the ends, and never outside them.
    let place = |alpha: f64| (alpha - min) / (max - min);
    Ok(alphas.iter().map(|&alpha| (low + place(alpha) * (high - low)).clamp(low, high)).collect())
}

/// The error for alphas that are all equal.
pub(super) fn all_equal(alpha: f64) -> Error {
    let cause = format!("all alphas are {alpha}, so they cannot distinguish layers or matrices");
    Error::unusable(cause).hint("set the same value everywhere yourself; alphapruning does that with §epsilon=0")
}

/// Largest multiplier; sums of larger ones could overflow.
const MOST: f64 = 1e100;

/// Checks a range of multipliers.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if it is not a valid range.
pub(super) fn check_range(low: f64, high: f64) -> Result<()> {
    if low.is_finite() && high.is_finite() && 0.0 <= low && low <= high && high > 0.0 && high <= MOST {
        return Ok(());
    }
    let cause = format!("{low}:{high} is not a valid range of multipliers");
    Err(Error::usage(cause).hint("give the smaller first, both between 0 and 1e100, as in §range=0.5:1.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_in_the_middle() {
        assert_eq!(linear(&[4.0, 2.0, 3.0], 0.5, 1.5).unwrap(), [1.5, 0.5, 1.0]);
        let many: Vec<f64> = (0..1000).map(|n| 1.1 + f64::from(n) * 0.37).collect();
        let mapped = linear(&many, 0.666, 3.0).unwrap();
        assert_eq!((mapped[0], mapped[999]), (0.666, 3.0));
        assert!(mapped.is_sorted());
    }

    #[test]
    fn equal_alphas_are_refused() {
        let error = linear(&[2.5, 2.5], 0.5, 1.5).unwrap_err();
        assert!(error.cause.to_string().contains("all alphas are 2.5") && error.hint.is_some());
    }
}
