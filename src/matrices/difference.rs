//! What a fine-tune changed: W - W_base, for tensors of the same name and shape in two checkpoints.
//!
//! Every element is subtracted in f64 and kept in f64, whatever the types of the two: with weights of 16 bits that is exact
//! unless one is more than 2^40 times the other, and otherwise rounded once. (In the weights' own type, the subtraction would
//! be exact only where they are within a factor of two.) A cast rounds the weights of both before they are subtracted.

use std::collections::HashMap;

use super::elements::{Elements, Loaded, Stored, Unavailable};
use super::{Scales, Selection, Skipped, WeightMatrix, classify, stack, stored_or_scaled};
use crate::checkpoint::{Cast, Checkpoint, FloatType, TensorInfo};

/// Elements that are subtracted at once.
const SEGMENT: usize = 1 << 14;

/// The tensors of a base and the slices of its stacks, by name, each to be paired with one of the same name.
pub(super) struct Base<'a> {
    /// With the numbers of their shards.
    partners: HashMap<String, (TensorInfo, usize)>,
    scales: Scales<'a>,
}

/// The tensors of `checkpoint` that count, with the numbers of their shards, stacks in slices.
fn parts(checkpoint: &Checkpoint) -> impl Iterator<Item = (TensorInfo, usize)> {
    let listed = checkpoint.tensors().filter(|tensor| tensor.listed);
    listed.flat_map(|tensor| stack::parts(tensor.info).into_iter().map(move |part| (part, tensor.shard)))
}

impl<'a> Base<'a> {
    /// Those of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Base<'a> {
        let partners = parts(checkpoint).map(|(part, shard)| (part.name.clone(), (part, shard))).collect();
        Base { partners, scales: Scales::new(checkpoint) }
    }

    /// The difference of `matrix` and its partner, or why it has none.
    pub fn pair(&self, matrix: WeightMatrix) -> Result<WeightMatrix, String> {
        let Elements::Stored(weights) = matrix.elements else { return Err("computed, not stored".into()) };
        let (partner, shard) = self.partners.get(&matrix.name).ok_or("not in the base")?;
        let (shape, other) = (&weights.tensor.shape, &partner.shape);
        if shape != other {
            return Err(format!("shape {shape:?}, but {other:?} in the base"));
        }
        let base = stored_or_scaled(partner, *shard, &self.scales)
            .map_err(|skipped| format!("in the base: {}", skipped.reason))?;
        Ok(WeightMatrix { elements: Elements::Difference { weights, base }, dtype: FloatType::F64, ..matrix })
    }

    /// The tensors that have no partner in `checkpoint`; only those that would be scored count as unpaired.
    pub fn left_over(mut self, checkpoint: &Checkpoint, selection: &Selection) -> Vec<Skipped> {
        for (part, _) in parts(checkpoint) {
            self.partners.remove(&part.name);
        }
        let skipped = |(part, shard): &(TensorInfo, usize)| {
            let unpaired = classify(part, *shard, &self.scales, selection).is_ok();
            Skipped { unpaired, ..Skipped::new(&part.name, "only in the base") }
        };
        self.partners.values().map(skipped).collect()
    }
}

/// Bytes that the difference takes.
pub(super) fn bytes(weights: &Stored) -> u64 {
    let [rows, cols] = weights.shape();
    (rows as u64).saturating_mul(cols as u64).saturating_mul(FloatType::F64.bytes() as u64)
}

/// Subtracts `base`, which lies in the base of `checkpoint`, from `weights`. `again`: both are going to be read again.
///
/// # Errors
///
/// If there is no memory for the difference, or a file cannot be mapped, changed or could not be read.
pub(super) fn load(
    [weights, base]: [&Stored; 2],
    checkpoint: &Checkpoint,
    cast: Cast,
    again: bool,
) -> Result<Loaded<'static>, Unavailable> {
    let [rows, cols] = weights.shape();
    let bytes = bytes(weights);
    let mut difference: Vec<u8> = Vec::new();
    let length = usize::try_from(bytes).map_err(|_| Unavailable::OutOfMemory { bytes })?;
    difference.try_reserve_exact(length).map_err(|_| Unavailable::OutOfMemory { bytes })?;

    let other = checkpoint.base().ok_or_else(|| Unavailable::NotMapped("the base is not open".into()))?;
    let weights = Loaded::stored(weights, checkpoint, cast, again)?;
    let base = Loaded::stored(base, other, cast, again)?;
    let (minuend, subtrahend) = (weights.view(), base.view());
    let mut segments = [vec![0.0_f64; cols.min(SEGMENT)], vec![0.0_f64; cols.min(SEGMENT)]];
    for row in 0..rows {
        for start in (0..cols).step_by(SEGMENT) {
            let end = cols.min(start + SEGMENT);
            let [x, y] = &mut segments;
            minuend.read_segment(row, start..end, 1.0, &mut x[..end - start]);
            subtrahend.read_segment(row, start..end, 1.0, &mut y[..end - start]);
            difference.extend(x[..end - start].iter().zip(&*y).flat_map(|(x, y)| (x - y).to_le_bytes()));
        }
    }
    // Both, whatever becomes of the first.
    let outcomes = [weights.finish(), base.finish()];
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(Loaded::computed(difference, FloatType::F64, rows, cols))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;
    use crate::matrices::{Catalog, Selection};

    #[test]
    fn rows_longer_than_a_segment_of_two_types() {
        let folder = tempfile::tempdir().unwrap();
        let [rows, cols] = [2, 2 * SEGMENT + 3];
        let save = |file: &str, dtype: Dtype, bytes: Vec<u8>| {
            let view = TensorView::new(dtype, vec![rows, cols], &bytes).unwrap();
            let bytes = safetensors::serialize([("model.layers.0.self_attn.q_proj.weight", view)], None).unwrap();
            std::fs::write(folder.path().join(file), bytes).unwrap();
            Checkpoint::open(&folder.path().join(file)).unwrap()
        };
        let w = |at: usize| 1.0 + at as f32 / 3.0;
        let base = |at: usize| half::bf16::from_f32(at as f32 / 7.0);
        let all = 0..rows * cols;
        let tuned = save("tuned.safetensors", Dtype::F32, all.clone().flat_map(|at| w(at).to_le_bytes()).collect());
        let other = save("base.safetensors", Dtype::BF16, all.clone().flat_map(|at| base(at).to_le_bytes()).collect());
        let tuned = tuned.with_base(other);
        let matrix = &Catalog::new(&tuned, &Selection::default()).matrices[0];
        assert_eq!(matrix.computed_bytes(), (8 * rows * cols) as u64);
        let loaded = matrix.load(&tuned, Cast::None).unwrap();
        let mut values = vec![0.0_f64; rows * cols];
        for (row, line) in values.chunks_exact_mut(cols).enumerate() {
            loaded.view().read_segment(row, 0..cols, 1.0, line);
        }
        assert!(all.into_iter().all(|at| values[at] == f64::from(w(at)) - base(at).to_f64()));
        assert_eq!(loaded.finish(), Ok(()));
    }
}
