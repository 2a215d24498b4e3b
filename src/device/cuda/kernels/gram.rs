//! `gram.cu`: the sums of a Gram matrix, its upper half, and the triangle of a QR factorization.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::{GramSums as Sums, WARP};
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::{blocks, per_thread};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::matrix::Matrix;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::scalar::{Real, Scalar};
use crate::device::cuda::sys::stream::Stream;

/// Blocks that share the columns of a Gram matrix. A constant, so that the sums do not depend on the GPU.
pub const SUM_BLOCKS: usize = 64;

parameters! {
    /// The trace and the sum of squares of full n x n matrices, in [`SUM_BLOCKS`] parts each.
    GramSums<'m, T> = match T::REAL {
        Real::F32 => KernelName::GramSumsF32,
        Real::F64 => KernelName::GramSumsF64,
    } => {
        matrices: DeviceSlice<'m, T>,
        n: u32,
        sums: DeviceSlice<'m, Sums>,
    } where T: Scalar
}

parameters! {
    /// Copies the lower half of n x n matrices to the upper half.
    Mirror<'m, T> = match T::REAL {
        Real::F32 => KernelName::MirrorF32,
        Real::F64 => KernelName::MirrorF64,
    } => {
        matrices: DeviceSlice<'m, T>,
        n: u32,
    } where T: Scalar
}

parameters! {
    /// Sets everything below the diagonal of an n x n triangle to zero.
    ClearBelowDiagonal<'m> = KernelName::ClearBelowDiagonal => {
        matrix: DeviceSlice<'m, f64>,
        n: u32,
        stride: u64,
    }
}

impl Kernels {
    /// [`SUM_BLOCKS`] sums for each of `batch` full n x n matrices.
    pub fn gram_sums<T: Scalar>(
        &self,
        stream: &Stream,
        [n, batch]: [usize; 2],
        matrices: DeviceSlice<T>,
        sums: DeviceSlice<Sums>,
    ) -> Result<()> {
        let (matrices, sums) = (matrices.part(0..batch * n * n), sums.part(0..batch * SUM_BLOCKS));
        let shape = blocks([SUM_BLOCKS as u32, batch as u32, 1], per_thread::<f64>(2));
        // SAFETY: there are `batch` matrices, and a sum for each block of the grid.
        unsafe { self.launch(stream, shape, &GramSums { matrices, n: n as u32, sums }) }
    }

    /// Copies the lower halves of `batch` n x n matrices to their upper halves.
    pub fn mirror<T: Scalar>(&self, stream: &Stream, [n, batch]: [usize; 2], matrices: DeviceSlice<T>) -> Result<()> {
        let matrices = matrices.part(0..batch * n * n);
        let tiles = (n as u32).div_ceil(WARP);
        let tile_bytes = (WARP * (WARP + 1)) as usize * size_of::<T>();
        // SAFETY: there are `batch` matrices, and shared memory for a padded tile.
        unsafe {
            self.launch(stream, blocks([tiles, tiles, batch as u32], tile_bytes), &Mirror { matrices, n: n as u32 })
        }
    }

    /// Sets everything below the diagonal of an n x n triangle to zero.
    pub fn clear_below_diagonal(&self, stream: &Stream, n: usize, triangle: Matrix<f64>) -> Result<()> {
        let (matrix, stride) = (triangle.elements(n, n), triangle.lead() as u64);
        let shape = blocks([n.min(self.blocks()) as u32, 1, 1], 0);
        // SAFETY: the memory has all elements of the triangle.
        unsafe { self.launch(stream, shape, &ClearBelowDiagonal { matrix, n: n as u32, stride }) }
    }
}
