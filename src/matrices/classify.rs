//! Decides about each tensor of a checkpoint: the weight matrices that it holds, or why it is not scored.

use super::composed::Composed;
use super::elements::{Floats, Scaled, float_type, weight_format};
use super::matrix::WeightMatrix;
use super::naming::{Context, Named, Naming, Reading};
use super::place::Place;
use super::quantized::{Quantized, QuantizedWeight};
use super::scales::Scales;
use super::selection::Selection;
use super::skip::OUTSIDE;
use super::skipped::Skipped;
use super::stack;
use super::unread::UnreadWeight;
use crate::checkpoint::{Checkpoint, Tensor, TensorInfo};

type Verdict = Result<WeightMatrix, Skipped>;

/// The tensors of a checkpoint, and what is known about them.
pub(super) struct Classifier<'a> {
    checkpoint: &'a Checkpoint,
    pub composed: Composed<'a>,
    pub quantized: Quantized<'a>,
    naming: Naming,
    scales: Scales<'a>,
    selection: &'a Selection,
}

impl<'a> Classifier<'a> {
    /// Places all listed tensors of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint, selection: &'a Selection) -> Classifier<'a> {
        let (composed, quantized) = (Composed::new(checkpoint), Quantized::new(checkpoint));
        let naming = naming(checkpoint, &composed, &quantized, selection);
        Classifier { checkpoint, composed, quantized, naming, scales: Scales::new(checkpoint), selection }
    }

    /// The matrices to score, and why other tensors are not scored.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = self.composed.verdicts(&self.naming, self.selection);
        for Tensor { info, shard, listed } in self.checkpoint.tensors() {
            if !listed {
                verdicts.push(Err(Skipped::new(&info.name, "not listed in the checkpoint's index")));
            } else if !self.composed.holds(&info.name) {
                verdicts.extend(self.classify(info, shard));
            }
        }
        verdicts
    }

    /// The listed tensors that are weights by themselves, with the numbers of their shards; stacks of experts in slices.
    pub fn parts(&self, checkpoint: &'a Checkpoint) -> impl Iterator<Item = (TensorInfo, usize)> {
        let listed = checkpoint.tensors().filter(|tensor| tensor.listed && !self.composed.holds(&tensor.info.name));
        listed.flat_map(|Tensor { info, shard, .. }| {
            let reading = self.place(info).map_or(Reading::Whole, |(_, reading)| reading);
            stack::parts(info, reading).into_iter().map(move |part| (part, shard))
        })
    }

    /// What to know about the places of the matrices, as sentences.
    pub fn notes(&self) -> Vec<String> {
        let config = self.checkpoint.config();
        let problem = config.path().zip(config.problem());
        let problem = problem.map(|(path, problem)| format!("{} is not used: it {problem}", path.display()));
        let sentence = "no numbered layers: each matrix counts as one, in the order of the names";
        let unnumbered = (self.naming.unnumbered() > 0).then(|| sentence.to_owned());
        problem.into_iter().chain(unnumbered).collect()
    }

    /// `tensor` as a matrix that is in no layer, whatever it is.
    pub fn any(&self, tensor: &TensorInfo, shard: usize) -> Verdict {
        any(tensor, shard, &self.scales)
    }

    fn classify(&self, tensor: &TensorInfo, shard: usize) -> Vec<Verdict> {
        match self.place(tensor) {
            Err(skipped) => vec![self.judge(tensor, Err(skipped))],
            Ok((place, reading)) => {
                let parts = stack::parts(tensor, reading);
                parts.iter().map(|part| self.judge(part, self.matrix(part, shard, place.clone()))).collect()
            }
        }
    }

    fn place(&self, tensor: &TensorInfo) -> Result<(Place, Reading), Skipped> {
        let skipped = |reason: String| Skipped::new(&tensor.name, reason);
        let place = self.naming.place(&tensor.name, tensor.shape.len()).map_err(|reason| skipped(reason.into()))?;
        if weight_format(&tensor.dtype).is_none() {
            float_type(&tensor.dtype).map_err(skipped)?;
        }
        place.ok_or_else(|| skipped(OUTSIDE.into()))
    }

    fn matrix(&self, part: &TensorInfo, shard: usize, place: Place) -> Verdict {
        let matrix = matrix(part, shard, place, &self.scales)?;
        self.selection.admit(matrix).map_err(|reason| Skipped::new(&part.name, reason))
    }

    /// The verdict about a tensor, with the weight that is missing from a layer because it cannot be read.
    fn judge(&self, tensor: &TensorInfo, verdict: Verdict) -> Verdict {
        let found = self.quantized.weight(&tensor.name);
        let name = found.map_or(tensor.name.as_str(), |weight| weight.name.as_str());
        // The place of the weight, if it would be scored.
        let place = || {
            let (place, _) = self.naming.place(stack::whole(name), weight_dimensions(tensor)).ok()??;
            self.selection.refusal(name, place.layer).is_none().then_some(place)
        };
        match (found, verdict) {
            (Some(QuantizedWeight { scheme, elements, .. }), verdict) => match place() {
                Some(place) => Err(Skipped::new(&tensor.name, format!("quantized weights ({scheme})"))
                    .with_unread(UnreadWeight { place, elements: *elements, scheme: Some(scheme) })),
                None => verdict,
            },
            (None, Ok(matrix)) => match self.quantized.scheme_of_module(&tensor.name) {
                Some(scheme) => Err(Skipped::new(&tensor.name, format!("a part of quantized weights ({scheme})"))),
                None => Ok(matrix),
            },
            (None, Err(skipped)) => {
                let is_eight_bits = weight_format(&tensor.dtype).is_some() && tensor.shape.len() == 2;
                Err(match is_eight_bits.then(place).flatten() {
                    Some(place) => skipped.with_unread(UnreadWeight { place, elements: tensor.bytes, scheme: None }),
                    None => skipped,
                })
            }
        }
    }
}

