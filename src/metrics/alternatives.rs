//! Alternatives to the power law: parameters, log-likelihood ratio R and its p-value, as defined in [`crate::tails`].

use super::{AnalyzedMatrix, Measurement};
use crate::tails::Alternative::{self, Exponential, Lognormal, Tpl};

fn parameter(matrix: &AnalyzedMatrix, alternative: Alternative, index: usize) -> Measurement {
    Ok(matrix.comparison(alternative)?.parameters[index].into())
}

fn ratio(matrix: &AnalyzedMatrix, alternative: Alternative) -> Measurement {
    Ok(matrix.comparison(alternative)?.log_likelihood_ratio.into())
}

fn p_value(matrix: &AnalyzedMatrix, alternative: Alternative) -> Measurement {
    Ok(matrix.comparison(alternative)?.p_value.into())
}

pub(super) fn tpl_alpha(matrix: &AnalyzedMatrix) -> Measurement {
    parameter(matrix, Tpl, 0)
}

pub(super) fn tpl_lambda(matrix: &AnalyzedMatrix) -> Measurement {
    parameter(matrix, Tpl, 1)
}

pub(super) fn tpl_ratio(matrix: &AnalyzedMatrix) -> Measurement {
    ratio(matrix, Tpl)
}

pub(super) fn tpl_p_value(matrix: &AnalyzedMatrix) -> Measurement {
    p_value(matrix, Tpl)
}

pub(super) fn lognormal_mu(matrix: &AnalyzedMatrix) -> Measurement {
    parameter(matrix, Lognormal, 0)
}

pub(super) fn lognormal_sigma(matrix: &AnalyzedMatrix) -> Measurement {
    parameter(matrix, Lognormal, 1)
}

pub(super) fn lognormal_ratio(matrix: &AnalyzedMatrix) -> Measurement {
    ratio(matrix, Lognormal)
}

pub(super) fn lognormal_p_value(matrix: &AnalyzedMatrix) -> Measurement {
    p_value(matrix, Lognormal)
}

pub(super) fn exponential_lambda(matrix: &AnalyzedMatrix) -> Measurement {
    parameter(matrix, Exponential, 0)
}

pub(super) fn exponential_ratio(matrix: &AnalyzedMatrix) -> Measurement {
    ratio(matrix, Exponential)
}

pub(super) fn exponential_p_value(matrix: &AnalyzedMatrix) -> Measurement {
    p_value(matrix, Exponential)
}
