//! The smallest eigenvalue of W^T W, to more digits than a Gram matrix in floating point holds.
//!
//! A computed Gram matrix G is off by epsilon times its largest eigenvalue, so its small eigenvalues are off by as much. But
//! its smallest eigenvector v is close to that of W^T W, and products with W supply the rest: the Rayleigh quotient
//! rho = |W v|^2 / |v|^2 is off by only the square of the error of v, and the residual g = W^T W v - rho v shows where v is
//! wrong. G^-1 g is the direction in which to correct v (an iteration with G as its preconditioner: Knyazev and Neymeyr, Linear
//! Algebra Appl. 358, 2003), and the best step along it minimizes the quotient.
//!
//! The result is certified. If x_0 is the only eigenvalue below beta, and rho < beta, then (Temple, Proc. R. Soc. A 119, 1928)
//!
//! ```text
//! rho - |g|^2 / (beta - rho) <= x_0 <= rho        for |v| = 1
//! ```

use super::operators::{InverseGram, MatrixProducts};
use crate::spectrum::Spectrum;

/// Limit on the number of iterations; each takes three products with W.
const MAX_STEPS: usize = 12;
/// Bound on the relative error at which the iteration ends.
const CONVERGED: f64 = 1e-9;

/// Bounds on the eigenvalues other than the smallest.
#[derive(Debug, Clone, Copy)]
pub(super) struct OtherEigenvalues {
    /// A lower bound for all of them.
    pub at_least: f64,
    /// The largest.
    pub largest: f64,
}

/// An eigenvalue and a bound on its relative error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CertifiedEigenvalue {
    pub value: f64,
    pub relative_error: f64,
}

impl CertifiedEigenvalue {
    /// The spectrum with its smallest eigenvalue replaced by this.
    pub fn replace_smallest(self, spectrum: Spectrum) -> Spectrum {
        spectrum.with_smallest_eigenvalue(self.value, self.relative_error)
    }
}

/// Computes the smallest eigenvalue of W^T W from an approximate eigenvector and an approximate inverse of W^T W. `None` if
/// the iteration cannot certify that it is the smallest.
///
/// # Errors
///
/// Any error of `gram` and `products`.
pub(super) fn certify<G: InverseGram, P: MatrixProducts<Error: Into<G::Error>>>(
    start: Vec<f64>,
    others: OtherEigenvalues,
    gram: &mut G,
    products: &P,
) -> Result<Option<CertifiedEigenvalue>, G::Error> {
    let mut v = start;
    let mut best: Option<CertifiedEigenvalue> = None;
    for _ in 0..MAX_STEPS {
        let length = norm(&v);
        v.iter_mut().for_each(|x| *x /= length);
        let u = products.forward(&v).map_err(Into::into)?;
        let value = dot(&u, &u);
        // NaN ends the iteration, too.
        if !(value > 0.0 && value < others.at_least) {
            break;
        }
        let mut residual = products.backward(&u).map_err(Into::into)?;
        residual.iter_mut().zip(&v).for_each(|(g, v)| *g -= value * v);
        let relative_error = error_bound(&residual, value, others, u.len());
        let is_slow = best.is_some_and(|best| relative_error > best.relative_error / 2.0);
        if best.is_none_or(|best| relative_error < best.relative_error) {
            best = Some(CertifiedEigenvalue { value, relative_error });
        }
        if is_slow || relative_error <= CONVERGED {
            break;
        }
        let mut z = residual;
        gram.apply_inverse_gram(&mut z)?;
        let length = norm(&z);
        z.iter_mut().for_each(|z| *z /= length);
        let step = best_step(&v, &u, &z, &products.forward(&z).map_err(Into::into)?);
        v.iter_mut().zip(&z).for_each(|(v, z)| *v += step * z);
    }
    Ok(best)
}

/// Temple's bound on how far x_0 is below `value`, plus rounding errors, relative to `value`.
fn error_bound(residual: &[f64], value: f64, others: OtherEigenvalues, long: usize) -> f64 {
    let epsilon = f64::EPSILON;
    let growth = 4.0 * (long as f64).sqrt();
    // W^T u is a sum of products of size sigma_max |u|.
    let residual = norm(residual) + growth * epsilon * (others.largest * value).sqrt();
    let temple = residual * residual / (others.at_least - value) / value;
    // W v with twice the digits, and the sum of its squares.
    let doubled = (long as f64 * epsilon).powi(2) * growth * (others.largest / value).sqrt();
    temple + 2.0 * doubled + growth * epsilon
}

/// The t that minimizes |u + t y|^2 / |v + t z|^2, where u = W v, y = W z, and |z| = 1; 0 if no t does.
fn best_step(v: &[f64], u: &[f64], z: &[f64], y: &[f64]) -> f64 {
    let (vv, vz, uu, uy, yy) = (dot(v, v), dot(v, z), dot(u, u), dot(u, y), dot(y, y));
    // Where the derivative is zero: a t^2 + b t + c = 0. b > 0, since z consists of larger eigenvectors of W^T W than v.
    let (a, b, c) = (yy * vz - uy, yy * vv - uu, uy * vv - uu * vz);
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    let step = -2.0 * c / (b + root);
    if step.is_finite() { step } else { 0.0 }
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// Adds up by blocks, which keeps the error far below that of one long sum.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let block = |(x, y): (&[f64], &[f64])| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    x.chunks(64).zip(y.chunks(64)).map(block).sum()
}
