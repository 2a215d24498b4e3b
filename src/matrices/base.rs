//! Pairs the matrices of a fine-tuned checkpoint with those of its base: tensors of the same name and shape.

use std::collections::HashMap;

use super::classify::{classify, matrix};
use super::elements::Difference;
use super::matrix::WeightMatrix;
use super::place::Place;
use super::scales::Scales;
use super::selection::Selection;
use super::skipped::Skipped;
use super::stack;
use crate::checkpoint::{Checkpoint, TensorInfo};

/// The tensors of a base, and the slices of its stacks of experts, by name.
pub(super) struct Base<'a> {
    /// With the numbers of their shards.
    partners: HashMap<String, (TensorInfo, usize)>,
    scales: Scales<'a>,
}

/// The listed tensors of `checkpoint` with the numbers of their shards; stacks of experts in slices.
fn parts(checkpoint: &Checkpoint) -> impl Iterator<Item = (TensorInfo, usize)> {
    let listed = checkpoint.tensors().filter(|tensor| tensor.listed);
    listed.flat_map(|tensor| stack::parts(tensor.info).into_iter().map(move |part| (part, tensor.shard)))
}

impl<'a> Base<'a> {
    /// Indexes the tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Base<'a> {
        let partners = parts(checkpoint).map(|(part, shard)| (part.name.clone(), (part, shard))).collect();
        Base { partners, scales: Scales::new(checkpoint) }
    }

    /// The difference of `weights` and its partner, or why there is none.
    pub fn pair(&self, weights: &WeightMatrix) -> Result<WeightMatrix, Skipped> {
        let unpaired = |reason: String| Skipped::unpaired(&weights.name, reason);
        if weights.update().is_some() {
            return Err(unpaired("an update already, not stored weights".into()));
        }
        let (partner, shard) = self.partners.get(weights.name()).ok_or_else(|| unpaired("not in the base".into()))?;
        let (shape, other) = (&weights.stored().tensor.shape, &partner.shape);
        if shape != other {
            return Err(unpaired(format!("shape {shape:?}, but {other:?} in the base")));
        }
        let base = matrix(partner, *shard, Place::default(), &self.scales)
            .map_err(|skipped| unpaired(format!("in the base: {}", skipped.reason)))?;
        Ok(weights.with_elements(Difference { weights: weights.elements(), base: base.elements() }))
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
