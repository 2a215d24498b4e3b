//! Which tensors of a checkpoint are weight matrices of a layer, and why the others are not.
//!
//! Nothing is dropped silently: every tensor ends up either in [`Catalog::matrices`] or, with a reason, in
//! [`Catalog::skipped`].

mod families;
mod find;
mod selection;
mod skip;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use selection::{Layers, Selection};

use crate::checkpoint::{Cast, Checkpoint, Dtype, FloatType, MatrixView, TensorInfo};

/// A projection matrix of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMatrix {
    /// Where its elements lie.
    pub tensor: TensorInfo,
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// The module path above the layers (`model`, `encoder`, `model.decoder` ...), which keeps the layers of several
    /// stacks apart.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer, without expert numbers: `self_attn.q_proj`, `mlp.experts.up_proj` ...
    pub role: String,
    /// Element type.
    pub dtype: FloatType,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
}

impl WeightMatrix {
    /// Full name of the tensor.
    pub fn name(&self) -> &str {
        &self.tensor.name
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

    /// The elements in the mapped file.
    ///
    /// # Errors
    ///
    /// A sentence, if the shard cannot be mapped.
    pub fn view<'a>(&self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<MatrixView<'a>, String> {
        let bytes = checkpoint.bytes_of(self.shard, &self.tensor)?;
        Ok(MatrixView::new(bytes, self.dtype, cast, self.rows, self.cols))
    }
}

/// A tensor that is not scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Full name.
    pub tensor: String,
    /// Why, as a phrase.
    pub reason: String,
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
        let mut catalog = Catalog::default();
        for tensor in checkpoint.tensors() {
            let found = if tensor.listed {
                classify(tensor.info, tensor.shard).and_then(|matrix| selection.admit(matrix))
            } else {
                Err("not listed in the checkpoint's index".into())
            };
            match found {
                Ok(matrix) => catalog.matrices.push(matrix),
                Err(reason) => catalog.skipped.push(Skipped { tensor: tensor.info.name.clone(), reason }),
            }
        }
        let key =
            |m: &WeightMatrix| (natural(&m.stack), m.stack.clone(), m.layer, natural(m.name()), m.tensor.name.clone());
        catalog.matrices.sort_by_cached_key(key);
        catalog.skipped.sort_by_cached_key(|skipped| (natural(&skipped.tensor), skipped.tensor.clone()));
        catalog
    }
}

/// A matrix, or the reason why `tensor` is none.
fn classify(tensor: &TensorInfo, shard: usize) -> Result<WeightMatrix, String> {
    let known = families::place(&tensor.name);
    let place = known.as_ref().cloned().or_else(|| families::generic_place(&tensor.name));
    if known.is_none()
        && let Some(reason) = skip::by_name(&tensor.name, place.is_some(), tensor.shape.len())
    {
        return Err(reason.into());
    }
    let dtype = match &tensor.dtype {
        Dtype::Float(float) => *float,
        Dtype::Integer(name) => return Err(format!("integer tensor ({name})")),
        Dtype::Other(name) => return Err(format!("dtype {name} is not supported")),
    };
    let Some(place) = place else { return Err("outside the numbered layers".into()) };
    let &[rows, cols] = tensor.shape.as_slice() else {
        return Err(format!("{}-dimensional, not a matrix", tensor.shape.len()));
    };
    let (Ok(rows), Ok(cols)) = (usize::try_from(rows), usize::try_from(cols)) else {
        return Err(format!("shape {:?} is beyond this machine's address space", tensor.shape));
    };
    if rows == 0 || cols == 0 {
        return Err(format!("empty (shape {:?})", tensor.shape));
    }
    let families::Place { stack, layer, role } = place;
    Ok(WeightMatrix { tensor: tensor.clone(), shard, stack, layer, role, dtype, rows, cols })
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
