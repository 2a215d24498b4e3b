//! Our own tridiagonalization of a symmetric matrix: dense to band, band to tridiagonal.
//!
//! In one stage, as in cuSOLVER's `sytrd`, half of the operations are products of the matrix with a single vector, which
//! wait for memory. By way of a band matrix nearly all are products of matrices (Bischof, Lang and Sun, ACM Trans. Math. Softw.
//! 26, 2000); the second stage takes O(n^2) operations. What remains is waiting, for launches one after the other and for sweeps
//! that follow each other, and it leaves most of the GPU to other lanes. `kernels/dense_to_band.cu` and
//! `kernels/band_to_tridiagonal.cu` have the details.

use super::kernels::Kernels;
use super::kernels::tridiagonal::{BAND, Panel, PanelBuffers, band_len, panel_sums, progress_len};
use super::sys::blas::Blas;
use super::sys::error::Result;
use super::sys::matrix::Matrix;
use super::sys::memory::{DeviceMemory, DeviceSlice};
use super::sys::scalar::Scalar;
use super::sys::stream::Stream;
use super::workspace::{Buffers, PANEL_GROUP, Workspace};
use crate::device::power_of_two;

/// The diagonal and the subdiagonal, n numbers each, of a tridiagonal matrix with the eigenvalues of the full symmetric n x n
/// `matrix`, which is destroyed. The largest element of 2^-exponent times the matrix is of order 1.
pub fn tridiagonalize<T: Scalar>(
    workspace: &Workspace,
    n: usize,
    exponent: i32,
    matrix: DeviceSlice<T>,
    result: [DeviceSlice<T>; 2],
) -> Result<()> {
    let Workspace { kernels, blas, buffers, stream, .. } = workspace;
    let matrix = matrix.part(0..n * n);
    kernels.scale(stream, matrix, power_of_two(-exponent))?;
    let reduction = Reduction { kernels, blas, stream, n, matrix: Matrix::new(matrix, n), buffers };
    for first in (0..n.saturating_sub(BAND + 1)).step_by(PANEL_GROUP * BAND) {
        reduction.group(first)?;
    }
    let (band, progress) = (buffers.band.first::<T>(band_len(n)), buffers.progress.first::<u32>(progress_len(n)));
    kernels.take_band(stream, n, matrix, band)?;
    stream.clear(progress)?;
    kernels.chase(stream, n, band, progress)?;
    kernels.take_tridiagonal(stream, band, power_of_two(exponent), result)
}

/// A matrix on its way to band form.
struct Reduction<'m, T> {
    kernels: &'m Kernels,
    blas: &'m Blas,
    stream: &'m Stream,
    n: usize,
    matrix: Matrix<'m, T>,
    buffers: &'m Buffers<DeviceMemory>,
}

impl<'m, T: Scalar> Reduction<'m, T> {
    /// Takes the columns of a group of panels, from `first` on, to band form, and applies their reflectors to the rest.
    fn group(&self, first: usize) -> Result<()> {
        let n = self.n;
        let end = n.saturating_sub(BAND + 1).min(first + PANEL_GROUP * BAND);
        let mut before = 0;
        for column in (first..end).step_by(BAND) {
            self.panel(column, before)?;
            before += 1;
        }
        let rest = first + before * BAND;
        let [left, right] = self.panels(rest);
        let rows = n - rest;
        let shape = [rows, rows, 2 * before * BAND];
        self.blas.multiply(shape, (-1.0, left, right.transpose()), (1.0, self.matrix.starting_at(rest, rest)))
    }

    /// Takes the columns from `column` on to band form, after `before` panels of the group.
    fn panel(&self, column: usize, before: usize) -> Result<()> {
        let Reduction { kernels, blas, stream, n, matrix, .. } = *self;
        let first = column + BAND;
        let rows = n - first;
        let waiting = 2 * before * BAND;
        if before > 0 {
            let [left, right] = self.panels(column);
            let here = matrix.starting_at(column, column);
            blas.multiply([n - column, BAND, waiting], (-1.0, left, right.transpose()), (1.0, here))?;
        }
        let [left, right] = self.panels(first);
        let [v, x] = [0, BAND].map(|after| left.starting_at(0, waiting + after));
        let [x_again, v_again] = [0, BAND].map(|after| right.starting_at(0, waiting + after));
        let small = self.small(rows);
        let panel = Panel { rows, columns: matrix.starting_at(first, column), vectors: v, vectors_again: v_again };
        kernels.panel_qr(stream, panel, small)?;
        let z = Matrix::new(self.buffers.panel_z.first(BAND * n), n).starting_at(first, 0);
        blas.multiply([rows, BAND, rows], (1.0, matrix.starting_at(first, first), v), (0.0, z))?;
        if before > 0 {
            let correction = Matrix::new(self.buffers.panel_correction.first(waiting * BAND), waiting);
            blas.multiply([waiting, BAND, rows], (1.0, right.transpose(), v), (0.0, correction))?;
            blas.multiply([rows, BAND, waiting], (-1.0, left, correction), (1.0, z))?;
        }
        let projection = Matrix::new(small.projection, BAND);
        blas.multiply([BAND, BAND, rows], (1.0, v.transpose(), z), (0.0, projection))?;
        kernels.panel_factors(stream, small)?;
        kernels.panel_combine(stream, panel, z, small.factors, [x, x_again])
    }

    /// The panels of the group from a row on: V and X, then X and V.
    fn panels(&self, row: usize) -> [Matrix<'m, T>; 2] {
        let columns = 2 * PANEL_GROUP * BAND;
        [&self.buffers.panels, &self.buffers.panels_swapped]
            .map(|memory| Matrix::new(memory.first(columns * self.n), self.n).starting_at(row, 0))
    }

    /// The small matrices of a panel of that many rows.
    fn small(&self, rows: usize) -> PanelBuffers<'m, T> {
        let buffers = self.buffers;
        PanelBuffers {
            sums: [&buffers.panel_sums_even, &buffers.panel_sums_odd].map(|sums| sums.first(panel_sums(rows))),
            taus: buffers.panel_taus.first(BAND),
            overlaps: buffers.panel_overlaps.first(BAND * BAND),
            projection: buffers.panel_projection.first(BAND * BAND),
            factors: buffers.panel_factors.first(2 * BAND * BAND),
        }
    }
}
