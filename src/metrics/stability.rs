//! How much alpha depends on the choice of its tail.

use super::{AnalyzedMatrix, Measurement};
use crate::fit::Rule;

pub(super) fn alpha_low(matrix: &AnalyzedMatrix) -> Measurement {
    matrix.alpha_range().map(|(low, _)| low.into())
}

pub(super) fn alpha_high(matrix: &AnalyzedMatrix) -> Measurement {
    matrix.alpha_range().map(|(_, high)| high.into())
}

pub(super) fn peak_jump(matrix: &AnalyzedMatrix) -> Measurement {
    matrix.peak_jump().map(Into::into)
}

pub(super) fn peak_fragile(matrix: &AnalyzedMatrix) -> Measurement {
    matrix.peak_jump().map(|jump| (jump > Rule::FRAGILE).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricValue;
    use crate::metrics::analyzed_matrix::tests::{analyzed, outcome};

    #[test]
    fn only_a_rule_that_looks_for_a_peak_can_be_fragile() {
        let values: Vec<f64> = (1..100).map(|k| f64::from(k).powf(1.5)).collect();
        let peak = outcome(&values, Rule::Peak);
        let peak = analyzed(&peak, Rule::Peak, 99, 99);
        let Ok(MetricValue::Real(jump)) = peak_jump(&peak) else { panic!("a jump, even of 0") };
        assert_eq!(peak_fragile(&peak), Ok(MetricValue::Flag(jump > 1e-3)));
        let robust = outcome(&values, Rule::PeakRobust);
        assert_eq!(peak_fragile(&analyzed(&robust, Rule::PeakRobust, 99, 99)), Ok(MetricValue::Flag(false)));
        let median = outcome(&values, Rule::Median);
        let reason = peak_fragile(&analyzed(&median, Rule::Median, 99, 99)).unwrap_err();
        assert_eq!(reason, "the median rule does not use a peak");
    }

    #[test]
    fn the_range_holds_the_alpha_of_the_ks_rule() {
        let values: Vec<f64> = (1..100).map(|k| (1.0 - f64::from(k) / 100.0).powf(-0.5)).collect();
        let ks = outcome(&values, Rule::Ks);
        let ks = analyzed(&ks, Rule::Ks, 99, 99);
        let (low, high) = ks.alpha_range().unwrap();
        let alpha = ks.fit().unwrap().alpha;
        assert!(low <= alpha && alpha <= high && low < high, "{low} {alpha} {high}");
        let flat = outcome(&[2.0; 20], Rule::Ks);
        assert!(alpha_low(&analyzed(&flat, Rule::Ks, 20, 20)).unwrap_err().starts_with("no power-law tail"));
    }
}
