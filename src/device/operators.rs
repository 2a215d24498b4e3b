//! What refinement needs from a device: factorizations of a matrix W in f64, and products with it.

use super::Failure;

/// The factorizations of a matrix W in f64, made wherever that is fastest.
///
/// Both give a triangle T with T^T T or T T^T equal to W^T W. The triangle of a QR factorization has the singular values of W,
/// each within a few epsilon of the largest. The triangle of a Gram matrix is cheaper, but loses squares of singular values
/// below epsilon times the largest.
pub(super) trait Factorizations: Sized {
    /// The device's error: a [`Failure`] of this matrix, or an error that ends the run.
    type Error: From<Failure>;
    /// A triangle from a Gram matrix.
    type Cholesky<'t>: InverseGram<Error = Self::Error>
    where
        Self: 't;
    /// Products with W.
    type Products<'t>: MatrixProducts<Error: Into<Self::Error>>
    where
        Self: 't;
    /// A triangle from W itself.
    type Triangle<'t>: Triangle<Error = Self::Error>
    where
        Self: 't;

    /// Factorizes the Gram matrix. `None` if it is not positive definite, or no copy of it was made.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn cholesky(&mut self) -> Result<Option<CholeskyAndProducts<'_, Self>>, Self::Error>;

    /// Factorizes W.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn qr(&mut self) -> Result<Self::Triangle<'_>, Self::Error>;
}

/// A triangle from a Gram matrix, and products with W, both in the same order of columns.
pub(super) type CholeskyAndProducts<'t, F> = (<F as Factorizations>::Cholesky<'t>, <F as Factorizations>::Products<'t>);

/// The inverse of W^T W, as an operator.
pub(super) trait InverseGram {
    /// The device's error.
    type Error;

    /// Number of rows and columns of W^T W.
    fn order(&self) -> usize;

    /// Replaces x by (W^T W)^-1 x, which is not finite if W is singular.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Self::Error>;
}

/// The triangle R of W = QR.
pub(super) trait Triangle: InverseGram {
    /// All singular values, in any order. Overwrites R.
    ///
    /// # Errors
    ///
    /// If the device fails, or the solver does not converge.
    fn singular_values(self) -> Result<Vec<f64>, Self::Error>;
}

/// Products with a matrix W, of shape long x short.
pub(super) trait MatrixProducts {
    /// The device's error.
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