/// The places of the weights of `checkpoint`. What takes part in them is the names of weights, whatever tensors store them.
fn naming(checkpoint: &Checkpoint, composed: &Composed, quantized: &Quantized, selection: &Selection) -> Naming {
    // The sides do not matter.
    const SIDES: [u64; 8] = [2; 8];
    let sides = |dimensions: usize| &SIDES[..dimensions.min(SIDES.len())];
    let listed = checkpoint.tensors().filter(|tensor| tensor.listed && !composed.holds(&tensor.info.name));
    let stored = listed.map(|Tensor { info, .. }| match quantized.weight(&info.name) {
        Some(weight) => Named { name: &weight.name, shape: sides(weight_dimensions(info)), readable: true },
        None => Named { name: &info.name, shape: &info.shape, readable: stack::is_readable(&info.dtype) },
    });
    let computed = composed.named().map(|(name, dimensions)| Named { name, shape: sides(dimensions), readable: true });
    let named: Vec<Named> = stored.chain(computed).collect();
    Naming::new(&named, Context { config: checkpoint.config(), selection, partial: false })
}

/// The number of dimensions of the weights in a tensor of quantized ones.
fn weight_dimensions(tensor: &TensorInfo) -> usize {
    if stack::index(&tensor.name).is_some() { 3 } else { tensor.shape.len().clamp(2, 3) }
}

/// `tensor` as a matrix that is in no layer, whatever it is.
pub(super) fn any(tensor: &TensorInfo, shard: usize, scales: &Scales) -> Verdict {
    matrix(tensor, shard, Place::default(), scales)
}

/// `tensor` as the matrix at `place`, or why it is not a matrix of numbers.
fn matrix(tensor: &TensorInfo, shard: usize, place: Place, scales: &Scales) -> Verdict {
    let skipped = |reason| Skipped::new(&tensor.name, reason);
    let Some(format) = weight_format(&tensor.dtype) else {
        let floats = Floats::new(tensor.clone(), shard).map_err(skipped)?;
        return Ok(WeightMatrix::new(&tensor.name, place, floats));
    };
    let scaled = Scaled::new(tensor.clone(), shard, format, scales.of(tensor)?).map_err(skipped)?;
    Ok(WeightMatrix::new(&tensor.name, place, scaled))
}
