//! The triangle R of W = QR, block by block, for the singular values that a Gram matrix loses.
//!
//! R^T R = W^T W, so R has the singular values of W, each within a few epsilon of the largest, while the eigenvalues of the
//! Gram matrix, their squares, are lost below epsilon of the largest.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Mat, MatMut, Par};

use super::memory::{BLOCK_BYTES, Buffer, stacked_rows, stride};
use crate::checkpoint::MatrixView;
use crate::device::Failure;

/// R, in the upper triangle of the returned short x short matrix; below it lies what the factorisation left there.
///
/// A tall W is taken in blocks: the triangle of the rows so far is stacked on the next rows and factorised again (a
/// sequential TSQR, Demmel et al., SIAM J. Sci. Comput. 34, 2012). Every such step adds a rounding error, so blocks are as
/// high as memory allows: see [`stacked_rows`].
pub(super) fn triangle<'a>(
    view: &MatrixView,
    scale: f64,
    stacked: &'a mut Buffer<f64>,
    block: &mut Buffer<f64>,
) -> Result<MatMut<'a, f64>, Failure> {
    let (long, n) = (view.long(), view.short());
    let capacity = stacked_rows(long, n);
    let stride = stride(capacity);
    let slice = stacked.get(stride as u64 * n as u64)?;
    let mut matrix = MatMut::from_column_major_slice_with_stride_mut(slice, capacity, n, stride);

    let mut done = 0;
    let mut filled = 0;
    while done < long {
        if filled == n {
            clear_below_diagonal(matrix.as_mut());
        }
        let count = (capacity - filled).min(long - done);
        let mut rows = matrix.as_mut().subrows_mut(0, filled + count);
        copy_rows(view, done, scale, rows.as_mut().subrows_mut(filled, count), block)?;
        factorise(rows)?;
        done += count;
        filled = n;
    }
    Ok(matrix.subrows_mut(0, n))
}

/// Makes zeros of what lies below the diagonal.
pub(super) fn clear_below_diagonal(mut matrix: MatMut<'_, f64>) {
    let n = matrix.ncols();
    for j in 0..n {
        matrix.as_mut().col_mut(j).subrows_mut(j + 1, n - j - 1).fill(0.0);
    }
}

/// Copies the rows of the tall form of W from `start` on into `target`.
fn copy_rows(
    view: &MatrixView,
    start: usize,
    scale: f64,
    mut target: MatMut<'_, f64>,
    block: &mut Buffer<f64>,
) -> Result<(), Failure> {
    let (count, n) = (target.nrows(), target.ncols());
    let step = (BLOCK_BYTES / size_of::<f64>() / n).clamp(1, count);
    let block = block.get(step as u64 * n as u64)?;
    for first in (0..count).step_by(step) {
        let rows = step.min(count - first);
        let read = view.read_tall_rows(start + first..start + first + rows, scale, block);
        target.as_mut().subrows_mut(first, rows).copy_from(read);
    }
    Ok(())
}

fn factorise(matrix: MatMut<'_, f64>) -> Result<(), Failure> {
    let (rows, n) = (matrix.nrows(), matrix.ncols());
    let block_size = recommended_block_size::<f64>(rows, n);
    let mut reflectors = Mat::<f64>::zeros(block_size, rows.min(n));
    let request = qr_in_place_scratch::<f64>(rows, n, block_size, Par::Seq, Default::default());
    let mut scratch =
        MemBuffer::try_new(request).map_err(|_| Failure::OutOfMemory { bytes: request.size_bytes() as u64 })?;
    qr_in_place(matrix, reflectors.as_mut(), Par::Seq, MemStack::new(&mut scratch), Default::default());
    Ok(())
}
