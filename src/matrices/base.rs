//! Pairs the matrices of a fine-tuned checkpoint with those of its base: tensors of the same name and shape.

use std::collections::{HashMap, HashSet};

use super::classify::Classifier;
use super::elements::Difference;
use super::matrix::WeightMatrix;
use super::place::Place;
use super::selection::Selection;
use super::skipped::Skipped;
use crate::checkpoint::{Checkpoint, TensorInfo};

/// The tensors of a base, and the slices of its stacks of experts, by name.
pub(super) struct Base<'a> {
    /// With the numbers of their shards.
    partners: HashMap<String, (TensorInfo, usize)>,
    classifier: Classifier<'a>,
}

impl<'a> Base<'a> {
    /// Indexes the tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint, selection: &'a Selection) -> Base<'a> {
        let classifier = Classifier::new(checkpoint, selection);
        let partners = classifier.parts(checkpoint).map(|(part, shard)| (part.name.clone(), (part, shard))).collect();
        Base { partners, classifier }
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
        let base = match self.classifier.composed.matrix(weights.name(), Place::default()) {
            Some(base) => base.map_err(in_base)?,
            None => {
                let missing = || match self.classifier.quantized.scheme_of_module(weights.name()) {
                    Some(scheme) => format!("quantized in the base ({scheme})"),
                    None => "not in the base".into(),
                };
                let (partner, shard) = self.partners.get(weights.name()).ok_or_else(|| unpaired(missing()))?;
                different(&partner.shape).map_or(Ok(()), Err)?;
                self.classifier.any(partner, *shard).map_err(|skipped| in_base(skipped.reason))?
            }
        };
        different(&base.whole_shape().map(|side| side as u64)).map_or(Ok(()), Err)?;
        Ok(weights.with_elements(Difference { weights: weights.elements(), base: base.elements() }))
    }

    /// The tensors that have no partner in the `other` checkpoint; only those that would be scored count as unpaired.
    pub fn left_over(mut self, other: &Checkpoint, classifier: &Classifier) -> Vec<Skipped> {
        let mut names: HashSet<String> = classifier.parts(other).map(|(part, _)| part.name).collect();
        names.extend(classifier.composed.names().map(|(name, _)| name.to_owned()));
        self.partners.retain(|name, _| !names.contains(name));
        let composed = self.classifier.composed.names().filter(|(name, _)| !names.contains(*name));
        let mut only: Vec<(&str, &str)> = composed.collect();
        only.extend(self.partners.keys().map(|name| (name.as_str(), name.as_str())));
        if only.is_empty() {
            return Vec::new();
        }
        let scored = self.classifier.verdicts().into_iter().filter_map(Result::ok);
        let scored: HashSet<String> = scored.map(|matrix| matrix.name().to_owned()).collect();
        let skipped = |(name, tensor): (&str, &str)| Skipped {
            unpaired: scored.contains(name),
            ..Skipped::new(tensor, "only in the base")
        };
        only.into_iter().map(skipped).collect()
    }
}
