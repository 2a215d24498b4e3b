//! Gram matrices and eigenvalues of single matrices, which need no checkpoint: for benchmarks, tests and other programs.

use faer::MatMut;

use super::eigen::{self, Tiles};
use super::library;
use super::memory::Buffer;
use super::simd::{Level, Real};
use super::team::Crew;
use crate::checkpoint::MatrixView;
use crate::device::{Failure, binary_exponent, power_of_two};

/// The Gram matrix of W on its smaller side, by so many threads: the lower half of a symmetric n x n matrix in column-major
/// order, n being [`MatrixView::short`]. What lies above the diagonal of `gram` is left as it is.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
///
/// # Panics
///
/// If `gram` has not exactly n^2 elements.
pub fn gram_matrix<T: Real>(view: &MatrixView, gram: &mut [T], level: Level, threads: usize) -> Result<(), Failure> {
    let n = view.short();
    assert_eq!(gram.len(), n * n);
    let (mut buffer, mut workspace) = (Buffer::default(), Buffer::default());
    let mut tiles = Tiles::zeros(n, &mut buffer)?;
    let order: Vec<usize> = (0..n).collect();
    let crew = Crew::new(threads);
    eigen::gram(view, 1.0, &order, &mut tiles, &mut workspace, level, &crew.begin())?;
    for col in 0..n {
        for row in col..n {
            gram[col * n + row] = tiles.get(row, col);
        }
    }
    Ok(())
}

/// Finds the eigenvalues of symmetric matrices, one after the other, and keeps its threads and its memory in between: the first
/// touch of memory takes a tenth of a solve.
#[derive(Debug)]
pub struct Eigensolver<T> {
    level: Level,
    crew: Crew,
    tiles: Buffer<T>,
    band: Buffer<T>,
    panels: Buffer<T>,
}

impl<T: Real> Eigensolver<T> {
    /// One that uses so many threads.
    pub fn new(level: Level, threads: usize) -> Eigensolver<T> {
        let (tiles, band, panels) = Default::default();
        Eigensolver { level, crew: Crew::new(threads), tiles, band, panels }
    }

    /// All eigenvalues, ascending, of a symmetric n x n matrix in column-major order, n >= 1, given its lower half. What is above
    /// the diagonal has no influence on the results, and neither has the number of threads.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
    ///
    /// # Panics
    ///
    /// If the length of `matrix` is no square, or zero.
    pub fn eigenvalues(&mut self, matrix: &[T]) -> Result<Vec<f64>, Failure> {
        let n = matrix.len().isqrt();
        assert!(n > 0 && n * n == matrix.len());
        let mut largest = 0.0_f64;
        for (col, column) in matrix.chunks_exact(n).enumerate() {
            let (mut peak, mut trace) = (T::from_f64(0.0), T::from_f64(0.0));
            for &x in &column[col..] {
                let magnitude = if x < T::from_f64(0.0) { -x } else { x };
                peak = if magnitude > peak { magnitude } else { peak };
                // Zero, or NaN if x is not finite.
                trace += x * T::from_f64(0.0);
            }
            if !trace.into().is_finite() {
                return Err(Failure::Solver("the matrix is not finite".into()));
            }
            largest = largest.max(peak.into());
        }
        if largest == 0.0 {
            return Ok(vec![0.0; n]);
        }
        let exponent = binary_exponent(largest);
        let scale = power_of_two(-exponent);
        let mut tiles = Tiles::zeros(n, &mut self.tiles)?;
        let team = self.crew.begin();
        tiles.fill(&team, |row, col| T::from_f64(matrix[col * n + row].into() * scale));
        let mut values = eigen::eigenvalues(&mut tiles, &mut self.band, &mut self.panels, self.level, &team)?;
        values.iter_mut().for_each(|x| *x *= power_of_two(exponent));
        Ok(values)
    }
}

/// The eigenvalues of one matrix, by [`Eigensolver::eigenvalues`].
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
pub fn symmetric_eigenvalues<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<Vec<f64>, Failure> {
    Eigensolver::new(level, threads).eigenvalues(matrix)
}

/// The same, by Householder tridiagonalisation as `faer` does it, in f64: an oracle, many times slower.
///
/// # Errors
///
/// As for [`symmetric_eigenvalues`].
///
/// # Panics
///
/// As for [`symmetric_eigenvalues`].
pub fn faer_eigenvalues<T: Real>(matrix: &[T]) -> Result<Vec<f64>, Failure> {
    let n = matrix.len().isqrt();
    assert!(n > 0 && n * n == matrix.len());
    let mut matrix: Vec<f64> = matrix.iter().map(|&x| x.into()).collect();
    library::eigenvalues(MatMut::from_column_major_slice_mut(&mut matrix, n, n))
}
