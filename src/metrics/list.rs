//! The list of metrics, in the order of columns.

use super::Source::{Elsewhere, Spectrum};
use super::{Metric, alternatives, norms, randomness, rank, shape, stability, tail};

/// A metric that costs nothing.
const fn always(
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
const fn on_request(
    name: &'static str,
    about: &'static str,
    compute: fn(&super::AnalyzedMatrix) -> super::Measurement,
) -> Metric {
    Metric { name, about, always: false, source: Spectrum(compute) }
}

/// A metric that requires an option.
const fn with_option(name: &'static str, about: &'static str, option: &'static str) -> Metric {
    Metric { name, about, always: false, source: Elsewhere(option) }
}

/// All metrics.
pub static METRICS: &[Metric] = &[
    always("alpha", "exponent of the power law", tail::alpha),
    on_request("alpha_peak", "alpha by the peak rule, whatever the rule of the row", tail::alpha_peak),
    on_request(
        "alpha_peak_robust",
        "alpha by the peak-robust rule, whatever the rule of the row",
        tail::alpha_peak_robust,
    ),
    on_request("alpha_median", "alpha by the median rule, whatever the rule of the row", tail::alpha_median),
    on_request("alpha_ks", "alpha by the ks rule, whatever the rule of the row", tail::alpha_ks),
    always("alpha_weighted", "alpha log10 lambda_max", tail::alpha_weighted),
    always("log_alpha_norm", "log10 of the sum of x^alpha", tail::log_alpha_norm),
    always("log_norm", "log10 of the squared Frobenius norm", norms::log_norm),
    always("log_spectral_norm", "log10 of the largest eigenvalue", norms::log_spectral_norm),
    always("stable_rank", "squared Frobenius norm over largest eigenvalue", norms::stable_rank),
    always("matrix_rank", "number of eigenvalues that are nonzero within rounding", rank::matrix_rank),
    always("entropy", "entropy of the eigenvalues' shares of their sum, over ln(matrix_rank)", rank::entropy),
    always("D", "Kolmogorov-Smirnov distance between tail and power law", tail::ks_distance),
    always("sigma", "standard error of alpha for independent eigenvalues", tail::sigma),
    always("xmin", "smallest eigenvalue of the tail", tail::xmin),
    always("xmax", "largest eigenvalue of the tail", tail::xmax),
    always("num_pl_spikes", "number of eigenvalues at or above xmin", tail::num_pl_spikes),
    always("num_evals", "number of eigenvalues", shape::num_evals),
    always("Q", "aspect ratio: larger over smaller dimension", shape::aspect_ratio),
    always("rank_loss", "number of eigenvalues that are zero within rounding", rank::rank_loss),
    always("weak_rank_loss", "number of eigenvalues below 1e-6", rank::weak_rank_loss),
    always("lambda_max", "largest eigenvalue: the squared spectral norm", norms::lambda_max),
    always("warning", "over-trained (alpha < 2), under-trained (alpha > 6) or none", tail::warning),
    always(
        "sigma_mp",
        "standard deviation of the random bulk's elements, over that of all elements",
        randomness::sigma_mp,
    ),
    always("mp_bulk_min", "lower edge of the random bulk", randomness::bulk_min),
    always("mp_bulk_max", "upper edge of the random bulk", randomness::bulk_max),
    always("num_spikes", "number of eigenvalues above the random bulk", randomness::num_spikes),
    always("mp_softrank", "upper edge of the random bulk over largest eigenvalue", randomness::mp_softrank),
    always("mp_distance", "Kolmogorov-Smirnov distance between bulk and Marchenko-Pastur law", randomness::mp_distance),
    always("alpha_mp", "mean alpha of random matrices of this shape, by the rule of the row", randomness::alpha_mp),
    always("alpha_mp_sd", "standard deviation of alpha among random matrices of this shape", randomness::alpha_mp_sd),
    always("alpha_excess", "alpha minus alpha_mp", randomness::alpha_excess),
    randomized("rand_distance", "Jensen-Shannon distance of the spectrum from that of the randomized matrix"),
    randomized("num_traps", "number of eigenvalues above the random bulk of the randomized matrix"),
    randomized("max_rand_eval", "largest eigenvalue of the randomized matrix"),
    always("peak_jump", "change of a peak rule's alpha if the smallest eigenvalue moves by 1 %", stability::peak_jump),
    always("peak_fragile", "whether peak_jump exceeds 0.001", stability::peak_fragile),
    on_request("alpha_low", "smallest alpha of all tails whose D is within 0.01 of the best", stability::alpha_low),
    on_request("alpha_high", "largest alpha of all tails whose D is within 0.01 of the best", stability::alpha_high),
    with_option("alpha_se", "standard error of alpha, from simulated spectra", "only with the option se"),
    with_option("gof_p", "p-value of the power law, by bootstrap", "only with the option gof"),
    on_request("tpl_alpha", "exponent of the truncated power law", alternatives::tpl_alpha),
    on_request(
        "tpl_lambda",
        "rate of the cutoff of the truncated power law, in units of 1 / x",
        alternatives::tpl_lambda,
    ),
    on_request("tpl_R", "log-likelihood of the power law minus that of the truncated one", alternatives::tpl_ratio),
    on_request("tpl_p", "probability of a tpl_R this large without a cutoff", alternatives::tpl_p_value),
    on_request("lognormal_mu", "mean of ln x of the lognormal tail", alternatives::lognormal_mu),
    on_request("lognormal_sigma", "standard deviation of ln x of the lognormal tail", alternatives::lognormal_sigma),
    on_request(
        "lognormal_R",
        "log-likelihood of the power law minus that of the lognormal",
        alternatives::lognormal_ratio,
    ),
    on_request(
        "lognormal_p",
        "probability of a lognormal_R this far from 0 if both are equally good",
        alternatives::lognormal_p_value,
    ),
    on_request(
        "exponential_lambda",
        "rate of the exponential tail, in units of 1 / x",
        alternatives::exponential_lambda,
    ),
    on_request(
        "exponential_R",
        "log-likelihood of the power law minus that of the exponential",
        alternatives::exponential_ratio,
    ),
    on_request(
        "exponential_p",
        "probability of an exponential_R this far from 0 if both are equally good",
        alternatives::exponential_p_value,
    ),
];
