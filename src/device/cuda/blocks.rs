//! Matrices travel to the GPU in blocks of rows.

use std::ops::Range;

use super::kernels::weights::Runs;
use super::sys::blas::Layout;
use crate::checkpoint::MatrixView;

/// Most bytes of a block.
const BLOCK_BYTES: usize = 32 << 20;
/// Most rows of a block.
const BLOCK_ROWS: usize = 1024;

/// Rows of the tall form of a matrix that travel together.
#[derive(Debug, Clone)]
pub struct Block<'v, 'a> {
    /// Number of the matrix in its batch.
    pub job: usize,
    pub view: &'v MatrixView<'a>,
    pub rows: Range<usize>,
}

impl Block<'_, '_> {
    /// Size of the block.
    pub fn bytes(&self) -> usize {
        self.rows.len() * self.view.short() * self.view.dtype().bytes()
    }

    /// Size of the blocks before it.
    pub fn offset(&self) -> usize {
        self.rows.start * self.view.short() * self.view.dtype().bytes()
    }

    /// The elements of the block in memory, and where they are in their tensor.
    pub fn runs(&self) -> Runs {
        let (count, n, pitch) = (self.rows.len(), self.view.short(), self.view.cols());
        match self.layout() {
            Layout::Rows => Runs { majors: count, minors: n, first: self.rows.start * pitch, pitch },
            Layout::Columns => Runs { majors: n, minors: count, first: self.rows.start, pitch },
        }
    }

    /// The order of the elements.
    pub fn layout(&self) -> Layout {
        if self.view.is_tall() { Layout::Rows } else { Layout::Columns }
    }
}

/// The number of rows of a block of a tall `long` x `short` matrix.
pub fn block_rows(long: usize, short: usize, element_bytes: usize) -> usize {
    let rows = (BLOCK_BYTES / (short * element_bytes)).clamp(1, BLOCK_ROWS);
    // Tensor cores are fastest with multiples of eight.
    let rows = if rows >= 8 { rows / 8 * 8 } else { rows };
    rows.min(long)
}

/// The blocks of a matrix, in order.
pub fn blocks<'v, 'a>(job: usize, view: &'v MatrixView<'a>) -> impl Iterator<Item = Block<'v, 'a>> {
    let long = view.long();
    let rows = block_rows(long, view.short(), view.dtype().bytes());
    (0..long).step_by(rows).map(move |start| Block { job, view, rows: start..long.min(start + rows) })
}
