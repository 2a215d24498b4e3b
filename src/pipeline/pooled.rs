//! One spectrum of many windows.

use crate::device::{Analysis, Arithmetic, Failure, Outcome};
use crate::fit::{Rule, fit};
use crate::matrices::Window;
use crate::spectrum::Spectrum;

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
}
