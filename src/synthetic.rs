//! A Llama-shaped checkpoint whose exponents are known: every matrix of a layer has the eigenvalues of a power law with the
//! layer's planted alpha. For demonstrations, tests and measurements.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use faer::{Mat, Par};
use half::bf16;
use safetensors::tensor::{Dtype, TensorView};

/// Layers per file.
const LAYERS_PER_SHARD: usize = 2;
const VOCABULARY: usize = 512;

/// The size of a synthetic model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// Number of layers, at least 1.
    pub layers: usize,
    /// Width, at least 32: q and o are hidden x hidden, k and v a quarter of that (grouped-query attention), and the MLP is
    /// 11/4 as wide.
    pub hidden: usize,
}

impl Model {
    /// The planted alpha of a layer: from 2.2 in the first layer up to 5 at three quarters of the depth, and down to 3.4.
    pub fn planted_alpha(&self, layer: usize) -> f64 {
        let depth = (layer as f64 + 0.5) / self.layers as f64;
        let points = [(0.0, 2.2), (0.75, 5.0), (1.0, 3.4)];
        let (from, to) = if depth < points[1].0 { (points[0], points[1]) } else { (points[1], points[2]) };
        from.1 + (to.1 - from.1) * (depth - from.0) / (to.0 - from.0)
    }

    /// Roles and shapes of the matrices of a layer.
    fn matrices(&self) -> [(&'static str, usize, usize); 7] {
        let Model { hidden, .. } = *self;
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

    /// Writes the checkpoint, bf16, sharded and with an index, into `folder`. The same model always gives the same bytes.
    ///
    /// `written` is called after each file with its number and their total, and may stop the work by returning false.
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
            safetensors::serialize_to_file(views, Some(metadata), &folder.join(name)).map_err(io::Error::other)?;
            if !written(shard + 1, shards) {
                return Ok(());
            }
        }
        let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
        std::fs::write(folder.join("model.safetensors.index.json"), serde_json::to_vec_pretty(&index)?)
    }

    fn shard(&self, shard: usize, shards: usize) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        if shard == 0 {
            tensors.push(Tensor::constant("model.embed_tokens.weight", &[VOCABULARY, self.hidden]));
        }
        for layer in (shard * LAYERS_PER_SHARD..self.layers).take(LAYERS_PER_SHARD) {
            for (index, (role, rows, cols)) in self.matrices().into_iter().enumerate() {
                let matrix = power_law_matrix(rows, cols, self.planted_alpha(layer), (layer * 7 + index) as u64);
                let name = format!("model.layers.{layer}.{role}.weight");
                tensors.push(Tensor::new(name, &[rows, cols], (0..rows * cols).map(|i| matrix[(i / cols, i % cols)])));
            }
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                tensors.push(Tensor::constant(&format!("model.layers.{layer}.{norm}.weight"), &[self.hidden]));
            }
        }
        if shard + 1 == shards {
            tensors.push(Tensor::constant("model.norm.weight", &[self.hidden]));
            tensors.push(Tensor::constant("lm_head.weight", &[VOCABULARY, self.hidden]));
        }
        tensors
    }
}

/// A bf16 tensor to be written.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new(name: String, shape: &[usize], values: impl Iterator<Item = f64>) -> Tensor {
        let bytes = values.flat_map(|value| bf16::from_f64(value).to_le_bytes()).collect();
        Tensor { name, shape: shape.to_vec(), bytes }
    }

    fn constant(name: &str, shape: &[usize]) -> Tensor {
        Tensor::new(name.to_owned(), shape, std::iter::repeat_n(1.0, shape.iter().product()))
    }

    fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(Dtype::BF16, self.shape.clone(), &self.bytes)
    }
}

/// A random rows x cols matrix whose squared singular values are the quantiles of a power law with exponent `alpha`, scaled
/// so that its elements have the standard deviation 0.02.
pub fn power_law_matrix(rows: usize, cols: usize, alpha: f64, seed: u64) -> Mat<f64> {
    let (long, short) = (rows.max(cols), rows.min(cols));
    let quantile = |k: usize| (1.0 - (k as f64 + 0.5) / short as f64).powf(-1.0 / (alpha - 1.0));
    let eigenvalues: Vec<f64> = (0..short).map(quantile).collect();
    let scale = (rows * cols) as f64 * 0.02 * 0.02 / eigenvalues.iter().sum::<f64>();
    matrix_with_spectrum(long, &eigenvalues.iter().map(|x| x * scale).collect::<Vec<_>>(), seed, rows < cols)
}

/// A random long x short matrix, or its transpose, whose Gram matrix has the given eigenvalues.
fn matrix_with_spectrum(long: usize, eigenvalues: &[f64], seed: u64, transpose: bool) -> Mat<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let short = eigenvalues.len();
    let mut left = orthonormal(long, short, &mut rng);
    let right = orthonormal(short, short, &mut rng);
    for (j, x) in eigenvalues.iter().enumerate() {
        left.col_mut(j).iter_mut().for_each(|element| *element *= x.sqrt());
    }
    let mut product = Mat::zeros(long, short);
    faer::linalg::matmul::matmul(
        product.as_mut(),
        faer::Accum::Replace,
        left.as_ref(),
        right.transpose(),
        1.0,
        Par::Seq,
    );
    if transpose { product.transpose().to_owned() } else { product }
}

/// rows x cols with orthonormal columns, in random directions.
fn orthonormal(rows: usize, cols: usize, rng: &mut fastrand::Rng) -> Mat<f64> {
    Mat::from_fn(rows, cols, |_, _| rng.f64() - 0.5).qr().compute_thin_Q()
}
