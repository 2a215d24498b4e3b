//! Shapes of launches that several kernels share.

use super::abi::THREADS;
use crate::device::cuda::sys::stream::LaunchShape;

/// A block of [`THREADS`] for each place of a grid, with some bytes of shared memory.
pub fn blocks(grid: [u32; 3], shared_bytes: usize) -> LaunchShape {
    LaunchShape { grid, threads: THREADS, shared_bytes: shared_bytes as u32 }
}

/// Bytes of shared memory for `count` numbers of type T for each of [`THREADS`].
pub fn per_thread<T>(count: usize) -> usize {
    THREADS as usize * count * size_of::<T>()
}
