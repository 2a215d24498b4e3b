//! Pairs the matrices of a fine-tuned checkpoint with those of its base: tensors of the same name and shape.

use std::collections::{HashMap, HashSet};

use super::classify::{classify, matrix};
use super::composed::Composed;
use super::elements::Difference;
use super::matrix::WeightMatrix;
use super::place::Place;
use super::quantized::Quantized;
use super::scales::Scales;
use super::selection::Selection;
use super::skipped::Skipped;
use super::stack;
use crate::checkpoint::{Checkpoint, TensorInfo};

/// The tensors of a base, and the slices of its stacks of experts, by name.
pub(super) struct Base<'a> {
    /// With the numbers of their shards.
    partners: HashMap<String, (TensorInfo, usize)>,
    composed: Composed<'a>,
    quantized: Quantized<'a>,
    scales: Scales<'a>,
}

/// The listed tensors of `checkpoint` that are weights by themselves, with the numbers of their shards; stacks of experts in
/// slices.
fn parts(checkpoint: &Checkpoint, composed: &Composed) -> impl Iterator<Item = (TensorInfo, usize)> {
    let listed = checkpoint.tensors().filter(|tensor| tensor.listed && !composed.holds(&tensor.info.name));
    listed.flat_map(|tensor| stack::parts(tensor.info).into_iter().map(move |part| (part, tensor.shard)))
}

impl<'a> Base<'a> {
    /// Indexes the tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Base<'a> {
        let composed = Composed::new(checkpoint);
        let partners = parts(checkpoint, &composed).map(|(part, shard)| (part.name.clone(), (part, shard))).collect();
        Base { partners, composed, quantized: Quantized::new(checkpoint), scales: Scales::new(checkpoint) }
    }

    /// The difference of `weights` and its partner, or why there is none.
    pub fn pair(&self, weights: &WeightMatrix) -> Result<WeightMatrix, Skipped> {
        let unpaired = |reason: String| Skipped::unpaired(&weights.name, reason);
        if weights.update().is_some() {
            return Err(unpaired("an update already, not stored weights".into()));
        }
        let in_base = |reason: String| unpaired(format!("in the base: {reason}"));
        let different = |other: &[u64]| {
            let shape = weights.whole_shape().map(|side| side as u64);
            (shape != other).then(|| unpaired(format!("shape {shape:?}, but {other:?} in the base")))
        };
        let base = match self.composed.matrix(weights.name(), Place::default()) {
            Some(base) => base.map_err(in_base)?,
            None => {
                let missing = || match self.quantized.scheme_of_module(weights.name()) {
                    Some(scheme) => format!("quantized in the base ({scheme})"),
                    None => "not in the base".into(),
                };
                let (partner, shard) = self.partners.get(weights.name()).ok_or_else(|| unpaired(missing()))?;
                different(&partner.shape).map_or(Ok(()), Err)?;
                matrix(partner, *shard, Place::default(), &self.scales).map_err(|skipped| in_base(skipped.reason))?
            }
        };
        different(&base.whole_shape().map(|side| side as u64)).map_or(Ok(()), Err)?;
        Ok(weights.with_elements(Difference { weights: weights.elements(), base: base.elements() }))
    }

    /// The tensors that have no partner in `checkpoint`; only those that would be scored count as unpaired.
    pub fn left_over(mut self, checkpoint: &Checkpoint, selection: &Selection) -> Vec<Skipped> {
        let own = Composed::new(checkpoint);
        let mut names: HashSet<String> = parts(checkpoint, &own).map(|(part, _)| part.name).collect();
        names.extend(own.names().map(|(name, _)| name.to_owned()));
        self.partners.retain(|name, _| !names.contains(name));
        let composed = self.composed.names().filter(|(name, _)| !names.contains(*name)).map(|(name, tensor)| {
            let unpaired = self.composed.verdict(name, selection).is_ok();
            Skipped { unpaired, ..Skipped::new(tensor, "only in the base") }
        });
        let skipped = |(part, shard): &(TensorInfo, usize)| {
            let unpaired = classify(part, *shard, &self.scales, selection).is_ok();
            Skipped { unpaired, ..Skipped::new(&part.name, "only in the base") }
        };
        self.partners.values().map(skipped).chain(composed).collect()
    }
}
