//! Products of W with vectors on the GPU, straight from its bytes, as if in twice the precision of f64.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use super::blas::Layout;
use super::driver::{Context, DeviceMemory, Fault, Function, Result, Shape};
use super::kernels::{Runs, cast_code, launch, type_index};
use super::lane::{CudaLane, Job, blocks, layout, runs};
use super::upload::Block;
use crate::checkpoint::MatrixView;
use crate::device::operators::MatrixProducts;
use crate::device::power_of_two;

/// Threads of a block, which share a run. A constant, as the next is: results must not depend on the GPU.
const THREADS: u32 = 256;
/// Runs that are added up by one thread.
const SLICE: usize = 64;
/// Bytes of a sum and what its roundings have lost.
const SUM_BYTES: usize = 16;

/// The kernels of `products.cu`.
#[derive(Debug)]
pub(super) struct ProductKernels {
    /// By type in the file.
    along: [Function; 4],
    across: [Function; 4],
    add_parts: Function,
    /// Blocks that keep the GPU busy.
    blocks: u32,
}

impl ProductKernels {
    /// The kernels by their names.
    pub fn load(get: impl Fn(&'static CStr) -> Result<Function>, blocks: u32) -> Result<ProductKernels> {
        Ok(ProductKernels {
            along: [
                get(c"product_along_bf16")?,
                get(c"product_along_f16")?,
                get(c"product_along_f32")?,
                get(c"product_along_f64")?,
            ],
            across: [
                get(c"product_across_bf16")?,
                get(c"product_across_f16")?,
                get(c"product_across_f32")?,
                get(c"product_across_f64")?,
            ],
            add_parts: get(c"add_parts")?,
            blocks,
        })
    }
}

/// Vectors on both sides of A, the tall form of W.
#[derive(Debug)]
pub(super) struct ProductBuffers {
    /// v, or A^T u.
    short: DeviceMemory,
    /// u, or A v.
    long: DeviceMemory,
    /// The elements of a product before they are rounded.
    totals: DeviceMemory,
}

impl ProductBuffers {
    /// Room for matrices of at most these sides.
    pub fn new(context: &Arc<Context>, long: usize, short: usize) -> Result<ProductBuffers> {
        let memory = |bytes: usize| DeviceMemory::new(context, bytes as u64);
        Ok(ProductBuffers { short: memory(8 * short)?, long: memory(8 * long)?, totals: memory(SUM_BYTES * long)? })
    }

    /// Bytes that [`ProductBuffers::new`] allocates.
    pub fn bytes(long: usize, short: usize) -> u64 {
        (8 * (long + short) + SUM_BYTES * long) as u64
    }
}

/// Bytes of the parts in which a product with a block of `rows` x n elements comes, in either direction.
pub(super) fn part_bytes(rows: usize, n: usize) -> usize {
    SUM_BYTES * (rows.div_ceil(SLICE) * n).max(n.div_ceil(SLICE) * rows)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// A v.
    Forward,
    /// A^T u.
    Backward,
}

/// Products with 2^-exponent W.
pub(super) struct CudaProducts<'t, 'a> {
    pub lane: &'t CudaLane<'a>,
    pub job: &'t Job<'t>,
    /// Whether all blocks stand in `stack`, one after the other. Otherwise they are sent again for every product.
    pub resident: bool,
}

impl MatrixProducts for CudaProducts<'_, '_> {
    type Error = Fault;

    fn forward(&self, v: &[f64]) -> Result<Vec<f64>> {
        let CudaLane { stream, products, .. } = self.lane;
        stream.upload(&products.short, v)?;
        self.multiply(Direction::Forward)?;
        stream.download(&products.long, self.job.view.long())
    }

    fn backward(&self, u: &[f64]) -> Result<Vec<f64>> {
        let CudaLane { stream, products, .. } = self.lane;
        stream.upload(&products.long, u)?;
        self.multiply(Direction::Backward)?;
        stream.download(&products.short, self.job.view.short())
    }
}

impl CudaProducts<'_, '_> {
    fn multiply(&self, direction: Direction) -> Result<()> {
        let CudaLane { stream, ring, raw, stack, .. } = self.lane;
        let blocks: Vec<Block> = blocks(0, &self.job.view).collect();
        if self.resident {
            return blocks.iter().try_for_each(|block| self.multiply_block(direction, block, (stack, block.offset())));
        }
        ring.feed(stream, &blocks, |block, pinned| {
            stream.copy_from_pinned((raw, 0), pinned, block.bytes())?;
            self.multiply_block(direction, block, (raw, 0))
        })
    }

    /// Elements of A v, or what rows of A add to all of A^T u. `weights` are the block's, so many bytes in.
    fn multiply_block(&self, direction: Direction, block: &Block, weights: (&DeviceMemory, usize)) -> Result<()> {
        let CudaLane { stream, gpu, products, wide: parts, .. } = self.lane;
        let kernels = &gpu.kernels.products;
        let view: &MatrixView = block.view;
        let Runs { majors, minors, .. } = runs(view, &block.rows);
        let (offset, rows, n) = (block.rows.start * 8, block.rows.len(), view.short());
        let (x, count, rounded, is_first) = match direction {
            Direction::Forward => (products.short.range(0, n * 8), rows, products.long.range(offset, rows * 8), true),
            Direction::Backward => {
                (products.long.range(offset, rows * 8), n, products.short.range(0, n * 8), block.rows.start == 0)
            }
        };
        let weights = weights.0.range(weights.1, block.bytes());
        let (cast, scale) = (cast_code(view.cast()), power_of_two(-self.job.exponent));
        let index = type_index(view.dtype());
        let (majors_of, minors_of, height) = (majors as u64, minors as u64, SLICE as u64);
        let along = (layout(view) == Layout::Rows) == (direction == Direction::Forward);
        let slices = if along { 1 } else { majors.div_ceil(SLICE) };
        let parts = parts.range(0, slices * count * SUM_BYTES);
        if along {
            let grid = [majors.min(kernels.blocks as usize) as u32, 1, 1];
            let shape = Shape { grid, threads: THREADS, shared_bytes: THREADS * SUM_BYTES as u32 };
            launch!(stream, &kernels.along[index], shape, weights, majors_of, minors_of, cast, scale, x, parts)?;
        } else {
            let across = minors.div_ceil(THREADS as usize).min(kernels.blocks as usize) as u32;
            let shape = Shape { grid: [across, slices.min(1 << 15) as u32, 1], threads: THREADS, shared_bytes: 0 };
            let function = &kernels.across[index];
            launch!(stream, function, shape, weights, majors_of, minors_of, cast, scale, x, height, parts)?;
        }
        let totals = products.totals.range(0, count * SUM_BYTES);
        let grid = [count.div_ceil(THREADS as usize).min(kernels.blocks as usize) as u32, 1, 1];
        let shape = Shape { grid, threads: THREADS, shared_bytes: 0 };
        let (count, slices, is_first) = (count as u64, slices as u64, u32::from(is_first));
        launch!(stream, &kernels.add_parts, shape, parts, count, slices, is_first, totals, rounded)
    }
}
