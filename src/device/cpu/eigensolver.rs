//! Gram matrices and eigenvalues of single matrices, without a checkpoint: for benchmarks, tests and other programs.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use faer::MatMut;
use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::eigen::{self, Tiles};
use super::faer_solver;
use super::simd::{Level, Real};
use super::thread_pool::{ThreadPool, Workers};
use crate::checkpoint::MatrixView;
use crate::device::{Failure, binary_exponent, power_of_two};

/// Computes the Gram matrix of W on its smaller side, with this many threads: the lower half of a symmetric n x n matrix in
/// column-major order, where n is [`MatrixView::short`]. Elements above the diagonal of `gram` are left as they are.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
///
/// # Panics
///
/// If `gram` does not have exactly n^2 elements.
pub fn gram_matrix<T: Real>(view: &MatrixView, gram: &mut [T], level: Level, threads: usize) -> Result<(), Failure> {
    let n = view.short();
    assert_eq!(gram.len(), n * n);
    let (mut buffer, mut workspace) = (Buffer::default(), Buffer::default());
    let mut tiles = Tiles::zeros(n, &mut buffer)?;
    let order: Vec<usize> = (0..n).collect();
    let pool = ThreadPool::new(threads);
    eigen::gram(view, 1.0, &order, &mut tiles, &mut workspace, level, &pool.start_solve())?;
    for col in 0..n {
        for row in col..n {
            gram[col * n + row] = tiles.get(row, col);
        }
    }
    Ok(())
}

/// Computes eigenvalues of symmetric matrices, one after the other. Its threads and its memory are reused: the first touch of
/// memory takes a tenth of a solve.
#[derive(Debug)]
pub struct Eigensolver<T> {
    level: Level,
    pool: ThreadPool,
    tiles: Buffer<T>,
    band: Buffer<T>,
    panels: Buffer<T>,
}

impl<T: Real> Eigensolver<T> {
    /// A solver that uses this many threads.
    pub fn new(level: Level, threads: usize) -> Eigensolver<T> {
        let (tiles, band, panels) = Default::default();
        Eigensolver { level, pool: ThreadPool::new(threads), tiles, band, panels }
    }

    /// All eigenvalues, ascending, of a symmetric n x n matrix in column-major order, n >= 1, given its lower half. Neither the
    /// elements above the diagonal nor the number of threads affects the result.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
    ///
    /// # Panics
    ///
    /// If the length of `matrix` is zero or not a square number.
    pub fn eigenvalues(&mut self, matrix: &[T]) -> Result<Vec<f64>, Failure> {
        let n = matrix.len().isqrt();
        assert!(n > 0 && n * n == matrix.len());
        let workers = self.pool.start_solve();
        let largest = largest(matrix, n, self.level, &workers);
        if !largest.is_finite() {
            return Err(Failure::Solver("the matrix is not finite".into()));
        }
        if largest == 0.0 {
            return Ok(vec![0.0; n]);
        }
        let exponent = binary_exponent(largest);
        let scale = power_of_two(-exponent);
        let mut tiles = Tiles::of(n, self.tiles.get(eigen::tile_elements(n))?);
        tiles.fill(&workers, |row, col| T::from_f64(matrix[col * n + row].into() * scale));
        let mut values = eigen::eigenvalues(&mut tiles, &mut self.band, &mut self.panels, self.level, &workers)?;
        values.iter_mut().for_each(|x| *x *= power_of_two(exponent));
        Ok(values)
    }
}

/// The eigenvalues of one matrix, by [`Eigensolver::eigenvalues`].
///
/// # Errors
///
/// As for [`Eigensolver::eigenvalues`].
///
/// # Panics
///
/// As for [`Eigensolver::eigenvalues`].
pub fn symmetric_eigenvalues<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<Vec<f64>, Failure> {
    Eigensolver::new(level, threads).eigenvalues(matrix)
}

/// The same by the reference solver: Householder tridiagonalization by `faer`, in f64, then bisection. Many times slower.
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
    faer_solver::eigenvalues(MatMut::from_column_major_slice_mut(&mut matrix, n, n))
}

/// The largest absolute value in the lower half of an n x n matrix, column by column; NaN or infinite if an element is.
fn largest<T: Real>(matrix: &[T], n: usize, level: Level, workers: &Workers) -> f64 {
    // Without the sign, the bits of numbers are ordered as their values, then infinity, then NaN.
    let largest = AtomicU64::new(0);
    workers.run(n.div_ceil(COLUMNS), &|task| {
        let columns = task * COLUMNS..n.min((task + 1) * COLUMNS);
        largest.fetch_max(level.run(Largest { matrix, n, columns }), Ordering::Relaxed);
    });
    f64::from_bits(largest.into_inner())
}

/// Columns of a task.
const COLUMNS: usize = 64;
/// Elements that are processed side by side.
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
