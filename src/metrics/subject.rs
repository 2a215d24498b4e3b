//! What a metric may look at: the shape of a matrix, its spectrum and its fit.

use std::cell::OnceCell;

use crate::device::{Analysis, Outcome};
use crate::fit::{Fit, Rule};
use crate::matrices::WeightMatrix;
use crate::spectrum::Spectrum;
use crate::tails::{self, Alternative, Comparison};

/// A matrix to be measured. What several metrics share belongs here, computed once.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The smaller dimension: the number of eigenvalues.
    pub short: usize,
    /// The larger dimension.
    pub long: usize,
    /// The rule by which the tail was chosen.
    pub rule: Rule,
    outcome: &'a Outcome,
    comparisons: [OnceCell<Result<Comparison, String>>; Alternative::ALL.len()],
}

impl<'a> Subject<'a> {
    /// `matrix`, and what a device found of it by `rule`.
    pub fn new(matrix: &WeightMatrix, rule: Rule, outcome: &'a Outcome) -> Subject<'a> {
        Subject { short: matrix.eigenvalues(), long: matrix.long(), rule, outcome, comparisons: Default::default() }
    }

    fn analysis(&self) -> Result<&'a Analysis, String> {
        self.outcome.as_ref().map_err(|failure| format!("there is no spectrum: {failure}"))
    }

    /// The spectrum, or why there is none.
    pub fn spectrum(&self) -> Result<&'a Spectrum, String> {
        self.analysis().map(|analysis| &analysis.spectrum)
    }

    /// The power law, or why there is none.
    pub fn fit(&self) -> Result<&'a Fit, String> {
        self.analysis()?.fit.as_ref().map_err(|reason| format!("there is no alpha: {reason}"))
    }

    /// An alternative to the power law, or why there is none.
    pub fn comparison(&self, alternative: Alternative) -> Result<&Comparison, String> {
        let compare = || {
            let (spectrum, fit) = (self.spectrum()?, self.fit()?);
            tails::compare(spectrum, fit, alternative).map_err(|reason| reason.to_string())
        };
        self.comparisons[alternative as usize].get_or_init(compare).as_ref().map_err(String::clone)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::device::Failure;
    use crate::fit::fit;

    /// What a device that makes no error finds of a matrix with these eigenvalues.
    pub fn outcome(values: &[f64], rule: Rule) -> Outcome {
        let spectrum = Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap();
        let fit = fit(&spectrum, rule);
        Ok(Analysis { spectrum, fit, precision: "f64" })
    }

    /// A `short` x `long` matrix.
    pub fn subject(outcome: &Outcome, rule: Rule, short: usize, long: usize) -> Subject<'_> {
        Subject { short, long, rule, outcome, comparisons: Default::default() }
    }

    #[test]
    fn what_is_missing_has_its_reason() {
        let failed: Outcome = Err(Failure::AllZero);
        let nothing = subject(&failed, Rule::Peak, 3, 4);
        assert_eq!(nothing.fit().unwrap_err(), "there is no spectrum: all elements are zero");
        let flat = outcome(&[1.0; 9], Rule::Ks);
        let flat = subject(&flat, Rule::Ks, 9, 9);
        assert!(flat.spectrum().is_ok());
        assert!(flat.fit().unwrap_err().starts_with("there is no alpha: no power-law tail"));
    }
}
