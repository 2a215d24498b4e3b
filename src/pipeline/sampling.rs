//! Which elements of a matrix are analyzed: all, windows of them, or all and once more in random order.

use crate::checkpoint::Checkpoint;
use crate::device::{Method, Precision};
use crate::error::{Error, Result};
use crate::matrices::{Farms, WeightMatrix};

/// Which elements of a matrix are analyzed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Sampling {
    /// The matrix.
    #[default]
    Whole,
    /// Windows of the matrix. Their eigenvalues form one spectrum.
    Windows(Farms),
    /// The matrix, and a copy with its elements in the random order that this seed determines.
    Randomized(u64),
}

impl Sampling {
    /// Returns the method for a device.
    ///
    /// `--precision auto` checks whether f32 suffices for the fit of one spectrum. Windows have one fit of many spectra
    /// together, so they are computed in f64 unless f32 is requested.
    pub fn method(self, method: Method) -> Method {
        match (self, method.precision) {
            (Sampling::Windows(_), Precision::Auto) => Method { precision: Precision::F64, ..method },
            _ => method,
        }
    }

    /// Returns the matrices that a device analyzes for `matrix`.
    pub(super) fn parts(self, matrix: &WeightMatrix) -> Vec<WeightMatrix> {
        match self {
            Sampling::Whole => vec![matrix.clone()],
            Sampling::Windows(farms) => matrix.windows(&farms.windows(matrix.rows, matrix.cols)),
            Sampling::Randomized(seed) => vec![matrix.clone(), matrix.randomized(seed)],
        }
    }

    /// Checks that the matrices of `checkpoint` can be sampled in this way.
    pub(super) fn check(self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.adapter().is_some() && self != Sampling::Whole {
            let cause = "§farms and §randomize need the elements of a matrix, and an adapter's update is never formed";
            let hint = "merge the adapter into its model, and score that with §base";
            return Err(Error::usage(cause).file(checkpoint.path()).hint(hint));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_computed_in_f64_unless_f32_is_requested() {
        let windows = Sampling::Windows(Farms::default());
        let precision =
            |sampling: Sampling, precision| sampling.method(Method { precision, ..Method::default() }).precision;
        assert_eq!(precision(windows, Precision::Auto), Precision::F64);
        assert_eq!(precision(windows, Precision::F32), Precision::F32);
        assert_eq!(precision(Sampling::Whole, Precision::Auto), Precision::Auto);
    }
}
