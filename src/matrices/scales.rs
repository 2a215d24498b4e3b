//! The scale factors of 8-bit weights, found by name.
//!
//! The factors of `NAME` are in a tensor `NAME_scale_inv` (DeepSeek, Qwen: one factor for each 128 x 128 block) or `NAME_scale`
//! (one factor for the matrix, for each row, or for each block). The two shapes determine the blocks, whose sides are powers of
//! two. Despite its name, `_scale_inv` is multiplied too.

use std::collections::HashMap;

use super::elements::{ElementSource, Factors, Floats, Scaled};
use super::skipped::Skipped;
use super::{skip, stack};
use crate::checkpoint::{Checkpoint, Dtype, Tensor, TensorInfo};

/// The tensors of a checkpoint whose names say that they hold scale factors, by name.
pub(super) struct Scales<'a>(HashMap<&'a str, Tensor<'a>>);

impl<'a> Scales<'a> {
    /// Collects the scale factors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Scales<'a> {
        let scale =
            |tensor: &Tensor| tensor.listed && skip::by_name(&tensor.info.name, true, 2) == Some(skip::SCALE_FACTOR);
        Scales(checkpoint.tensors().filter(scale).map(|tensor| (tensor.info.name.as_str(), tensor)).collect())
    }

    /// The factors of these weights. `None` if the checkpoint has no scale factors at all: the elements are the weights.
    ///
    /// # Errors
    ///
    /// If only other weights have factors, or the factors do not fit.
    pub fn of(&self, weights: &TensorInfo) -> Result<Option<Factors>, Skipped> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let skipped = |reason: String| Skipped::new(&weights.name, reason);
        let found = self
            .find(&weights.name)
            .ok_or_else(|| Skipped::unpaired(&weights.name, "8-bit weights without scale factors"))?;
        let tensor = match stack::index(&weights.name) {
            Some(index) => stack::slice(found.info, index),
            None => Some(found.info.clone()),
        };
        let unfit = || skipped(format!("scale factors of shape {:?} do not fit {:?}", found.info.shape, weights.shape));
        let tensor = tensor.ok_or_else(unfit)?;
        if !matches!(tensor.dtype, Dtype::Float(_) | Dtype::Float8(_)) {
            return Err(skipped(format!("scale factors of type {} are not supported", tensor.dtype)));
        }
        let &[rows, cols] = weights.shape.as_slice() else { return Err(unfit()) };
        let [down, across] = match *tensor.shape.as_slice() {
            [] | [1] => [1, 1],
            [count] if count == rows => [count, 1],
            [down, across] => [down, across],
            _ => return Err(unfit()),
        };
        let block = side(rows, down).zip(side(cols, across)).ok_or_else(unfit)?;
        let tensor = TensorInfo { shape: vec![down, across], ..tensor };
        let elements = elements(tensor, found.shard).map_err(skipped)?;
        Ok(Some(Factors { elements, block: [block.0, block.1] }))
    }

    fn find(&self, weights: &str) -> Option<&Tensor<'a>> {
        let name = stack::whole(weights);
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let names = [format!("{name}_scale_inv"), format!("{name}_scale"), format!("{module}.scale")];
        names.iter().find_map(|name| self.0.get(name.as_str()))
    }
}

/// Scale factors, which may have 8 bits themselves.
fn elements(tensor: TensorInfo, shard: usize) -> Result<Box<dyn ElementSource>, String> {
    Ok(match tensor.dtype {
        Dtype::Float8(format) => Box::new(Scaled::new(tensor, shard, format, None)?),
        _ => Box::new(Floats::new(tensor, shard)?),
    })
}

/// The side of `count` blocks that cover `length`: the whole length, or a power of two.
fn side(length: u64, count: u64) -> Option<usize> {
    let mut sides = std::iter::once(length).chain((0..63).map(|exponent| 1 << exponent));
    sides.find(|&side| length.div_ceil(side) == count)?.try_into().ok()
}
