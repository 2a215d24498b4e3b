//! A submatrix as a separate matrix.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::loaded::{Loaded, Unavailable, matrix_bytes};
use super::rounding::{Part, Rounding};
use super::source::{ElementSource, Update};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType};

/// The position and shape of a sub-matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first row.
    pub row: usize,
    /// Its first column.
    pub col: usize,
    /// Number of its rows.
    pub rows: usize,
    /// Number of its columns.
    pub cols: usize,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { row, col, rows, cols } = self;
        write!(f, "the window of rows {row} to {} and columns {col} to {}", row + rows - 1, col + cols - 1)
    }
}

/// The elements of another source inside a window, copied.
#[derive(Debug)]
pub(crate) struct WindowOf {
    pub whole: Arc<dyn ElementSource>,
    pub window: Window,
}

impl ElementSource for WindowOf {
    fn shape(&self) -> [usize; 2] {
        [self.window.rows, self.window.cols]
    }

    fn dtype(&self) -> FloatType {
        self.whole.dtype()
    }

    fn stored(&self) -> &Stored {
        self.whole.stored()
    }

    fn companions(&self) -> Vec<&Stored> {
        self.whole.companions()
    }

    fn stored_bytes(&self) -> u64 {
        self.whole.stored_bytes()
    }

    fn computed_bytes(&self) -> u64 {
        matrix_bytes(self.shape(), self.dtype()) + self.whole.computed_bytes()
    }

    fn update(&self) -> Option<Update> {
        self.whole.update()
    }

    fn is_sample(&self) -> bool {
        true
    }

    /// Always keeps the file in the page cache: the next window reads it again.
    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, _keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let Window { row, col, rows, cols } = self.window;
        let whole = self.whole.load(checkpoint, cast, true)?;
        let (dtype, cast) = (whole.view().dtype(), whole.view().cast());
        let bytes = whole.copy(row..row + rows, col..col + cols)?;
        Ok(Loaded::computed(bytes, dtype, [rows, cols]).with_cast(cast))
    }

    fn rounding(&self, checkpoint: &Checkpoint, cast: Cast, part: &Part) -> Result<Option<Rounding>, Unavailable> {
        let Window { row, col, .. } = self.window;
        let shifted = |range: &Range<usize>, by: usize| range.start + by..range.end + by;
        self.whole.rounding(checkpoint, cast, &Part { rows: shifted(&part.rows, row), cols: shifted(&part.cols, col) })
    }
}
