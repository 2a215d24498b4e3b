//! Floating-point elements that a device reads directly from the mapped file.

use super::loaded::{Loaded, Mapped, Unavailable};
use super::rounding::Grid;
use super::source::ElementSource;
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, Dtype, FloatType, TensorInfo};

/// A matrix of floating-point elements in a file.
#[derive(Debug, Clone)]
pub(crate) struct Floats {
    stored: Stored,
    dtype: FloatType,
}

impl Floats {
    /// Returns `tensor` as a matrix, or the reason why it is not a matrix to score.
    pub fn new(tensor: TensorInfo, shard: usize) -> Result<Floats, String> {
        let dtype = float_type(&tensor.dtype)?;
        Ok(Floats { stored: Stored::matrix(tensor, shard)?, dtype })
    }
}

/// Returns the float type of `dtype`, or the reason why such tensors cannot be scored.
pub(crate) fn float_type(dtype: &Dtype) -> Result<FloatType, String> {
    match dtype {
        Dtype::Float(float) => Ok(*float),
        Dtype::Integer(name) => Err(format!("integer tensor ({name})")),
        other => Err(format!("dtype {other} is not supported")),
    }
}

impl ElementSource for Floats {
    fn shape(&self) -> [usize; 2] {
        self.stored.shape()
    }

    fn dtype(&self) -> FloatType {
        self.dtype
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn computed_bytes(&self) -> u64 {
        0
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let mapped = Mapped::new(&self.stored, checkpoint, keep)?;
        Ok(Loaded::mapped(mapped, self.dtype, self.shape()).with_cast(cast))
    }

    fn grid<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<Option<Grid<'a>>, Unavailable> {
        let mapped = Mapped::without_prefetch(&self.stored, checkpoint)?;
        let loaded = Loaded::mapped(mapped, self.dtype, self.shape()).with_cast(cast);
        let grid = Grid::of(&loaded.view());
        loaded.finish()?;
        Ok(grid)
    }
}
