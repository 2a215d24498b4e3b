//! The list of metrics, in the order of columns.

use super::Source::{Elsewhere, Spectrum};
use super::{Metric, alternatives, norms, randomness, rank, shape, stability, tail};

/// A metric that costs nothing.
const fn free(
    name: &'static str,
    about: &'static str,
    compute: fn(&super::AnalyzedMatrix) -> super::Measurement,
) -> Metric {
    Metric { name, about, always: true, source: Spectrum(compute) }
}

/// A metric that compares a matrix with its randomized twin.
const fn randomized(name: &'static str, about: &'static str) -> Metric {
    Metric { name, about, always: false, source: Elsewhere("only with the option randomize") }
}

/// A metric that costs something, even if only a little.
const fn asked(
    name: &'static str,
    about: &'static str,
    compute: fn(&super::AnalyzedMatrix) -> super::Measurement,
) -> Metric {
    Metric { name, about, always: false, source: Spectrum(compute) }
}

/// A metric that requires an option.
const fn optional(name: &'static str, about: &'static str, option: &'static str) -> Metric {
    Metric { name, about, always: false, source: Elsewhere(option) }
}

/// All metrics.
pub static METRICS: &[Metric] = &[
    free("alpha", "exponent of the power law", tail::alpha),
    asked("alpha_peak", "alpha by the peak rule, whatever the rule of the row", tail::alpha_peak),
    asked("alpha_peak_robust", "alpha by the peak-robust rule, whatever the rule of the row", tail::alpha_peak_robust),
    asked("alpha_median", "alpha by the median rule, whatever the rule of the row", tail::alpha_median),
    asked("alpha_ks", "alpha by the ks rule, whatever the rule of the row", tail::alpha_ks),
    free("alpha_weighted", "alpha log10 lambda_max", tail::alpha_weighted),
    free("log_alpha_norm", "log10 of the sum of x^alpha", tail::log_alpha_norm),
    free("log_norm", "log10 of the squared Frobenius norm", norms::log_norm),
    free("log_spectral_norm", "log10 of the largest eigenvalue", norms::log_spectral_norm),
    free("stable_rank", "squared Frobenius norm over largest eigenvalue", norms::stable_rank),
    free("matrix_rank", "number of eigenvalues that are nonzero within rounding", rank::matrix_rank),
    free("entropy", "entropy of the eigenvalues' shares of their sum, over ln(matrix_rank)", rank::entropy),
    free("D", "Kolmogorov-Smirnov distance between tail and power law", tail::ks_distance),
    free("sigma", "standard error of alpha for independent eigenvalues", tail::sigma),
    free("xmin", "smallest eigenvalue of the tail", tail::xmin),
    free("xmax", "largest eigenvalue of the tail", tail::xmax),
    free("num_pl_spikes", "number of eigenvalues at or above xmin", tail::num_pl_spikes),
    free("num_evals", "number of eigenvalues", shape::num_evals),
    free("Q", "aspect ratio: larger over smaller dimension", shape::aspect_ratio),
    free("rank_loss", "number of eigenvalues that are zero within rounding", rank::rank_loss),
    free("weak_rank_loss", "number of eigenvalues below 1e-6", rank::weak_rank_loss),
    free("lambda_max", "largest eigenvalue: the squared spectral norm", norms::lambda_max),
    free("warning", "over-trained (alpha < 2), under-trained (alpha > 6) or none", tail::warning),
    free(
        "sigma_mp",
        "standard deviation of the random bulk's elements, over that of all elements",
        randomness::sigma_mp,
    ),
    free("mp_bulk_min", "lower edge of the random bulk", randomness::bulk_min),
    free("mp_bulk_max", "upper edge of the random bulk", randomness::bulk_max),
    free("num_spikes", "number of eigenvalues above the random bulk", randomness::num_spikes),
    free("mp_softrank", "upper edge of the random bulk over largest eigenvalue", randomness::mp_softrank),
    free("mp_distance", "Kolmogorov-Smirnov distance between bulk and Marchenko-Pastur law", randomness::mp_distance),
    free("alpha_mp", "mean alpha of random matrices of this shape, by the rule of the row", randomness::alpha_mp),
    free("alpha_mp_sd", "standard deviation of alpha among random matrices of this shape", randomness::alpha_mp_sd),
    free("alpha_excess", "alpha minus alpha_mp", randomness::alpha_excess),
    randomized("rand_distance", "Jensen-Shannon distance of the spectrum from that of the randomized matrix"),
    randomized("num_traps", "number of eigenvalues above the random bulk of the randomized matrix"),
    randomized("max_rand_eval", "largest eigenvalue of the randomized matrix"),
    free("peak_jump", "change of a peak rule's alpha if the smallest eigenvalue moves by 1 %", stability::peak_jump),
    free("peak_fragile", "whether peak_jump exceeds 0.001", stability::peak_fragile),
    asked("alpha_low", "smallest alpha of all tails whose D is within 0.01 of the best", stability::alpha_low),
    asked("alpha_high", "largest alpha of all tails whose D is within 0.01 of the best", stability::alpha_high),
    optional("alpha_se", "standard error of alpha, from simulated spectra", "only with the option se"),
    optional("gof_p", "p-value of the power law, by bootstrap", "only with the option gof"),
    asked("tpl_alpha", "exponent of the truncated power law", alternatives::tpl_alpha),
    asked("tpl_lambda", "rate of the cutoff of the truncated power law, in units of 1 / x", alternatives::tpl_lambda),
    asked("tpl_R", "log-likelihood of the power law minus that of the truncated one", alternatives::tpl_ratio),
    asked("tpl_p", "probability of a tpl_R this large without a cutoff", alternatives::tpl_p_value),
    asked("lognormal_mu", "mean of ln x of the lognormal tail", alternatives::lognormal_mu),
    asked("lognormal_sigma", "standard deviation of ln x of the lognormal tail", alternatives::lognormal_sigma),
    asked("lognormal_R", "log-likelihood of the power law minus that of the lognormal", alternatives::lognormal_ratio),
    asked(
        "lognormal_p",
        "probability of a lognormal_R this far from 0 if both are equally good",
        alternatives::lognormal_p_value,
    ),
    asked("exponential_lambda", "rate of the exponential tail, in units of 1 / x", alternatives::exponential_lambda),
    asked(
        "exponential_R",
        "log-likelihood of the power law minus that of the exponential",
        alternatives::exponential_ratio,
    ),
    asked(
        "exponential_p",
        "probability of an exponential_R this far from 0 if both are equally good",
        alternatives::exponential_p_value,
    ),
];
