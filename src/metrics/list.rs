//! The list of metrics, in the order of columns.

use super::Source::{Elsewhere, Spectrum};
use super::{Metric, chance, norms, shape, tail};

/// A metric that costs nothing.
const fn free(name: &'static str, about: &'static str, compute: fn(&super::Subject) -> super::Measurement) -> Metric {
    Metric { name, about, always: true, source: Spectrum(compute) }
}

/// A metric that compares a matrix with its elements in random order.
const fn randomized(name: &'static str, about: &'static str) -> Metric {
    Metric { name, about, always: false, source: Elsewhere("it takes --randomize SEED") }
}

/// A metric that takes another fit.
const fn fitted(name: &'static str, about: &'static str, compute: fn(&super::Subject) -> super::Measurement) -> Metric {
    Metric { always: false, ..free(name, about, compute) }
}

/// All metrics.
pub static METRICS: &[Metric] = &[
    free("alpha", "exponent of the power law", tail::alpha),
    fitted("alpha_peak", "alpha by the peak rule, whatever the rule of the row", tail::alpha_peak),
    fitted("alpha_median", "alpha by the median rule, whatever the rule of the row", tail::alpha_median),
    fitted("alpha_ks", "alpha by the ks rule, whatever the rule of the row", tail::alpha_ks),
    free("D", "Kolmogorov-Smirnov distance between tail and power law", tail::ks_distance),
    free("xmin", "smallest eigenvalue of the tail", tail::xmin),
    free("num_evals", "number of eigenvalues", shape::num_evals),
    free("Q", "aspect ratio, larger by smaller dimension", shape::aspect_ratio),
    free("lambda_max", "largest eigenvalue: the squared spectral norm", norms::lambda_max),
    free("log_norm", "log10 of the squared Frobenius norm", norms::log_norm),
    free("log_spectral_norm", "log10 of the largest eigenvalue", norms::log_spectral_norm),
    free("stable_rank", "squared Frobenius norm by largest eigenvalue", norms::stable_rank),
    free("alpha_mp", "mean alpha of random matrices of this shape, by the rule of the row", chance::alpha_mp),
    free("alpha_mp_sd", "standard deviation of alpha among these", chance::alpha_mp_sd),
    free("alpha_excess", "alpha less alpha_mp", chance::alpha_excess),
    randomized("rand_distance", "Jensen-Shannon distance of the spectrum from that of the randomized matrix"),
    randomized("max_rand_eval", "largest eigenvalue of the randomized matrix"),
];
