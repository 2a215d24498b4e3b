//! The input of every metric: the shape of a matrix, its spectrum and its fit.

use std::cell::OnceCell;

use super::bulk::Bulk;
use super::random_baseline::{RandomBaseline, random_baseline};
use crate::device::{Analysis, Outcome};
use crate::fit::{self, DISTANCE_MARGIN, Fit, NoFit, Rule, alpha_range, fit, is_certain};
use crate::matrices::WeightMatrix;
use crate::spectrum::Spectrum;
use crate::tails::{self, Alternative, TailComparison};

/// How far rounding may move the alpha of a rule other than the row's: the agreement among published codes.
const UNCERTAIN: f64 = 1e-3;

/// A matrix with its analysis. Intermediate results that several metrics share are computed here, once.
#[derive(Debug)]
pub struct AnalyzedMatrix<'a> {
    /// The smaller dimension of the matrix, or of each of its windows.
    pub short: usize,
    /// The larger dimension.
    pub long: usize,
    /// Number of windows whose eigenvalues make up the spectrum; 1 if the spectrum is that of the matrix itself.
    pub windows: usize,
    /// The rule that chose the tail.
    pub rule: Rule,
    outcome: &'a Outcome,
    /// The analysis of the eigenvalues that the fit saw: all, or those above the floor.
    seen: &'a Outcome,
    alpha_range: OnceCell<Result<(f64, f64), String>>,
    peak_jump: OnceCell<Result<f64, String>>,
    bulk: OnceCell<Result<Bulk, String>>,
    comparisons: [OnceCell<Result<TailComparison, String>>; Alternative::ALL.len()],
}

