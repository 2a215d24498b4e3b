//! Power-law fits of the tail of a spectrum, and the rules that choose where the tail begins.
//!
//! For a tail that starts at index i of N ascending eigenvalues x, with n = N - i values, the maximum-likelihood (Hill)
//! estimate and the Kolmogorov-Smirnov distance are (Clauset, Shalizi, Newman, arXiv 0706.1062, eq. 3.1 and 3.9)
//!
//! ```text
//! alpha_i = 1 + n / (sum_{j>=i} ln x_j - n ln x_i)
//! D_i     = max_{0<=j<n} | 1 - (x_{i+j} / x_i)^(1 - alpha_i) - j/n |
//! ```
//!
//! D uses only the left limit of the empirical CDF, as all published HT-SR codes do. A [`Rule`] picks i. A tail holds all
//! eigenvalues from xmin on, so of equal eigenvalues only the first can start one. Everything is in f64; this module is the
//! reference for every other implementation of the fit.

mod certainty;
mod fragility;
mod ks;
mod log_spectrum;
mod median;
mod peak;
mod peak_robust;
mod range;
mod window;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::limits::MIN_EIGENVALUES;
use crate::spectrum::Spectrum;
pub use certainty::is_certain;
pub use fragility::{NUDGE, jump};
use log_spectrum::LogSpectrum;
pub use range::{DISTANCE_MARGIN, alpha_range};

/// How the start of the tail, xmin, is chosen. The choice changes alpha far more than any rounding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// The best KS distance near the peak of the histogram of log10 x (fix-finger): AlphaLoRA, AlphaPruning, FARMS.
    #[default]
    Peak,
    /// A robust variant of peak: the tail starts near a peak that no single eigenvalue moves much. Unpublished.
    PeakRobust,
    /// The middle of the spectrum (PL_Alpha_Hill): TempBalance, AlphaDecay.
    Median,
    /// The best KS distance of all starts: WeightWatcher's alpha.
    Ks,
}

impl Rule {
    /// Relative error of the smallest eigenvalue above which [`Rule::Peak`] is not safe. On 210 matrices of a real
    /// model an error of 1e-4 changed alpha by more than 1e-3 in 6 matrices, an error of 1e-3 in 48, and one of 1e-2 in
    /// 151.
    pub const PEAK_TOLERANCE: f64 = 1e-6;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Peak => "peak",
            Rule::PeakRobust => "peak-robust",
            Rule::Median => "median",
            Rule::Ks => "ks",
        })
    }
}

/// A fitted power law: density proportional to x^-alpha for x >= xmin.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Fit {
    /// The exponent, > 1.
    pub alpha: f64,
    /// The Kolmogorov-Smirnov distance D between tail and fit.
    pub ks_distance: f64,
    /// Index of the first eigenvalue of the tail.
    pub start: usize,
    /// The first eigenvalue of the tail.
    pub xmin: f64,
    /// Number of eigenvalues in the tail.
    pub tail: usize,
}

/// Why a spectrum has no alpha under a rule.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NoFit {
    /// Fewer than [`MIN_EIGENVALUES`] eigenvalues; holds their number.
    TooFew(usize),
    /// The rule needs an eigenvalue that is zero within rounding.
    RankDeficient {
        /// The rule that needs it.
        rule: Rule,
        /// The numerical rank.
        rank: usize,
        /// Number of eigenvalues.
        of: usize,
    },
    /// Fewer than [`MIN_EIGENVALUES`] eigenvalues are above the [floor](crate::floor) of the stored format.
    BelowFloor {
        /// Number of eigenvalues above it.
        above: usize,
        /// Number of eigenvalues.
        of: usize,
    },
    /// An update is smaller than the spacing of the numbers that it was rounded to.
    Unchanged {
        /// The share of elements that are the same as in the base.
        share: f64,
    },
    /// All candidate eigenvalues are equal within rounding, or no start gives alpha > 1.
    NoTail,
    /// Rounding hides the candidate eigenvalues; a higher precision may resolve them.
    Unresolved,
}

