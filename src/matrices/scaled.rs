//! Weights of 8 bits: every element is multiplied by the scale factor of its block, in f32, which rounds once.
//!
//! The factors of `NAME` are a tensor beside it: `NAME_scale_inv` (DeepSeek, Qwen: a factor for each 128 x 128 block) or
//! `NAME_scale` (a factor for all, for each row, or for blocks). Blocks are squares or rectangles whose sides are powers of two,
//! and follow from the two shapes. In spite of its name, `_scale_inv` is multiplied, too.

use std::collections::HashMap;

use super::elements::{Loaded, Mapped, Stored, Unavailable, buffer};
use super::{Skipped, skip, stack};
use crate::checkpoint::{Cast, Checkpoint, Dtype, Float8, FloatType, Tensor, TensorInfo};

/// How the elements of a tensor of 8 bits are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    /// What the bits mean.
    pub format: Float8,
    /// What the numbers are multiplied by, unless they are the weights themselves.
    pub factors: Option<Box<Factors>>,
}

/// Scale factors, one for each block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factors {
    /// The tensor that holds them, as a matrix that has an element for each block.
    pub stored: Stored,
    /// Rows and columns of a block.
    block: [usize; 2],
}

/// The tensors of a checkpoint that are called scale factors, by name.
pub(super) struct Scales<'a>(HashMap<&'a str, Tensor<'a>>);

impl<'a> Scales<'a> {
    /// Those of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Scales<'a> {
        let scale =
            |tensor: &Tensor| tensor.listed && skip::by_name(&tensor.info.name, true, 2) == Some(skip::SCALE_FACTOR);
        Scales(checkpoint.tensors().filter(scale).map(|tensor| (tensor.info.name.as_str(), tensor)).collect())
    }

    /// The factors of these weights; none, where the checkpoint has none at all.
    ///
    /// # Errors
    ///
    /// If others have factors and these have none, or theirs do not fit.
    pub fn of(&self, weights: &TensorInfo) -> Result<Option<Box<Factors>>, Skipped> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let skipped = |reason: String| Skipped::new(&weights.name, reason);
        let name = stack::whole(&weights.name);
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let names = [format!("{name}_scale_inv"), format!("{name}_scale"), format!("{module}.scale")];
        let found = names.iter().find_map(|name| self.0.get(name.as_str()));
        let found =
            found.ok_or_else(|| Skipped::unpaired(&weights.name, "weights of 8 bits without their scale factors"))?;
        let tensor = match stack::index(&weights.name) {
            Some(index) => stack::slice(found.info, index),
            None => Some(found.info.clone()),
        };
        let unfit = || skipped(format!("scale factors of shape {:?} do not fit {:?}", found.info.shape, weights.shape));
        let tensor = tensor.ok_or_else(unfit)?;
        let (dtype, scaled) = match tensor.dtype {
            Dtype::Float(float) => (float, None),
            Dtype::Float8(format) => (FloatType::F32, Some(Scaled { format, factors: None })),
            _ => return Err(skipped(format!("scale factors of type {} are not supported", tensor.dtype))),
        };
        let &[rows, cols] = weights.shape.as_slice() else { return Err(unfit()) };
        let [down, across] = match *tensor.shape.as_slice() {
            [] | [1] => [1, 1],
            [count] if count == rows => [count, 1],
            [down, across] => [down, across],
            _ => return Err(unfit()),
        };
        let block = side(rows, down).zip(side(cols, across)).ok_or_else(unfit)?;
        let tensor = TensorInfo { shape: vec![down, across], ..tensor };
        let stored = Stored { tensor, shard: found.shard, dtype, scaled };
        Ok(Some(Box::new(Factors { stored, block: [block.0, block.1] })))
    }
}

/// The side of `count` blocks that cover `length`: all of it, or a power of two.
fn side(length: u64, count: u64) -> Option<usize> {
    let mut sides = std::iter::once(length).chain((0..63).map(|exponent| 1 << exponent));
    sides.find(|&side| length.div_ceil(side) == count)?.try_into().ok()
}

impl Factors {
    /// All of them, row by row. `keep`: see [`Mapped::new`].
    fn read(&self, checkpoint: &Checkpoint, keep: bool) -> Result<Vec<f32>, Unavailable> {
        let [down, across] = self.stored.shape();
        let loaded = Loaded::stored(&self.stored, checkpoint, Cast::None, keep)?;
        let mut factors = vec![0.0_f32; down * across];
        for (row, line) in factors.chunks_exact_mut(across).enumerate() {
            loaded.view().read_segment(row, 0..across, 1.0, line);
        }
        loaded.finish()?;
        Ok(factors)
    }
}

/// Bytes that the weights take.
pub(super) fn bytes(stored: &Stored) -> u64 {
    let [rows, cols] = stored.shape();
    (rows as u64).saturating_mul(cols as u64).saturating_mul(FloatType::F32.bytes() as u64)
}

/// The weights, each times its factor. The cast is still to come. `keep`: see [`Mapped::new`].
///
/// # Errors
///
/// If there is no memory for them, or a file cannot be mapped, changed or could not be read.
pub(super) fn load(
    stored: &Stored,
    scaled: &Scaled,
    checkpoint: &Checkpoint,
    cast: Cast,
    keep: bool,
) -> Result<Loaded<'static>, Unavailable> {
    let [rows, cols] = stored.shape();
    let refused = || Unavailable::OutOfMemory { bytes: bytes(stored) };
    let mut weights = buffer(usize::try_from(bytes(stored)).map_err(|_| refused())?)?;
    let values = scaled.format.values();
    let ([down, right], across, factors) = match &scaled.factors {
        Some(factors) => (factors.block, factors.stored.shape()[1], factors.read(checkpoint, keep)?),
        None => ([rows, cols], 1, vec![1.0]),
    };
    let mapped = Mapped::new(&stored.tensor, stored.shard, checkpoint, keep)?;
    let lines = mapped.bytes().chunks_exact(cols).zip(weights.chunks_exact_mut(4 * cols));
    for (row, (line, out)) in lines.enumerate() {
        let factors = &factors[row / down * across..];
        let blocks = line.chunks(right).zip(out.chunks_mut(4 * right));
        for ((line, out), factor) in blocks.zip(factors) {
            for (bits, out) in line.iter().zip(out.chunks_exact_mut(4)) {
                out.copy_from_slice(&(values[usize::from(*bits)] * factor).to_le_bytes());
            }
        }
    }
    mapped.finish()?;
    Ok(Loaded::computed(weights, FloatType::F32, rows, cols).cast_later(cast))
}
