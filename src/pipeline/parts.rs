//! Parts: what goes through a device for a matrix, one or several at its time, and comes together again.
//!
//! Usually that is the matrix itself. FARMS takes windows of it, whose spectra become one; a test for correlation takes a
//! second matrix with the same elements in random order.

use std::sync::Mutex;

use super::lock;
use crate::device::{Analysis, Arithmetic, Failure, Method, Outcome, Precision};
use crate::fit::{Rule, fit};
use crate::matrices::{Farms, WeightMatrix, Window};
use crate::spectrum::Spectrum;

/// What of a matrix is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sampling {
    /// The matrix.
    #[default]
    Whole,
    /// Windows of it, whose eigenvalues are laid together.
    Windows(Farms),
    /// The matrix, and beside it its elements in the random order that this seed determines.
    Randomized(u64),
}

impl Sampling {
    /// The method by which a device has to work for this.
    ///
    /// `--precision auto` knows whether f32 is enough for the fit of each spectrum. That of many together is another fit, so
    /// that windows are computed in f64 unless f32 is asked for.
    pub fn method(self, method: Method) -> Method {
        match (self, method.precision) {
            (Sampling::Windows(_), Precision::Auto) => Method { precision: Precision::F64, ..method },
            _ => method,
        }
    }

    fn parts(self, matrix: &WeightMatrix) -> Vec<WeightMatrix> {
        match self {
            Sampling::Whole => vec![matrix.clone()],
            Sampling::Windows(farms) => matrix.windows(&farms.windows(matrix.rows, matrix.cols)),
            Sampling::Randomized(seed) => vec![matrix.clone(), matrix.randomized(seed)],
        }
    }
}

/// The parts of several matrices, and what has become of them.
pub(super) struct Parts {
    matrices: Vec<WeightMatrix>,
    /// For each part, to which matrix it belongs.
    owners: Vec<usize>,
    /// For each matrix, the number of its first part.
    first: Vec<usize>,
    /// For each matrix, the outcomes of its parts until all are there.
    outcomes: Mutex<Vec<Vec<Option<Outcome>>>>,
}

impl Parts {
    pub fn new(matrices: &[WeightMatrix], sampling: Sampling) -> Parts {
        let mut parts =
            Parts { matrices: Vec::new(), owners: Vec::new(), first: Vec::new(), outcomes: Mutex::default() };
        let mut outcomes = Vec::new();
        for (owner, matrix) in matrices.iter().enumerate() {
            let of_matrix = sampling.parts(matrix);
            parts.first.push(parts.matrices.len());
            parts.owners.extend(std::iter::repeat_n(owner, of_matrix.len()));
            outcomes.push(vec![None; of_matrix.len()]);
            parts.matrices.extend(of_matrix);
        }
        Parts { outcomes: Mutex::new(outcomes), ..parts }
    }

    /// All parts, those of a matrix one after the other.
    pub fn matrices(&self) -> &[WeightMatrix] {
        &self.matrices
    }

    /// Takes the outcome of a part. With the last one of its matrix, returns the number of that matrix and all of them, in
    /// order.
    pub fn collect(&self, part: usize, outcome: Outcome) -> Option<(usize, Vec<Outcome>)> {
        let owner = self.owners[part];
        let mut outcomes = lock(&self.outcomes);
        let of_matrix = &mut outcomes[owner];
        of_matrix[part - self.first[owner]] = Some(outcome);
        if of_matrix.iter().any(Option::is_none) {
            return None;
        }
        Some((owner, std::mem::take(of_matrix).into_iter().flatten().collect()))
    }
}

/// One power law for the eigenvalues of all windows together, as FARMS has it (arXiv 2506.06280, section 3.2): not the mean of
/// one for each. The precision is the most thorough that any window took.
///
/// The outcomes are in the order of the windows. A window without a spectrum leaves the matrix without one.
pub(super) fn pooled(rule: Rule, windows: &[Window], outcomes: Vec<Outcome>) -> Outcome {
    let mut spectra = Vec::with_capacity(outcomes.len());
    let mut thorough = Arithmetic::F32;
    for (window, outcome) in windows.iter().zip(outcomes) {
        let Analysis { spectrum, precision, .. } = outcome.map_err(|failure| located(failure, window))?;
        thorough = thorough.max(precision);
        spectra.push(spectrum);
    }
    let spectrum = Spectrum::pooled(&spectra);
    if !spectrum.trace().is_finite() {
        return Err(Failure::OutOfRange);
    }
    Ok(Analysis { fit: fit(&spectrum, rule), spectrum, precision: thorough })
}

/// What is wrong with a window, in terms of the matrix.
fn located(failure: Failure, window: &Window) -> Failure {
    match failure {
        Failure::NonFinite { row, col, cast } => {
            Failure::NonFinite { row: window.row + row, col: window.col + col, cast }
        }
        Failure::AllZero | Failure::OutOfRange | Failure::Solver(_) | Failure::TooFewEigenvalues(_) => {
            Failure::InWindow { window: *window, cause: Box::new(failure) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analysis(values: &[f64], precision: Arithmetic) -> Outcome {
        let spectrum = Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap();
        Ok(Analysis { fit: fit(&spectrum, Rule::Median), spectrum, precision })
    }

    fn windows(count: usize) -> Vec<Window> {
        (0..count).map(|index| Window { row: index, col: 2 * index, rows: 8, cols: 9 }).collect()
    }

    #[test]
    fn one_power_law_fits_all_windows_together() {
        let (one, two) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 80.0]);
        let together =
            pooled(Rule::Median, &windows(2), vec![analysis(&one, Arithmetic::F64Qr), analysis(&two, Arithmetic::F64)])
                .unwrap();
        let all = analysis(&[one, two].concat(), Arithmetic::F64Qr).unwrap();
        assert_eq!((together.fit, together.precision), (all.fit, Arithmetic::F64Qr));
        let corrected = vec![analysis(&one, Arithmetic::F64), analysis(&two, Arithmetic::F64Cholesky)];
        assert_eq!(pooled(Rule::Median, &windows(2), corrected).unwrap().precision, Arithmetic::F64Cholesky);
        assert_eq!(together.spectrum.values(), all.spectrum.values());
    }

    #[test]
    fn a_window_without_a_spectrum_says_which_it_is() {
        let good = || analysis(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], Arithmetic::F64);
        let outcome = |failure| pooled(Rule::Median, &windows(2), vec![good(), Err(failure)]).unwrap_err();
        assert_eq!(
            outcome(Failure::AllZero).to_string(),
            "the window of rows 1 to 8 and columns 2 to 10: all elements are zero"
        );
        let cast = crate::checkpoint::Cast::None;
        assert_eq!(outcome(Failure::NonFinite { row: 3, col: 4, cast }), Failure::NonFinite { row: 4, col: 6, cast });
        assert_eq!(outcome(Failure::Unreadable("gone".into())), Failure::Unreadable("gone".into()));
    }

    #[test]
    fn windows_are_computed_in_f64_unless_f32_is_asked_for() {
        let windows = Sampling::Windows(Farms::default());
        let precision =
            |sampling: Sampling, precision| sampling.method(Method { precision, ..Method::default() }).precision;
        assert_eq!(precision(windows, Precision::Auto), Precision::F64);
        assert_eq!(precision(windows, Precision::F32), Precision::F32);
        assert_eq!(precision(Sampling::Whole, Precision::Auto), Precision::Auto);
    }
}
