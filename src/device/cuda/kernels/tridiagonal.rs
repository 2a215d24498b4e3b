//! `dense_to_band.cu` and `band_to_tridiagonal.cu`: the steps of our own tridiagonalization, all in f32 and f64.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::{self, BAND_LEAD, COMBINED_ROWS};
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::blocks;
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::matrix::Matrix;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::scalar::{Real, Scalar};
use crate::device::cuda::sys::stream::{LaunchShape, Stream};

/// Subdiagonals of the band matrix.
pub const BAND: usize = abi::BAND as usize;
/// Steps by which a sweep follows the one before.
const LAG: usize = 2;
/// Blocks of the chase for each multiprocessor at most.
const CHASE_BLOCKS: usize = 4;

/// Blocks that take a panel of that many rows.
pub fn panel_blocks(rows: usize) -> usize {
    rows.div_ceil(abi::PANEL_ROWS as usize)
}

/// Sums of a panel of that many rows: BAND for each block, and BAND elements of a row.
pub fn panel_sums(rows: usize) -> usize {
    BAND * (panel_blocks(rows) + 1)
}

/// Numbers of the band of a matrix of order n.
pub fn band_len(n: usize) -> usize {
    BAND_LEAD as usize * (n + BAND)
}

/// A counter, and the progress of each sweep of a matrix of order n.
pub fn progress_len(n: usize) -> usize {
    n + 1
}

parameters! {
    /// A matrix times a power of two.
    Scale<'m, T> = match T::REAL {
        Real::F32 => KernelName::ScaleF32,
        Real::F64 => KernelName::ScaleF64,
    } => {
        matrix: DeviceSlice<'m, T>,
        count: u64,
        factor: f64,
    } where T: Scalar
}

parameters! {
    /// A step of the QR factorization of a panel.
    PanelColumn<'m, T> = match T::REAL {
        Real::F32 => KernelName::PanelColumnF32,
        Real::F64 => KernelName::PanelColumnF64,
    } => {
        panel: DeviceSlice<'m, T>,
        rows: u32,
        lead: u64,
        column: u32,
        before: DeviceSlice<'m, T>,
        after: DeviceSlice<'m, T>,
        vectors: DeviceSlice<'m, T>,
        again: DeviceSlice<'m, T>,
        taus: DeviceSlice<'m, T>,
        overlaps: DeviceSlice<'m, T>,
    } where T: Scalar
}

parameters! {
    /// The factors of X.
    PanelFactors<'m, T> = match T::REAL {
        Real::F32 => KernelName::PanelFactorsF32,
        Real::F64 => KernelName::PanelFactorsF64,
    } => {
        taus: DeviceSlice<'m, T>,
        overlaps: DeviceSlice<'m, T>,
        projection: DeviceSlice<'m, T>,
        factors: DeviceSlice<'m, T>,
    } where T: Scalar
}

parameters! {
    /// X from its factors.
    PanelCombine<'m, T> = match T::REAL {
        Real::F32 => KernelName::PanelCombineF32,
        Real::F64 => KernelName::PanelCombineF64,
    } => {
        z: DeviceSlice<'m, T>,
        vectors: DeviceSlice<'m, T>,
        rows: u32,
        lead: u64,
        factors: DeviceSlice<'m, T>,
        x: DeviceSlice<'m, T>,
        again: DeviceSlice<'m, T>,
    } where T: Scalar
}

parameters! {
    /// The band of a matrix.
    TakeBand<'m, T> = match T::REAL {
        Real::F32 => KernelName::TakeBandF32,
        Real::F64 => KernelName::TakeBandF64,
    } => {
        matrix: DeviceSlice<'m, T>,
        n: u32,
        band: DeviceSlice<'m, T>,
    } where T: Scalar
}

parameters! {
    /// The sweeps that take a band to tridiagonal form.
    Chase<'m, T> = match T::REAL {
        Real::F32 => KernelName::ChaseF32,
        Real::F64 => KernelName::ChaseF64,
    } => {
        band: DeviceSlice<'m, T>,
        n: u32,
        progress: DeviceSlice<'m, u32>,
    } where T: Scalar
}

parameters! {
    /// Diagonal and subdiagonal, times a factor.
    TakeTridiagonal<'m, T> = match T::REAL {
        Real::F32 => KernelName::TakeTridiagonalF32,
        Real::F64 => KernelName::TakeTridiagonalF64,
    } => {
        band: DeviceSlice<'m, T>,
        n: u32,
        factor: f64,
        diagonal: DeviceSlice<'m, T>,
        subdiagonal: DeviceSlice<'m, T>,
    } where T: Scalar
}

/// A panel: its columns, and the columns that V goes to, twice. All are `rows` x BAND.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'m, T> {
    pub rows: usize,
    pub columns: Matrix<'m, T>,
    pub vectors: Matrix<'m, T>,
    pub vectors_again: Matrix<'m, T>,
}

/// The small matrices of a panel.
#[derive(Debug, Clone, Copy)]
pub struct PanelBuffers<'m, T> {
    /// [`panel_sums`] each, written and read in turn.
    pub sums: [DeviceSlice<'m, T>; 2],
    /// BAND numbers.
    pub taus: DeviceSlice<'m, T>,
    /// BAND x BAND numbers.
    pub overlaps: DeviceSlice<'m, T>,
    /// BAND x BAND numbers.
    pub projection: DeviceSlice<'m, T>,
    /// 2 BAND x BAND numbers.
    pub factors: DeviceSlice<'m, T>,
}

impl Kernels {
    /// Multiplies all numbers of a matrix by a factor.
    pub fn scale<T: Scalar>(&self, stream: &Stream, matrix: DeviceSlice<T>, factor: f64) -> Result<()> {
        let shape = blocks([self.blocks_for(matrix.len()), 1, 1], 0);
        // SAFETY: the kernel touches `count` numbers.
        unsafe { self.launch(stream, shape, &Scale { matrix, count: matrix.len() as u64, factor }) }
    }

