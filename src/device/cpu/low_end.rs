//! The smallest eigenvalue of W^T W beside a Gram matrix in f32, which loses the lowest ones.
//!
//! All that f32 has lost is a few eigenvectors, which it has mixed. A block of vectors that spans more than those holds the
//! smallest one; which combination it is, products with W in f64 tell (Rayleigh and Ritz). The block comes from inverse
//! iteration with a Cholesky factor of the Gram matrix in f32, and is mended along the residuals, with the same factor as a
//! preconditioner (Knyazev, SIAM J. Sci. Comput. 23, 2001). That converges in a few steps, since the factor is right about all
//! eigenvalues but those that the block stands for.
//!
//! Temple's inequality, which then [certifies](certify) the smallest eigenvalue, needs a lower bound for the second. Let k Ritz
//! values theta_0 <= ... <= theta_(k-1) lie below a bound f of the eigenvalue number k, counted from 0, of which the spectrum in
//! f32 knows one, and let r be the norm of their residuals. In the basis of their vectors and the complement,
//!
//! ```text
//! W^T W = | Theta  B^T |     |B| <= r
//!         |   B     D  |
//! ```
//!
//! has k eigenvalues below f, and so has Theta; so D - f - B (Theta - f)^-1 B^T has none below zero (Haynsworth's inertia
//! additivity, Linear Algebra Appl. 1, 1968), and D none below d = f - r^2 / (f - theta_(k-1)). By the same law, the number of
//! eigenvalues below mu < d is that of the negative ones of Theta - mu - B^T (D - mu)^-1 B, and with mu = theta_1 - r^2 /
//! (d - theta_1) that is one at most: the second eigenvalue is no less than that.

use std::convert::Infallible;

use faer::{Mat, MatRef, Scale, Side};

use super::eigen::{COLUMNS, Tiles, block_solve, cholesky};
use super::products::WeightProducts;
use super::simd::Level;
use super::team::Team;
use crate::device::operators::InverseGram;
use crate::device::smallest_eigenvalue::{CertifiedEigenvalue, OtherEigenvalues, certify};
use crate::spectrum::Spectrum;

/// Steps after which the block has had its chance.
const MAX_STEPS: usize = 10;
/// Bound on the relative error of the smallest eigenvalue at which the block has done its part.
const ENOUGH: f64 = 1e-8;
/// How far the vectors of the block may be from orthonormal.
const ORTHONORMAL: f64 = 1e-10;
/// What makes a Gram matrix in f32 safely positive definite, in epsilon times the root mean square of its eigenvalues.
const SHIFT: f64 = 8.0;
/// The error of a low eigenvalue x in f32, in epsilon times x and the root mean square of all. At most 7 was seen on random and
/// real weights; more, up to 52, where all low eigenvalues are alike, and so none can be told from the next.
const GROWTH: f64 = 16.0;

/// The least order for which the block is small.
pub(super) const MIN_ORDER: usize = 4 * COLUMNS;

/// Bytes that [`smallest_eigenvalue`] takes beside the factor.
pub(super) fn bytes(long: usize, n: usize) -> u64 {
    // Of each side two blocks, their best combination, and copies by rows or columns, and in single precision.
    8 * (COLUMNS * size_of::<f64>()) as u64 * (long + n) as u64
}

/// What is added to the diagonal of the Gram matrix before it is factorised.
pub(super) fn shift(spectrum: &Spectrum) -> f64 {
    SHIFT * f64::from(f32::EPSILON) * root_mean_square(spectrum) - spectrum.smallest()
}

fn root_mean_square(spectrum: &Spectrum) -> f64 {
    (spectrum.values().iter().map(|x| x * x).sum::<f64>() / spectrum.len() as f64).sqrt()
}

/// The smallest eigenvalue of A^T A, if it can be had: A stands in `products`, `spectrum` is what f32 made of it, and `factor` is
/// of its Gram matrix and [`shift`].
pub(super) fn smallest_eigenvalue(
    spectrum: &Spectrum,
    factor: &mut SingleCholesky,
    products: &WeightProducts,
) -> Option<CertifiedEigenvalue> {
    let n = spectrum.len();
    if n < MIN_ORDER {
        return None;
    }
    let low = Low::new(spectrum);
    let largest = spectrum.largest() + spectrum.accuracy().eta;
    let mut block = Block::new(n, factor, products)?;
    for _ in 0..MAX_STEPS {
        let residuals = block.residuals(products);
        let next = block.second_at_least(&low, &residuals)?;
        let gap = next - block.values[0];
        if gap > 0.0 && residuals.col(0).squared_norm_l2() <= ENOUGH * gap * block.values[0] {
            let start = block.vectors.col(0).iter().copied().collect();
            let Ok(known) = certify(start, OtherEigenvalues { at_least: next, largest }, factor, products);
            return known;
        }
        block.mend(residuals, factor, products)?;
    }
    None
}

/// What f32 tells of the lowest eigenvalues.
///
/// The bound on the errors of all is too wide for them. Rounding in a reduction is proportional to what is rounded, and on
/// average over the directions of eigenvectors that is the root mean square of the eigenvalues, so that a low one is off by
/// little more than that times epsilon. This is no theorem; but where it is not so for a matrix, its low eigenvalues should differ
/// by more than that from the Ritz values of the block, which are known far better. They must not.
struct Low<'a> {
    spectrum: &'a Spectrum,
    root_mean_square: f64,
}

