//! Which tensors of a checkpoint are weight matrices of a layer, and why the others are not.
//!
//! Nothing is dropped silently: every tensor ends up either in [`Catalog::matrices`] or, with a reason, in
//! [`Catalog::skipped`]. Scale factors and the factors of an adapter are a part of the matrices that they make.

mod adapter;
mod difference;
mod elements;
mod families;
mod find;
mod low_rank;
mod scaled;
mod selection;
mod shuffle;
mod skip;
mod stack;
mod windows;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use difference::Base;
pub use elements::{Elements, Loaded, Stored, Unavailable, Update};
use families::Place;
pub use low_rank::LowRank;
use scaled::Scales;
pub use scaled::{Factors, Scaled};
pub use selection::{Layers, Selection};
pub(crate) use stack::whole;
pub use windows::{Farms, Window};

use crate::checkpoint::{Checkpoint, Dtype, Float8, FloatType, Tensor, TensorInfo};

/// Why a tensor is not scored that is in no layer.
const OUTSIDE: &str = "outside the numbered layers";

/// A projection matrix of a layer, or the update of one.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightMatrix {
    /// Full name of the tensor, or of the one that is updated.
    pub name: String,
    /// Where its elements come from.
    pub elements: Elements,
    /// The module path above the layers (`model`, `encoder`, `model.decoder` ...), which keeps the layers of several
    /// stacks apart.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer, without expert numbers: `self_attn.q_proj`, `mlp.experts.up_proj` ...
    pub role: String,
    /// Type of the elements that a device reads.
    pub dtype: FloatType,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
}

impl WeightMatrix {
    /// Full name of the tensor, or of the one that is updated.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of eigenvalues, M = min(rows, cols).
    pub fn eigenvalues(&self) -> usize {
        self.rows.min(self.cols)
    }

    /// True if both belong to the same layer of the same stack.
    pub fn same_layer(&self, other: &WeightMatrix) -> bool {
        self.stack == other.stack && self.layer == other.layer
    }

    /// The larger dimension.
    pub fn long(&self) -> usize {
        self.rows.max(self.cols)
    }

    /// Floating-point operations of one spectrum: Gram matrix, lower half (Q M^3), and tridiagonalisation (4/3 M^3).
    ///
    /// This is the cost by which matrices are ordered and progress is weighted.
    pub fn flops(&self) -> f64 {
        let (long, short) = (self.long() as f64, self.eigenvalues() as f64);
        long * short * short + 4.0 / 3.0 * short * short * short
    }
}

/// A tensor that is not scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Full name.
    pub tensor: String,
    /// Why, as a phrase.
    pub reason: String,
    /// True if it would be scored, had it a partner: in the other checkpoint, the other factor of an update, or scale factors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpaired: bool,
}

impl Skipped {
    fn new(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { tensor: tensor.to_owned(), reason: reason.into(), unpaired: false }
    }

    fn unpaired(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { unpaired: true, ..Skipped::new(tensor, reason) }
    }
}

/// Counts skipped tensors by reason, the most frequent first: `49 bias, 12 normalization`.
pub fn summarize(skipped: &[Skipped]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for Skipped { reason, .. } in skipped {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| Reverse(count));
    counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

/// All tensors of a checkpoint, sorted out.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// In order of stack, layer and name, numbers compared as numbers.
    pub matrices: Vec<WeightMatrix>,
    /// In order of name.
    pub skipped: Vec<Skipped>,
}

impl Catalog {
    /// Sorts out the tensors of `checkpoint`.
    pub fn new(checkpoint: &Checkpoint, selection: &Selection) -> Catalog {
        let mut catalog = match checkpoint.adapter() {
            Some(adapter) => adapter::catalog(checkpoint, adapter, selection),
            None => Catalog::of_tensors(checkpoint, selection),
        };
        if let Some(base) = checkpoint.base() {
            catalog.subtract(Base::new(base), checkpoint, selection);
        }
        catalog.sort();
        catalog
    }

    fn of_tensors(checkpoint: &Checkpoint, selection: &Selection) -> Catalog {
        let mut catalog = Catalog::default();
        let scales = Scales::new(checkpoint);
        for Tensor { info, shard, listed } in checkpoint.tensors() {
            if !listed {
                catalog.skipped.push(Skipped::new(&info.name, "not listed in the checkpoint's index"));
                continue;
            }
            for part in stack::parts(info) {
                match classify(&part, shard, &scales, selection) {
                    Ok(matrix) => catalog.matrices.push(matrix),
                    Err(skipped) => catalog.skipped.push(skipped),
                }
            }
        }
        let used: HashSet<&str> = catalog.matrices.iter().filter_map(WeightMatrix::scale_factors).collect();
        catalog.skipped.retain(|skipped| !used.contains(skipped.tensor.as_str()));
        catalog
    }

