//! All eigenvalues of a dense symmetric matrix, without eigenvectors.
//!
//! A direct Householder reduction to tridiagonal form runs at the speed of memory, since half of its operations are products
//! with a vector. Two stages avoid that: [dense to band](dense_to_band) consists of matrix products in the caches, and [band to
//! tridiagonal](band_to_tridiagonal) has little data and few operations (Bischof, Lang and Sun, ACM Trans. Math. Softw. 26,
//! 2000). The eigenvalues of the tridiagonal matrix come from [bisection].
//!
//! All transformations are orthogonal, so the computed eigenvalues are those of a matrix that differs by a modest multiple of
//! epsilon times the norm (Golub and Van Loan, Matrix Computations, section 8.3). Measured, the largest error is below 5 epsilon
//! for random matrices of orders up to 4096, and below 20 if entries repeat, so that rounding errors add up;
//! `tests/it/eigenvalues/` and `benches/peers` check this. Results do not depend on the number of threads, because
//! each part is rounded in the same way by any thread. Their last digits depend on the instruction set.

mod band;
mod band_to_tridiagonal;
mod bisection;
pub mod block_solve;
pub mod cholesky;
mod dense_to_band;
mod gram;
mod gram_bf16;
pub mod kernel;
mod panel;
mod tiles;

pub use block_solve::COLUMNS;
pub use gram::lower as gram;
pub use tiles::{Tiles, elements as tile_elements};

use super::buffer::Buffer;
use super::simd::{Level, Real};
use super::thread_pool::Workers;
use crate::device::Failure;

/// Accuracy of the bisection, in epsilon times the norm: well below the error of the reductions.
const RESOLUTION: f64 = 1.0 / 128.0;

/// The bandwidth between the stages.
///
/// The second stage takes 6 n^2 b operations, and so does the first in addition to its passes over the tiles. An operation of a pass is
/// slower the narrower the band is, especially if the tiles are not in a cache. So the best band is narrow, and wider for large
/// matrices. A narrower band also rounds the tiles more often: in f32, 16 instead of 32 raises the root mean square error for
/// n = 1024 from 0.33 to 0.41 epsilon times the norm. The band is at least as wide as the widest vector.
fn bandwidth(n: usize) -> usize {
    if n < 5000 {
        16
    } else if n < 12_000 {
        32
    } else {
        64
    }
}

/// Bytes of the buffers for the Gram matrix, in T, of a matrix of this shape and its eigenvalues: the tiles, the panels, and the
/// band.
pub fn buffer_bytes<T: Real>(long: usize, n: usize) -> [u64; 3] {
    let panels = dense_to_band::workspace_elements::<T>(n, bandwidth(n)).max(gram::workspace_elements::<T>(long, n));
    [tiles::elements(n), panels, band::elements(n, bandwidth(n))].map(|elements| elements * size_of::<T>() as u64)
}

/// All eigenvalues of a symmetric matrix, ascending. Overwrites the matrix, whose largest element must be of order 1.
///
/// # Errors
///
/// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
pub fn eigenvalues<T: Real>(
    matrix: &mut Tiles<T>,
    band: &mut Buffer<T>,
    panels: &mut Buffer<T>,
    level: Level,
    workers: &Workers,
) -> Result<Vec<f64>, Failure> {
    let n = matrix.order();
    through_band(matrix, band::Band::zeros(n, bandwidth(n), band)?, panels, level, workers)
}

/// [`eigenvalues`] by reduction to this band, which must be zero.
fn through_band<T: Real>(
    matrix: &mut Tiles<T>,
    mut band: band::Band<T>,
    panels: &mut Buffer<T>,
    level: Level,
    workers: &Workers,
) -> Result<Vec<f64>, Failure> {
    dense_to_band::reduce(matrix, &mut band, panels, level, workers)?;
    let (diagonal, subdiagonal) = band_to_tridiagonal::reduce(&mut band, level, workers);
    if diagonal.iter().chain(&subdiagonal).any(|entry| !entry.is_finite()) {
        return Err(Failure::Solver("the reduction to tridiagonal form gave NaN or infinity".into()));
    }
    Ok(bisection::eigenvalues(&diagonal, &subdiagonal, T::EPSILON * RESOLUTION, level, workers))
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Buffer;
    use super::super::thread_pool::ThreadPool;
    use super::*;
    use crate::checkpoint::{Cast, FloatType, MatrixView};

    /// Second differences: 2 on the diagonal, -1 next to it, with rows and columns permuted so that all stages have work to
    /// do. The eigenvalues are 2 - 2 cos(k pi / (n + 1)).
    fn second_differences<T: Real>(n: usize, bandwidth: usize, level: Level, threads: usize) -> Vec<f64> {
        let pool = ThreadPool::new(threads);
        let workers = pool.start_solve();
        let mut buffer = Buffer::default();
        let mut tiles = Tiles::zeros(n, &mut buffer).unwrap();
        let place = |i: usize| i * 7 % n;
        let element = |i: usize, j: usize| match place(i).abs_diff(place(j)) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        tiles.fill(&workers, |row, col| T::from_f64(element(row, col)));
        let mut buffer = Buffer::default();
        let band = band::Band::zeros(n, bandwidth, &mut buffer).unwrap();
        through_band(&mut tiles, band, &mut Buffer::default(), level, &workers).unwrap()
    }

    fn agree<T: Real>(n: usize, bandwidth: usize, level: Level, threads: usize) {
        let found = second_differences::<T>(n, bandwidth, level, threads);
        for (k, x) in found.iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!(
                (x - expected).abs() < 40.0 * T::EPSILON,
                "{n}, {bandwidth}, {level}, {threads} threads: {x} {expected}"
            );
        }
    }

    #[test]
    fn eigenvalues_agree_for_every_bandwidth() {
        for (level, bandwidth) in Level::all().into_iter().flat_map(|level| [16, 32, 64].map(|b| (level, b))) {
            for n in [50, 229] {
                agree::<f32>(n, bandwidth, level, 2);
                agree::<f64>(n, bandwidth, level, 2);
            }
        }
    }

    /// Small enough for Miri (`scripts/miri`): reductions and Gram matrix, on two threads where they share work.
    #[test]
    fn miri_follows_every_stage() {
        let level = Level::Scalar;
        for (n, threads) in [(1, 1), (5, 2), (20, 1)] {
            agree::<f64>(n, bandwidth(n), level, threads);
        }
        agree::<f32>(5, bandwidth(5), level, 1);
        let pool = ThreadPool::new(2);
        let workers = pool.start_solve();
        let (rows, cols) = (19, 5);
        let bytes: Vec<u8> = (0..rows * cols).flat_map(|i| ((i * i % 17) as f32).to_le_bytes()).collect();
        for (rows, cols) in [(rows, cols), (cols, rows)] {
            let view = MatrixView::new(&bytes, FloatType::F32, Cast::None, rows, cols);
            let (mut buffer, mut workspace) = (Buffer::default(), Buffer::default());
            let mut gram = Tiles::<f64>::zeros(5, &mut buffer).unwrap();
            let order: Vec<usize> = (0..5).rev().collect();
            super::gram(&view, 1.0, &order, &mut gram, &mut workspace, level, &workers).unwrap();
            let element = |long: usize, short: usize| {
                let index = if rows > cols { long * cols + short } else { short * cols + long };
                (index * index % 17) as f64
            };
            for (i, j) in (0..5).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let expected: f64 = (0..19).map(|k| element(k, order[i]) * element(k, order[j])).sum();
                assert_eq!(gram.get(i, j), expected);
            }
        }
    }
}
