//! The smallest eigenvalue of W^T W by block iteration from a Gram matrix in f32, which itself loses the lowest eigenvalues.
//!
//! f32 loses only a few eigenvectors, which it mixes with each other. The span of a somewhat larger block of vectors contains
//! the smallest one, and products with W in f64 show which combination it is (Rayleigh and Ritz). The block comes from inverse
//! iteration with a Cholesky factor of the Gram matrix in f32. It is then corrected along its residuals, with the same factor
//! as a preconditioner (Knyazev, SIAM J. Sci. Comput. 23, 2001). This converges in a few steps, since the factor is accurate
//! for all eigenvalues except those of the block.
//!
//! Temple's inequality, which then [certifies](certify) the smallest eigenvalue, needs a lower bound for the second. The
//! spectrum in f32 has a lower bound f for eigenvalue number k, counted from 0. Let k Ritz values
//! theta_0 <= ... <= theta_(k-1) be below f, and let r be the norm of their residuals. In the basis of their vectors and the
//! complement,
//!
//! ```text
//! W^T W = | Theta  B^T |     |B| <= r
//!         |   B     D  |
//! ```
//!
//! has k eigenvalues below f, and so has Theta. So D - f - B (Theta - f)^-1 B^T has none below zero (Haynsworth's inertia
//! additivity, Linear Algebra Appl. 1, 1968), and D has none below d = f - r^2 / (f - theta_(k-1)). By the same law, the number
//! of eigenvalues below mu < d is that of the negative ones of Theta - mu - B^T (D - mu)^-1 B. For mu = theta_1 - r^2 /
//! (d - theta_1) that is at most one: the second eigenvalue is at least mu.

use std::convert::Infallible;

use faer::{Mat, MatRef, Scale, Side};

use super::eigen::{COLUMNS, Tiles, block_solve, cholesky};
use super::products::WeightProducts;
use super::simd::Level;
use super::thread_pool::Workers;
use crate::device::operators::InverseGram;
use crate::device::smallest_eigenvalue::{CertifiedEigenvalue, OtherEigenvalues, certify};
use crate::spectrum::Spectrum;

/// Steps after which the iteration gives up.
const MAX_STEPS: usize = 10;
/// Bound on the relative error of the smallest eigenvalue at which the block is good enough.
const CONVERGED: f64 = 1e-8;
/// Largest deviation of the block from orthonormality.
const ORTHONORMAL: f64 = 1e-10;
/// Shift that makes a Gram matrix in f32 safely positive definite, in epsilon times the root mean square of its eigenvalues.
const SHIFT: f64 = 8.0;
/// Bound on the error of a low eigenvalue x in f32, in epsilon times the sum of x and the root mean square of all eigenvalues.
/// Measured: at most 7 on random and real weights. It reaches 52 if all low eigenvalues are equal, but then no two
/// of them can be distinguished.
const GROWTH: f64 = 16.0;

/// The least order at which the block is small compared with the matrix.
pub(super) const MIN_ORDER: usize = 4 * COLUMNS;

/// Bytes that [`smallest_eigenvalue`] allocates in addition to the factor.
pub(super) fn bytes(long: usize, n: usize) -> u64 {
    // For each side: two blocks, their best combination, and copies by rows, by columns and in single precision.
    8 * (COLUMNS * size_of::<f64>()) as u64 * (long + n) as u64
}

/// The number to add to the diagonal of the Gram matrix before it is factorized.
pub(super) fn shift(spectrum: &Spectrum) -> f64 {
    SHIFT * f64::from(f32::EPSILON) * root_mean_square(spectrum) - spectrum.smallest()
}

fn root_mean_square(spectrum: &Spectrum) -> f64 {
    (spectrum.values().iter().map(|x| x * x).sum::<f64>() / spectrum.len() as f64).sqrt()
}

