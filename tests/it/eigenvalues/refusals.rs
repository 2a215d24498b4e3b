//! Matrices with NaN or infinity are refused, and elements above the diagonal are not read.

use htsr::device::Failure;
use htsr::internals::{Level, Real, symmetric_eigenvalues};

use super::matrices::{indefinite, singles};
use super::{bits, solve};

#[track_caller]
fn is_refused<T: Real>(matrix: &[T], case: &str) {
    for level in Level::all() {
        for threads in [1, 2] {
            let refused = symmetric_eigenvalues(matrix, level, threads);
            assert!(matches!(refused, Err(Failure::Solver(_))), "{case}, {level}: {refused:?}");
        }
    }
}

#[test]
fn nan_and_infinity_are_refused() {
    for n in [1, 2, 3, 33, 200] {
        for (row, col) in [(0, 0), (n - 1, 0), (n - 1, n - 1), (n / 2, n / 3)] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut matrix = indefinite(n, 12);
                matrix[col * n + row] = bad;
                let case = format!("{bad} at row {row}, column {col} of {n}");
                is_refused(&matrix, &case);
                is_refused(&singles(&matrix), &case);
            }
        }
    }
}

#[test]
fn elements_above_the_diagonal_have_no_influence() {
    for n in [2, 3, 33, 100, 193] {
        let matrix = indefinite(n, 13);
        for above in [f64::NAN, f64::INFINITY, 1e300] {
            let mut lower = matrix.clone();
            for col in 0..n {
                lower[col * n..col * n + col].fill(above);
            }
            for level in Level::all() {
                let case = format!("{above} above, n {n}, {level}");
                assert_eq!(bits(&solve(&lower, level, 2)), bits(&solve(&matrix, level, 2)), "{case}, f64");
                let (lower, matrix) = (singles(&lower), singles(&matrix));
                assert_eq!(bits(&solve(&lower, level, 2)), bits(&solve(&matrix, level, 2)), "{case}, f32");
            }
        }
    }
}
