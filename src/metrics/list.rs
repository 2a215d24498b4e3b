//! The list of metrics, in the order of columns.

use super::Source::Spectrum;
use super::{Metric, norms, shape, tail};

/// A metric that costs nothing.
const fn free(name: &'static str, about: &'static str, compute: fn(&super::Subject) -> super::Measurement) -> Metric {
    Metric { name, about, always: true, source: Spectrum(compute) }
}

/// All metrics.
pub static METRICS: &[Metric] = &[
    free("alpha", "exponent of the power law", tail::alpha),
    free("D", "Kolmogorov-Smirnov distance between tail and power law", tail::ks_distance),
    free("xmin", "smallest eigenvalue of the tail", tail::xmin),
    free("num_evals", "number of eigenvalues", shape::num_evals),
    free("Q", "aspect ratio, larger by smaller dimension", shape::aspect_ratio),
    free("lambda_max", "largest eigenvalue: the squared spectral norm", norms::lambda_max),
    free("log_norm", "log10 of the squared Frobenius norm", norms::log_norm),
    free("log_spectral_norm", "log10 of the largest eigenvalue", norms::log_spectral_norm),
    free("stable_rank", "squared Frobenius norm by largest eigenvalue", norms::stable_rank),
];
