//! Metrics of the fitted tail (Clauset, Shalizi and Newman, arXiv 0706.1062; Martin and Mahoney, arXiv 2002.06716).
//!
//! They depend on the rule that chose the tail: only under the ks rule do they agree with WeightWatcher.

use std::f64::consts::LN_10;

use super::{AnalyzedMatrix, Measurement};
use crate::fit::Rule;

/// alpha below which WeightWatcher calls a matrix over-trained.
pub const OVER_TRAINED: f64 = 2.0;

/// alpha above which WeightWatcher calls a matrix under-trained.
pub const UNDER_TRAINED: f64 = 6.0;

pub(super) fn alpha(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit()?.alpha.into())
}

pub(super) fn ks_distance(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit()?.ks_distance.into())
}

/// The standard error of alpha for independent eigenvalues (Clauset et al., eq. 3.2). Eigenvalues repel each other, so
/// this error is too large.
pub(super) fn sigma(matrix: &AnalyzedMatrix) -> Measurement {
    let fit = matrix.fit()?;
    Ok(((fit.alpha - 1.0) / (fit.tail as f64).sqrt()).into())
}

pub(super) fn xmin(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit()?.xmin.into())
}

pub(super) fn alpha_peak(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit_by(Rule::Peak)?.alpha.into())
}

pub(super) fn alpha_peak_robust(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit_by(Rule::PeakRobust)?.alpha.into())
}

pub(super) fn alpha_median(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit_by(Rule::Median)?.alpha.into())
}

pub(super) fn alpha_ks(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit_by(Rule::Ks)?.alpha.into())
}

/// The tail has no upper cutoff, so this is the largest eigenvalue.
pub(super) fn xmax(matrix: &AnalyzedMatrix) -> Measurement {
    matrix.fit()?;
    Ok(matrix.spectrum()?.largest().into())
}

/// The number of eigenvalues in the tail, which holds all eigenvalues from xmin on.
pub(super) fn num_pl_spikes(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.fit()?.tail.into())
}

/// alpha times log10 of the largest eigenvalue: alpha-hat (Martin, Peng and Mahoney, arXiv 2002.06716).
pub(super) fn alpha_weighted(matrix: &AnalyzedMatrix) -> Measurement {
    Ok((matrix.fit()?.alpha * matrix.spectrum()?.largest().log10()).into())
}

/// log10 of the sum of x^alpha, the alpha-Schatten norm (arXiv 2002.06716). Computed from logarithms, because x^alpha
/// overflows.
pub(super) fn log_alpha_norm(matrix: &AnalyzedMatrix) -> Measurement {
    let (fit, spectrum) = (matrix.fit()?, matrix.spectrum()?);
    let largest = spectrum.largest().ln();
    let sum: f64 = spectrum.values().iter().map(|x| (fit.alpha * (x.ln() - largest)).exp()).sum();
    Ok(((fit.alpha * largest + sum.ln()) / LN_10).into())
}

/// The thresholds are meant for alphas of the ks rule and say nothing about those of another rule.
pub(super) fn warning(matrix: &AnalyzedMatrix) -> Measurement {
    let alpha = matrix.fit()?.alpha;
    if matrix.rule != Rule::Ks {
        return Err("its thresholds apply to the ks rule only".into());
    }
    Ok(if alpha < OVER_TRAINED {
        "over-trained".into()
    } else if alpha > UNDER_TRAINED {
        "under-trained".into()
    } else {
        "none".into()
    })
}

#[cfg(test)]
mod tests {
    use super::super::MetricValue;
    use super::super::analyzed_matrix::tests::{analyzed, outcome};
    use super::*;

    /// Quantiles of a power law with this alpha.
    fn power_law(alpha: f64, count: usize) -> Vec<f64> {
        let quantile = |k: usize| (1.0 - (k as f64 + 0.5) / count as f64).powf(1.0 / (1.0 - alpha));
        (0..count).map(quantile).collect()
    }

    fn of(values: &[f64], rule: Rule, metric: fn(&AnalyzedMatrix) -> Measurement) -> Measurement {
        let outcome = outcome(values, rule);
        metric(&analyzed(&outcome, rule, values.len(), values.len()))
    }

    #[test]
    fn norms_are_those_of_the_definition_where_that_does_not_overflow() {
        let values = power_law(2.5, 200);
        let number = |metric| of(&values, Rule::Ks, metric).unwrap().number().unwrap();
        let alpha = number(alpha);
        let direct = values.iter().map(|x| x.powf(alpha)).sum::<f64>().log10();
        assert!((number(log_alpha_norm) / direct - 1.0).abs() < 1e-13);
        assert!((number(alpha_weighted) - alpha * values[199].log10()).abs() < 1e-13);
        assert_eq!(number(xmax), values[199]);
    }

    #[test]
    fn norms_of_huge_and_tiny_weights_are_finite() {
        for exponent in [-280, 280] {
            let scale = 10.0_f64.powi(exponent);
            let values: Vec<f64> = power_law(5.0, 100).iter().map(|x| x * scale).collect();
            let alpha = of(&values, Rule::Ks, alpha).unwrap().number().unwrap();
            let norm = of(&values, Rule::Ks, log_alpha_norm).unwrap().number().unwrap();
            let moved = of(&power_law(5.0, 100), Rule::Ks, log_alpha_norm).unwrap().number().unwrap();
            assert!((norm - moved - alpha * f64::from(exponent)).abs() < 1e-9, "{norm}");
        }
    }

    #[test]
    fn zeros_add_nothing_to_the_norm() {
        let mut values = power_law(3.0, 60);
        let without = of(&values, Rule::Ks, log_alpha_norm).unwrap().number().unwrap();
        values.splice(0..0, [0.0, 0.0]);
        let with = of(&values, Rule::Ks, log_alpha_norm).unwrap().number().unwrap();
        assert!((with - without).abs() < 1e-12);
    }

    #[test]
    fn warnings_are_of_the_ks_rule_alone() {
        for (alpha, word) in [(1.5, "over-trained"), (3.0, "none"), (9.0, "under-trained")] {
            assert_eq!(of(&power_law(alpha, 300), Rule::Ks, warning), Ok(MetricValue::from(word)));
            assert_eq!(
                of(&power_law(alpha, 300), Rule::Median, warning),
                Err("its thresholds apply to the ks rule only".into())
            );
        }
        // WeightWatcher returns -1 here and calls it over-trained.
        assert!(of(&[1.0; 40], Rule::Ks, warning).unwrap_err().starts_with("there is no alpha"));
    }

    #[test]
    fn sigma_uses_the_number_of_eigenvalues_in_the_tail() {
        let values = power_law(3.0, 101);
        let (count, alpha) = (of(&values, Rule::Median, num_pl_spikes), of(&values, Rule::Median, alpha));
        assert_eq!(count, Ok(MetricValue::Whole(51)));
        let sigma = of(&values, Rule::Median, sigma).unwrap().number().unwrap();
        assert!((sigma - (alpha.unwrap().number().unwrap() - 1.0) / 51.0_f64.sqrt()).abs() < 1e-14);
        // Two values equal xmin: both are in the tail.
        let mut tied = values;
        tied[49] = tied[50];
        assert_eq!(of(&tied, Rule::Median, num_pl_spikes), Ok(MetricValue::Whole(52)));
    }
}
