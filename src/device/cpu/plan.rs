//! The memory that a lane needs, known before the run.

use super::eigen::{self, cholesky};
use super::precision::needs_gram_copy;
use super::{block_iteration, faer_solver, qr};
use crate::device::{Method, Precision};
use crate::fit::Rule;
use crate::matrices::WeightMatrix;

/// Packing buffers of matrix products, as measured, and small allocations.
const OTHER_BYTES: u64 = 5 << 20;

/// Bytes that a lane allocates at most for a matrix.
///
/// In f32, f64, or one after the other: the Gram matrix, and the workspace for its eigenvalues. For refinement in f64 also:
/// the stacked rows of a QR factorization, and the workspace for the singular values of its triangle. Most matrices never need
/// the latter. A matrix that is computed from several tensors adds [`WeightMatrix::computed_bytes`].
///
/// Mapped pages of W do not count: the system reclaims them when it needs to.
pub fn lane_bytes(matrix: &WeightMatrix, method: &Method) -> u64 {
    solver_bytes(matrix.long(), matrix.eigenvalues(), method) + matrix.computed_bytes()
}

fn solver_bytes(long: usize, short: usize, method: &Method) -> u64 {
    let single = || single_bytes(long, short, method);
    let double = || double_bytes(long, short, method);
    OTHER_BYTES
        + match (method.precision, method.rule) {
            (Precision::Auto, _) | (Precision::F32, Rule::Peak) => single() + double(),
            (Precision::F64, _) => double(),
            (Precision::F32, _) => single(),
        }
}

/// Bytes of the workspace in f32, and of the block iteration for the smallest eigenvalue.
fn single_bytes(long: usize, short: usize, method: &Method) -> u64 {
    let [square, block, band] = eigen::buffer_bytes::<f32>(long, short);
    if !needs_gram_copy::<f32>(long, short, method) {
        return square + block + band;
    }
    let [copy, factorization] = cholesky_bytes::<f32>(short);
    square + block.max(factorization) + band + copy + block_iteration::bytes(long, short)
}

/// Bytes of the workspace in f64, and of refinement by a QR factorization.
fn double_bytes(long: usize, short: usize, method: &Method) -> u64 {
    let [square, block, band] = eigen::buffer_bytes::<f64>(long, short);
    let [stacked, rows] = qr::buffer_bytes(long, short);
    let scratch = qr::scratch_bytes(short).max(faer_solver::singular_values_bytes(short));
    let [copy, factorization] =
        if needs_gram_copy::<f64>(long, short, method) { cholesky_bytes::<f64>(short) } else { [0, 0] };
    square.max(stacked) + block.max(rows).max(factorization) + band + scratch + copy
}

/// Bytes of the copy of a Gram matrix, and of the workspace for its Cholesky factorization.
fn cholesky_bytes<T>(short: usize) -> [u64; 2] {
    [eigen::tile_elements(short), cholesky::workspace_elements(short)].map(|elements| elements * size_of::<T>() as u64)
}
