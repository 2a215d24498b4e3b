//! The rounding that weights went through before their spectrum was computed.

use crate::checkpoint::{Cast, FloatType, MatrixView};
use crate::spectrum::Spectrum;

/// `spectrum`, the spectrum of the matrix in `view`, with the effect of the rounding of its elements.
pub(super) fn of_weights(spectrum: Spectrum, view: &MatrixView) -> Spectrum {
    let cast = match view.cast() {
        Cast::None => 0.0,
        Cast::Fp16 => FloatType::F16.unit_roundoff(),
        Cast::Bf16 => FloatType::BF16.unit_roundoff(),
    };
    spectrum.with_roundoff([view.rows(), view.cols()], view.dtype().unit_roundoff().max(cast))
}
