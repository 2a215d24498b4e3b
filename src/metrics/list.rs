//! The list of metrics, in the order of columns.

use super::Source::Spectrum;
use super::{Metric, alternatives, norms, shape, tail};

/// A metric that costs nothing.
const fn free(name: &'static str, about: &'static str, compute: fn(&super::Subject) -> super::Measurement) -> Metric {
    Metric { name, about, always: true, source: Spectrum(compute) }
}

/// A metric that is measured if somebody asks for it.
const fn asked(name: &'static str, about: &'static str, compute: fn(&super::Subject) -> super::Measurement) -> Metric {
    Metric { name, about, always: false, source: Spectrum(compute) }
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
    asked("tpl_alpha", "exponent of the truncated power law", alternatives::tpl_alpha),
    asked("tpl_lambda", "rate of its cutoff, in units of 1 / x", alternatives::tpl_lambda),
    asked("tpl_R", "log-likelihood of the power law less that of the truncated one", alternatives::tpl_ratio),
    asked("tpl_p", "probability of such a tpl_R if there is no cutoff", alternatives::tpl_p_value),
    asked("lognormal_mu", "mean of ln x of the lognormal tail", alternatives::lognormal_mu),
    asked("lognormal_sigma", "standard deviation of ln x of the lognormal tail", alternatives::lognormal_sigma),
    asked("lognormal_R", "log-likelihood of the power law less that of the lognormal", alternatives::lognormal_ratio),
    asked("lognormal_p", "probability of such a lognormal_R if both are equally good", alternatives::lognormal_p_value),
    asked("exponential_lambda", "rate of the exponential tail, in units of 1 / x", alternatives::exponential_lambda),
    asked(
        "exponential_R",
        "log-likelihood of the power law less that of the exponential",
        alternatives::exponential_ratio,
    ),
    asked(
        "exponential_p",
        "probability of such an exponential_R if both are equally good",
        alternatives::exponential_p_value,
    ),
];
