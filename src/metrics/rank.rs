//! Ranks of W: how many eigenvalues are zero, how many are nearly zero, and how evenly the others share the trace.

use super::numerical_rank::numerical_rank;
use super::{AnalyzedMatrix, Measurement};

/// Eigenvalues below this count as weak: WeightWatcher's default, in squared units of the weights.
const WEAK: f64 = 1e-6;

pub(super) fn matrix_rank(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(numerical_rank(matrix.spectrum()?)?.into())
}

pub(super) fn rank_loss(matrix: &AnalyzedMatrix) -> Measurement {
    let spectrum = matrix.spectrum()?;
    let rank = numerical_rank(spectrum).map_err(|reason| format!("the rank is {reason}"))?;
    Ok((spectrum.len() - rank).into())
}

pub(super) fn weak_rank_loss(matrix: &AnalyzedMatrix) -> Measurement {
    let spectrum = matrix.spectrum()?;
    let below = |shift: f64| {
        let moved = |(index, x): (usize, &f64)| x + shift * spectrum.absolute_error(index);
        spectrum.values().iter().enumerate().filter(|&value| moved(value) < WEAK).count()
    };
    let (least, most) = (below(1.0), below(-1.0));
    if least < most {
        return Err(format!("between {least} and {most}: rounding hides which eigenvalues are below {WEAK:e}"));
    }
    Ok(least.into())
}

/// The matrix entropy (Martin and Mahoney, arXiv 1810.01075, section 2.2): Shannon's entropy of the eigenvalues' shares
/// of their sum, over its maximum for a matrix of this rank.
pub(super) fn entropy(matrix: &AnalyzedMatrix) -> Measurement {
    let spectrum = matrix.spectrum()?;
    let rank = numerical_rank(spectrum).map_err(|reason| format!("the rank is {reason}"))?;
    if rank < 2 {
        return Err(format!("undefined for rank {rank}: it divides by ln(rank)"));
    }
    // In units of the largest, so that no sum overflows. Without differences, which rounding would spoil when a spike
    // dwarfs the rest: with t = x / x_max and S = sum t, the entropy is ln S - (sum t ln t) / S.
    let largest = spectrum.largest();
    let shares = spectrum.values()[..spectrum.len() - 1].iter().map(|x| x / largest).filter(|&t| t > 0.0);
    let (rest, sum) = shares.fold((0.0, 0.0), |(rest, sum), t: f64| (rest + t, sum - t * t.ln()));
    let entropy = f64::ln_1p(rest) + sum / (1.0 + rest);
    Ok((entropy / (rank as f64).ln()).into())
}

#[cfg(test)]
mod tests {
    use crate::spectrum::Spectrum;

    use super::super::analyzed_matrix::tests::{analyzed, outcome};
    use super::super::{AnalyzedMatrix, MetricValue};
    use super::*;
    use crate::device::{Analysis, Arithmetic, Outcome};
    use crate::fit::Rule;

    fn of(values: &[f64], metric: fn(&AnalyzedMatrix) -> Measurement) -> Measurement {
        let outcome = outcome(values, Rule::Median);
        metric(&analyzed(&outcome, Rule::Median, values.len(), values.len()))
    }

    /// The metric of a spectrum from an f32 solver.
    fn single(values: &[f64], metric: fn(&AnalyzedMatrix) -> Measurement) -> Measurement {
        let spectrum = Spectrum::from_gram(values.to_vec(), values.iter().sum(), f32::EPSILON.into()).unwrap();
        let outcome: Outcome =
            Ok(Analysis { fit: Err(crate::fit::NoFit::NoTail), spectrum, precision: Arithmetic::F32 });
        metric(&analyzed(&outcome, Rule::Median, values.len(), values.len()))
    }

    #[test]
    fn zeros_are_lost_rank() {
        for (values, rank) in [(&[0.0, 0.0, 1.0, 2.0][..], 2), (&[1.0], 1), (&[3.0; 9], 9), (&[1e-17, 1e-300, 1.0], 1)]
        {
            assert_eq!(of(values, matrix_rank), Ok(MetricValue::from(rank)));
            assert_eq!(of(values, rank_loss), Ok(MetricValue::from(values.len() - rank)));
        }
    }

    #[test]
    fn single_precision_does_not_guess() {
        let values = [1e-9, 1e-3, 1.0];
        assert_eq!(of(&values, matrix_rank), Ok(MetricValue::Whole(3)));
        let reason = "between 2 and 3: single precision hides which eigenvalues are zero (f64 resolves them)";
        assert_eq!(single(&values, matrix_rank), Err(reason.into()));
        assert!(single(&values, rank_loss).unwrap_err().starts_with("the rank is between 2 and 3"));
        assert!(single(&values, entropy).is_err());
        assert_eq!(
            single(&values, weak_rank_loss),
            Err("between 0 and 1: rounding hides which eigenvalues are below 1e-6".into())
        );
        assert_eq!(single(&[0.1, 0.5, 1.0], matrix_rank), Ok(MetricValue::Whole(3)));
        assert_eq!(single(&[0.1, 0.5, 1.0], weak_rank_loss), Ok(MetricValue::Whole(0)));
    }

    #[test]
    fn weak_eigenvalues_are_counted_in_absolute_units() {
        assert_eq!(of(&[0.0, 1e-7, 2e-6, 1.0], weak_rank_loss), Ok(MetricValue::Whole(2)));
        assert_eq!(of(&[1e-10, 2e-10, 3e-9], weak_rank_loss), Ok(MetricValue::Whole(3)));
        // A singular value of zero has no relative error.
        let spectrum = Spectrum::from_gram(vec![1e-18, 0.5, 1.0], 1.5, f64::EPSILON).unwrap();
        let spectrum = spectrum.with_smallest(0.0, f64::EPSILON, 1e-8);
        let outcome: Outcome =
            Ok(Analysis { fit: Err(crate::fit::NoFit::NoTail), spectrum, precision: Arithmetic::F64Qr });
        let analyzed = analyzed(&outcome, Rule::Peak, 3, 3);
        assert_eq!(
            (weak_rank_loss(&analyzed), rank_loss(&analyzed)),
            (Ok(MetricValue::Whole(1)), Ok(MetricValue::Whole(1)))
        );
    }

    #[test]
    fn entropy_is_one_for_equal_shares_and_small_for_a_spike() {
        let number = |values: &[f64]| of(values, entropy).unwrap().number().unwrap();
        for scale in [1e-300, 1.0, 1e300] {
            assert!((number(&[scale; 12]) - 1.0).abs() < 1e-14);
            assert!((number(&[0.0, scale, scale]) - 1.0).abs() < 1e-14);
        }
        // By hand: shares 1/4 and 3/4, in bits.
        assert!((number(&[1.0, 3.0]) - 0.811_278_124_459_132_9).abs() < 1e-14);
        // To first order in t, the rest contributes t (1 - ln t).
        let spike = number(&[0.5e-13, 0.5e-13, 1.0]) * 3.0_f64.ln();
        assert!((spike / (1e-13 * (1.0 - 0.5e-13_f64.ln())) - 1.0).abs() < 1e-12, "{spike:e}");
        assert_eq!(of(&[0.0, 5.0], entropy), Err("undefined for rank 1: it divides by ln(rank)".into()));
    }
}
