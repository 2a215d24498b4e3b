//! The shapes of published models, to time a whole model without its weights.

use std::fmt;

use super::RandomTensor;
use crate::checkpoint::FloatType;
use crate::matrices::WeightMatrix;

/// A published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum PublishedModel {
    /// 30 layers of 7 matrices, 576 wide.
    #[cfg_attr(feature = "cli", value(name = "smollm2-135m"))]
    SmolLm2_135M,
    /// 32 layers of 7 matrices, 4096 wide.
    #[cfg_attr(feature = "cli", value(name = "llama-2-7b"))]
    Llama2_7B,
    /// 40 layers of 7 matrices, 5120 wide.
    #[cfg_attr(feature = "cli", value(name = "llama-2-13b"))]
    Llama2_13B,
    /// 80 layers of 7 matrices, 8192 wide.
    #[cfg_attr(feature = "cli", value(name = "llama-2-70b"))]
    Llama2_70B,
    /// 32 layers of 7 matrices, 4096 wide.
    #[cfg_attr(feature = "cli", value(name = "llama-3-8b"))]
    Llama3_8B,
    /// 80 layers of 7 matrices, 8192 wide.
    #[cfg_attr(feature = "cli", value(name = "llama-3-70b"))]
    Llama3_70B,
    /// 32 layers of 7 matrices, 4096 wide.
    #[cfg_attr(feature = "cli", value(name = "mistral-7b"))]
    Mistral7B,
    /// 32 layers of 4 matrices and 8 experts of 3, 4096 wide.
    #[cfg_attr(feature = "cli", value(name = "mixtral-8x7b"))]
    Mixtral8x7B,
    /// 48 layers of 4 matrices and 128 experts of 3, 2048 wide.
    #[cfg_attr(feature = "cli", value(name = "qwen3-30b-a3b"))]
    Qwen3_30B,
}

/// Naming of the MLP matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mlp {
    /// `mlp.gate_proj` and so on, one of each.
    Dense,
    /// `block_sparse_moe.experts.0.w1` and so on, for this number of experts.
    Mixtral(usize),
    /// `mlp.experts.0.gate_proj` and so on, for this number of experts.
    Qwen(usize),
}

/// The sizes in a model's `config.json`.
#[derive(Debug, Clone, Copy)]
struct Config {
    /// `num_hidden_layers`.
    layers: usize,
    /// `hidden_size`.
    hidden: usize,
    /// `intermediate_size`, or `moe_intermediate_size` if experts have their own.
    intermediate: usize,
    /// `num_attention_heads` times `head_dim`: the width of queries.
    queries: usize,
    /// `num_key_value_heads` times `head_dim`: the width of keys and of values.
    keys: usize,
    mlp: Mlp,
}

impl PublishedModel {
    /// The sizes from `config.json` in each model's repository on huggingface.co, which a comment names.
    fn config(self) -> Config {
        let dense = |layers, [hidden, intermediate]: [usize; 2], [queries, keys]: [usize; 2]| Config {
            layers,
            hidden,
            intermediate,
            queries,
            keys,
            mlp: Mlp::Dense,
        };
        match self {
            // HuggingFaceTB/SmolLM2-135M
            Self::SmolLm2_135M => dense(30, [576, 1536], [9 * 64, 3 * 64]),
            // meta-llama/Llama-2-7b-hf
            Self::Llama2_7B => dense(32, [4096, 11008], [32 * 128, 32 * 128]),
            // meta-llama/Llama-2-13b-hf
            Self::Llama2_13B => dense(40, [5120, 13824], [40 * 128, 40 * 128]),
            // meta-llama/Llama-2-70b-hf, meta-llama/Meta-Llama-3-70B
            Self::Llama2_70B | Self::Llama3_70B => dense(80, [8192, 28672], [64 * 128, 8 * 128]),
            // meta-llama/Meta-Llama-3-8B, mistralai/Mistral-7B-v0.1
            Self::Llama3_8B | Self::Mistral7B => dense(32, [4096, 14336], [32 * 128, 8 * 128]),
            // mistralai/Mixtral-8x7B-v0.1
            Self::Mixtral8x7B => Config { mlp: Mlp::Mixtral(8), ..dense(32, [4096, 14336], [32 * 128, 8 * 128]) },
            // Qwen/Qwen3-30B-A3B
            Self::Qwen3_30B => Config { mlp: Mlp::Qwen(128), ..dense(48, [2048, 768], [32 * 128, 4 * 128]) },
        }
    }

