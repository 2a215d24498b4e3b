//! The Gram matrix for the [reference solver](super::faer_solver): square, from blocks of rows.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::traits::RealField;
use faer::{Accum, MatMut, Par};

use super::buffer::{BLOCK_BYTES, Buffer};
use crate::checkpoint::{Element, MatrixView};
use crate::device::Failure;

/// Forms the lower half of A^T A, of shape short x short, where A is the tall form of W times `scale`.
///
/// W is never resident as a whole: `block` holds the rows of A that are being added.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
pub(super) fn lower<T: RealField + Element>(
    view: &MatrixView,
    scale: f64,
    mut gram: MatMut<'_, T>,
    block: &mut Buffer<T>,
) -> Result<(), Failure> {
    let rows = (BLOCK_BYTES / size_of::<T>() / view.short()).clamp(1, view.long());
    let block = block.get(rows as u64 * view.short() as u64)?;
    let mut accumulate = Accum::Replace;
    for start in (0..view.long()).step_by(rows) {
        let a = view.read_tall_rows(start..view.long().min(start + rows), scale, block);
        triangular::matmul(
            gram.as_mut(),
            BlockStructure::TriangularLower,
            accumulate,
            a.transpose(),
            BlockStructure::Rectangular,
            a,
            BlockStructure::Rectangular,
            T::one_impl(),
            Par::Seq,
        );
        accumulate = Accum::Add;
    }
    Ok(())
}
