//! `sturm.cu`: all eigenvalues of symmetric tridiagonal matrices, by bisection.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::{BISECTION_THREADS, Interval};
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::{blocks, per_thread};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::scalar::{Real, Scalar};
use crate::device::cuda::sys::stream::{LaunchShape, Stream};

parameters! {
    /// An interval that contains all eigenvalues, for each matrix.
    Bounds<'m, T> = match T::REAL {
        Real::F32 => KernelName::SturmBoundsF32,
        Real::F64 => KernelName::SturmBoundsF64,
    } => {
        diagonal: DeviceSlice<'m, T>,
        subdiagonal: DeviceSlice<'m, T>,
        offsets: DeviceSlice<'m, u64>,
        intervals: DeviceSlice<'m, Interval>,
    } where T: Scalar
}

parameters! {
    /// All eigenvalues of each matrix, a thread for each.
    Bisect<'m, T> = match T::REAL {
        Real::F32 => KernelName::SturmBisectF32,
        Real::F64 => KernelName::SturmBisectF64,
    } => {
        diagonal: DeviceSlice<'m, T>,
        subdiagonal: DeviceSlice<'m, T>,
        offsets: DeviceSlice<'m, u64>,
        intervals: DeviceSlice<'m, Interval>,
        values: DeviceSlice<'m, f64>,
    } where T: Scalar
}

impl Kernels {
    /// All eigenvalues, ascending, of `batch` tridiagonal matrices of order n into `values`. `offsets` has the place of each
    /// matrix in diagonals, subdiagonals and values, and the end.
    pub fn sturm<T: Scalar>(
        &self,
        stream: &Stream,
        [n, batch]: [usize; 2],
        [diagonal, subdiagonal]: [DeviceSlice<T>; 2],
        (offsets, intervals): (DeviceSlice<u64>, DeviceSlice<Interval>),
        values: DeviceSlice<f64>,
    ) -> Result<()> {
        let [diagonal, subdiagonal] = [diagonal, subdiagonal].map(|vector| vector.part(0..batch * n));
        let (offsets, intervals) = (offsets.part(0..batch + 1), intervals.part(0..batch));
        let values = values.part(0..batch * n);
        let shape = blocks([batch as u32, 1, 1], per_thread::<f64>(3));
        // SAFETY: all buffers have `batch` matrices of order n.
        unsafe { self.launch(stream, shape, &Bounds { diagonal, subdiagonal, offsets, intervals }) }?;
        let grid = [(n as u32).div_ceil(BISECTION_THREADS), batch as u32, 1];
        let shared_bytes = BISECTION_THREADS * 2 * size_of::<f64>() as u32;
        let shape = LaunchShape { grid, threads: BISECTION_THREADS, shared_bytes };
        // SAFETY: as above.
        unsafe { self.launch(stream, shape, &Bisect { diagonal, subdiagonal, offsets, intervals, values }) }
    }
}
