//! The range of alpha over all tails that fit about as well as the best one.
//!
//! D often has a broad valley: distant starts have nearly the same D but different alphas. The range shows what the
//! choice of xmin leaves open. It considers all starts, so it is the same for every rule.

use super::{Fit, LogSpectrum, MIN_EIGENVALUES, NoFit, Rule};
use crate::spectrum::Spectrum;

/// Largest D, above the smallest of all starts, that counts as a good fit: about a tenth to a third of the D of real
/// weights.
pub const DISTANCE_MARGIN: f64 = 0.01;

/// The smallest and the largest alpha of all tails whose D is at most `margin` above the smallest D of all.
///
/// # Errors
///
/// As [`fit`](super::fit) by the ks rule.
pub fn alpha_range(spectrum: &Spectrum, margin: f64) -> Result<(f64, f64), NoFit> {
    if spectrum.len() < MIN_EIGENVALUES {
        return Err(NoFit::TooFew(spectrum.len()));
    }
    let logs = LogSpectrum::new(spectrum);
    if logs.starts().is_empty() {
        return Err(logs.rank_deficient(Rule::Ks));
    }
    let close = logs.within(logs.starts(), margin);
    let close: Vec<Fit> = close.into_iter().filter_map(|fit| fit.unless_degenerate(spectrum).ok()).collect();
    let alphas = || close.iter().map(|fit| fit.alpha);
    if close.is_empty() {
        return Err(logs.why_no_fit(logs.starts()));
    }
    Ok((alphas().fold(f64::INFINITY, f64::min), alphas().fold(0.0, f64::max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::fit;

    fn spectrum(values: Vec<f64>) -> Spectrum {
        let trace = values.iter().sum();
        Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()
    }

    #[test]
    fn it_is_the_range_by_the_definition() {
        let mut rng = fastrand::Rng::with_seed(4);
        for case in 0..20 {
            let mut values: Vec<f64> = (0..80).map(|_| (1.0 - rng.f64()).powf(-0.2 - 0.1 * f64::from(case))).collect();
            values.sort_by(f64::total_cmp);
            let fits: Vec<(f64, f64)> = (0..79)
                .map(|i| {
                    let n = (80 - i) as f64;
                    let alpha = 1.0 + n / values[i..].iter().map(|x| (x / values[i]).ln()).sum::<f64>();
                    let distance =
                        |(j, x): (usize, &f64)| (1.0 - (x / values[i]).powf(1.0 - alpha) - j as f64 / n).abs();
                    (values[i..].iter().enumerate().map(distance).fold(0.0, f64::max), alpha)
                })
                .collect();
            let best = fits.iter().map(|fit| fit.0).fold(f64::INFINITY, f64::min);
            for margin in [0.0, 0.01, 0.1] {
                let close = || fits.iter().filter(|fit| fit.0 <= best + margin + 1e-12).map(|fit| fit.1);
                let expected = (close().fold(f64::INFINITY, f64::min), close().fold(0.0, f64::max));
                let (low, high) = alpha_range(&spectrum(values.clone()), margin).unwrap();
                assert!((low / expected.0 - 1.0).abs() < 1e-10 && (high / expected.1 - 1.0).abs() < 1e-10);
            }
            let best = fit(&spectrum(values.clone()), Rule::Ks).unwrap().alpha;
            assert_eq!(alpha_range(&spectrum(values), 0.0).unwrap(), (best, best));
        }
    }

    #[test]
    fn degenerate_spectra_have_none() {
        assert_eq!(alpha_range(&spectrum(vec![1.0; 7]), 0.01), Err(NoFit::TooFew(7)));
        assert_eq!(alpha_range(&spectrum(vec![3.0; 40]), 0.01), Err(NoFit::NoTail));
        let mut values = vec![0.0; 40];
        values[39] = 1.0;
        assert_eq!(alpha_range(&spectrum(values), 0.01), Err(NoFit::RankDeficient { rule: Rule::Ks, rank: 1, of: 40 }));
    }
}
