//! All tensors of a checkpoint: those to score, and those that are skipped.

use std::collections::HashSet;

use super::base::Base;
use super::classify::{classify, place};
use super::composed::Composed;
use super::elements::weight_format;
use super::matrix::WeightMatrix;
use super::quantized::{Quantized, QuantizedWeight};
use super::scales::Scales;
use super::selection::Selection;
use super::skipped::Skipped;
use super::unread::{Unread, UnreadWeight};
use super::{adapter, stack};
use crate::checkpoint::{Checkpoint, QuantizationConfig, Tensor, TensorInfo};

/// The matrices of a checkpoint, and the tensors that are skipped.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Catalog {
    /// In order of stack, layer and name, with numbers compared as numbers.
    pub matrices: Vec<WeightMatrix>,
    /// In order of name.
    pub skipped: Vec<Skipped>,
    /// The weights of layers that cannot be read, if there are any.
    pub unread: Option<Unread>,
}

impl Catalog {
    /// Classifies the tensors of `checkpoint`.
    pub fn new(checkpoint: &Checkpoint, selection: &Selection) -> Catalog {
        let mut catalog = Catalog::default();
        catalog.extend(match checkpoint.adapter() {
            Some(adapter) => adapter::classify(checkpoint, adapter, selection),
            None => classify_tensors(checkpoint, selection),
        });
        catalog.drop_used();
        catalog.count_unread(checkpoint);
        if let Some(base) = checkpoint.base() {
            catalog.subtract(Base::new(base), checkpoint, selection);
        }
        catalog.sort();
        catalog
    }

    fn extend(&mut self, verdicts: impl IntoIterator<Item = Result<WeightMatrix, Skipped>>) {
        for verdict in verdicts {
            match verdict {
                Ok(matrix) => self.matrices.push(matrix),
                Err(skipped) => self.skipped.push(skipped),
            }
        }
    }

    /// Scale factors, for example, are not skipped if a matrix reads them.
    fn drop_used(&mut self) {
        let tensors = self.matrices.iter().flat_map(WeightMatrix::tensors);
        let used: HashSet<&str> = tensors.map(|stored| stack::whole(&stored.tensor.name)).collect();
        self.skipped.retain(|skipped| !used.contains(skipped.tensor.as_str()));
    }

    fn count_unread(&mut self, checkpoint: &Checkpoint) {
        let weights: Vec<&UnreadWeight> = self.skipped.iter().filter_map(|skipped| skipped.unread.as_ref()).collect();
        let configured = checkpoint.config().quantization().and_then(QuantizationConfig::method);
        self.unread = Unread::of(&weights, &self.matrices, configured);
    }

    /// Replaces every matrix by its difference to the base.
    fn subtract(&mut self, base: Base, checkpoint: &Checkpoint, selection: &Selection) {
        let matrices = std::mem::take(&mut self.matrices);
        self.extend(matrices.iter().map(|matrix| base.pair(matrix)));
        self.skipped.extend(base.left_over(checkpoint, selection));
    }

    fn sort(&mut self) {
        let key = |m: &WeightMatrix| (natural(&m.stack), m.stack.clone(), m.layer, natural(m.name()), m.name.clone());
        self.matrices.sort_by_cached_key(key);
        self.skipped.sort_by_cached_key(|skipped| (natural(&skipped.tensor), skipped.tensor.clone()));
    }
}

fn classify_tensors(checkpoint: &Checkpoint, selection: &Selection) -> Vec<Result<WeightMatrix, Skipped>> {
    let (scales, composed, quantized) =
        (Scales::new(checkpoint), Composed::new(checkpoint), Quantized::new(checkpoint));
    let mut verdicts = composed.verdicts(selection);
    for Tensor { info, shard, listed } in checkpoint.tensors() {
        if !listed {
            verdicts.push(Err(Skipped::new(&info.name, "not listed in the checkpoint's index")));
            continue;
        }
        if composed.holds(&info.name) {
            continue;
        }
        let judged = |part: &TensorInfo| judge(part, &quantized, selection, classify(part, shard, &scales, selection));
        verdicts.extend(stack::parts(info).iter().map(judged));
    }
    verdicts
}

/// The verdict about a tensor, with the weight that is missing from a layer because it cannot be read.
fn judge(
    tensor: &TensorInfo,
    quantized: &Quantized,
    selection: &Selection,
    verdict: Result<WeightMatrix, Skipped>,
) -> Result<WeightMatrix, Skipped> {
    let found = quantized.weight(&tensor.name);
    let name = found.map_or(tensor.name.as_str(), |weight| weight.name.as_str());
    // The place of the weight, if it would be scored.
    let place = || {
        let place = place(name, tensor.shape.len().clamp(2, 3)).ok()??;
        selection.refusal(name, place.layer).is_none().then_some(place)
    };
    match (found, verdict) {
        (Some(QuantizedWeight { scheme, elements, .. }), verdict) => match place() {
            Some(place) => Err(Skipped::new(&tensor.name, format!("quantized weights ({scheme})"))
                .with_unread(UnreadWeight { place, elements: *elements, scheme: Some(scheme) })),
            None => verdict,
        },
        (None, Ok(matrix)) => match quantized.scheme_of_module(&tensor.name) {
            Some(scheme) => Err(Skipped::new(&tensor.name, format!("a part of quantized weights ({scheme})"))),
            None => Ok(matrix),
        },
        (None, Err(skipped)) => {
            Err(match place().filter(|_| weight_format(&tensor.dtype).is_some() && tensor.shape.len() == 2) {
                Some(place) => skipped.with_unread(UnreadWeight { place, elements: tensor.bytes, scheme: None }),
                None => skipped,
            })
        }
    }
}

/// A sort key that puts `layer.10` behind `layer.9`: words, each with the length and digits of the number behind it.
/// Different names may have the same key (`1` and `01`).
fn natural(name: &str) -> Vec<(String, usize, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[text..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - text);
        let number = rest[text..text + digits].trim_start_matches('0');
        key.push((rest[..text].to_owned(), number.len(), number.to_owned()));
        rest = &rest[text + digits..];
    }
    key
}
