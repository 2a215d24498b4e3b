//! Other tails than the power law, and how they compare with it: parameters, log-likelihood ratio R and its p-value, as
//! [`crate::tails`] defines them.

use super::{Measurement, Subject};
use crate::tails::Alternative::{self, Exponential, Lognormal, Tpl};

fn parameter(subject: &Subject, alternative: Alternative, index: usize) -> Measurement {
    Ok(subject.comparison(alternative)?.parameters[index].into())
}

fn ratio(subject: &Subject, alternative: Alternative) -> Measurement {
    Ok(subject.comparison(alternative)?.log_likelihood_ratio.into())
}

fn p_value(subject: &Subject, alternative: Alternative) -> Measurement {
    Ok(subject.comparison(alternative)?.p_value.into())
}

pub(super) fn tpl_alpha(subject: &Subject) -> Measurement {
    parameter(subject, Tpl, 0)
}

pub(super) fn tpl_lambda(subject: &Subject) -> Measurement {
    parameter(subject, Tpl, 1)
}

pub(super) fn tpl_ratio(subject: &Subject) -> Measurement {
    ratio(subject, Tpl)
}

pub(super) fn tpl_p_value(subject: &Subject) -> Measurement {
    p_value(subject, Tpl)
}

pub(super) fn lognormal_mu(subject: &Subject) -> Measurement {
    parameter(subject, Lognormal, 0)
}

pub(super) fn lognormal_sigma(subject: &Subject) -> Measurement {
    parameter(subject, Lognormal, 1)
}

pub(super) fn lognormal_ratio(subject: &Subject) -> Measurement {
    ratio(subject, Lognormal)
}

pub(super) fn lognormal_p_value(subject: &Subject) -> Measurement {
    p_value(subject, Lognormal)
}

pub(super) fn exponential_lambda(subject: &Subject) -> Measurement {
    parameter(subject, Exponential, 0)
}

pub(super) fn exponential_ratio(subject: &Subject) -> Measurement {
    ratio(subject, Exponential)
}

pub(super) fn exponential_p_value(subject: &Subject) -> Measurement {
    p_value(subject, Exponential)
}
