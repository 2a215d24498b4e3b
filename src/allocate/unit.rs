//! Units: the layers, matrices or roles (all matrices of one kind) that get a number each, and their alphas.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;
use crate::score::{LayerScore, MatrixScore};

/// What gets its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Group {
    /// Every layer of every stack.
    #[default]
    Layer,
    /// Every matrix.
    Matrix,
    /// Every role (`self_attn.q_proj`, `mlp.up_proj` ...), across the layers of its stack.
    Role,
}

/// How the alphas of a layer's or role's matrices are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Aggregate {
    /// The unweighted mean: AlphaLoRA, AlphaPruning.
    #[default]
    Mean,
    /// The median; one outlier cannot move it.
    Median,
    /// The mean weighted by the number of parameters.
    Weighted,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Layer => "layer",
            Group::Matrix => "matrix",
            Group::Role => "role",
        })
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Aggregate::Mean => "mean",
            Aggregate::Median => "median",
            Aggregate::Weighted => "weighted",
        })
    }
}

impl Aggregate {
    /// Combines alphas, each with a weight; `None` if there are none.
    pub fn of(self, alphas: &[(f64, f64)]) -> Option<f64> {
        if alphas.is_empty() {
            return None;
        }
        Some(match self {
            Aggregate::Mean => alphas.iter().map(|(alpha, _)| alpha).sum::<f64>() / alphas.len() as f64,
            Aggregate::Median => {
                let mut sorted: Vec<f64> = alphas.iter().map(|&(alpha, _)| alpha).collect();
                sorted.sort_by(f64::total_cmp);
                // Halved before adding: the sum of two finite numbers may be infinite.
                sorted[(sorted.len() - 1) / 2] / 2.0 + sorted[sorted.len() / 2] / 2.0
            }
            Aggregate::Weighted => {
                let weight: f64 = alphas.iter().map(|(_, weight)| weight).sum();
                alphas.iter().map(|(alpha, part)| alpha * (part / weight)).sum()
            }
        })
    }
}

/// A layer, matrix or role that gets a number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unit {
    /// Module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack; `None` for a role.
    pub layer: Option<u32>,
    /// Module path within the layer; `None` for a layer.
    pub role: Option<String>,
    /// Full name of the tensor; `None` for a layer or role.
    pub tensor: Option<String>,
    /// The combined alpha; `None` if none of its matrices has one.
    pub alpha: Option<f64>,
    /// Number of matrices with an alpha.
    pub matrices: usize,
    /// Number of weights in all its matrices; `None` if shapes are unknown.
    pub parameters: Option<u64>,
    /// Trainable parameters of a LoRA adapter of rank 1 on all its matrices: the sum of rows + cols.
    pub parameters_per_rank: Option<u64>,
    /// The smallest dimension of its matrices: the largest useful rank.
    pub full_rank: Option<u64>,
}

/// Stack, layer, role and tensor.
pub(super) type Key<'a> = (&'a str, Option<u32>, Option<&'a str>, Option<&'a str>);

impl Unit {
    /// The same unit as one matrix of `rows` x `cols`.
    pub fn with_shape(self, rows: u64, cols: u64) -> Unit {
        Unit {
            matrices: 1,
            parameters: Some(rows.saturating_mul(cols)),
            parameters_per_rank: Some(rows.saturating_add(cols)),
            full_rank: Some(rows.min(cols)),
            ..self
        }
    }

    /// A layer with an alpha and nothing else known.
    pub fn of_layer(layer: u32, alpha: f64) -> Unit {
        Unit { layer: Some(layer), alpha: Some(alpha), ..Unit::default() }
    }

    /// Its name in a sentence: `layer 3 of model`, `self_attn.q_proj of model`, or the name of a tensor.
    pub fn name(&self) -> String {
        if let Some(tensor) = &self.tensor {
            return format!("tensor `{tensor}`");
        }
        let name = match (self.layer, &self.role) {
            (Some(layer), _) => format!("layer {layer}"),
            (None, role) => format!("role {}", role.as_deref().unwrap_or_default()),
        };
        if self.stack.is_empty() { name } else { format!("{name} of {}", self.stack) }
    }

    /// True if `matrix` belongs to it.
    pub fn holds(&self, matrix: &MatrixScore) -> bool {
        self.stack == matrix.stack
            && self.layer.is_none_or(|layer| layer == matrix.layer)
            && self.role.as_ref().is_none_or(|role| *role == matrix.role)
            && self.tensor.as_ref().is_none_or(|tensor| *tensor == matrix.tensor)
    }

    /// True if both are the same part of a model.
    pub fn is_same(&self, other: &Unit) -> bool {
        self.key() == other.key()
    }

