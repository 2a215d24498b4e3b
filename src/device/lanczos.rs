//! The smallest singular value of a triangle and its right singular vector, by the Lanczos method on its inverse.
//!
//! The largest eigenvalue of (R^T R)^-1 is 1 / sigma_min^2, and it is the one that Lanczos finds first (Golub and Van Loan,
//! section 10.1). A step is two triangular solves, O(n^2), which the caller makes wherever the triangle lies. Each solve is
//! backward stable, so sigma_min comes out within a few epsilon of sigma_max.

use faer::{Col, Mat, Side};

/// Steps after which the caller should compute all singular values instead.
const MAX_STEPS: usize = 300;
/// Relative change of the result, over [`CHECK_EVERY`] steps, at which it counts as converged.
const CONVERGED: f64 = 1e-10;
/// Bound on the relative error of the squared result that is due to stopping there: where convergence is slow, the change
/// over a few steps is less than what is still to come.
pub(super) const RELATIVE_ERROR: f64 = 1e-8;
const CHECK_EVERY: usize = 6;

/// A singular value of an n x n triangle, and its right singular vector, of norm 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Smallest {
    /// 0 if the triangle is singular.
    pub singular_value: f64,
    /// Converged to about the square root of [`RELATIVE_ERROR`]; not finite if the triangle is singular.
    pub vector: Vec<f64>,
}

/// The smallest singular value of an n x n triangle R; `None` without convergence.
///
/// `apply_inverse_gram` replaces a vector x by (R^T R)^-1 x, which may not be finite if R is singular.
///
/// # Errors
///
/// What `apply_inverse_gram` fails with.
pub(super) fn smallest_singular_value<E>(
    n: usize,
    mut apply_inverse_gram: impl FnMut(&mut [f64]) -> Result<(), E>,
) -> Result<Option<Smallest>, E> {
    let singular = || Ok(Some(Smallest { singular_value: 0.0, vector: vec![f64::NAN; n] }));
    // Any vector that is not orthogonal to the wanted one will do; a random one is not. The seed makes it the same one.
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let mut vector = Col::from_fn(n, |_| rng.f64() - 0.5);
    vector /= faer::Scale(vector.norm_l2());
    let mut basis = vec![vector];
    let (mut diagonal, mut subdiagonal) = (Vec::new(), Vec::new());
    let mut previous = f64::NAN;
    loop {
        let newest = &basis[basis.len() - 1];
        let mut next = newest.clone();
        apply_inverse_gram(next.try_as_col_major_mut().expect("owned columns are contiguous").as_slice_mut())?;
        diagonal.push(newest.transpose() * &next);
        // Twice is enough to stay orthogonal to working precision (Giraud et al., Numer. Math. 101, 2005).
        for _ in 0..2 {
            for vector in &basis {
                let overlap = vector.transpose() * &next;
                next -= faer::Scale(overlap) * vector;
            }
        }
        let norm = next.norm_l2();
        let steps = basis.len();
        let last = steps == n || norm <= f64::EPSILON * diagonal[steps - 1].abs();
        if last || steps % CHECK_EVERY == 0 {
            if diagonal.iter().chain(&subdiagonal).any(|value| !value.is_finite()) {
                return singular();
            }
            let Some((largest, weights)) = largest_eigenvalue(&diagonal, &subdiagonal) else { return Ok(None) };
            if last || (largest - previous).abs() <= CONVERGED * largest {
                let mut vector = Col::zeros(n);
                for (member, weight) in basis.iter().zip(weights) {
                    vector += faer::Scale(weight) * member;
                }
                let vector = vector.iter().copied().collect();
                return Ok(Some(Smallest { singular_value: largest.recip().sqrt(), vector }));
            }
            previous = largest;
        }
        if !norm.is_finite() {
            return singular();
        }
        if steps == MAX_STEPS {
            return Ok(None);
        }
        next /= faer::Scale(norm);
        subdiagonal.push(norm);
        basis.push(next);
    }
}

/// The largest eigenvalue of a tridiagonal matrix, and its eigenvector.
fn largest_eigenvalue(diagonal: &[f64], subdiagonal: &[f64]) -> Option<(f64, Vec<f64>)> {
    let k = diagonal.len();
    let tridiagonal = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => subdiagonal[i.min(j)],
        _ => 0.0,
    });
    let decomposition = tridiagonal.self_adjoint_eigen(Side::Lower).ok()?;
    let vector = decomposition.U().col(k - 1).iter().copied().collect();
    Some((decomposition.S().column_vector()[k - 1], vector))
}