/// Computes the smallest eigenvalue of A^T A, or `None` if it cannot be certified. `products` are products with A, `spectrum` is
/// its spectrum in f32, and `factor` is the Cholesky factor of its Gram matrix in f32 plus [`shift`].
pub(super) fn smallest_eigenvalue(
    spectrum: &Spectrum,
    factor: &mut SingleCholesky,
    products: &WeightProducts,
) -> Option<CertifiedEigenvalue> {
    let n = spectrum.len();
    if n < MIN_ORDER {
        return None;
    }
    let low = LowEigenvalues::new(spectrum);
    let largest = spectrum.largest() + spectrum.accuracy().eta;
    let mut block = RitzBlock::new(n, factor, products)?;
    for _ in 0..MAX_STEPS {
        let residuals = block.residuals(products);
        let second = block.second_at_least(&low, &residuals)?;
        let gap = second - block.values[0];
        if gap > 0.0 && residuals.col(0).squared_norm_l2() <= CONVERGED * gap * block.values[0] {
            let start = block.vectors.col(0).iter().copied().collect();
            let Ok(smallest) = certify(start, OtherEigenvalues { at_least: second, largest }, factor, products);
            return smallest;
        }
        block.improve(residuals, factor, products)?;
    }
    None
}

/// The lowest eigenvalues in f32, with tighter error bounds than those of the spectrum.
///
/// The bound on the errors of all eigenvalues is too wide for the lowest. Rounding errors in a reduction are proportional to
/// the rounded numbers, whose average over the directions of eigenvectors is the root mean square of the eigenvalues. So a low
/// one should be off by little more than epsilon times that. This is not a theorem. But for a matrix that violates it, low
/// eigenvalues should differ by more than that from the Ritz values of the block, which are far more precise, and the block
/// rejects such matrices.
struct LowEigenvalues<'a> {
    spectrum: &'a Spectrum,
    root_mean_square: f64,
}

impl LowEigenvalues<'_> {
    fn new(spectrum: &Spectrum) -> LowEigenvalues<'_> {
        LowEigenvalues { spectrum, root_mean_square: root_mean_square(spectrum) }
    }

    /// Eigenvalue number k, and a bound on its absolute error.
    fn eigenvalue(&self, k: usize) -> (f64, f64) {
        let x = self.spectrum.values()[k];
        let error = GROWTH * f64::from(f32::EPSILON) * (self.root_mean_square + x);
        (x, error.min(self.spectrum.accuracy().eta))
    }
}

/// Ritz vectors of A^T A for its lowest eigenvalues.
struct RitzBlock {
    /// n x [`COLUMNS`], orthonormal.
    vectors: Mat<f64>,
    /// A times the vectors.
    images: Mat<f64>,
    /// Ritz values, ascending.
    values: Vec<f64>,
}

impl RitzBlock {
    /// Two steps of inverse iteration from a random block.
    fn new(n: usize, factor: &mut SingleCholesky, products: &WeightProducts) -> Option<RitzBlock> {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let mut vectors = Mat::from_fn(n, COLUMNS, |_, _| rng.f64() - 0.5);
        for _ in 0..2 {
            vectors = factor.solve(vectors).qr().compute_thin_Q();
        }
        let images = forward(products, &vectors);
        RitzBlock::ritz(vectors, images)
    }

    /// The lowest Ritz vectors in the span of orthonormal `vectors` with these images; `None` if they are not finite.
    fn ritz(vectors: Mat<f64>, images: Mat<f64>) -> Option<RitzBlock> {
        let eigen = (images.transpose() * &images).self_adjoint_eigen(Side::Lower).ok()?;
        let lowest = eigen.U().subcols(0, COLUMNS);
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().take(COLUMNS).collect();
        let finite = values.iter().all(|value| value.is_finite() && *value > 0.0);
        finite.then(|| RitzBlock { vectors: &vectors * lowest, images: &images * lowest, values })
    }

    /// A^T A v - theta v for each Ritz vector v.
    fn residuals(&self, products: &WeightProducts) -> Mat<f64> {
        let mut residuals = from_rows(&products.backward_block(&to_rows(&self.images)));
        for (c, &value) in self.values.iter().enumerate() {
            residuals.col_mut(c).iter_mut().zip(self.vectors.col(c).iter()).for_each(|(r, v)| *r -= value * v);
        }
        residuals
    }