    /// The key that identifies a unit.
    pub(super) fn key(&self) -> Key<'_> {
        (&self.stack, self.layer, self.role.as_deref(), self.tensor.as_deref())
    }

    /// The keys of the layer, the role and the tensor of `matrix`.
    pub(super) fn keys_around(matrix: &MatrixScore) -> [Key<'_>; 3] {
        let (stack, layer, role) = (matrix.stack.as_str(), Some(matrix.layer), Some(matrix.role.as_str()));
        [(stack, layer, None, None), (stack, None, role, None), (stack, layer, role, Some(matrix.tensor.as_str()))]
    }

    /// The unit of `member`, without numbers yet.
    fn around(member: &Member, group: Group) -> Unit {
        let stack = member.stack.to_owned();
        let (layer, role) = (Some(member.layer), Some(member.role.to_owned()));
        match group {
            Group::Layer => Unit { stack, layer, ..Unit::default() },
            Group::Role => Unit { stack, role, ..Unit::default() },
            Group::Matrix => Unit { stack, layer, role, tensor: Some(member.tensor.to_owned()), ..Unit::default() },
        }
    }

    fn with(mut self, members: &[Member], aggregate: Aggregate) -> Unit {
        let size = |matrix: &Member| (matrix.rows as u64).saturating_mul(matrix.cols as u64);
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        let alphas = members.iter().filter_map(|matrix| Some((matrix.alpha?, size(matrix) as f64)));
        let alphas: Vec<(f64, f64)> = alphas.collect();
        self.alpha = aggregate.of(&alphas);
        self.matrices = alphas.len();
        self.parameters = Some(sum(&mut members.iter().map(size)));
        self.parameters_per_rank =
            Some(sum(&mut members.iter().map(|matrix| (matrix.rows as u64).saturating_add(matrix.cols as u64))));
        self.full_rank = members.iter().map(|matrix| matrix.rows.min(matrix.cols) as u64).min();
        self
    }
}

/// A matrix as a member of a unit.
#[derive(Debug, Clone, Copy)]
struct Member<'a> {
    stack: &'a str,
    layer: u32,
    role: &'a str,
    tensor: &'a str,
    rows: usize,
    cols: usize,
    alpha: Option<f64>,
}

impl<'a> From<&'a MatrixScore> for Member<'a> {
    fn from(score: &'a MatrixScore) -> Member<'a> {
        let MatrixScore { stack, layer, role, tensor, rows, cols, alpha, .. } = score;
        Member { stack, layer: *layer, role, tensor, rows: *rows, cols: *cols, alpha: *alpha }
    }
}

impl<'a> From<&'a WeightMatrix> for Member<'a> {
    fn from(matrix: &'a WeightMatrix) -> Member<'a> {
        let [rows, cols] = matrix.whole_shape();
        let WeightMatrix { stack, layer, role, .. } = matrix;
        Member { stack, layer: *layer, role, tensor: matrix.name(), rows, cols, alpha: None }
    }
}

/// The units of matrices that are not scored yet: all but their alphas.
pub fn planned_units(matrices: &[WeightMatrix], group: Group) -> Vec<Unit> {
    joined(matrices.iter().map(Member::from), group, Aggregate::default())
}

/// The units of scored matrices, in their order (roles in order of first appearance). If there are only layers, the
/// layers.
///
/// The mean alpha of a layer equals that of its score, bit for bit.
///
/// # Errors
///
/// [`Kind::Input`](crate::error::Kind::Input) if only layers are known and the group or the aggregate needs matrices.
pub fn units(matrices: &[MatrixScore], layers: &[LayerScore], group: Group, aggregate: Aggregate) -> Result<Vec<Unit>> {
    let of_layer = |score: &LayerScore| Unit {
        stack: score.stack.clone(),
        layer: Some(score.layer),
        alpha: score.alpha,
        matrices: score.matrices,
        ..Unit::default()
    };
    if matrices.is_empty() {
        let hint = "use the JSON file that §(score PATH output=scores.json) writes, or §group=layer";
        return match (group, aggregate) {
            (Group::Layer, Aggregate::Mean) => Ok(layers.iter().map(of_layer).collect()),
            (Group::Layer, _) => {
                let cause = format!("has one alpha per layer and no matrices, so there is no {aggregate} alpha");
                Err(Error::unusable(cause).hint(hint))
            }
            _ => Err(Error::unusable(format!("has layers but no matrices, which §group={group} needs")).hint(hint)),
        };
    }
    let mut units = joined(matrices.iter().map(Member::from), group, aggregate);
    if (group, aggregate) == (Group::Layer, Aggregate::Mean) {
        for unit in &mut units {
            let same = |score: &&LayerScore| score.stack == unit.stack && Some(score.layer) == unit.layer;
            if let Some(score) = layers.iter().find(same) {
                unit.alpha = score.alpha;
            }
        }
    }
    Ok(units)
}

/// The units of `members`, in order of first appearance.
fn joined<'a>(members: impl Iterator<Item = Member<'a>>, group: Group, aggregate: Aggregate) -> Vec<Unit> {
    let mut found: Vec<(Unit, Vec<Member>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for member in members {
        let unit = Unit::around(&member, group);
        let key = (unit.stack.clone(), unit.layer, unit.role.clone(), unit.tensor.clone());
        let place = *places.entry(key).or_insert(found.len());
        if place == found.len() {
            found.push((unit, Vec::new()));
        }
        found[place].1.push(member);
    }
    found.into_iter().map(|(unit, members)| unit.with(&members, aggregate)).collect()
}