impl Low<'_> {
    fn new(spectrum: &Spectrum) -> Low<'_> {
        Low { spectrum, root_mean_square: root_mean_square(spectrum) }
    }

    /// Eigenvalue number k, and how far it may be off.
    fn eigenvalue(&self, k: usize) -> (f64, f64) {
        let x = self.spectrum.values()[k];
        let error = GROWTH * f64::from(f32::EPSILON) * (self.root_mean_square + x);
        (x, error.min(self.spectrum.accuracy().eta))
    }
}

/// Ritz vectors of A^T A for its lowest eigenvalues.
struct Block {
    /// n x [`COLUMNS`], orthonormal.
    vectors: Mat<f64>,
    /// A times these.
    images: Mat<f64>,
    /// Ascending.
    values: Vec<f64>,
}

impl Block {
    /// By inverse iteration.
    fn new(n: usize, factor: &mut SingleCholesky, products: &WeightProducts) -> Option<Block> {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let mut vectors = Mat::from_fn(n, COLUMNS, |_, _| rng.f64() - 0.5);
        for _ in 0..2 {
            vectors = factor.solve(vectors).qr().compute_thin_Q();
        }
        let images = forward(products, &vectors);
        Block::ritz(vectors, images)
    }

    /// The lowest Ritz vectors in the span of orthonormal ones, whose images are these; `None` if they are not finite.
    fn ritz(vectors: Mat<f64>, images: Mat<f64>) -> Option<Block> {
        let eigen = (images.transpose() * &images).self_adjoint_eigen(Side::Lower).ok()?;
        let lowest = eigen.U().subcols(0, COLUMNS);
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().take(COLUMNS).collect();
        let finite = values.iter().all(|value| value.is_finite() && *value > 0.0);
        finite.then(|| Block { vectors: &vectors * lowest, images: &images * lowest, values })
    }

    /// A^T A v - theta v for each of them.
    fn residuals(&self, products: &WeightProducts) -> Mat<f64> {
        let mut residuals = from_rows(&products.backward_block(&to_rows(&self.images)));
        for (c, &value) in self.values.iter().enumerate() {
            residuals.col_mut(c).iter_mut().zip(self.vectors.col(c).iter()).for_each(|(r, v)| *r -= value * v);
        }
        residuals
    }

    /// A lower bound for the second eigenvalue, by the module's argument, which may be useless as yet; `None` if there will be
    /// none.
    fn second_at_least(&self, low: &Low, residuals: &Mat<f64>) -> Option<f64> {
        let overlaps = self.vectors.transpose() * &self.vectors;
        let is_unit = |i: usize, j: usize| (overlaps[(i, j)] - f64::from(u8::from(i == j))).abs() <= ORTHONORMAL;
        if !(0..COLUMNS).all(|i| (0..=i).all(|j| is_unit(i, j))) {
            return None;
        }
        // What rounding adds to a residual: it is a sum over the long side of products of size sigma_max |A v|.
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

    /// Replaces the vectors by the best in their span and that of the preconditioned residuals.
    fn mend(&mut self, residuals: Mat<f64>, factor: &mut SingleCholesky, products: &WeightProducts) -> Option<()> {
        let mut corrections = factor.solve(residuals);
        for _ in 0..2 {
            let overlaps = self.vectors.transpose() * &corrections;
            corrections -= &self.vectors * overlaps;
            corrections = corrections.qr().compute_thin_Q();
        }
        let more = forward(products, &corrections);
        *self = Block::ritz(beside(&self.vectors, &corrections), beside(&self.images, &more))?;
        Some(())
    }
}

/// L with L L^T = G + s, where G is a Gram matrix in f32.
pub(super) struct SingleCholesky<'a> {
    pub factor: Tiles<'a, f32>,
    pub level: Level,
    pub team: &'a Team<'a>,
}

impl SingleCholesky<'_> {
    /// The directions of (L L^T)^-1 times each column.
    fn solve(&mut self, mut columns: Mat<f64>) -> Mat<f64> {
        for c in 0..columns.ncols() {
            let norm = columns.col(c).norm_l2();
            if norm > 0.0 {
                let column = columns.col(c) * Scale(1.0 / norm);
                columns.col_mut(c).copy_from(column);
            }
        }
        let mut rows: Vec<f32> = to_rows(&columns).into_iter().map(|x| x as f32).collect();
        block_solve::solve(&mut self.factor, &mut rows, self.level, self.team);
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

/// The rows of a matrix with [`COLUMNS`] columns, one after the other.
fn to_rows(matrix: &Mat<f64>) -> Vec<f64> {
    (0..matrix.nrows()).flat_map(|row| (0..COLUMNS).map(move |col| matrix[(row, col)])).collect()
}

fn from_rows(rows: &[f64]) -> Mat<f64> {
    MatRef::from_row_major_slice(rows, rows.len() / COLUMNS, COLUMNS).to_owned()
}

fn beside(left: &Mat<f64>, right: &Mat<f64>) -> Mat<f64> {
    faer::concat![[left, right]]
}
