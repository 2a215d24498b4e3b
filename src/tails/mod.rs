//! Alternatives to the power law: how well other tails fit the same eigenvalues, and whether the difference is
//! significant.
//!
//! A straight line on a log-log plot is weak evidence: over one or two decades, lognormal and exponential tails look
//! similar. So each alternative is fitted by maximum likelihood to the tail that the rule chose (all x >= xmin) and
//! compared with the power law by a likelihood-ratio test (Clauset, Shalizi, Newman, arXiv 0706.1062, section 5):
//!
//! ```text
//! R = sum over the tail of (ln p_power-law(x) - ln p_alternative(x))
//! ```
//!
//! R > 0 favors the power law and R < 0 the alternative, but only if p is small: the probability of an |R| that large
//! when both are equally good. See [`TailComparison`].
//!
//! All computations use y = x / xmin and t = ln y, for which a tail starts at 1 and 0 for any scale of
//! the weights. They use logarithms of densities, never the densities. This module does not choose xmin; an alternative may
//! have a better one.

mod exponential;
mod exponential_integral;
mod likelihood_ratio;
mod lognormal;
mod maximum;
mod normal_tail;
mod truncated;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fit::{Fit, MIN_EIGENVALUES};
use crate::spectrum::Spectrum;

/// A distribution of the tail other than the power law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Alternative {
    /// A power law with an exponential cutoff, x^-alpha exp(-lambda x); lambda = 0 gives the power law.
    Tpl,
    /// A normal distribution of ln x.
    Lognormal,
    /// An exponential, exp(-lambda x).
    Exponential,
}

impl Alternative {
    /// All of them.
    pub const ALL: [Alternative; 3] = [Alternative::Tpl, Alternative::Lognormal, Alternative::Exponential];

    /// Its name in words.
    pub fn words(self) -> &'static str {
        match self {
            Alternative::Tpl => "truncated power law",
            Alternative::Lognormal => "lognormal",
            Alternative::Exponential => "exponential",
        }
    }

    /// Names of its parameters, in the order of [`TailComparison::parameters`]. lambda is in units of 1 / x; mu and
    /// sigma are those of ln x.
    pub fn parameter_names(self) -> &'static [&'static str] {
        match self {
            Alternative::Tpl => &["alpha", "lambda"],
            Alternative::Lognormal => &["mu", "sigma"],
            Alternative::Exponential => &["lambda"],
        }
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Alternative::Tpl => "tpl",
            Alternative::Lognormal => "lognormal",
            Alternative::Exponential => "exponential",
        })
    }
}

/// An alternative, fitted and compared with the power law.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TailComparison {
    /// The fitted distribution.
    pub alternative: Alternative,
    /// The maximum-likelihood parameters, in the order of [`Alternative::parameter_names`].
    pub parameters: Vec<f64>,
    /// R, the log-likelihood of the power law minus that of the alternative (natural logarithm): positive if the power
    /// law fits better. Never positive for `tpl`, because the power law is a special case of it.
    pub log_likelihood_ratio: f64,
    /// The probability of an |R| at least this large if both were equally good (two-sided). Below 0.1 (Clauset et al.)
    /// the sign of R is significant; above, the data do not distinguish the two.
    ///
    /// For `tpl`, the power law is nested in the alternative, and 2 |R| is compared with a chi-squared distribution
    /// with one degree of freedom (Wilks). For the others, R / (sqrt(n) s) is compared with a normal distribution,
    /// where s is the standard deviation of the individual terms (Vuong, Econometrica 57, 307, 1989; Clauset et al.,
    /// eq. C.6).
    pub p_value: f64,
}

impl TailComparison {
    /// The natural logarithm of the fitted density of the tail at `x` >= `xmin`.
    pub fn ln_density(&self, x: f64, xmin: f64) -> f64 {
        let excess = (x - xmin) / xmin;
        let log = excess.ln_1p();
        let relative = match (self.alternative, &self.parameters[..]) {
            (Alternative::Tpl, &[alpha, lambda]) => {
                truncated::TruncatedPowerLaw::new(alpha, lambda * xmin).ln_density(log, excess)
            }
            (Alternative::Lognormal, &[mu, sigma]) => {
                lognormal::Lognormal::new((xmin.ln() - mu) / sigma, sigma).ln_density(log, excess)
            }
            (_, parameters) => exponential::Exponential { lambda: parameters[0] * xmin }.ln_density(log, excess),
        };
        relative - xmin.ln()
    }
}