    /// Replaces every matrix by its difference to the base.
    fn subtract(&mut self, base: Base, checkpoint: &Checkpoint, selection: &Selection) {
        for matrix in std::mem::take(&mut self.matrices) {
            let name = matrix.name.clone();
            match base.pair(matrix) {
                Ok(difference) => self.matrices.push(difference),
                Err(reason) => self.skipped.push(Skipped::unpaired(&name, reason)),
            }
        }
        self.skipped.extend(base.left_over(checkpoint, selection));
    }

    fn sort(&mut self) {
        let key = |m: &WeightMatrix| (natural(&m.stack), m.stack.clone(), m.layer, natural(m.name()), m.name.clone());
        self.matrices.sort_by_cached_key(key);
        self.skipped.sort_by_cached_key(|skipped| (natural(&skipped.tensor), skipped.tensor.clone()));
    }
}

/// A matrix that is to be scored, or why `tensor` is none.
fn classify(
    tensor: &TensorInfo,
    shard: usize,
    scales: &Scales,
    selection: &Selection,
) -> Result<WeightMatrix, Skipped> {
    let skipped = |reason: &str| Skipped::new(&tensor.name, reason);
    let place = place(&tensor.name, tensor.shape.len()).map_err(skipped)?;
    if float8(tensor).is_none() {
        float_type(tensor).map_err(|reason| skipped(&reason))?;
    }
    let Place { stack, layer, role } = place.ok_or(OUTSIDE).map_err(skipped)?;
    let elements = stored_or_scaled(tensor, shard, scales)?;
    let ([rows, cols], dtype) = (elements.shape(), elements.dtype);
    let (name, elements) = (tensor.name.clone(), Elements::Stored(elements));
    let matrix = WeightMatrix { name, elements, stack, layer, role, dtype, rows, cols };
    selection.admit(matrix).map_err(|reason| skipped(&reason))
}

/// Where a tensor of this name belongs, if it is in a layer, or the reason why it is no projection matrix.
fn place(name: &str, dimensions: usize) -> Result<Option<Place>, &'static str> {
    let name = whole(name);
    let known = families::place(name).or_else(|| families::stacked_place(name));
    if known.is_some() {
        return Ok(known);
    }
    let place = families::generic_place(name);
    match skip::by_name(name, place.is_some(), dimensions) {
        Some(reason) => Err(reason),
        None => Ok(place),
    }
}

/// The type of a tensor's elements, or why nothing is computed with them.
fn float_type(tensor: &TensorInfo) -> Result<FloatType, String> {
    match &tensor.dtype {
        Dtype::Float(float) => Ok(*float),
        Dtype::Integer(name) => Err(format!("integer tensor ({name})")),
        other @ (Dtype::Float8(_) | Dtype::Other(_)) => Err(format!("dtype {other} is not supported")),
    }
}

/// The type of weights of 8 bits.
fn float8(tensor: &TensorInfo) -> Option<Float8> {
    match tensor.dtype {
        Dtype::Float8(format @ (Float8::E4M3 | Float8::E5M2)) => Some(format),
        _ => None,
    }
}

/// `tensor` as a matrix with numbers in it, or the reason why it is none.
fn stored(tensor: &TensorInfo, shard: usize) -> Result<Stored, String> {
    let dtype = float_type(tensor)?;
    check_shape(tensor)?;
    Ok(Stored { tensor: tensor.clone(), shard, dtype, scaled: None })
}

/// The same for weights that may be of 8 bits.
fn stored_or_scaled(tensor: &TensorInfo, shard: usize, scales: &Scales) -> Result<Stored, Skipped> {
    let skipped = |reason| Skipped::new(&tensor.name, reason);
    let Some(format) = float8(tensor) else { return stored(tensor, shard).map_err(skipped) };
    check_shape(tensor).map_err(skipped)?;
    let scaled = Scaled { format, factors: scales.of(tensor)? };
    Ok(Stored { tensor: tensor.clone(), shard, dtype: FloatType::F32, scaled: Some(scaled) })
}

fn check_shape(tensor: &TensorInfo) -> Result<(), String> {
    let &[rows, cols] = tensor.shape.as_slice() else {
        return Err(format!("{}-dimensional, not a matrix", tensor.shape.len()));
    };
    if usize::try_from(rows).is_err() || usize::try_from(cols).is_err() {
        return Err(format!("shape {:?} is beyond this machine's address space", tensor.shape));
    }
    if rows == 0 || cols == 0 {
        return Err(format!("empty (shape {:?})", tensor.shape));
    }
    Ok(())
}

/// A sort key under which `layer.10` follows `layer.9`: words, each with the length and digits of the number behind it.
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
