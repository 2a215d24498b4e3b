//! 8-bit weights. Each element is multiplied by the scale factor of its block, in f32, which rounds once.

use super::loaded::{Loaded, Mapped, Unavailable, buffer, matrix_bytes};
use super::rounding::Grid;
use super::source::ElementSource;
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, Dtype, Float8, FloatType, TensorInfo};

/// A matrix of 8-bit elements, with or without scale factors.
#[derive(Debug)]
pub(crate) struct Scaled {
    stored: Stored,
    format: Float8,
    factors: Option<Factors>,
}

/// Scale factors, one for each block of a matrix.
#[derive(Debug)]
pub(crate) struct Factors {
    /// A matrix with one element for each block.
    pub elements: Box<dyn ElementSource>,
    /// Rows and columns of a block.
    pub block: [usize; 2],
}

/// The type of 8-bit weights, or `None` for any other type. E8M0 holds powers of two only: scale factors, not weights.
pub(crate) fn weight_format(dtype: &Dtype) -> Option<Float8> {
    match dtype {
        Dtype::Float8(format @ (Float8::E4M3 | Float8::E5M2)) => Some(*format),
        _ => None,
    }
}

impl Factors {
    /// All factors, row by row. `keep`: see [`ElementSource::load`].
    fn read(&self, checkpoint: &Checkpoint, keep: bool) -> Result<Vec<f32>, Unavailable> {
        let [down, across] = self.elements.shape();
        let loaded = self.elements.load(checkpoint, Cast::None, keep)?;
        let mut factors = vec![0.0_f32; down * across];
        for (row, line) in factors.chunks_exact_mut(across).enumerate() {
            loaded.view().read_segment(row, 0..across, 1.0, line);
        }
        loaded.finish()?;
        Ok(factors)
    }
}

impl Scaled {
    /// Returns `tensor`, whose elements have the type `format`, as a matrix, or the reason why it cannot be scored.
    pub fn new(tensor: TensorInfo, shard: usize, format: Float8, factors: Option<Factors>) -> Result<Scaled, String> {
        Ok(Scaled { stored: Stored::matrix(tensor, shard)?, format, factors })
    }
}

impl ElementSource for Scaled {
    fn shape(&self) -> [usize; 2] {
        self.stored.shape()
    }

    fn dtype(&self) -> FloatType {
        FloatType::F32
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn companions(&self) -> Vec<&Stored> {
        self.factors.iter().map(|factors| factors.elements.stored()).collect()
    }

    fn computed_bytes(&self) -> u64 {
        matrix_bytes(self.shape(), FloatType::F32)
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        Ok(self.scaled(&self.format.values(), checkpoint, keep)?.with_cast(cast))
    }

    /// The spacings of 8-bit numbers, times their factors. A cast rounds far more finely.
    fn grid<'a>(&'a self, checkpoint: &'a Checkpoint, _cast: Cast) -> Result<Option<Grid<'a>>, Unavailable> {
        Ok(Some(Grid::Spacings(self.scaled(&self.format.spacings(), checkpoint, true)?)))
    }
}

impl Scaled {
    /// The matrix with the element `table[bits]` for each 8-bit number, times the factor of its block.
    fn scaled(&self, table: &[f32; 256], checkpoint: &Checkpoint, keep: bool) -> Result<Loaded<'static>, Unavailable> {
        let [rows, cols] = self.shape();
        let bytes = self.computed_bytes();
        let mut weights = buffer(usize::try_from(bytes).map_err(|_| Unavailable::OutOfMemory { bytes })?)?;
        let ([down, right], across, factors) = match &self.factors {
            Some(factors) => (factors.block, factors.elements.shape()[1], factors.read(checkpoint, keep)?),
            None => ([rows, cols], 1, vec![1.0]),
        };
        let mapped = Mapped::new(&self.stored, checkpoint, keep)?;
        let lines = mapped.bytes().chunks_exact(cols).zip(weights.chunks_exact_mut(4 * cols));
        for (row, (line, out)) in lines.enumerate() {
            let factors = &factors[row / down * across..];
            let blocks = line.chunks(right).zip(out.chunks_mut(4 * right));
            for ((line, out), factor) in blocks.zip(factors) {
                for (bits, out) in line.iter().zip(out.chunks_exact_mut(4)) {
                    out.copy_from_slice(&(table[usize::from(*bits)] * factor).to_le_bytes());
                }
            }
        }
        mapped.finish()?;
        Ok(Loaded::computed(weights, FloatType::F32, [rows, cols]))
    }
}
