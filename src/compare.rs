//! Comparison of two scored models: which layers and matrices correspond, how much their scores differ, and whether
//! they have the same order.
//!
//! Layers are paired by stack and number, matrices by name. If each model has a single stack, the name of the stack
//! does not matter: the same encoder is `encoder` in one file and `bert.encoder` in the other. A [`Rename`] turns names of the first
//! into names of the second.

mod pairing;

use serde::{Serialize, Serializer};

use self::pairing::Same;
use crate::rename::Rename;
use crate::score::{LayerScore, MatrixScore};
use crate::spearman::rank_correlation;

/// A scored model.
#[derive(Debug, Clone, Copy)]
pub struct ComparedModel<'a> {
    /// Its layers.
    pub layers: &'a [LayerScore],
    /// LoRA experts of each layer, in the same order; `None` for a layer that the allocation leaves out.
    pub experts: &'a [Option<u32>],
    /// Its matrices.
    pub matrices: &'a [MatrixScore],
}

/// One of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// A layer of both models. Every difference is B minus A.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerPair {
    /// Module path above the layers, in A.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Mean alpha in A.
    pub alpha_a: Option<f64>,
    /// Mean alpha in B.
    pub alpha_b: Option<f64>,
    /// Their difference.
    pub alpha_difference: Option<f64>,
    /// LoRA experts in A.
    pub experts_a: Option<u32>,
    /// LoRA experts in B.
    pub experts_b: Option<u32>,
    /// Their difference.
    pub experts_difference: Option<i64>,
}

/// A matrix of both models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MatrixPair {
    /// Full name of the tensor in A.
    pub tensor_a: String,
    /// The same in B.
    pub tensor_b: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer.
    pub role: String,
    /// Alpha in A.
    pub alpha_a: Option<f64>,
    /// Alpha in B.
    pub alpha_b: Option<f64>,
    /// Their difference.
    pub alpha_difference: Option<f64>,
}

/// A layer or matrix that only one of the models has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unpaired {
    /// The model that has it.
    #[serde(rename = "in")]
    pub side: Side,
    /// Its name there.
    pub name: String,
}

/// Two models side by side.
#[derive(Debug, Clone, Serialize)]
pub struct Pairs {
    /// Layers of both, in the order of A.
    pub layers: Vec<LayerPair>,
    /// Matrices of both, in the order of A.
    pub matrices: Vec<MatrixPair>,
    /// Layers of one.
    pub unpaired_layers: Vec<Unpaired>,
    /// Matrices of one.
    pub unpaired_matrices: Vec<Unpaired>,
    /// Spearman's rank correlation of the alphas.
    pub rank_correlation: RankCorrelation,
    /// Experts that B has in other layers than A: the sum of the positive differences; `None` unless all layers pair, and
    /// the same ones have experts in both.
    pub moved_experts: Option<u64>,
    /// What turned names of A into names of B: given, or found because nothing paired.
    #[serde(serialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub rename: Option<Rename>,
}

fn written<S: Serializer>(rename: &Option<Rename>, serializer: S) -> Result<S::Ok, S::Error> {
    rename.as_ref().map(Rename::to_string).serialize(serializer)
}

/// Spearman's rank correlation of the alphas of A and B, over the pairs in which both have one; `None` if there are
/// fewer than two pairs or all alphas of a model are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RankCorrelation {
    /// Over layers.
    pub layers: Option<f64>,
    /// Over matrices.
    pub matrices: Option<f64>,
}

/// Pairs the layers and matrices of two models; `rename` turns names of A into names of B. If nothing pairs without one, the usual
/// ones are tried.
pub fn compare(a: ComparedModel, b: ComparedModel, rename: Option<&Rename>) -> Pairs {
    let pairs = pairs(a, b, rename);
    if rename.is_some() || !pairs.layers.is_empty() || !pairs.matrices.is_empty() {
        return pairs;
    }
    let found = pairing::guess(a, b).map(|rename| self::pairs(a, b, Some(&rename)));
    found.filter(|pairs| !pairs.layers.is_empty()).unwrap_or(pairs)
}

fn pairs(a: ComparedModel, b: ComparedModel, rename: Option<&Rename>) -> Pairs {
    let (same_layers, same_matrices) = pairing::same(a, b, rename);
    let layers: Vec<LayerPair> = same_layers.pairs.iter().map(|&at| layer_pair(a, b, at)).collect();
    let matrices = same_matrices.pairs.iter().map(|&(i, j)| matrix_pair(&a.matrices[i], &b.matrices[j]));
    let matrices: Vec<MatrixPair> = matrices.collect();
    let rank_correlation = RankCorrelation {
        layers: of_pairs(layers.iter().map(|pair| (pair.alpha_a, pair.alpha_b))),
        matrices: of_pairs(matrices.iter().map(|pair| (pair.alpha_a, pair.alpha_b))),
    };
    let unpaired_layers = unpaired(&same_layers, a.layers, b.layers, LayerScore::name);
    let unpaired_matrices = unpaired(&same_matrices, a.matrices, b.matrices, |matrix| matrix.tensor.clone());
    let moved_experts = moved_experts(&layers).filter(|_| unpaired_layers.is_empty());
    let rename = rename.cloned();
    Pairs { layers, matrices, unpaired_layers, unpaired_matrices, rank_correlation, moved_experts, rename }
}

