//! Products of W with vectors on the GPU, straight from the bytes of the file, as if in twice the precision of f64.

use super::blocks::{Block, blocks};
use super::job::Job;
use super::kernels::products::{Direction, ProductBuffers};
use super::sys::blas::Layout;
use super::sys::error::{CallError, Result};
use super::sys::memory::DeviceSlice;
use super::workspace::{Buffers, Workspace};
use crate::device::operators::MatrixProducts;

/// Products with 2^-exponent W.
pub struct CudaProducts<'w> {
    pub workspace: &'w Workspace<'w>,
    pub job: &'w Job<'w>,
    /// Whether all weights are in `stacked`. Otherwise they are sent again for every product.
    pub resident: bool,
}

/// Which side of A, the tall form of W, the vector is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// A v.
    Right,
    /// A^T u.
    Left,
}

impl MatrixProducts for CudaProducts<'_> {
    type Error = CallError;

    fn forward(&self, v: &[f64]) -> Result<Vec<f64>> {
        let Workspace { stream, buffers, .. } = self.workspace;
        stream.upload(buffers.short.all(), v)?;
        self.multiply(Side::Right)?;
        stream.download(buffers.long.first(self.job.view.long()))
    }

    fn backward(&self, u: &[f64]) -> Result<Vec<f64>> {
        let Workspace { stream, buffers, .. } = self.workspace;
        stream.upload(buffers.long.all(), u)?;
        self.multiply(Side::Left)?;
        stream.download(buffers.short.first(self.job.view.short()))
    }
}

impl CudaProducts<'_> {
    fn multiply(&self, side: Side) -> Result<()> {
        let Workspace { stream, ring, buffers, .. } = self.workspace;
        let blocks: Vec<Block> = blocks(0, &self.job.view).collect();
        if self.resident {
            let weights = |block: &Block| buffers.stacked.all().part(block.offset()..block.offset() + block.bytes());
            return blocks.iter().try_for_each(|block| self.multiply_block(side, block, weights(block)));
        }
        ring.feed(stream, &blocks, |block, pinned| {
            let weights = buffers.block.first(block.bytes());
            stream.copy_from_pinned(weights, pinned)?;
            self.multiply_block(side, block, weights)
        })
    }

    /// Elements of A v, or what the rows of a block add to all of A^T u.
    fn multiply_block(&self, side: Side, block: &Block, weights: DeviceSlice<u8>) -> Result<()> {
        let Workspace { kernels, stream, buffers, .. } = self.workspace;
        let Buffers { short, long, totals, widened: parts, .. } = buffers;
        let (short, long) = (short.first(block.view.short()), long.all().part(block.rows.clone()));
        let (x, rounded, is_first) = match side {
            Side::Right => (short, long, true),
            Side::Left => (long, short, block.rows.start == 0),
        };
        let is_along = (block.layout() == Layout::Rows) == (side == Side::Right);
        let direction = if is_along { Direction::Along } else { Direction::Across };
        let buffers = ProductBuffers { x, parts: parts.all(), totals: totals.all(), rounded };
        kernels.multiply(stream, self.job.conversion(), (block.runs(), weights), direction, buffers, is_first)
    }
}