impl<'a> AnalyzedMatrix<'a> {
    /// `matrix` and its analysis by a device, under `rule`.
    pub fn new(matrix: &WeightMatrix, rule: Rule, outcome: &'a Outcome) -> AnalyzedMatrix<'a> {
        AnalyzedMatrix::of_windows(1, (matrix.eigenvalues(), matrix.long()), rule, outcome)
    }

    /// `windows` windows of one shape, with the spectrum and the fit of all of them together.
    pub fn of_windows(windows: usize, shape: (usize, usize), rule: Rule, outcome: &'a Outcome) -> AnalyzedMatrix<'a> {
        let (short, long) = (shape.0.min(shape.1), shape.0.max(shape.1));
        let (alpha_range, peak_jump, bulk) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let comparisons = Default::default();
        AnalyzedMatrix { short, long, windows, rule, outcome, seen: outcome, alpha_range, peak_jump, bulk, comparisons }
    }

    /// The same, where the fit saw only the eigenvalues in `seen`.
    pub fn fitted_in(self, seen: &'a Outcome) -> AnalyzedMatrix<'a> {
        AnalyzedMatrix { seen, ..self }
    }

    /// Number of eigenvalues that the fit did not see.
    pub fn left_out(&self) -> usize {
        let count = |outcome: &Outcome| outcome.as_ref().map_or(0, |analysis| analysis.spectrum.len());
        count(self.outcome) - count(self.seen)
    }

    /// The alpha of a random matrix of this shape, or why it is not known.
    pub fn random_baseline(&self) -> Result<RandomBaseline, String> {
        if self.left_out() > 0 {
            return Err("the random-matrix baseline is that of a whole spectrum".into());
        }
        match self.windows {
            1 => random_baseline(self.rule, self.short, self.long as f64 / self.short.max(1) as f64),
            _ => Err("the random-matrix baseline is not tabulated for the eigenvalues of windows (FARMS)".into()),
        }
    }

    fn analysis_in(outcome: &'a Outcome) -> Result<&'a Analysis, String> {
        outcome.as_ref().map_err(|failure| format!("there is no spectrum: {failure}"))
    }

    /// The spectrum, or why there is none.
    pub fn spectrum(&self) -> Result<&'a Spectrum, String> {
        Self::analysis_in(self.outcome).map(|analysis| &analysis.spectrum)
    }

    /// The eigenvalues that a fit by any rule sees, or why it may see none. The fit's indices refer to them.
    pub fn fitted(&self) -> Result<&'a Spectrum, String> {
        let Analysis { spectrum, fit, .. } = Self::analysis_in(self.seen)?;
        match fit {
            Err(reason @ (NoFit::BelowFloor { .. } | NoFit::Unchanged { .. })) => {
                Err(format!("there is no alpha: {reason}"))
            }
            _ => Ok(spectrum),
        }
    }

    /// The power law, or why there is none.
    pub fn fit(&self) -> Result<&'a Fit, String> {
        Self::analysis_in(self.seen)?.fit.as_ref().map_err(|reason| format!("there is no alpha: {reason}"))
    }

    /// The power law under another rule, or why there is none.
    ///
    /// A device computes a spectrum as accurately as the rule of the row requires. If another rule requires more, its
    /// alpha is missing.
    pub fn fit_by(&self, rule: Rule) -> Result<Fit, String> {
        if rule == self.rule {
            return self.fit().copied();
        }
        let spectrum = self.fitted()?;
        let found = fit(spectrum, rule);
        match found {
            Err(reason) => Err(format!("there is no alpha: {reason}")),
            Ok(_) if !is_certain(spectrum, rule, &found, UNCERTAIN) => {
                Err(format!("rounding makes the alpha of the {rule} rule uncertain; score by that rule"))
            }
            Ok(found) => Ok(found),
        }
    }

    /// The smallest and the largest alpha of all tails that fit about as well as the best, or why there are none.
    pub fn alpha_range(&self) -> Result<(f64, f64), String> {
        let range = || alpha_range(self.fitted()?, DISTANCE_MARGIN).map_err(|reason| reason.to_string());
        self.alpha_range.get_or_init(range).clone()
    }

    /// How far the alpha of a peak rule jumps when the smallest eigenvalue moves, or why that is not known.
    pub fn peak_jump(&self) -> Result<f64, String> {
        let jump = || {
            let (spectrum, found) = (self.fitted()?, self.fit()?);
            if !matches!(self.rule, Rule::Peak | Rule::PeakRobust) {
                return Err(format!("the {} rule does not use a peak", self.rule));
            }
            fit::jump(spectrum, self.rule, found)
                .map_err(|reason| format!("no alpha after moving the smallest eigenvalue by 1 %: {reason}"))
        };
        self.peak_jump.get_or_init(jump).clone()
    }

    /// The random bulk, or why there is none.
    pub(super) fn bulk(&self) -> Result<&Bulk, String> {
        if self.windows > 1 {
            return Err("no random bulk is fitted to the eigenvalues of windows (FARMS)".into());
        }
        let fit =
            || Bulk::fit(self.spectrum()?, self.long).map_err(|reason| format!("there is no random bulk: {reason}"));
        self.bulk.get_or_init(fit).as_ref().map_err(String::clone)
    }

    /// The comparison with an alternative to the power law, or why there is none.
    pub fn comparison(&self, alternative: Alternative) -> Result<&TailComparison, String> {
        let compare = || {
            let (spectrum, fit) = (self.fitted()?, self.fit()?);
            tails::compare(spectrum, fit, alternative).map_err(|reason| reason.to_string())
        };
        self.comparisons[alternative as usize].get_or_init(compare).as_ref().map_err(String::clone)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::device::{Arithmetic, Failure};
    use crate::fit::fit;

    /// The analysis of a matrix with these eigenvalues by an error-free device.
    pub fn outcome(values: &[f64], rule: Rule) -> Outcome {
        let spectrum = Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap();
        let fit = fit(&spectrum, rule);
        Ok(Analysis { spectrum, fit, precision: Arithmetic::F64 })
    }

    /// A `short` x `long` matrix.
    pub fn analyzed(outcome: &Outcome, rule: Rule, short: usize, long: usize) -> AnalyzedMatrix<'_> {
        AnalyzedMatrix::of_windows(1, (short, long), rule, outcome)
    }

    #[test]
    fn another_rule_fits_the_same_spectrum() {
        let values: Vec<f64> = (0..200).map(|k| (1.0 - (k as f64 + 0.5) / 200.0).powf(-0.5)).collect();
        let by_median = outcome(&values, Rule::Median);
        let analyzed = analyzed(&by_median, Rule::Median, 200, 200);
        let direct = |rule| fit(&by_median.as_ref().unwrap().spectrum, rule).unwrap();
        for rule in [Rule::Peak, Rule::Median, Rule::Ks] {
            assert_eq!(analyzed.fit_by(rule).unwrap(), direct(rule));
        }
    }

    #[test]
    fn another_rule_does_not_trust_a_spectrum_that_is_too_coarse_for_it() {
        let mut values: Vec<f64> = (0..200).map(|k| (1.0 - (k as f64 + 0.5) / 200.0).powf(-0.5)).collect();
        values[0] = 1e-9;
        let spectrum = Spectrum::from_gram(values.clone(), values.iter().sum(), f32::EPSILON.into()).unwrap();
        let fit = fit(&spectrum, Rule::Median);
        let coarse: Outcome = Ok(Analysis { spectrum, fit, precision: Arithmetic::F32 });
        let reason = analyzed(&coarse, Rule::Median, 200, 200).fit_by(Rule::Peak).unwrap_err();
        assert!(reason.contains("score by that rule") || reason.contains("rank-deficient"), "{reason}");
    }

    #[test]
    fn missing_results_have_a_reason() {
        let failed: Outcome = Err(Failure::AllZero);
        let nothing = analyzed(&failed, Rule::Peak, 3, 4);
        assert_eq!(nothing.fit().unwrap_err(), "there is no spectrum: all elements are zero");
        let flat = outcome(&[1.0; 9], Rule::Ks);
        let flat = analyzed(&flat, Rule::Ks, 9, 9);
        assert!(flat.spectrum().is_ok());
        assert!(flat.fit().unwrap_err().starts_with("there is no alpha: no power-law tail"));
    }
}