/// The items that only one of the models has.
fn unpaired<T>(same: &Same, a: &[T], b: &[T], name: impl Fn(&T) -> String) -> Vec<Unpaired> {
    let only = |side, item| Unpaired { side, name: name(item) };
    let only_a = same.only_a.iter().map(|&index| only(Side::A, &a[index]));
    only_a.chain(same.only_b.iter().map(|&index| only(Side::B, &b[index]))).collect()
}

/// The sum of the positive differences, if the same layers have experts in both.
fn moved_experts(layers: &[LayerPair]) -> Option<u64> {
    let with_experts = layers.iter().filter(|pair| pair.experts_a.or(pair.experts_b).is_some());
    let moved: Option<Vec<i64>> = with_experts.map(|pair| pair.experts_difference).collect();
    moved.filter(|moved| !moved.is_empty()).map(|moved| moved.iter().map(|moved| (*moved).max(0) as u64).sum())
}

fn layer_pair(a: ComparedModel, b: ComparedModel, (i, j): (usize, usize)) -> LayerPair {
    let (one, other) = (&a.layers[i], &b.layers[j]);
    let (experts_a, experts_b) = (a.experts[i], b.experts[j]);
    LayerPair {
        stack: one.stack.clone(),
        layer: one.layer,
        alpha_a: one.alpha,
        alpha_b: other.alpha,
        alpha_difference: difference(one.alpha, other.alpha),
        experts_a,
        experts_b,
        experts_difference: experts_a.zip(experts_b).map(|(a, b)| i64::from(b) - i64::from(a)),
    }
}

fn matrix_pair(a: &MatrixScore, b: &MatrixScore) -> MatrixPair {
    MatrixPair {
        tensor_a: a.tensor.clone(),
        tensor_b: b.tensor.clone(),
        layer: a.layer,
        role: a.role.clone(),
        alpha_a: a.alpha,
        alpha_b: b.alpha,
        alpha_difference: difference(a.alpha, b.alpha),
    }
}

fn difference(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| b - a)
}

/// Spearman's rank correlation over the pairs with both alphas.
fn of_pairs(pairs: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Option<f64> {
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(a, b)| a.zip(b)).unzip();
    rank_correlation(&a, &b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stack: &str, layer: u32, alpha: impl Into<Option<f64>>) -> LayerScore {
        LayerScore { stack: stack.into(), layer, alpha: alpha.into(), matrices: 1 }
    }

    fn model<'a>(layers: &'a [LayerScore], experts: &'a [Option<u32>]) -> ComparedModel<'a> {
        ComparedModel { layers, experts, matrices: &[] }
    }

    #[test]
    fn only_pairs_with_both_alphas_are_correlated() {
        assert_eq!(of_pairs([(Some(1.0), None), (None, Some(1.0))].into_iter()), None);
        let pairs = [(Some(1.0), Some(2.0)), (Some(9.0), None), (Some(2.0), Some(3.0))];
        assert_eq!(of_pairs(pairs.into_iter()), Some(1.0));
    }

    #[test]
    fn layers_pair_by_stack_and_number() {
        let a = [layer("encoder", 0, 2.0), layer("encoder", 1, 3.0), layer("encoder", 2, None)];
        let b = [layer("bert.encoder", 1, 3.5), layer("bert.encoder", 2, 4.0), layer("bert.encoder", 3, 4.0)];
        let pairs = compare(model(&a, &[1, 2, 3].map(Some)), model(&b, &[5, 1, 0].map(Some)), None);
        let layers: Vec<_> = pairs.layers.iter().map(|p| (p.layer, p.alpha_difference, p.experts_difference)).collect();
        assert_eq!(layers, [(1, Some(0.5), Some(3)), (2, None, Some(-2))]);
        let unpaired: Vec<_> = pairs.unpaired_layers.iter().map(|layer| (layer.side, layer.name.as_str())).collect();
        assert_eq!(unpaired, [(Side::A, "layer 0 of encoder"), (Side::B, "layer 3 of bert.encoder")]);
        assert_eq!(pairs.moved_experts, None);

        let two = [layer("encoder", 0, 2.0), layer("decoder", 0, 3.0)];
        let pairs = compare(model(&two, &[None; 2]), model(&b[..1], &[None]), None);
        assert_eq!((pairs.layers.len(), pairs.unpaired_layers.len()), (0, 3));
        assert_eq!(pairs.moved_experts, None);
        let pairs = compare(model(&two, &[4, 6].map(Some)), model(&two, &[7, 3].map(Some)), None);
        assert_eq!((pairs.moved_experts, pairs.rank_correlation.layers), (Some(3), Some(1.0)));
        let moved = |a, b| compare(model(&two, a), model(&two, b), None).moved_experts;
        assert_eq!(moved(&[Some(9), None], &[Some(9), None]), Some(0));
        assert_eq!(moved(&[Some(9), None], &[Some(4), Some(5)]), None);
        assert_eq!(moved(&[None, None], &[None, None]), None);
    }
}
