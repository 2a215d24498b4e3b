//! Eigenvalues on the CPU, compared with the reference solver in f64, with known spectra, and after changes that must not matter.
//! Orders cover every edge of tiles and bands, in both precisions, on every instruction set, with several numbers of threads.

mod invariance;
mod known_spectra;
mod matrices;
mod properties;
mod reference;
mod refusals;

use htsr::internals::{Level, Real, faer_eigenvalues, symmetric_eigenvalues};
use matrices::singles;

/// Largest errors for random matrices, relative to the largest eigenvalue. Measured: 2.8e-7 and 1.0e-15.
const RANDOM: Bounds = Bounds { f32: 5e-7, f64: 1e-14 };
/// The same for matrices whose elements or eigenvalues repeat: their rounding errors are correlated and add up. Measured: 2.2e-6
/// and 7.6e-15, including errors of rotations and of rounding to f32.
const REPETITIVE: Bounds = Bounds { f32: 4e-6, f64: 1e-14 };

#[derive(Debug, Clone, Copy)]
struct Bounds {
    f32: f64,
    f64: f64,
}

impl Bounds {
    fn of<T: Real>(self) -> f64 {
        if T::EPSILON > 1e-10 { self.f32 } else { self.f64 }
    }
}

#[track_caller]
fn solve<T: Real>(matrix: &[T], level: Level, threads: usize) -> Vec<f64> {
    symmetric_eigenvalues(matrix, level, threads).unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

#[track_caller]
fn assert_close<T: Real>(got: &[f64], expected: &[f64], bounds: Bounds, case: &str) {
    assert_eq!(got.len(), expected.len(), "{case}");
    let allowed = bounds.of::<T>() * largest(expected);
    for (index, (x, y)) in got.iter().zip(expected).enumerate() {
        let error = (x - y).abs();
        // Fails for NaN as well.
        assert!(error <= allowed, "{case}, {}: {x:e} at {index}, not {y:e}: {error:e}", std::any::type_name::<T>());
    }
}

/// Solves in both precisions and compares the eigenvalues.
#[track_caller]
fn assert_spectrum(matrix: &[f64], expected: &[f64], bounds: Bounds, level: Level, threads: usize, case: &str) {
    let case = format!("{case}, {level}, {threads} threads");
    assert_close::<f64>(&solve(matrix, level, threads), expected, bounds, &case);
    assert_close::<f32>(&solve(&singles(matrix), level, threads), expected, bounds, &case);
}

#[track_caller]
fn agrees_with_the_reference((case, matrix): &(String, Vec<f64>), levels: &[Level]) {
    let expected = faer_eigenvalues(matrix).unwrap();
    for (index, &level) in levels.iter().enumerate() {
        // Varies from 1 to 4.
        let threads = 1 + (matrix.len().isqrt() + case.len() + index) % 4;
        assert_spectrum(matrix, &expected, RANDOM, level, threads, case);
    }
}

/// Solves on every instruction set in both precisions, and compares the eigenvalues.
#[track_caller]
fn has_spectrum(case: &str, matrix: &[f64], expected: Vec<f64>) {
    let expected = sorted(expected);
    for (index, level) in Level::all().into_iter().enumerate() {
        assert_spectrum(matrix, &expected, REPETITIVE, level, 1 + index, case);
    }
}