    /// The QR factorization of a panel: V, the factors `taus` and the products `overlaps` of its vectors.
    pub fn panel_qr<T: Scalar>(&self, stream: &Stream, panel: Panel<T>, buffers: PanelBuffers<T>) -> Result<()> {
        let rows = panel.rows;
        let lead = panel.columns.lead();
        assert_eq!([panel.vectors.lead(), panel.vectors_again.lead()], [lead, lead]);
        let sums = buffers.sums.map(|sums| sums.part(0..panel_sums(rows)));
        let shape = blocks([panel_blocks(rows) as u32, 1, 1], 0);
        for step in 0..=BAND {
            let parameters = PanelColumn {
                panel: panel.columns.elements(rows, BAND),
                rows: rows as u32,
                lead: lead as u64,
                column: step as u32,
                before: sums[(step + 1) % 2],
                after: sums[step % 2],
                vectors: panel.vectors.elements(rows, BAND),
                again: panel.vectors_again.elements(rows, BAND),
                taus: buffers.taus.part(0..BAND),
                overlaps: buffers.overlaps.part(0..BAND * BAND),
            };
            // SAFETY: the panel and both places of V have `rows` x BAND elements, and the sums an entry for each block.
            unsafe { self.launch(stream, shape, &parameters) }?;
        }
        Ok(())
    }

    /// The factors of X from `taus`, `overlaps` and `projection`.
    pub fn panel_factors<T: Scalar>(&self, stream: &Stream, buffers: PanelBuffers<T>) -> Result<()> {
        let parameters = PanelFactors {
            taus: buffers.taus.part(0..BAND),
            overlaps: buffers.overlaps.part(0..BAND * BAND),
            projection: buffers.projection.part(0..BAND * BAND),
            factors: buffers.factors.part(0..2 * BAND * BAND),
        };
        let shared_bytes = (2 * BAND * (BAND + 1) * size_of::<T>()) as u32;
        let shape = LaunchShape { grid: [1, 1, 1], threads: (BAND * BAND) as u32, shared_bytes };
        // SAFETY: the lengths were just checked.
        unsafe { self.launch(stream, shape, &parameters) }
    }

    /// X = Z T + V M, written to `x` and again to `x_again`.
    pub fn panel_combine<T: Scalar>(
        &self,
        stream: &Stream,
        panel: Panel<T>,
        z: Matrix<T>,
        factors: DeviceSlice<T>,
        [x, x_again]: [Matrix<T>; 2],
    ) -> Result<()> {
        let (rows, lead) = (panel.rows, panel.columns.lead());
        assert_eq!([panel.vectors.lead(), z.lead(), x.lead(), x_again.lead()], [lead; 4]);
        let parameters = PanelCombine {
            z: z.elements(rows, BAND),
            vectors: panel.vectors.elements(rows, BAND),
            rows: rows as u32,
            lead: lead as u64,
            factors: factors.part(0..2 * BAND * BAND),
            x: x.elements(rows, BAND),
            again: x_again.elements(rows, BAND),
        };
        let shape = blocks([(rows as u32).div_ceil(COMBINED_ROWS), 1, 1], 2 * BAND * BAND * size_of::<T>());
        // SAFETY: Z, V and both places of X have `rows` x BAND elements.
        unsafe { self.launch(stream, shape, &parameters) }
    }

    /// Copies the band of an n x n matrix.
    pub fn take_band<T: Scalar>(
        &self,
        stream: &Stream,
        n: usize,
        matrix: DeviceSlice<T>,
        band: DeviceSlice<T>,
    ) -> Result<()> {
        let (matrix, band) = (matrix.part(0..n * n), band.part(0..band_len(n)));
        let shape = blocks([self.blocks_for(band.len()), 1, 1], 0);
        // SAFETY: the lengths were just checked.
        unsafe { self.launch(stream, shape, &TakeBand { matrix, n: n as u32, band }) }
    }

    /// Takes a band to tridiagonal form. `progress` must be zero.
    pub fn chase<T: Scalar>(
        &self,
        stream: &Stream,
        n: usize,
        band: DeviceSlice<T>,
        progress: DeviceSlice<u32>,
    ) -> Result<()> {
        let (band, progress) = (band.part(0..band_len(n)), progress.part(0..progress_len(n)));
        // As many blocks as sweeps can be under way.
        let sweeps = n.div_ceil(LAG * BAND).min(CHASE_BLOCKS * self.processors as usize) as u32;
        let shared_bytes = (2 * BAND * (BAND + 1) + 2 * BAND) * size_of::<T>() + size_of::<u32>();
        // SAFETY: the lengths were just checked.
        unsafe { self.launch(stream, blocks([sweeps, 1, 1], shared_bytes), &Chase { band, n: n as u32, progress }) }
    }

    /// The diagonal and the subdiagonal of a band after the chase, times a factor. n is the length of `diagonal`.
    pub fn take_tridiagonal<T: Scalar>(
        &self,
        stream: &Stream,
        band: DeviceSlice<T>,
        factor: f64,
        [diagonal, subdiagonal]: [DeviceSlice<T>; 2],
    ) -> Result<()> {
        let n = diagonal.len();
        let (band, subdiagonal) = (band.part(0..band_len(n)), subdiagonal.part(0..n));
        let shape = blocks([self.blocks_for(n), 1, 1], 0);
        let parameters = TakeTridiagonal { band, n: n as u32, factor, diagonal, subdiagonal };
        // SAFETY: the lengths were just checked.
        unsafe { self.launch(stream, shape, &parameters) }
    }
}
