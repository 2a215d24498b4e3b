//! Pairs the matrices of a fine-tuned checkpoint with those of its base: tensors of the same name and shape.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::classify::Classifier;
use super::elements::Difference;
use super::matrix::WeightMatrix;
use super::place::Place;
use super::selection::Selection;
use super::skipped::Skipped;
use super::stack;
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::rename::Rename;

/// The tensors of a base, and the slices of its stacks of experts, by name.
pub(super) struct Base<'a> {
    /// With the numbers of their shards.
    partners: HashMap<String, (TensorInfo, usize)>,
    classifier: Classifier<'a>,
    /// Turns the names of the fine-tuned checkpoint into those of the base.
    rename: Option<Rename>,
}

impl<'a> Base<'a> {
    /// Indexes the tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint, selection: &'a Selection, rename: Option<&Rename>) -> Base<'a> {
        let classifier = Classifier::new(checkpoint, selection);
        let partners = classifier.parts(checkpoint).map(|(part, shard)| (part.name.clone(), (part, shard))).collect();
        Base { partners, classifier, rename: rename.cloned() }
    }

    /// Unless names are renamed already, renames them in a usual way if none of `matrices` is in the base by its own name.
    pub fn guess_rename(&mut self, matrices: &[WeightMatrix]) {
        let names: Vec<&str> = matrices.iter().map(WeightMatrix::name).collect();
        if self.rename.is_some() || names.iter().any(|name| self.holds(name)) {
            return;
        }
        let shapes: HashMap<&str, [u64; 2]> =
            matrices.iter().map(|matrix| (matrix.name(), matrix.whole_shape().map(|side| side as u64))).collect();
        let composed = self.classifier.composed.named().map(|(name, _)| name);
        let others: Vec<&str> = self.partners.keys().map(String::as_str).chain(composed).collect();
        self.rename = Rename::guess(&names, &others, |name, new| match self.partners.get(new) {
            Some((partner, _)) => partner.shape == shapes[name],
            None => self.holds(new),
        });
    }

    /// What turns the names of the fine-tuned checkpoint into those of the base.
    pub fn rename(&self) -> Option<&Rename> {
        self.rename.as_ref()
    }

    /// True if a tensor, or a weight that is computed from several, has this name.
    fn holds(&self, name: &str) -> bool {
        self.partners.contains_key(name) || self.classifier.composed.computes(name)
    }

    /// The name in the base of a matrix of the fine-tuned checkpoint.
    fn name_of<'n>(&self, name: &'n str) -> Cow<'n, str> {
        stack::renamed(name, self.rename())
    }

    /// The difference of `weights` and its partner, or why there is none.
    pub fn pair(&self, weights: &WeightMatrix) -> Result<WeightMatrix, Skipped> {
        let unpaired = |reason: String| Skipped::unpaired(&weights.name, reason);
        if weights.update().is_some() {
            return Err(unpaired("an update already, not stored weights".into()));
        }
        let name = &*self.name_of(weights.name());
        let in_base = |reason: String| unpaired(format!("in the base: {reason}"));
        let different = |other: &[u64]| {
            let shape = weights.whole_shape().map(|side| side as u64);
            (shape != other).then(|| unpaired(format!("shape {shape:?}, but {other:?} in the base")))
        };
        let base = match self.classifier.composed.matrix(name, Place::default()) {
            Some(base) => base.map_err(in_base)?,
            None => {
                let missing = || match self.classifier.quantized.scheme_of_module(name) {
                    Some(scheme) => format!("quantized in the base ({scheme})"),
                    None if name == weights.name() => "not in the base".into(),
                    None => "not in the base by its new name".into(),
                };
                let (partner, shard) = self.partners.get(name).ok_or_else(|| unpaired(missing()))?;
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
        let names: HashSet<String> = names.iter().map(|name| self.name_of(name).into_owned()).collect();
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