    /// Number of layers.
    pub fn layers(self) -> usize {
        self.config().layers
    }

    /// The projection matrices of layer 0, in bf16, without what is not scored (norms, routers, embeddings).
    pub fn layer(self) -> Vec<RandomTensor> {
        let Config { hidden, intermediate, queries, keys, mlp, .. } = self.config();
        let mut shapes = vec![
            ("self_attn.q_proj".to_owned(), queries, hidden),
            ("self_attn.k_proj".to_owned(), keys, hidden),
            ("self_attn.v_proj".to_owned(), keys, hidden),
            ("self_attn.o_proj".to_owned(), hidden, queries),
        ];
        let mut add_mlp = |parent: &str, [gate, up, down]: [&str; 3]| {
            shapes.push((format!("{parent}.{gate}"), intermediate, hidden));
            shapes.push((format!("{parent}.{up}"), intermediate, hidden));
            shapes.push((format!("{parent}.{down}"), hidden, intermediate));
        };
        let usual = ["gate_proj", "up_proj", "down_proj"];
        match mlp {
            Mlp::Dense => add_mlp("mlp", usual),
            Mlp::Qwen(experts) => (0..experts).for_each(|expert| add_mlp(&format!("mlp.experts.{expert}"), usual)),
            Mlp::Mixtral(experts) => (0..experts)
                .for_each(|expert| add_mlp(&format!("block_sparse_moe.experts.{expert}"), ["w1", "w3", "w2"])),
        }
        let tensor = |(role, rows, cols): (String, usize, usize)| RandomTensor {
            name: format!("{LAYER_0}{role}.weight"),
            dtype: FloatType::BF16,
            rows,
            cols,
        };
        shapes.into_iter().map(tensor).collect()
    }
}

const LAYER_0: &str = "model.layers.0.";

impl fmt::Display for PublishedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmolLm2_135M => "smollm2-135m",
            Self::Llama2_7B => "llama-2-7b",
            Self::Llama2_13B => "llama-2-13b",
            Self::Llama2_70B => "llama-2-70b",
            Self::Llama3_8B => "llama-3-8b",
            Self::Llama3_70B => "llama-3-70b",
            Self::Mistral7B => "mistral-7b",
            Self::Mixtral8x7B => "mixtral-8x7b",
            Self::Qwen3_30B => "qwen3-30b-a3b",
        })
    }
}

/// Repeats the matrices of [`PublishedModel::layer`] for each of `layers` layers, under its number: separate matrices
/// for the device, the same bytes on disk.
pub fn repeat_layer(matrices: &[WeightMatrix], layers: usize) -> Vec<WeightMatrix> {
    let in_layer = |layer: usize, matrix: &WeightMatrix| {
        let mut matrix = matrix.clone();
        matrix.layer = layer as u32;
        matrix.name = matrix.name().replacen(LAYER_0, &format!("model.layers.{layer}."), 1).into();
        matrix
    };
    (0..layers).flat_map(|layer| matrices.iter().map(move |matrix| in_layer(layer, matrix))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of parameters without embeddings, norms, biases and routers follows from the number in the model
    /// card.
    #[test]
    fn projection_parameters_are_those_of_the_published_models() {
        for (model, tensors, billions) in [
            (PublishedModel::SmolLm2_135M, 7, 0.1062),
            (PublishedModel::Llama2_7B, 7, 6.476),
            (PublishedModel::Llama2_13B, 7, 12.687),
            (PublishedModel::Llama2_70B, 7, 68.451),
            (PublishedModel::Llama3_8B, 7, 6.979),
            (PublishedModel::Llama3_70B, 7, 68.451),
            (PublishedModel::Mistral7B, 7, 6.979),
            (PublishedModel::Mixtral8x7B, 28, 46.439),
            (PublishedModel::Qwen3_30B, 388, 29.897),
        ] {
            let layer = model.layer();
            let parameters: usize = layer.iter().map(|tensor| tensor.rows * tensor.cols).sum();
            let found = (parameters * model.layers()) as f64 / 1e9;
            assert_eq!(layer.len(), tensors, "{model}");
            assert!((found / billions - 1.0).abs() < 1e-3, "{model}: {found}");
        }
    }
}
