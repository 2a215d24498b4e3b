//! The arithmetic that produced a spectrum.

use std::fmt;

/// The arithmetic that produced a spectrum, from the coarsest to the most thorough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Arithmetic {
    /// The Gram matrix and its eigenvalues in f32.
    F32,
    /// The Gram matrix and its eigenvalues in f32, the smallest from a Cholesky factorization: on a CPU of the f32 Gram matrix,
    /// refined with W in f64; on a GPU of an f64 Gram matrix, refined with W if that is too coarse.
    F32Cholesky,
    /// The Gram matrix and its eigenvalues in f32, the smallest from a QR factorization of W in f64.
    F32Qr,
    /// The Gram matrix and its eigenvalues in f64.
    F64,
    /// The Gram matrix and its eigenvalues in f64, the smallest from a Cholesky factorization, refined with W.
    F64Cholesky,
    /// The Gram matrix and its eigenvalues in f64, the smallest from a QR factorization of W.
    F64Qr,
    /// All eigenvalues from a QR factorization of W, in f64.
    F64Svd,
}

impl Arithmetic {
    /// The label in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::F32Cholesky => "f32+chol",
            Arithmetic::F32Qr => "f32+qr",
            Arithmetic::F64 => "f64",
            Arithmetic::F64Cholesky => "f64+chol",
            Arithmetic::F64Qr => "f64+qr",
            Arithmetic::F64Svd => "f64 svd",
        }
    }

    /// Whether most eigenvalues were computed in f32.
    pub fn is_single(self) -> bool {
        self < Arithmetic::F64
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
