//! The scale factors of 8-bit weights, found by name.
//!
//! The factors of `NAME` are in a tensor `NAME_scale_inv` (DeepSeek, Qwen: one factor for each 128 x 128 block) or `NAME_scale`
//! (one factor for the matrix, for each row, or for each block). The sides of the blocks are those of `weight_block_size` in
//! `config.json`. Without them the two shapes have to determine the blocks: the sides are powers of two, or divide the matrix
//! evenly. Despite its name, `_scale_inv` is multiplied too.

use std::collections::HashMap;

use super::elements::{ElementSource, Factors, Floats, Scaled};
use super::skipped::Skipped;
use super::{skip, stack};
use crate::checkpoint::{Checkpoint, Dtype, QuantizationConfig, Tensor, TensorInfo};

/// The scale factors of a checkpoint.
pub(super) struct Scales<'a> {
    /// The tensors whose names say that they hold scale factors, by name.
    tensors: HashMap<&'a str, Tensor<'a>>,
    /// Rows and columns of the blocks, if the configuration states them.
    block: Result<Option<[u64; 2]>, String>,
}

impl<'a> Scales<'a> {
    /// Collects the scale factors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Scales<'a> {
        let scale =
            |tensor: &Tensor| tensor.listed && skip::of_structure(&tensor.info.name, 2) == Some(skip::SCALE_FACTOR);
        Scales {
            tensors: checkpoint.tensors().filter(scale).map(|tensor| (tensor.info.name.as_str(), tensor)).collect(),
            block: checkpoint.config().quantization().map_or(Ok(None), QuantizationConfig::block),
        }
    }

    /// The factors of these weights. `None` if the checkpoint has no scale factors at all: the elements are the weights.
    ///
    /// # Errors
    ///
    /// If only other weights have factors, or the factors do not fit.
    pub fn of(&self, weights: &TensorInfo) -> Result<Option<Factors>, Skipped> {
        if self.tensors.is_empty() {
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
        let stated = self.block.clone().map_err(skipped)?;
        let shapes =
            || format!("scale factors of shape {:?} for weights of shape {:?}", found.info.shape, weights.shape);
        let block =
            block([rows, cols], [down, across], stated).map_err(|why| skipped(format!("{}: {why}", shapes())))?;
        let tensor = TensorInfo { shape: vec![down, across], ..tensor };
        let elements = elements(tensor, found.shard).map_err(skipped)?;
        Ok(Some(Factors { elements, block }))
    }

    fn find(&self, weights: &str) -> Option<&Tensor<'a>> {
        let name = stack::whole(weights);
        let module = name.strip_suffix(".weight").unwrap_or(name);
        let names = [format!("{name}_scale_inv"), format!("{name}_scale"), format!("{module}.scale")];
        names.iter().find_map(|name| self.tensors.get(name.as_str()))
    }
}

/// Scale factors, which may have 8 bits themselves.
fn elements(tensor: TensorInfo, shard: usize) -> Result<Box<dyn ElementSource>, String> {
    Ok(match tensor.dtype {
        Dtype::Float8(format) => Box::new(Scaled::new(tensor, shard, format, None)?),
        _ => Box::new(Floats::new(tensor, shard)?),
    })
}

/// Rows and columns of the blocks of a matrix that has these numbers of blocks down and across.
fn block(shape: [u64; 2], counts: [u64; 2], stated: Option<[u64; 2]>) -> Result<[usize; 2], String> {
    let fits = |block: [u64; 2]| [0, 1].map(|side| shape[side].div_ceil(block[side])) == counts;
    // One factor for the matrix or for each row needs no blocks.
    let is_whole = counts[1] == 1 && (counts[0] == 1 || counts[0] == shape[0]);
    let block = match stated {
        Some(block) if fits(block) => block,
        Some([down, across]) if !is_whole => {
            return Err(format!("they are not one for each block of {down} x {across}, which config.json states"));
        }
        _ => [side(shape[0], counts[0])?, side(shape[1], counts[1])?],
    };
    let [down, across] = block.map(usize::try_from);
    down.and_then(|down| Ok([down, across?])).map_err(|_| "the blocks are too large".into())
}

/// The side of `count` blocks that cover `length`, if there is only one that is likely: a power of two, as 128 usually is, or a
/// multiple of 16 that divides `length` evenly.
fn side(length: u64, count: u64) -> Result<u64, String> {
    if count == 1 || count == length {
        return Ok(length / count);
    }
    let even =
        (count > 0 && length.is_multiple_of(count)).then(|| length / count).filter(|side| side.is_multiple_of(16));
    let power = (0..63).map(|exponent| 1 << exponent).find(|&side| length.div_ceil(side) == count);
    match (power, even) {
        (Some(power), Some(even)) if power != even => Err(format!(
            "their blocks may have a side of {power} or {even}; weight_block_size in a config.json beside the file decides"
        )),
        (power, even) => power.or(even).ok_or_else(|| "they do not fit".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::block;

    #[test]
    fn the_configuration_decides_about_blocks() {
        for (shape, counts, stated, found) in [
            ([192, 192], [2, 2], Some([96, 96]), Ok([96, 96])),
            ([192, 192], [2, 2], Some([128, 128]), Ok([128, 128])),
            ([192, 100], [2, 1], Some([96, 96]), Err("not one for each block of 96 x 96")),
            ([192, 100], [2, 2], Some([128, 64]), Ok([128, 64])),
            ([192, 192], [2, 2], Some([64, 64]), Err("not one for each block of 64 x 64, which config.json states")),
            // One factor for the matrix or for each row.
            ([192, 192], [1, 1], Some([64, 64]), Ok([192, 192])),
            ([192, 192], [192, 1], Some([64, 64]), Ok([1, 192])),
        ] {
            match (block(shape, counts, stated), found) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (found, _) => panic!("{shape:?} {counts:?} {stated:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn shapes_determine_blocks_or_leave_them_open() {
        for (shape, counts, found) in [
            ([4096, 7168], [32, 56], Ok([128, 128])),
            ([576, 7168], [5, 56], Ok([128, 128])),
            ([192, 160], [6, 5], Ok([32, 32])),
            // No power of two: only 96 divides evenly.
            ([960, 100], [10, 1], Ok([96, 100])),
            ([192, 192], [2, 2], Err("a side of 128 or 96; weight_block_size")),
            ([160, 137], [2, 2], Err("a side of 128 or 80;")),
            ([1000, 137], [8, 2], Ok([128, 128])),
            ([100, 100], [7, 70], Err("they do not fit")),
            ([100, 100], [0, 1], Err("they do not fit")),
            ([100, 100], [101, 1], Err("they do not fit")),
        ] {
            match (block(shape, counts, None), found) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (found, _) => panic!("{shape:?} {counts:?}: {found:?}"),
            }
        }
    }
}
