//! Gram matrices and eigenvalues of single matrices, which need no checkpoint: for benchmarks, tests and other programs.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use faer::MatMut;
use pulp::{Simd, WithSimd};

use super::eigen::{self, Tiles};
use super::library;
use super::memory::Buffer;
use super::simd::{Level, Real};
use super::team::{Crew, Team};
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
        let team = self.crew.begin();
        let largest = largest(matrix, n, self.level, &team);
        if !largest.is_finite() {
            return Err(Failure::Solver("the matrix is not finite".into()));
        }
        if largest == 0.0 {
            return Ok(vec![0.0; n]);
        }
        let exponent = binary_exponent(largest);
        let scale = power_of_two(-exponent);
        let mut tiles = Tiles::of(n, self.tiles.get(eigen::tile_elements(n))?);
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

/// The largest absolute value in the lower half of an n x n matrix, column by column; NaN or infinite if an element is.
fn largest<T: Real>(matrix: &[T], n: usize, level: Level, team: &Team) -> f64 {
    // Without their sign, the bits of numbers are ordered as their values are, infinity behind all, and NaN behind that.
    let largest = AtomicU64::new(0);
    team.run(n.div_ceil(COLUMNS), &|task| {
        let columns = task * COLUMNS..n.min((task + 1) * COLUMNS);
        largest.fetch_max(level.run(Largest { matrix, n, columns }), Ordering::Relaxed);
    });
    f64::from_bits(largest.into_inner())
}

/// Columns that a task looks at.
const COLUMNS: usize = 64;
/// Elements that are looked at side by side.
const LANES: usize = 16;

/// The bits of the largest absolute value in the lower half of some columns.
struct Largest<'a, T> {
    matrix: &'a [T],
    n: usize,
    columns: Range<usize>,
}

impl<T: Real> WithSimd for Largest<'_, T> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> u64 {
        let mut largest = [0_u64; LANES];
        for col in self.columns {
            let (chunks, rest) = self.matrix[col * self.n..][col..self.n].as_chunks::<LANES>();
            for chunk in chunks {
                for lane in 0..LANES {
                    let x: f64 = chunk[lane].into();
                    largest[lane] = largest[lane].max(x.abs().to_bits());
                }
            }
            for (largest, &x) in largest.iter_mut().zip(rest) {
                let x: f64 = x.into();
                *largest = (*largest).max(x.abs().to_bits());
            }
        }
        largest.into_iter().fold(0, u64::max)
    }
}