impl std::error::Error for NoFit {}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoFit::TooFew(1) => write!(f, "1 eigenvalue, fewer than the {MIN_EIGENVALUES} that a power-law fit takes"),
            NoFit::TooFew(n) => {
                write!(f, "{n} eigenvalues, fewer than the {MIN_EIGENVALUES} that a power-law fit takes")
            }
            NoFit::RankDeficient { rule, rank, of } => {
                write!(
                    f,
                    "rank-deficient (numerical rank {rank} of {of}): an eigenvalue that the {rule} rule needs is zero within rounding"
                )
            }
            NoFit::BelowFloor { above, of } => {
                let are = if *above == 1 { "is" } else { "are" };
                write!(
                    f,
                    "{above} of {of} eigenvalues {are} above the floor of the stored format, fewer than the {MIN_EIGENVALUES} that a power-law fit takes"
                )
            }
            NoFit::Unchanged { share } => write!(
                f,
                "{:.0} % of the elements are unchanged: the update is smaller than the spacing of the stored numbers, and what is left of it is mostly rounding",
                100.0 * share
            ),
            NoFit::Unresolved => f.write_str("unresolved: rounding hides the eigenvalues in question"),
            NoFit::NoTail => f.write_str("no power-law tail: the eigenvalues in question are equal within rounding"),
        }
    }
}

impl Fit {
    /// Bound on the absolute error of alpha that the errors of the eigenvalues cause, for this tail.
    ///
    /// With relative errors r_j, the mean of ln(x_j / x_i) is off by at most D = mean(-ln(1 - r_j)) - ln(1 - r_i), and
    /// alpha by (alpha - 1)^2 D / (1 - (alpha - 1) D). Infinite if that has no bound.
    pub fn alpha_error(&self, spectrum: &Spectrum) -> f64 {
        let shift = |index: usize| -(-spectrum.relative_error(index).min(1.0)).ln_1p();
        let mean = (self.start..spectrum.len()).map(shift).sum::<f64>() / self.tail as f64;
        let scaled = (self.alpha - 1.0) * (mean + shift(self.start));
        if scaled < 1.0 { (self.alpha - 1.0) * scaled / (1.0 - scaled) } else { f64::INFINITY }
    }

    /// Returns the fit, or [`NoFit::NoTail`] if the eigenvalues of its tail are accurate and equal within rounding, be it that of
    /// the solver or that of the weights.
    pub(crate) fn unless_degenerate(self, spectrum: &Spectrum) -> Result<Fit, NoFit> {
        let known = spectrum.relative_error(self.start) <= LogSpectrum::HIDDEN;
        let is_flat = || self.alpha_error(spectrum).is_infinite() || spectrum.is_one_value(self.start);
        if known && is_flat() { Err(NoFit::NoTail) } else { Ok(self) }
    }
}

