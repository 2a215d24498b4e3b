//! The triangle R of W = QR, block by block, for singular values that are too small for a Gram matrix.
//!
//! R^T R = W^T W, so R has the singular values of W, each within a few epsilon of the largest. The eigenvalues of the Gram
//! matrix, their squares, are lost below epsilon times the largest.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Mat, MatMut, Par};

use super::buffer::{BLOCK_BYTES, Buffer, stride};
use crate::checkpoint::MatrixView;
use crate::device::Failure;

/// Bytes of the buffers of [`triangle`]: the stacked rows, and a block of decoded rows.
pub(super) fn buffer_bytes(long: usize, n: usize) -> [u64; 2] {
    let row = (size_of::<f64>() * n) as u64;
    let stacked = stride(stacked_rows(long, n)) as u64 * row;
    [stacked, (BLOCK_BYTES as u64).max(row).min(row * long as u64)]
}

/// The largest number of bytes that [`triangle`] allocates in addition to its buffers.
pub(super) fn scratch_bytes(n: usize) -> u64 {
    // The largest block of reflectors that faer stores in addition to a matrix.
    const REFLECTORS: usize = 256;
    (REFLECTORS * n * size_of::<f64>()) as u64
}

/// Rows of the buffer in which [`triangle`] stacks the triangle so far on the next rows of W.
fn stacked_rows(long: usize, n: usize) -> usize {
    long.min(n + n.max(BLOCK_BYTES / size_of::<f64>() / n))
}

/// R, in the upper triangle of the returned short x short matrix. Elements below the diagonal are leftovers of the
/// factorization.
///
/// A tall W is taken in blocks: the triangle of the rows so far is stacked on the next rows and factorized again (a
/// sequential TSQR, Demmel et al., SIAM J. Sci. Comput. 34, 2012). Each step adds a rounding error, so blocks have at least as
/// many rows as columns.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
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
        factorize(rows)?;
        done += count;
        filled = n;
    }
    Ok(matrix.subrows_mut(0, n))
}

/// Sets the elements below the diagonal to zero.
pub(super) fn clear_below_diagonal(mut matrix: MatMut<'_, f64>) {
    let n = matrix.ncols();
    for j in 0..n {
        matrix.as_mut().col_mut(j).subrows_mut(j + 1, n - j - 1).fill(0.0);
    }
}

/// Copies rows of the tall form of W, from `start` on, into `target`.
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

fn factorize(matrix: MatMut<'_, f64>) -> Result<(), Failure> {
    let (rows, n) = (matrix.nrows(), matrix.ncols());
    let block_size = recommended_block_size::<f64>(rows, n);
    let mut reflectors = Mat::<f64>::zeros(block_size, rows.min(n));
    let request = qr_in_place_scratch::<f64>(rows, n, block_size, Par::Seq, Default::default());
    let mut scratch =
        MemBuffer::try_new(request).map_err(|_| Failure::OutOfMemory { bytes: request.size_bytes() as u64 })?;
    qr_in_place(matrix, reflectors.as_mut(), Par::Seq, MemStack::new(&mut scratch), Default::default());
    Ok(())
}