/// Why an alternative cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoComparison {
    /// The tail has fewer than [`MIN_EIGENVALUES`] values; the test is valid for large numbers only.
    ShortTail(usize),
    /// The lognormal has no best parameters: its likelihood rises toward that of the power law as mu -> -infinity and
    /// sigma -> infinity. (The mean of t^2 is at least twice the squared mean of t, the value of an exponential
    /// distribution.)
    TendsToPowerLaw,
}

impl fmt::Display for NoComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoComparison::ShortTail(n) => {
                write!(f, "the tail has {n} eigenvalues; a likelihood-ratio test needs {MIN_EIGENVALUES}")
            }
            NoComparison::TendsToPowerLaw => {
                f.write_str("no best lognormal: its likelihood rises toward that of the power law as mu -> -infinity")
            }
        }
    }
}

/// A tail in units of its start.
struct Tail {
    /// ln(x / xmin) and x / xmin - 1 of each eigenvalue.
    points: Vec<(f64, f64)>,
    /// Means over the tail: of t = ln y ...
    log: f64,
    /// ... of t^2 ...
    log_squared: f64,
    /// ... and of y - 1.
    excess: f64,
}

impl Tail {
    fn new(values: &[f64]) -> Tail {
        let xmin = values[0];
        // x - xmin is exact for close values, so y - 1 is accurate to the last digits even if y is 1 + 1e-12.
        let point = |x: &f64| {
            let excess = (x - xmin) / xmin;
            (excess.ln_1p(), excess)
        };
        let points: Vec<(f64, f64)> = values.iter().map(point).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (log, log_squared, excess) = (mean(|p| p.0), mean(|p| p.0 * p.0), mean(|p| p.1));
        Tail { points, log, log_squared, excess }
    }
}

/// A fitted distribution of y = x / xmin on [1, infinity).
trait Density {
    /// The natural logarithm of its density with respect to y, at the point with ln y = `log` and y - 1 = `excess`.
    fn ln_density(&self, log: f64, excess: f64) -> f64;
}

/// The power law with the density (alpha - 1) y^-alpha.
struct PowerLaw {
    alpha: f64,
}

impl Density for PowerLaw {
    fn ln_density(&self, log: f64, _: f64) -> f64 {
        (self.alpha - 1.0).ln() - self.alpha * log
    }
}

/// Fits `alternative` to the tail of `fit`, which must be a fit of `spectrum`, and compares the two.
///
/// # Errors
///
/// [`NoComparison`].
///
/// # Examples
///
/// ```
/// use htsr::fit::{Rule, fit};
/// use htsr::spectrum::Spectrum;
/// use htsr::tails::{Alternative, compare};
///
/// // Quantiles of a power law with alpha = 3 above 1: no exponential.
/// let values: Vec<f64> = (0..1000).map(|k| (1.0 - (k as f64 + 0.5) / 1000.0).powf(-0.5)).collect();
/// let trace = values.iter().sum();
/// let spectrum = Spectrum::from_gram(values, trace, f64::EPSILON).unwrap();
/// let fit = fit(&spectrum, Rule::Peak).unwrap();
/// let comparison = compare(&spectrum, &fit, Alternative::Exponential).unwrap();
/// assert!(comparison.log_likelihood_ratio > 0.0 && comparison.p_value < 1e-3);
/// ```
pub fn compare(spectrum: &Spectrum, fit: &Fit, alternative: Alternative) -> Result<TailComparison, NoComparison> {
    let values = &spectrum.values()[fit.start..];
    if values.len() < MIN_EIGENVALUES {
        return Err(NoComparison::ShortTail(values.len()));
    }
    let tail = Tail::new(values);
    let power_law = PowerLaw { alpha: fit.alpha };
    let xmin = values[0];
    let (parameters, (log_likelihood_ratio, p_value)) = match alternative {
        Alternative::Exponential => {
            let fitted = exponential::Exponential::fit(&tail);
            (vec![fitted.lambda / xmin], likelihood_ratio::vuong(&tail, &power_law, &fitted))
        }
        Alternative::Lognormal => {
            let fitted = lognormal::Lognormal::fit(&tail).ok_or(NoComparison::TendsToPowerLaw)?;
            (vec![fitted.mu() + xmin.ln(), fitted.sigma()], likelihood_ratio::vuong(&tail, &power_law, &fitted))
        }
        Alternative::Tpl => {
            let fitted = truncated::TruncatedPowerLaw::fit(&tail, fit.alpha);
            (vec![fitted.alpha, fitted.lambda / xmin], likelihood_ratio::nested(&tail, &power_law, &fitted))
        }
    };
    Ok(TailComparison { alternative, parameters, log_likelihood_ratio, p_value })
}

#[cfg(test)]
mod tests;
