//! Weights of layers that cannot be read, and how much of each layer they are.
//!
//! A layer is judged by the matrices that are scored. If most of its weights cannot be read, because they are quantized, for
//! example, what is left says little about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::matrix::WeightMatrix;
use super::place::Place;

/// Share of a layer's weights that cannot be read above which the layer is judged by its leftovers.
const MOST: f64 = 0.5;

/// One weight that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadWeight {
    /// Its place in the model.
    pub place: Place,
    /// Number of its elements.
    pub elements: u64,
    /// How it is quantized, if it is.
    pub scheme: Option<&'static str>,
}

/// The weights of layers that cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unread {
    /// How they are quantized, by `config.json` or by the names of the tensors; null if they are not quantized.
    pub quantization: Option<String>,
    /// True if `config.json` says so.
    pub by_config: bool,
    /// Number of tensors.
    pub weights: usize,
    /// The layers that they belong to, in order.
    pub layers: Vec<UnreadLayer>,
}

/// A layer with weights that cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnreadLayer {
    /// Module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// The share of its weights that cannot be read, of all that would be scored. Packed integers count as 4 bits each.
    pub share: f64,
}

impl UnreadLayer {
    /// True if most of the layer cannot be read.
    pub fn is_most(&self) -> bool {
        self.share > MOST
    }

    /// Its name in a sentence: `layer 3 of model`.
    pub fn name(&self) -> String {
        if self.stack.is_empty() {
            format!("layer {}", self.layer)
        } else {
            format!("layer {} of {}", self.layer, self.stack)
        }
    }
}

impl Unread {
    /// Sums up `weights`, given the matrices that are scored and the method that `config.json` states. `None` if there are none.
    pub(super) fn of(
        weights: &[&UnreadWeight],
        matrices: &[WeightMatrix],
        configured: Option<String>,
    ) -> Option<Unread> {
        if weights.is_empty() {
            return None;
        }
        let mut layers: BTreeMap<(&str, u32), [f64; 2]> = BTreeMap::new();
        for UnreadWeight { place, elements, .. } in weights {
            layers.entry((&place.stack, place.layer)).or_default()[0] += *elements as f64;
        }
        for matrix in matrices {
            if let Some(counts) = layers.get_mut(&(&*matrix.stack, matrix.layer)) {
                let [rows, cols] = matrix.whole_shape();
                counts[1] += rows as f64 * cols as f64;
            }
        }
        let layers = layers.into_iter().map(|((stack, layer), [unread, scored])| UnreadLayer {
            stack: stack.to_owned(),
            layer,
            share: unread / (unread + scored),
        });
        let scheme = weights.iter().find_map(|weight| weight.scheme);
        let by_config = scheme.is_some() && configured.is_some();
        Some(Unread {
            quantization: scheme.map(|scheme| configured.unwrap_or_else(|| scheme.to_owned())),
            by_config,
            weights: weights.len(),
            layers: layers.collect(),
        })
    }

    /// Why they cannot be read, as the end of a sentence.
    pub fn cause(&self) -> String {
        match &self.quantization {
            Some(method) if self.by_config => format!("they are quantized ({method}, by config.json)"),
            Some(method) => format!("they are quantized ({method}, by the names of the tensors)"),
            None => "their elements cannot be computed".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, FloatType, TensorInfo};
    use crate::matrices::elements::Floats;

    #[test]
    fn shares_are_of_what_would_be_scored() {
        let place = |layer| Place { stack: "model".into(), layer, role: "q".into() };
        let matrix = |layer| {
            let dtype = Dtype::Float(FloatType::F32);
            let tensor = TensorInfo { name: "w".into(), dtype, shape: vec![10, 10], offset: 0, bytes: 400 };
            WeightMatrix::new("w", place(layer), Floats::new(tensor, 0).unwrap())
        };
        let unread = |layer, elements| UnreadWeight { place: place(layer), elements, scheme: Some("GPTQ") };
        let weights = [unread(0, 60), unread(0, 240), unread(1, 100), unread(2, 1)];
        let weights: Vec<&UnreadWeight> = weights.iter().collect();
        let found = Unread::of(&weights, &[matrix(0), matrix(1)], None).unwrap();
        let shares: Vec<(f64, bool)> = found.layers.iter().map(|layer| (layer.share, layer.is_most())).collect();
        assert_eq!(shares, [(0.75, true), (0.5, false), (1.0, true)]);
        assert_eq!(found.cause(), "they are quantized (GPTQ, by the names of the tensors)");
        let configured = Unread::of(&weights, &[], Some("gptq, 4 bits".into())).unwrap();
        assert_eq!(configured.cause(), "they are quantized (gptq, 4 bits, by config.json)");
        assert_eq!(Unread::of(&[], &[matrix(0)], Some("gptq".into())), None);
    }
}
