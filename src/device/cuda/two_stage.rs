//! Our own tridiagonalisation of a symmetric matrix: dense to band, band to tridiagonal.
//!
//! In one stage, as cuSOLVER's `sytrd` does it, half of the operations are products of the matrix with a single vector, which
//! wait for memory. By way of a band matrix nearly all are products of matrices (Bischof, Lang and Sun, ACM Trans. Math. Softw.
//! 26, 2000); the second stage takes O(n^2) operations. What is left is waiting: launches one after the other, and sweeps that
//! follow each other. It leaves most of the GPU to other lanes. `kernels/dense_to_band.cu` and `kernels/band_to_tridiagonal.cu`
//! have the details.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use super::blas::{Blas, Factor};
use super::driver::{Context, DeviceMemory, Function, Result, Shape, Stream};
use super::kernels::launch;
use super::solver::Real;
use crate::device::power_of_two;

/// Threads of a block; as in the kernels, and so are the next three.
const THREADS: u32 = 256;
/// Subdiagonals of the band matrix.
const BAND: usize = 32;
/// Rows of a panel for each block.
const PANEL_ROWS: usize = 128;
/// Rows of X for each block.
const COMBINED_ROWS: usize = 64;
/// Panels whose updates are made together: products with few columns are bound by memory.
const GROUP: usize = 4;
/// Steps by which a sweep follows the one before.
const LAG: usize = 2;

/// The kernels of both stages, each in f32 and f64.
#[derive(Debug)]
pub(super) struct Reduction {
    scale: [Function; 2],
    panel_column: [Function; 2],
    panel_factors: [Function; 2],
    panel_combine: [Function; 2],
    take_band: [Function; 2],
    chase: [Function; 2],
    take_tridiagonal: [Function; 2],
    /// Of the GPU.
    processors: u32,
}

/// What the reduction of a matrix works in.
#[derive(Debug)]
pub(super) struct Workspace {
    /// V and X of each panel of a group, side by side, in columns of the matrix's order.
    left: DeviceMemory,
    /// The same, X before V.
    right: DeviceMemory,
    /// BAND columns.
    z: DeviceMemory,
    /// Products of the panels before with V.
    correction: DeviceMemory,
    /// Sums of each block for each column of a panel, then a row of it; written and read in turn.
    sums: [DeviceMemory; 2],
    taus: DeviceMemory,
    overlaps: DeviceMemory,
    projection: DeviceMemory,
    factors: DeviceMemory,
    band: DeviceMemory,
    /// A counter, then the progress of each sweep.
    progress: DeviceMemory,
}

impl Workspace {
    /// For matrices of order n at most, in f64.
    pub fn new(context: &Arc<Context>, n: usize) -> Result<Workspace> {
        let doubles = |count: usize| DeviceMemory::new(context, 8 * count as u64);
        Ok(Workspace {
            left: doubles(2 * GROUP * BAND * n)?,
            right: doubles(2 * GROUP * BAND * n)?,
            z: doubles(BAND * n)?,
            correction: doubles(2 * GROUP * BAND * BAND)?,
            sums: [doubles(sums(n))?, doubles(sums(n))?],
            taus: doubles(BAND)?,
            overlaps: doubles(BAND * BAND)?,
            projection: doubles(BAND * BAND)?,
            factors: doubles(2 * BAND * BAND)?,
            band: doubles(band(n))?,
            progress: DeviceMemory::new(context, progress_bytes(n) as u64)?,
        })
    }

    /// Bytes that [`Workspace::new`] allocates.
    pub fn bytes(n: usize) -> usize {
        let panels = (4 * GROUP + 1) * BAND * n + 2 * sums(n);
        8 * (panels + BAND + (4 + 2 * GROUP) * BAND * BAND + band(n)) + progress_bytes(n)
    }
}

fn sums(n: usize) -> usize {
    BAND * (n.div_ceil(PANEL_ROWS) + 1)
}

fn band(n: usize) -> usize {
    2 * BAND * (n + BAND)
}

fn progress_bytes(n: usize) -> usize {
    4 * (n + 1)
}

