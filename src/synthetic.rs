//! Synthetic checkpoints with known exponents: shaped like Llama, with every matrix of a layer having the eigenvalues
//! of a power law with the layer's planted alpha. For demonstrations, tests and measurements.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use half::bf16;
use safetensors::tensor::{Dtype, TensorView};

/// Layers per file.
const LAYERS_PER_SHARD: usize = 2;
const VOCABULARY: usize = 512;

/// The size of a synthetic model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticModel {
    /// Number of layers, at least 1.
    pub layers: usize,
    /// Width, at least 32: q and o are hidden x hidden, k and v a quarter of that (grouped-query attention), and the MLP is
    /// 11/4 as wide.
    pub hidden: usize,
}

impl SyntheticModel {
    /// The planted alpha of a layer: from 2.2 in the first layer up to 5 at three quarters of the depth, and down to 3.4.
    pub fn planted_alpha(&self, layer: usize) -> f64 {
        let depth = (layer as f64 + 0.5) / self.layers as f64;
        let points = [(0.0, 2.2), (0.75, 5.0), (1.0, 3.4)];
        let (from, to) = if depth < points[1].0 { (points[0], points[1]) } else { (points[1], points[2]) };
        from.1 + (to.1 - from.1) * (depth - from.0) / (to.0 - from.0)
    }

    /// Roles and shapes of the matrices of a layer.
    fn matrices(&self) -> [(&'static str, usize, usize); 7] {
        let SyntheticModel { hidden, .. } = *self;
        let (kv, wide) = (hidden / 4, hidden * 11 / 4);
        [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", wide, hidden),
            ("mlp.up_proj", wide, hidden),
            ("mlp.down_proj", hidden, wide),
        ]
    }

    /// Writes the checkpoint in bf16, sharded and with an index, into `folder`. The same model always gives the same
    /// bytes.
    ///
    /// `written` is called after each file with its number and the total; it stops the work by returning false.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, mut written: impl FnMut(usize, usize) -> bool) -> io::Result<()> {
        let shards = self.layers.div_ceil(LAYERS_PER_SHARD);
        let mut weight_map = serde_json::Map::new();
        for shard in 0..shards {
            let name = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
            let tensors = self.shard(shard, shards);
            weight_map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), name.clone().into())));
            let views = tensors.iter().map(|tensor| Ok((&tensor.name, tensor.view()?)));
            let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().map_err(io::Error::other)?;
            let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            let bytes = safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)?;
            std::fs::write(folder.join(name), bytes)?;
            if !written(shard + 1, shards) {
                return Ok(());
            }
        }
        let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
        std::fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec_pretty(&index)?)
    }

    fn shard(&self, shard: usize, shards: usize) -> Vec<SyntheticTensor> {
        let mut tensors = Vec::new();
        if shard == 0 {
            tensors.push(SyntheticTensor::constant("model.embed_tokens.weight", &[VOCABULARY, self.hidden]));
        }
        for layer in (shard * LAYERS_PER_SHARD..self.layers).take(LAYERS_PER_SHARD) {
            for (index, (role, rows, cols)) in self.matrices().into_iter().enumerate() {
                let matrix = power_law_matrix(rows, cols, self.planted_alpha(layer), (layer * 7 + index) as u64);
                let name = format!("model.layers.{layer}.{role}.weight");
                tensors.push(SyntheticTensor::new(name, &[rows, cols], matrix.into_iter()));
            }
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                tensors.push(SyntheticTensor::constant(&format!("model.layers.{layer}.{norm}.weight"), &[self.hidden]));
            }
        }
        if shard + 1 == shards {
            tensors.push(SyntheticTensor::constant("model.norm.weight", &[self.hidden]));
            tensors.push(SyntheticTensor::constant("lm_head.weight", &[VOCABULARY, self.hidden]));
        }
        tensors
    }
}

/// A bf16 tensor to write.
struct SyntheticTensor {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl SyntheticTensor {
    fn new(name: String, shape: &[usize], values: impl Iterator<Item = f64>) -> SyntheticTensor {
        let bytes = values.flat_map(|value| bf16::from_f64(value).to_le_bytes()).collect();
        SyntheticTensor { name, shape: shape.to_vec(), bytes }
    }

    fn constant(name: &str, shape: &[usize]) -> SyntheticTensor {
        SyntheticTensor::new(name.to_owned(), shape, std::iter::repeat_n(1.0, shape.iter().product()))
    }

    fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(Dtype::BF16, self.shape.clone(), &self.bytes)
    }
}

/// A random matrix whose squared singular values are the quantiles of a power law with exponent `alpha`, scaled so that
/// the elements have a standard deviation of 0.02. Row-major, rows x cols.
fn power_law_matrix(rows: usize, cols: usize, alpha: f64, seed: u64) -> Vec<f64> {
    let short = rows.min(cols);
    let quantile = |k: usize| (1.0 - (k as f64 + 0.5) / short as f64).powf(-1.0 / (alpha - 1.0));
    let eigenvalues: Vec<f64> = (0..short).map(quantile).collect();
    let scale = (rows * cols) as f64 * 0.02 * 0.02 / eigenvalues.iter().sum::<f64>();
    matrix_with_singular_values(rows, cols, &eigenvalues.iter().map(|x| (x * scale).sqrt()).collect::<Vec<_>>(), seed)
}

/// A random matrix with the given singular values, min(rows, cols) of them. Row-major, rows x cols.
pub fn matrix_with_singular_values(rows: usize, cols: usize, singular_values: &[f64], seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (long, short) = (rows.max(cols), rows.min(cols));
    let mut right = vec![0.0; short * short];
    for (i, &value) in singular_values.iter().enumerate() {
        right[i * short + i] = value;
    }
    mix_rows(&mut right, short, &mut rng);
    let mut tall = transposed(&right, short, short);
    tall.resize(long * short, 0.0);
    mix_rows(&mut tall, short, &mut rng);
    if rows >= cols { tall } else { transposed(&tall, long, short) }
}

/// Rotates random pairs of rows, each of `width` elements, by random angles until every row contains a part of every
/// other: an orthogonal transformation in O(rows width log rows).
fn mix_rows(matrix: &mut [f64], width: usize, rng: &mut fastrand::Rng) {
    let mut order: Vec<usize> = (0..matrix.len() / width).collect();
    let rounds = 2 * (order.len().ilog2() + 1);
    for _ in 0..rounds {
        rng.shuffle(&mut order);
        for pair in order.chunks_exact(2) {
            let (sin, cos) = (std::f64::consts::TAU * rng.f64()).sin_cos();
            let (upper, lower) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let (head, tail) = matrix.split_at_mut(lower * width);
            for (x, y) in head[upper * width..][..width].iter_mut().zip(&mut tail[..width]) {
                (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
            }
        }
    }
}

fn transposed(matrix: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    let mut result = Vec::with_capacity(matrix.len());
    for j in 0..cols {
        result.extend((0..rows).map(|i| matrix[i * cols + j]));
    }
    result
}
