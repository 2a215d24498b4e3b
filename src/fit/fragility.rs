//! Fragility of a peak rule's alpha: how far alpha jumps when the smallest eigenvalue moves by 1 %.
//!
//! The histogram of the peak rule begins at the smallest eigenvalue, although no tail of interest depends on that
//! eigenvalue. If moving it changes alpha, alpha is one choice among several. `peak-robust` stays put unless the peak
//! itself is next to the smallest eigenvalue.

use super::{Fit, LogSpectrum, NoFit, Rule, fit};
use crate::spectrum::Spectrum;

/// Relative move of the smallest eigenvalue, up and down.
pub const NUDGE: f64 = 0.01;

/// The largest change of the alpha of `found`, the fit of `spectrum` under `rule`, when the smallest eigenvalue moves
/// by [`NUDGE`].
///
/// # Errors
///
/// Why there is no alpha after such a move.
pub fn jump(spectrum: &Spectrum, rule: Rule, found: &Fit) -> Result<f64, NoFit> {
    // Recomputed, because a device may round alpha differently: without a jump the change must be 0.
    let alpha = LogSpectrum::new(spectrum).alpha(found.start).unwrap_or(found.alpha);
    let mut jump = 0.0_f64;
    for factor in [1.0 - NUDGE, 1.0 + NUDGE] {
        let moved = spectrum.with_smallest_times(factor);
        let fit = fit(&moved, rule)?;
        jump = jump.max((fit.alpha - alpha).abs());
    }
    Ok(jump)
}

impl Rule {
    /// The jump above which an alpha is called fragile: the agreement among published codes.
    pub const FRAGILE: f64 = 1e-3;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(values: &[f64]) -> Spectrum {
        Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap()
    }

    #[test]
    fn the_jump_is_that_of_spectra_with_another_smallest_eigenvalue() {
        let mut rng = fastrand::Rng::with_seed(2);
        let (mut jumps, mut robust_jumps) = (0, 0);
        for _ in 0..30 {
            let mut values: Vec<f64> = (0..150).map(|_| (2.0 * (rng.f64() + rng.f64())).exp()).collect();
            values.sort_by(f64::total_cmp);
            let alpha = |factor: f64| {
                let mut moved = values.clone();
                moved[0] *= factor;
                fit(&spectrum(&moved), Rule::Peak).unwrap().alpha
            };
            let found = fit(&spectrum(&values), Rule::Peak).unwrap();
            let expected = (alpha(0.99) - found.alpha).abs().max((alpha(1.01) - found.alpha).abs());
            let moved = jump(&spectrum(&values), Rule::Peak, &found).unwrap();
            assert!((moved - expected).abs() < 1e-12);
            jumps += usize::from(moved > Rule::FRAGILE);
            let robust = fit(&spectrum(&values), Rule::PeakRobust).unwrap();
            let moved = jump(&spectrum(&values), Rule::PeakRobust, &robust).unwrap();
            robust_jumps += usize::from(moved > Rule::FRAGILE);
        }
        assert!((5..30).contains(&jumps), "{jumps} of 30 are fragile");
        assert_eq!(robust_jumps, 0);
    }

    #[test]
    fn a_clear_peak_is_not_fragile() {
        // The fullest bin has ten times as many values as any other; its values are in its middle for any bin edges.
        let spread = (0..100).map(|k| 10.0_f64.powf(-2.0 + f64::from(k) * 0.04));
        let cluster = (0..400).map(|k| 10.0_f64.powf(0.5 + 0.002 * f64::from(k) / 400.0));
        let mut values: Vec<f64> = spread.chain(cluster).collect();
        values.sort_by(f64::total_cmp);
        let found = fit(&spectrum(&values), Rule::Peak).unwrap();
        assert!(jump(&spectrum(&values), Rule::Peak, &found).unwrap() < Rule::FRAGILE);
    }
}