/// Fits a power law to the tail that `rule` chooses.
///
/// # Errors
///
/// [`NoFit`] if the spectrum has no alpha; published codes return 0 or -1 then, or crash.
///
/// # Examples
///
/// ```
/// use htsr::fit::{Rule, fit};
/// use htsr::spectrum::Spectrum;
///
/// // Quantiles of a power law with alpha = 3 above 1.
/// let values: Vec<f64> = (0..1000).map(|k| (1.0 - (k as f64 + 0.5) / 1000.0).powf(-0.5)).collect();
/// let trace = values.iter().sum();
/// let spectrum = Spectrum::from_gram(values, trace, f64::EPSILON).unwrap();
/// let fit = fit(&spectrum, Rule::Peak).unwrap();
/// assert!((fit.alpha - 3.0).abs() < 0.05);
/// ```
pub fn fit(spectrum: &Spectrum, rule: Rule) -> Result<Fit, NoFit> {
    if spectrum.len() < MIN_EIGENVALUES {
        return Err(NoFit::TooFew(spectrum.len()));
    }
    let logs = LogSpectrum::new(spectrum);
    let fit = match rule {
        Rule::Peak => peak::fit(&logs),
        Rule::PeakRobust => peak_robust::fit(&logs),
        Rule::Median => median::fit(&logs),
        Rule::Ks => ks::fit(&logs),
    };
    fit?.unless_degenerate(spectrum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(values: &[f64]) -> Spectrum {
        Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap()
    }

    const RULES: [Rule; 4] = [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks];

    /// alpha and D by the definition, without stored logarithms, suffix sums or early exits.
    fn by_definition(x: &[f64], i: usize) -> (f64, f64) {
        let tail = &x[i..];
        let n = tail.len() as f64;
        let alpha = 1.0 + n / tail.iter().map(|y| (y / x[i]).ln()).sum::<f64>();
        let distance = tail.iter().enumerate().map(|(j, y)| (1.0 - (y / x[i]).powf(1.0 - alpha) - j as f64 / n).abs());
        (alpha, distance.fold(0.0, f64::max))
    }

    fn lognormal(n: usize, sigma: f64, seed: u64) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut values: Vec<f64> =
            (0..n).map(|_| (sigma * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0)).exp()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn every_rule_reports_its_tail_by_the_definition() {
        for (n, sigma, seed) in [(8, 1.0, 1), (9, 0.3, 2), (100, 2.0, 3), (257, 1.0, 4), (1000, 0.01, 5)] {
            let values = lognormal(n, sigma, seed);
            for rule in RULES {
                let fit = fit(&spectrum(&values), rule).unwrap();
                let (alpha, distance) = by_definition(&values, fit.start);
                assert!((fit.alpha / alpha - 1.0).abs() < 1e-10, "{rule} {n}: {} {alpha}", fit.alpha);
                assert!((fit.ks_distance - distance).abs() < 1e-10, "{rule} {n}");
                assert_eq!((fit.xmin, fit.tail), (values[fit.start], n - fit.start));
            }
        }
    }

    #[test]
    fn the_ks_rule_finds_the_smallest_distance_of_all() {
        for seed in 0..20 {
            let values = lognormal(60, 1.5, seed);
            let best = (0..59).map(|i| by_definition(&values, i).1).fold(f64::INFINITY, f64::min);
            let fit = fit(&spectrum(&values), Rule::Ks).unwrap();
            assert!((fit.ks_distance - best).abs() < 1e-12);
        }
    }

    #[test]
    fn the_median_rule_starts_in_the_middle() {
        for n in [8, 9, 10, 101] {
            assert_eq!(fit(&spectrum(&lognormal(n, 1.0, 7)), Rule::Median).unwrap().start, n / 2);
        }
    }

    #[test]
    fn extreme_ranges_do_not_overflow() {
        for scale in [1e-300, 1e-30, 1.0, 1e30, 1e290] {
            let values: Vec<f64> = lognormal(64, 1.0, 11).iter().map(|x| x * scale).collect();
            for rule in [Rule::Median, Rule::Ks] {
                let reference = fit(&spectrum(&lognormal(64, 1.0, 11)), rule).unwrap();
                let scaled = fit(&spectrum(&values), rule).unwrap();
                assert_eq!(scaled.start, reference.start);
                assert!((scaled.alpha / reference.alpha - 1.0).abs() < 1e-11);
            }
            assert!(fit(&spectrum(&values), Rule::Peak).is_ok());
        }
    }

    #[test]
    fn one_giant_value_is_a_tail_of_its_own_kind() {
        let mut values = lognormal(64, 0.1, 13);
        values[63] = 1e9;
        for rule in RULES {
            assert!(fit(&spectrum(&values), rule).unwrap().alpha > 1.0);
        }
    }

    #[test]
    fn the_error_bound_holds_for_every_perturbation_within_it() {
        let values = lognormal(200, 1.0, 23);
        let exact = spectrum(&values);
        let found = fit(&exact, Rule::Median).unwrap();
        // In f32: eta is 16 times 2^-23 x_max.
        let coarse = Spectrum::from_gram(values.clone(), values.iter().sum(), f32::EPSILON.into()).unwrap();
        let bound = found.alpha_error(&coarse);
        assert!(bound > 1e-6 && bound < 0.1, "{bound}");
        assert!(found.alpha_error(&exact) < 1e-10);
        let eta = coarse.relative_error(199) * values[199];
        for direction in [[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]] {
            let mut moved = values.clone();
            moved[found.start] += direction[0] * eta;
            moved[found.start + 1..].iter_mut().for_each(|x| *x += direction[1] * eta);
            let (alpha, _) = by_definition(&moved, found.start);
            assert!((alpha - found.alpha).abs() <= bound, "{alpha} {} {bound}", found.alpha);
        }
    }

    #[test]
    fn too_few_equal_and_missing_eigenvalues_are_refused_with_the_reason() {
        for rule in RULES {
            assert_eq!(fit(&spectrum(&[1.0; 7]), rule), Err(NoFit::TooFew(7)));
            assert_eq!(fit(&spectrum(&[3.0; 40]), rule), Err(NoFit::NoTail), "{rule}");
            // Singular values of an orthogonal matrix, each off by less than its bound.
            let mut rng = fastrand::Rng::with_seed(2);
            let nearly: Vec<f64> = (0..128).map(|_| 1.0 + 40.0 * f64::EPSILON * (rng.f64() - 0.5)).collect();
            let orthogonal = Spectrum::from_singular_values(&nearly, 128.0, f64::EPSILON).unwrap();
            assert_eq!(fit(&orthogonal, rule), Err(NoFit::NoTail), "{rule}");
        }
        let mut values = lognormal(40, 1.0, 17);
        values[..3].fill(0.0);
        assert_eq!(
            fit(&spectrum(&values), Rule::Peak),
            Err(NoFit::RankDeficient { rule: Rule::Peak, rank: 37, of: 40 })
        );
        assert!(fit(&spectrum(&values), Rule::Median).is_ok());
        assert!(fit(&spectrum(&values), Rule::Ks).is_ok());
        values[..25].fill(0.0);
        assert_eq!(
            fit(&spectrum(&values), Rule::Median),
            Err(NoFit::RankDeficient { rule: Rule::Median, rank: 15, of: 40 })
        );
        values[..39].fill(0.0);
        assert_eq!(fit(&spectrum(&values), Rule::Ks), Err(NoFit::RankDeficient { rule: Rule::Ks, rank: 1, of: 40 }));
    }

    #[test]
    fn a_tail_that_is_one_value_in_the_precision_of_the_weights_is_none() {
        let mut rng = fastrand::Rng::with_seed(6);
        for (roundoff, spread, is_one) in [
            (0.0, 1e-6, true),
            (0.0, 1e-3, false),
            (f64::from(f32::EPSILON) / 2.0, 1e-6, true),
            (2.0_f64.powi(-8), 1e-2, true),
            (2.0_f64.powi(-8), 0.1, false),
            (2.0_f64.powi(-11), 1e-2, false),
        ] {
            let values: Vec<f64> = (0..128).map(|_| 1.0 + spread * rng.f64()).collect();
            let rounded = spectrum(&values).with_roundoff([128, 128], roundoff);
            for rule in RULES {
                let scaled = fit(&rounded.clone().scaled(-3), rule);
                assert_eq!(scaled == Err(NoFit::NoTail), is_one, "{rule} {roundoff} {spread}: {scaled:?}");
            }
            assert_eq!(alpha_range(&rounded, 1.0).is_err(), is_one);
        }
    }

    #[test]
    fn a_tail_starts_at_the_first_of_equal_eigenvalues() {
        let values: Vec<f64> = lognormal(33, 1.0, 19).into_iter().flat_map(|x| [x, x, x]).collect();
        for rule in RULES {
            let fit = fit(&spectrum(&values), rule).unwrap();
            assert_eq!(fit.tail, values.iter().filter(|&&x| x >= fit.xmin).count(), "{rule}");
            let (alpha, distance) = by_definition(&values, fit.start);
            assert!((fit.alpha / alpha - 1.0).abs() < 1e-10 && (fit.ks_distance - distance).abs() < 1e-10);
        }
    }
}
