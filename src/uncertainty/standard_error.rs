//! The standard error of alpha: the standard deviation of alpha, under its rule, among similar matrices.
//!
//! The textbook formula (alpha - 1) / sqrt(n) assumes independent values and a fixed xmin. Eigenvalues repel each
//! other, which makes the alpha of a given tail several times more certain. The rule chooses xmin anew for each matrix,
//! which can make alpha less certain. The simulated spectra, to which the rule is applied again, include both effects.

use super::{Positions, repulsion, simulation};
use crate::fit::{Fit, Rule, fit};
use crate::spectrum::Spectrum;

/// Share of the simulated spectra that may have no alpha.
const FAILURES: f64 = 0.05;

/// The standard error of the alpha of `spectrum` under `rule`. `long` is the larger dimension of W, and `positions`
/// belong to its shape. Costs one fit per draw.
///
/// # Errors
///
/// A phrase that says why there is no standard error.
pub fn standard_error(spectrum: &Spectrum, rule: Rule, long: usize, positions: &Positions) -> Result<f64, String> {
    let ln = logarithms(spectrum)?;
    repulsion::check(&ln)?;
    let draws = simulation::spectra(&ln, long, positions);
    let alphas: Vec<f64> = draws.iter().filter_map(|draw| Some(refit(draw, rule)?.alpha)).collect();
    let failed = draws.len() - alphas.len();
    if failed as f64 > FAILURES * draws.len() as f64 || alphas.len() < 2 {
        return Err(format!("{failed} of {} simulated spectra have no alpha", draws.len()));
    }
    Ok(standard_deviation(&alphas))
}

/// ln x; an error if rounding hides some of the eigenvalues.
fn logarithms(spectrum: &Spectrum) -> Result<Vec<f64>, String> {
    match spectrum.first_known() {
        0 => Ok(spectrum.values().iter().map(|x| x.ln()).collect()),
        hidden => Err(format!("{hidden} of {} eigenvalues are zero within rounding", spectrum.len())),
    }
}

/// Fits a simulated ln x in units of its median, so that nothing overflows.
fn refit(ln: &[f64], rule: Rule) -> Option<Fit> {
    let middle = match rule {
        // The window of the peak rule depends on the unit of the weights.
        Rule::Peak => 0.0,
        _ => ln[ln.len() / 2],
    };
    let values: Vec<f64> = ln.iter().map(|x| (x - middle).exp()).collect();
    let in_range = values[0] > 0.0 && values[values.len() - 1].is_finite();
    in_range.then(|| fit(&Spectrum::exact(values), rule).ok()).flatten()
}

fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::{Level, symmetric_eigenvalues};
    use crate::uncertainty::random::normal;

    fn exact(values: Vec<f64>) -> Spectrum {
        let trace = values.iter().sum();
        Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()
    }

    /// The spectrum of a `long` x `short` matrix of normal numbers with these column scales.
    fn matrix(long: usize, scales: &[f64], rng: &mut fastrand::Rng) -> Spectrum {
        let short = scales.len();
        let mut gram = vec![0.0; short * short];
        for _ in 0..long {
            let row: Vec<f64> = scales.iter().map(|scale| scale * normal(rng)).collect();
            for i in 0..short {
                for j in 0..=i {
                    gram[j * short + i] += row[i] * row[j] / long as f64;
                }
            }
        }
        for i in 0..short {
            for j in 0..i {
                gram[i * short + j] = gram[j * short + i];
            }
        }
        exact(symmetric_eigenvalues(&gram, Level::widest(), 1).unwrap())
    }

    /// Share of intervals alpha +- 1.96 standard errors that contain the mean alpha, the ratio of the median standard
    /// error to the standard deviation, and the same ratio for (alpha - 1) / sqrt(n).
    fn coverage(scales: &[f64], long: usize, rule: Rule, matrices: usize) -> [f64; 3] {
        let mut rng = fastrand::Rng::with_seed(11);
        let positions = Positions::simulate(scales.len(), long, 60, 1);
        let spectra: Vec<Spectrum> = (0..matrices).map(|_| matrix(long, scales, &mut rng)).collect();
        let fits: Vec<Fit> = spectra.iter().map(|spectrum| fit(spectrum, rule).unwrap()).collect();
        let alphas: Vec<f64> = fits.iter().map(|fit| fit.alpha).collect();
        let (mean, deviation) = (alphas.iter().sum::<f64>() / matrices as f64, standard_deviation(&alphas));
        let error = |spectrum| standard_error(spectrum, rule, long, &positions).ok();
        let pairs = spectra.iter().zip(&alphas).filter_map(|(spectrum, alpha)| Some((*alpha, error(spectrum)?)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        assert!(matrices - pairs.len() <= matrices / 50, "{} of {matrices} standard errors were refused", pairs.len());
        let inside = pairs.iter().filter(|(alpha, error)| (alpha - mean).abs() < 1.96 * error).count();
        let mut errors: Vec<f64> = pairs.iter().map(|(_, error)| *error).collect();
        errors.sort_by(f64::total_cmp);
        let textbook = fits.iter().map(|fit| (fit.alpha - 1.0) / (fit.tail as f64).sqrt()).sum::<f64>();
        [
            inside as f64 / pairs.len() as f64,
            errors[errors.len() / 2] / deviation,
            textbook / matrices as f64 / deviation,
        ]
    }

    #[test]
    fn intervals_cover_the_mean_of_random_matrices() {
        let flat = vec![1.0; 64];
        let mut spiked = flat.clone();
        spiked[..4].copy_from_slice(&[4.0, 6.0, 8.0, 12.0]);
        let power_law: Vec<f64> = (0..64).map(|k| (1.0 - (f64::from(k) + 0.5) / 64.0_f64).powf(-1.0 / 3.0)).collect();
        for (kind, scales) in [("flat", flat), ("spiked", spiked), ("power law", power_law)] {
            for (rule, narrow) in [(Rule::Median, true), (Rule::PeakRobust, false)] {
                let [covered, ratio, textbook] = coverage(&scales, 128, rule, 120);
                assert!((0.88..=1.0).contains(&covered), "{kind}, {rule}: {covered} covered");
                // The errors may be too large if xmin can jump: simulated spectra are slightly rougher than observed
                // ones.
                assert!((0.75..=2.0).contains(&ratio), "{kind}, {rule}: {ratio} times the standard deviation");
                assert!(!narrow || textbook > 3.0, "{kind}, {rule}: the textbook's is {textbook} times it");
            }
        }
    }

    #[test]
    fn what_cannot_be_simulated_is_refused_with_the_reason() {
        let positions = Positions::simulate(64, 64, 20, 1);
        let mut rng = fastrand::Rng::with_seed(2);
        let mut values: Vec<f64> = (0..64).map(|_| (3.0 * normal(&mut rng)).exp()).collect();
        values.sort_by(f64::total_cmp);
        let error = |values: &[f64]| standard_error(&exact(values.to_vec()), Rule::Ks, 64, &positions).unwrap_err();
        assert!(error(&values).starts_with("its eigenvalues do not repel"), "{}", error(&values));
        assert!(error(&[2.0; 64]).starts_with("its eigenvalues do not repel"));
        assert!(error(&values[..20]).starts_with("20 eigenvalues, fewer than"));
        values[..3].fill(0.0);
        assert_eq!(error(&values), "3 of 64 eigenvalues are zero within rounding");
    }
}
