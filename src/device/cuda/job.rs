//! A matrix of a batch, and what becomes of it.

use crate::checkpoint::{Cast, FloatType, MatrixView};
use crate::device::cuda::kernels::weights::Conversion;
use crate::device::cuda::sys::blas::Product;
use crate::device::cuda::sys::scalar::{Real, Scalar};
use crate::device::{Outcome, power_of_two};

/// A matrix of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Job<'v> {
    pub view: MatrixView<'v>,
    /// It is computed as 2^-exponent W.
    pub exponent: i32,
}

impl Job<'_> {
    /// How its weights become the numbers that are computed with.
    pub fn conversion(&self) -> Conversion {
        let (dtype, cast) = (self.view.dtype(), self.view.cast());
        Conversion { dtype, cast, scale: power_of_two(-self.exponent) }
    }

    /// The product of its weights in the type of the file, if they can be multiplied in that.
    pub fn native_product<T: Scalar>(&self) -> Option<Product> {
        let is_unchanged = T::REAL == Real::F32 && self.exponent == 0 && self.view.cast() == Cast::None;
        match self.view.dtype() {
            FloatType::BF16 if is_unchanged => Some(Product::Bf16),
            FloatType::F16 if is_unchanged => Some(Product::F16),
            _ => None,
        }
    }
}

/// How a job ended, or how it has to be computed again.
#[derive(Debug, Clone, PartialEq)]
pub enum JobResult {
    Done(Outcome),
    /// It has to be computed as 2^-exponent W.
    NeedsScaling(i32),
    /// f32 is not enough.
    NeedsF64,
}