impl Reduction {
    /// The kernels, by name.
    pub fn load(processors: u32, get: impl Fn(&'static CStr) -> Result<Function>) -> Result<Reduction> {
        Ok(Reduction {
            scale: [get(c"scale_f32")?, get(c"scale_f64")?],
            panel_column: [get(c"panel_column_f32")?, get(c"panel_column_f64")?],
            panel_factors: [get(c"panel_factors_f32")?, get(c"panel_factors_f64")?],
            panel_combine: [get(c"panel_combine_f32")?, get(c"panel_combine_f64")?],
            take_band: [get(c"take_band_f32")?, get(c"take_band_f64")?],
            chase: [get(c"chase_f32")?, get(c"chase_f64")?],
            take_tridiagonal: [get(c"take_tridiagonal_f32")?, get(c"take_tridiagonal_f64")?],
            processors,
        })
    }

    /// The diagonal and the subdiagonal, n numbers each, of a tridiagonal matrix with the eigenvalues of the full symmetric n x n
    /// matrix `offset` bytes into `matrix`, which is destroyed; they are written `offset` bytes into their buffers. The largest
    /// element of 2^-exponent times the matrix is of order 1.
    #[allow(clippy::too_many_arguments)] // as many as the operation has
    pub fn tridiagonal(
        &self,
        stream: &Stream,
        blas: &Blas,
        real: Real,
        n: usize,
        exponent: i32,
        matrix: (&DeviceMemory, usize),
        work: &Workspace,
        diagonal: (&DeviceMemory, usize),
        subdiagonal: (&DeviceMemory, usize),
    ) -> Result<()> {
        let bytes = real.bytes();
        let of_type = real as usize;
        let whole = matrix.0.range(matrix.1, n * n * bytes);
        let over = |count: usize| Shape {
            grid: [count.div_ceil(THREADS as usize).min(8 * self.processors as usize) as u32, 1, 1],
            threads: THREADS,
            shared_bytes: 0,
        };
        launch!(stream, &self.scale[of_type], over(n * n), whole, (n * n) as u64, power_of_two(-exponent))?;
        let dense = Dense { real, n, matrix: matrix.0, offset: matrix.1, work };
        for first in (0..n.saturating_sub(BAND + 1)).step_by(GROUP * BAND) {
            self.group(stream, blas, &dense, first)?;
        }
        let band = work.band.range(0, band(n) * bytes);
        let progress = work.progress.range(0, progress_bytes(n));
        launch!(stream, &self.take_band[of_type], over(self::band(n)), whole, n as u32, band)?;
        stream.fill(&work.progress, 0, 0, progress_bytes(n))?;
        // As many blocks as sweeps can be under way.
        let sweeps = n.div_ceil(LAG * BAND).min(4 * self.processors as usize) as u32;
        let shared = (2 * BAND * (BAND + 1) + 2 * BAND) * bytes + 4;
        let shape = Shape { grid: [sweeps, 1, 1], threads: THREADS, shared_bytes: shared as u32 };
        launch!(stream, &self.chase[of_type], shape, band, n as u32, progress)?;
        let diagonal = diagonal.0.range(diagonal.1, n * bytes);
        let subdiagonal = subdiagonal.0.range(subdiagonal.1, n * bytes);
        let factor = power_of_two(exponent);
        launch!(stream, &self.take_tridiagonal[of_type], over(n), band, n as u32, factor, diagonal, subdiagonal)
    }

    /// Takes the columns of a group of panels, from `first` on, to band form, and applies their reflectors to the rest.
    fn group(&self, stream: &Stream, blas: &Blas, dense: &Dense, first: usize) -> Result<()> {
        let n = dense.n;
        let end = n.saturating_sub(BAND + 1).min(first + GROUP * BAND);
        let mut before = 0;
        for column in (first..end).step_by(BAND) {
            self.panel(stream, blas, dense, column, before)?;
            before += 1;
        }
        let rest = first + before * BAND;
        let [left, right] = dense.panels(rest);
        let rows = n - rest;
        blas.multiply(
            dense.real,
            [rows, rows, 2 * before * BAND],
            -1.0,
            left,
            right.transpose(),
            1.0,
            dense.from(rest, rest),
        )
    }

    /// Takes the columns from `column` on to band form, `before` panels of the group having gone before.
    fn panel(&self, stream: &Stream, blas: &Blas, dense: &Dense, column: usize, before: usize) -> Result<()> {
        let Dense { real, n, work, .. } = *dense;
        let (bytes, of_type) = (real.bytes(), real as usize);
        let first = column + BAND;
        let rows = n - first;
        let waiting = 2 * before * BAND;
        if before > 0 {
            let [left, right] = dense.panels(column);
            let here = dense.from(column, column);
            blas.multiply(real, [n - column, BAND, waiting], -1.0, left, right.transpose(), 1.0, here)?;
        }
        let columns = |matrix: Factor| matrix.memory.range(matrix.offset, ((BAND - 1) * n + rows) * bytes);
        let small = |memory: &DeviceMemory, count: usize| memory.range(0, count * bytes);
        let [left, right] = dense.panels(first);
        let [v, x] = [0, BAND].map(|after| left.columns_after(waiting + after, bytes));
        let [x_again, v_again] = [0, BAND].map(|after| right.columns_after(waiting + after, bytes));
        let blocks = rows.div_ceil(PANEL_ROWS);
        let sums = work.sums.each_ref().map(|sums| small(sums, BAND * (blocks + 1)));
        let (taus, overlaps) = (small(&work.taus, BAND), small(&work.overlaps, BAND * BAND));
        let shape = Shape { grid: [blocks as u32, 1, 1], threads: THREADS, shared_bytes: 0 };
        for step in 0..=BAND {
            launch!(
                stream,
                &self.panel_column[of_type],
                shape,
                columns(dense.from(first, column)),
                rows as u32,
                n as u64,
                step as u32,
                sums[(step + 1) % 2],
                sums[step % 2],
                columns(v),
                columns(v_again),
                taus,
                overlaps
            )?;
        }
        let whole = |memory, offset, lead| Factor { memory, offset, lead, transposed: false };
        let z = whole(&work.z, first * bytes, n);
        blas.multiply(real, [rows, BAND, rows], 1.0, dense.from(first, first), v, 0.0, z)?;
        if before > 0 {
            let correction = whole(&work.correction, 0, waiting);
            blas.multiply(real, [waiting, BAND, rows], 1.0, right.transpose(), v, 0.0, correction)?;
            blas.multiply(real, [rows, BAND, waiting], -1.0, left, correction, 1.0, z)?;
        }
        blas.multiply(real, [BAND, BAND, rows], 1.0, v.transpose(), z, 0.0, whole(&work.projection, 0, BAND))?;
        let projection = small(&work.projection, BAND * BAND);
        let factors = small(&work.factors, 2 * BAND * BAND);
        let shared_bytes = (2 * BAND * (BAND + 1) * bytes) as u32;
        let shape = Shape { grid: [1, 1, 1], threads: (BAND * BAND) as u32, shared_bytes };
        launch!(stream, &self.panel_factors[of_type], shape, taus, overlaps, projection, factors)?;
        let shared_bytes = (2 * BAND * BAND * bytes) as u32;
        let shape = Shape { grid: [rows.div_ceil(COMBINED_ROWS) as u32, 1, 1], threads: THREADS, shared_bytes };
        let [z, v, x, x_again] = [z, v, x, x_again].map(columns);
        launch!(stream, &self.panel_combine[of_type], shape, z, v, rows as u32, n as u64, factors, x, x_again)
    }
}

/// A matrix on its way to band form.
#[derive(Clone, Copy)]
struct Dense<'m> {
    real: Real,
    n: usize,
    matrix: &'m DeviceMemory,
    offset: usize,
    work: &'m Workspace,
}

impl<'m> Dense<'m> {
    /// The matrix from a row and a column on.
    fn from(&self, row: usize, column: usize) -> Factor<'m> {
        let offset = self.offset + (row + column * self.n) * self.real.bytes();
        Factor { memory: self.matrix, offset, lead: self.n, transposed: false }
    }

    /// The panels of the group from a row on: V and X, then X and V.
    fn panels(&self, row: usize) -> [Factor<'m>; 2] {
        let offset = row * self.real.bytes();
        [&self.work.left, &self.work.right].map(|memory| Factor { memory, offset, lead: self.n, transposed: false })
    }
}
