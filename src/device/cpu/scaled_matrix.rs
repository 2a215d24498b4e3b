//! A weight matrix that is being solved.

use super::Cpu;
use super::products::WeightProducts;
use super::thread_pool::Workers;
use crate::checkpoint::MatrixView;
use crate::device::{Method, power_of_two};

/// A matrix W, scaled to a largest element between 1 and 2, and what it is computed by.
pub(super) struct ScaledMatrix<'a, 'v> {
    pub view: &'a MatrixView<'v>,
    /// The scaled matrix is W times 2^-exponent.
    pub exponent: i32,
    /// The order in which columns of the tall form of W enter the Gram matrix.
    pub column_order: &'a [usize],
    pub cpu: &'a Cpu,
    pub method: Method,
    pub workers: &'a Workers<'a>,
}

impl<'v> ScaledMatrix<'_, 'v> {
    /// The factor by which elements of W are multiplied.
    pub fn scale(&self) -> f64 {
        power_of_two(-self.exponent)
    }

    /// Products with the scaled matrix.
    pub fn products(&self) -> WeightProducts<'_, 'v> {
        let ScaledMatrix { view, column_order, workers, .. } = self;
        WeightProducts { view, scale: self.scale(), column_order, level: self.cpu.level, workers }
    }
}
