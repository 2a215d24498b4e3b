//! The smallest eigenvalue of W^T W, to more digits than that matrix holds.
//!
//! A Gram matrix G in floating-point numbers is off by epsilon times its largest eigenvalue, and a small eigenvalue of it by as
//! much. But its smallest eigenvector v is nearly that of W^T W, and what is missing can be had from W: the Rayleigh quotient
//! rho = |W v|^2 / |v|^2 is off by the square of the error of v only, and the residual g = W^T W v - rho v says where v is wrong.
//! G^-1 g is the direction in which to mend it (an iteration with G as its preconditioner: Knyazev and Neymeyr, Linear Algebra
//! Appl. 358, 2003), and the best step along it minimises the quotient.
//!
//! The result carries its proof. If x_0 is the only eigenvalue below beta, and rho < beta, then (Temple, Proc. R. Soc. A 119, 1928)
//!
//! ```text
//! rho - |g|^2 / (beta - rho) <= x_0 <= rho        for |v| = 1
//! ```

use super::refine::InverseGram;
use crate::spectrum::Spectrum;

/// Products with W as often as this at most.
const MAX_STEPS: usize = 12;
/// Relative error, by its bound, at which the iteration ends.
const ENOUGH: f64 = 1e-9;

/// Products with a matrix W, of shape long x short.
pub(super) trait Products {
    /// What the device fails with.
    type Error;

    /// W v, each element as if computed with twice the digits of f64 and then rounded. `v` has `short` elements.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn forward(&self, v: &[f64]) -> Result<Vec<f64>, Self::Error>;

    /// W^T u. `u` has `long` elements.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn backward(&self, u: &[f64]) -> Result<Vec<f64>, Self::Error>;
}

/// What is known of the other eigenvalues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Others {
    /// All but the smallest are at least this.
    pub next: f64,
    /// The largest.
    pub largest: f64,
}

/// An eigenvalue and a bound on its relative error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub value: f64,
    pub relative_error: f64,
}

impl Known {
    /// The spectrum with this as its smallest eigenvalue.
    pub fn put_into(self, spectrum: Spectrum) -> Spectrum {
        spectrum.with_smallest_eigenvalue(self.value, self.relative_error)
    }
}

/// The smallest eigenvalue of W^T W, given nearly its eigenvector and something that solves nearly for W^T W. `None` if the
/// iteration does not show that it is the smallest.
///
/// # Errors
///
/// What `gram` and `products` fail with.
pub(super) fn smallest_eigenvalue<T: InverseGram, P: Products<Error: Into<T::Error>>>(
    start: Vec<f64>,
    others: Others,
    gram: &mut T,
    products: &P,
) -> Result<Option<Known>, T::Error> {
    let mut v = start;
    let mut best: Option<Known> = None;
    for _ in 0..MAX_STEPS {
        let length = norm(&v);
        v.iter_mut().for_each(|x| *x /= length);
        let u = products.forward(&v).map_err(Into::into)?;
        let value = dot(&u, &u);
        // NaN ends it, too.
        if !(value > 0.0 && value < others.next) {
            break;
        }
        let mut residual = products.backward(&u).map_err(Into::into)?;
        residual.iter_mut().zip(&v).for_each(|(g, v)| *g -= value * v);
        let relative_error = shortfall(&residual, value, others, u.len());
        let is_slow = best.is_some_and(|best| relative_error > best.relative_error / 2.0);
        if best.is_none_or(|best| relative_error < best.relative_error) {
            best = Some(Known { value, relative_error });
        }
        if is_slow || relative_error <= ENOUGH {
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

/// Temple's bound on how far x_0 lies below `value`, and what rounding adds, relative to it.
fn shortfall(residual: &[f64], value: f64, others: Others, long: usize) -> f64 {
    let epsilon = f64::EPSILON;
    let growth = 4.0 * (long as f64).sqrt();
    // W^T u is a sum of products of size sigma_max |u|.
    let residual = norm(residual) + growth * epsilon * (others.largest * value).sqrt();
    let temple = residual * residual / (others.next - value) / value;
    // W v with twice the digits, and the sum of its squares.
    let doubled = (long as f64 * epsilon).powi(2) * growth * (others.largest / value).sqrt();
    temple + 2.0 * doubled + growth * epsilon
}

/// The t for which |u + t y|^2 / |v + t z|^2 is smallest, where u = W v, y = W z, and |z| = 1; 0 if there is none.
fn best_step(v: &[f64], u: &[f64], z: &[f64], y: &[f64]) -> f64 {
    let (vv, vz, uu, uy, yy) = (dot(v, v), dot(v, z), dot(u, u), dot(u, y), dot(y, y));
    // Where the derivative is zero: a t^2 + b t + c = 0. b > 0, since z is made of what is larger in W^T W than v.
    let (a, b, c) = (yy * vz - uy, yy * vv - uu, uy * vv - uu * vz);
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    let step = -2.0 * c / (b + root);
    if step.is_finite() { step } else { 0.0 }
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// By blocks, which keeps the error far below that of one long sum.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let block = |(x, y): (&[f64], &[f64])| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    x.chunks(64).zip(y.chunks(64)).map(block).sum()
}