    /// A lower bound for the second eigenvalue, by the argument at the top of this file. It may be useless before the block
    /// has converged. `None` if the block has lost its orthonormality, which more steps do not restore.
    fn second_at_least(&self, low: &LowEigenvalues, residuals: &Mat<f64>) -> Option<f64> {
        let overlaps = self.vectors.transpose() * &self.vectors;
        let is_unit = |i: usize, j: usize| (overlaps[(i, j)] - f64::from(u8::from(i == j))).abs() <= ORTHONORMAL;
        if !(0..COLUMNS).all(|i| (0..=i).all(|j| is_unit(i, j))) {
            return None;
        }
        // The rounding error of a residual, a sum over the long side of products of size sigma_max |A v|.
        let rounding = 4.0 * (self.images.nrows() as f64).sqrt() * f64::EPSILON * low.spectrum.largest();
        let norms: Vec<f64> = (0..COLUMNS).map(|k| residuals.col(k).norm_l2() + rounding).collect();
        let mut best = f64::NEG_INFINITY;
        let agrees = |k: usize| {
            let (seen, error) = low.eigenvalue(k);
            (seen - self.values[k]).abs() <= error + norms[k]
        };
        if !(0..COLUMNS).all(agrees) {
            return Some(best);
        }
        let mut square = 0.0;
        for k in 1..=COLUMNS {
            let last = self.values[k - 1];
            square += norms[k - 1] * norms[k - 1];
            let (seen, error) = low.eigenvalue(k);
            let floor = seen - error;
            if floor <= last {
                continue;
            }
            if k == 1 {
                best = floor;
                continue;
            }
            let rest = floor - square / (floor - last);
            if rest > self.values[1] {
                best = best.max(self.values[1] - square / (rest - self.values[1]));
            }
        }
        Some(best)
    }

    /// Replaces the vectors by the best ones in the span of themselves and the preconditioned residuals.
    fn improve(&mut self, residuals: Mat<f64>, factor: &mut SingleCholesky, products: &WeightProducts) -> Option<()> {
        let mut corrections = factor.solve(residuals);
        for _ in 0..2 {
            let overlaps = self.vectors.transpose() * &corrections;
            corrections -= &self.vectors * overlaps;
            corrections = corrections.qr().compute_thin_Q();
        }
        let more = forward(products, &corrections);
        *self = RitzBlock::ritz(side_by_side(&self.vectors, &corrections), side_by_side(&self.images, &more))?;
        Some(())
    }
}

/// L with L L^T = G + s, where G is a Gram matrix in f32.
pub(super) struct SingleCholesky<'a> {
    pub factor: Tiles<'a, f32>,
    pub level: Level,
    pub workers: &'a Workers<'a>,
}

impl SingleCholesky<'_> {
    /// (L L^T)^-1 times each column, up to the length of the columns.
    fn solve(&mut self, mut columns: Mat<f64>) -> Mat<f64> {
        for c in 0..columns.ncols() {
            let norm = columns.col(c).norm_l2();
            if norm > 0.0 {
                let column = columns.col(c) * Scale(1.0 / norm);
                columns.col_mut(c).copy_from(column);
            }
        }
        let mut rows: Vec<f32> = to_rows(&columns).into_iter().map(|x| x as f32).collect();
        block_solve::solve(&mut self.factor, &mut rows, self.level, self.workers);
        let rows: Vec<f64> = rows.into_iter().map(f64::from).collect();
        from_rows(&rows)
    }
}

impl InverseGram for SingleCholesky<'_> {
    type Error = Infallible;

    fn order(&self) -> usize {
        self.factor.order()
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Infallible> {
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut single: Vec<f32> = x.iter().map(|x| (x / norm) as f32).collect();
        cholesky::solve(&mut self.factor, &mut single, self.level);
        x.iter_mut().zip(single).for_each(|(x, single)| *x = norm * f64::from(single));
        Ok(())
    }
}

fn forward(products: &WeightProducts, vectors: &Mat<f64>) -> Mat<f64> {
    from_rows(&products.forward_block(&to_rows(vectors)))
}

/// The elements of a matrix with [`COLUMNS`] columns, row by row.
fn to_rows(matrix: &Mat<f64>) -> Vec<f64> {
    (0..matrix.nrows()).flat_map(|row| (0..COLUMNS).map(move |col| matrix[(row, col)])).collect()
}

fn from_rows(rows: &[f64]) -> Mat<f64> {
    MatRef::from_row_major_slice(rows, rows.len() / COLUMNS, COLUMNS).to_owned()
}

fn side_by_side(left: &Mat<f64>, right: &Mat<f64>) -> Mat<f64> {
    faer::concat![[left, right]]
}
