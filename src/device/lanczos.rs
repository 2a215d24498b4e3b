//! The smallest singular value of a triangle and its right singular vector, by the Lanczos method on its inverse.
//!
//! The largest eigenvalue of (R^T R)^-1 is 1 / sigma_min^2, and it is the one that Lanczos finds first (Golub and Van Loan,
//! section 10.1). A step is two triangular solves, O(n^2), which the caller runs on the device that holds the triangle. Each
//! solve is backward stable, so sigma_min comes out within a few epsilon of sigma_max.

use faer::{Col, ColMut, Mat, MatRef, Side};

/// Steps after which the caller should compute all singular values instead.
const MAX_STEPS: usize = 300;
/// Relative change of the result, over [`CHECK_EVERY`] steps, at which it counts as converged.
const CONVERGED: f64 = 1e-10;
/// Bound on the relative error of the squared result from stopping there. It exceeds [`CONVERGED`]: where convergence is slow,
/// the change over a few steps is less than the remaining error.
pub(super) const RELATIVE_ERROR: f64 = 1e-8;
const CHECK_EVERY: usize = 6;

/// The smallest singular value of an n x n triangle R, its right singular vector, of norm 1, and a bound for the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SmallestSingularPair {
    /// 0 if the triangle is singular.
    pub singular_value: f64,
    /// Converged to about the square root of [`RELATIVE_ERROR`]; not finite if the triangle is singular.
    pub vector: Vec<f64>,
    /// A lower bound for the second smallest eigenvalue of R^T R, valid if the iteration has found the two largest of the
    /// inverse; its start has a component along every eigenvector. A double eigenvalue counts as one.
    pub next_eigenvalue: f64,
}

/// The smallest singular value of an n x n triangle R; `None` without convergence.
///
/// `apply_inverse_gram` replaces a vector x by (R^T R)^-1 x, which may not be finite if R is singular.
///
/// # Errors
///
/// Any error of `apply_inverse_gram`.
pub(super) fn smallest_singular_value<E>(
    n: usize,
    mut apply_inverse_gram: impl FnMut(&mut [f64]) -> Result<(), E>,
) -> Result<Option<SmallestSingularPair>, E> {
    let singular =
        || Ok(Some(SmallestSingularPair { singular_value: 0.0, vector: vec![f64::NAN; n], next_eigenvalue: 0.0 }));
    // Any start that is not orthogonal to the wanted vector works, so a random one does. The seed makes it reproducible.
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let start = Col::from_fn(n, |_| rng.f64() - 0.5);
    // Vectors of n elements, contiguous, so that products with all of them stream through memory once.
    let mut basis: Vec<f64> = (start.as_ref() / faer::Scale(start.norm_l2())).iter().copied().collect();
    let (mut diagonal, mut subdiagonal) = (Vec::new(), Vec::new());
    let mut previous = f64::NAN;
    loop {
        let steps = basis.len() / n;
        let vectors = MatRef::from_column_major_slice(&basis, n, steps);
        let mut next = basis[(steps - 1) * n..].to_vec();
        apply_inverse_gram(&mut next)?;
        let mut next = ColMut::from_slice_mut(&mut next);
        diagonal.push(vectors.col(steps - 1).transpose() * &next);
        // Classical Gram-Schmidt, twice, keeps them orthogonal to working precision (Giraud et al., Numer. Math. 101, 2005).
        for _ in 0..2 {
            let overlaps = vectors.transpose() * &next;
            next -= vectors * overlaps;
        }
        let norm = next.norm_l2();
        let last = steps == n || norm <= f64::EPSILON * diagonal[steps - 1].abs();
        if last || steps.is_multiple_of(CHECK_EVERY) {
            if diagonal.iter().chain(&subdiagonal).any(|value| !value.is_finite()) {
                return singular();
            }
            let Some([(largest, weights), (second, others)]) = largest_eigenvalues(&diagonal, &subdiagonal) else {
                return Ok(None);
            };
            if last || (largest - previous).abs() <= CONVERGED * largest {
                // The distance of a Ritz value from an eigenvalue is at most its residual.
                let next_eigenvalue = (second + norm * others[steps - 1].abs()).recip();
                let vector = (vectors * weights).iter().copied().collect();
                return Ok(Some(SmallestSingularPair {
                    singular_value: largest.recip().sqrt(),
                    vector,
                    next_eigenvalue,
                }));
            }
            previous = largest;
        }
        if !norm.is_finite() {
            return singular();
        }
        if steps == MAX_STEPS {
            return Ok(None);
        }
        subdiagonal.push(norm);
        let next: Vec<f64> = next.iter().map(|x| x / norm).collect();
        basis.extend(next);
    }
}

/// The two largest eigenvalues of a tridiagonal matrix and their eigenvectors; the same pair twice if the order is 1.
fn largest_eigenvalues(diagonal: &[f64], subdiagonal: &[f64]) -> Option<[(f64, Col<f64>); 2]> {
    let k = diagonal.len();
    let tridiagonal = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => subdiagonal[i.min(j)],
        _ => 0.0,
    });
    let decomposition = tridiagonal.self_adjoint_eigen(Side::Lower).ok()?;
    let pair = |index: usize| (decomposition.S().column_vector()[index], decomposition.U().col(index).to_owned());
    Some([pair(k - 1), pair(k.saturating_sub(2))])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Runs on the diagonal matrix with these eigenvalues of R^T R; returns the result and the number of steps.
    fn smallest_of(eigenvalues: &[f64]) -> (SmallestSingularPair, usize) {
        let mut steps = 0;
        let found = smallest_singular_value(eigenvalues.len(), |x| {
            steps += 1;
            x.iter_mut().zip(eigenvalues).for_each(|(x, eigenvalue)| *x /= eigenvalue);
            Ok::<(), Infallible>(())
        });
        let Ok(found) = found;
        (found.unwrap(), steps)
    }

    /// Eigenvalues like those of square random matrices.
    fn squares(n: usize) -> Vec<f64> {
        (1..=n).map(|k| (k as f64 / n as f64).powi(2)).collect()
    }

    #[test]
    fn finds_the_smallest_and_bounds_the_next() {
        for n in [8, 9, 40, 700] {
            for ratio in [1.001, 1.1, 2.0, 1e3] {
                let mut eigenvalues = squares(n);
                eigenvalues[0] = eigenvalues[1] / ratio;
                let (SmallestSingularPair { singular_value, vector, next_eigenvalue }, steps) =
                    smallest_of(&eigenvalues);
                let case = format!("{n}, {ratio}, {steps} steps: {singular_value:e} {next_eigenvalue:e}");
                assert!((singular_value.powi(2) / eigenvalues[0] - 1.0).abs() < RELATIVE_ERROR, "{case}");
                assert!((vector[0].abs() - 1.0).abs() < 1e-4, "{case}");
                // A true lower bound, and above the smallest, or it would be useless.
                let is_between = next_eigenvalue > eigenvalues[0] && next_eigenvalue <= eigenvalues[1] * (1.0 + 1e-12);
                assert!(is_between, "{case}");
            }
        }
    }

    #[test]
    fn singular_matrices_give_zero_and_equal_eigenvalues_count_as_one() {
        let mut eigenvalues = squares(30);
        eigenvalues[7] = 0.0;
        assert_eq!(smallest_of(&eigenvalues).0.singular_value, 0.0);
        let (all_equal, _) = smallest_of(&[4.0; 12]);
        assert!((all_equal.singular_value - 2.0).abs() < 1e-12 && (all_equal.next_eigenvalue - 4.0).abs() < 1e-9);
    }
}
