//! Weights that a checkpoint stores in several tensors: which tensors belong together, and what they are.
//!
//! No such tensor is a weight matrix by itself. Known are pruning, weight norm and spectral norm of PyTorch, in their old form
//! (`weight_orig` and `weight_mask`) and as parametrizations (`parametrizations.weight.original0`), and the sparse formats of
//! compressed-tensors (`compressed` and `bitmask`). The matrix has the name that the weight has in the module: `MODULE.weight`.

mod assemble;
mod kind;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::matrix::WeightMatrix;
use super::naming::Naming;
use super::place::Place;
use super::selection::Selection;
use super::skip::OUTSIDE;
use super::skipped::Skipped;
use super::unread::UnreadWeight;
use crate::checkpoint::{Checkpoint, Tensor, TensorInfo};
use assemble::{reparametrized, sparse};
use kind::{Kind, Loss, Parts, kind, part_of};

/// The weights of a checkpoint that are stored in several tensors.
pub(super) struct Composed<'a> {
    checkpoint: &'a Checkpoint,
    /// By name of the weight.
    weights: BTreeMap<String, Weight<'a>>,
    /// The weight that each tensor belongs to.
    owners: HashMap<&'a str, String>,
}

/// One weight.
struct Weight<'a> {
    /// The tensor that has the shape or the elements of the weight.
    main: Tensor<'a>,
    kind: Kind<'a>,
}

impl<'a> Composed<'a> {
    /// Groups the listed tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Composed<'a> {
        let mut groups: BTreeMap<String, Parts<'a>> = BTreeMap::new();
        for tensor in checkpoint.tensors().filter(|tensor| tensor.listed) {
            if let Some((weight, part)) = part_of(&tensor.info.name) {
                groups.entry(weight).or_default().insert(part, tensor);
            }
        }
        let mut composed = Composed { checkpoint, weights: BTreeMap::new(), owners: HashMap::new() };
        if groups.is_empty() {
            return composed;
        }
        let names = checkpoint.tensors().filter(|tensor| tensor.listed).map(|tensor| tensor.info.name.as_str());
        let stored: HashSet<&str> = names.filter(|name| groups.contains_key(*name)).collect();
        for (name, parts) in groups {
            let Some((main, mut kind)) = kind(&parts) else { continue };
            if stored.contains(name.as_str()) {
                let reason = format!("a part of `{name}`, which is stored itself");
                kind = Kind::Unknown { reason, loss: Loss::Nothing };
            }
            composed.owners.extend(parts.values().map(|part| (part.info.name.as_str(), name.clone())));
            composed.weights.insert(name, Weight { main, kind });
        }
        composed
    }

    /// True if the tensor of this name is a part of a weight.
    pub fn holds(&self, tensor: &str) -> bool {
        self.owners.contains_key(tensor)
    }

    /// True if a weight that is computed from several tensors has this name.
    pub fn computes(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    /// The names of the weights, and the tensors that they are computed from.
    pub fn names(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.weights.iter().map(|(name, weight)| (name.as_str(), weight.main.info.name.as_str()))
    }

    /// The weights, for their places: names and numbers of dimensions.
    pub fn named(&self) -> impl Iterator<Item = (&str, usize)> {
        self.weights.iter().map(|(name, weight)| (name.as_str(), dimensions(weight.main.info)))
    }

    /// The matrices to score, and why the other tensors are not scored.
    pub fn verdicts(&self, naming: &Naming, selection: &Selection) -> Vec<Result<WeightMatrix, Skipped>> {
        let parts = self.owners.iter().filter(|(tensor, owner)| self.weights[*owner].main.info.name != **tensor);
        let mut verdicts: Vec<Result<WeightMatrix, Skipped>> =
            parts.map(|(tensor, owner)| Err(Skipped::new(tensor, format!("a part of `{owner}`")))).collect();
        verdicts.extend(self.weights.keys().map(|name| self.verdict(name, naming, selection)));
        verdicts
    }

    /// The matrix of this name to score, or why its main tensor is not scored.
    fn verdict(&self, name: &str, naming: &Naming, selection: &Selection) -> Result<WeightMatrix, Skipped> {
        let main = self.weights[name].main.info;
        let skipped = |reason: String| Skipped::new(&main.name, reason);
        let place = naming.place(name, dimensions(main)).and_then(|place| place.ok_or(OUTSIDE));
        let (place, _) = place.map_err(|reason| skipped(reason.into()))?;
        if let Some(reason) = selection.refusal(name, place.layer) {
            return Err(skipped(reason.into()));
        }
        let loss = match &self.weights[name].kind {
            // The weight of a convolution is no loss.
            _ if main.shape.len() > 2 => Loss::Nothing,
            Kind::Unknown { loss, .. } => *loss,
            _ => Loss::Weight,
        };
        let elements = main.shape.iter().fold(1, |product: u64, &side| product.saturating_mul(side));
        let unread = UnreadWeight { place: place.clone(), elements, scheme: None };
        self.matrix(name, place).unwrap_or_else(|| Err("not stored".into())).map_err(|reason| match loss {
            Loss::Nothing => skipped(reason),
            Loss::Weight => skipped(reason).with_unread(unread),
            Loss::Partner => Skipped { unpaired: true, ..skipped(reason).with_unread(unread) },
        })
    }

    /// The matrix of this name at `place`, or why it cannot be computed. `None` if there is no such weight.
    pub fn matrix(&self, name: &str, place: Place) -> Option<Result<WeightMatrix, String>> {
        let weight = self.weights.get(name)?;
        Some(match &weight.kind {
            Kind::Unknown { reason, .. } => Err(reason.clone()),
            Kind::Sparse { mask, shape, offsets } => {
                let bitmask = sparse(self.checkpoint, weight.main, *mask, *shape, *offsets);
                bitmask.map(|bitmask| WeightMatrix::new(name, place, bitmask))
            }
            kind => reparametrized(weight.main, kind).map(|weights| WeightMatrix::new(name, place, weights)),
        })
    }
}

/// The number of dimensions of a weight. A sparse list has one, its weight two.
fn dimensions(main: &TensorInfo) -> usize {
    main.shape.len().max(2)
}
