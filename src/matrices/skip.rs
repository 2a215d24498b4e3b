//! The reasons why a tensor of no known family is not a projection matrix, by the words of its name.
//!
//! Outside the numbered layers, any word of the path may give the reason. Within a layer, only the path within the layer counts, and
//! for most words only the names of the module and its parameter: parent modules may be named after neighbors (DBRX keeps its
//! attention in `norm_attn_norm`), and towers after what they produce (`embed_tokens_extend.image_embed.encoder.layers.0`).

/// The reason for tensors that scale other tensors.
pub(super) const SCALE_FACTOR: &str = "scale factor";
pub(super) const NORMALIZATION: &str = "normalization";
pub(super) const ONE_DIMENSIONAL: &str = "one-dimensional";
pub(super) const ROUTER: &str = "router";
/// Only the config has the number of experts.
pub(super) const EXPERTS_IN_ROWS: &str = "experts stacked in rows";
/// For a projection that belongs to no layer.
pub(super) const OUTSIDE: &str = "outside the numbered layers";
const EMBEDDING: &str = "embedding";
const HEAD: &str = "head";

/// Copies of weights that are no weights of the model: the word for them, and the reason.
const STATES: &[(&str, &str)] = &[
    ("exp_avg", "optimizer state"),
    ("exp_avg_sq", "optimizer state"),
    ("max_exp_avg_sq", "optimizer state"),
    ("momentum", "optimizer state"),
    ("momentum_buffer", "optimizer state"),
    ("optimizer", "optimizer state"),
    ("optimizer_state", "optimizer state"),
    ("optimizer_states", "optimizer state"),
    ("optim", "optimizer state"),
    ("master_weights", "optimizer's copy of the weights"),
    ("fp32_from_fp16_params", "optimizer's copy of the weights"),
    ("ema", "moving average of the weights"),
    ("ema_model", "moving average of the weights"),
    ("model_ema", "moving average of the weights"),
    ("ema_weights", "moving average of the weights"),
    ("shadow_params", "moving average of the weights"),
    ("hessian", "Hessian of the calibration"),
];

/// A state of the training.
pub(crate) struct State {
    /// The word of the name that says so.
    pub word: &'static str,
    pub reason: &'static str,
    /// The name of the weights that it belongs to.
    pub weights: String,
}

/// The state that a tensor of this name holds.
pub(crate) fn state(name: &str) -> Option<State> {
    let words: Vec<&str> = name.split('.').collect();
    let known = |word: &str| STATES.iter().find(|(state, _)| *state == word);
    let &(word, reason) = words.iter().find_map(|word| known(word))?;
    let weights = words.into_iter().filter(|word| known(word).is_none()).collect::<Vec<_>>().join(".");
    Some(State { word, reason, weights })
}

/// The reason for a tensor outside of the layers, or whose layers are single linear layers.
pub(super) fn outside(name: &str, dimensions: usize) -> Option<&'static str> {
    let words: Vec<&str> = name.split('.').collect();
    by_words(&words, &words, dimensions).or_else(|| words.contains(&"proj_out").then_some(HEAD))
}

/// The reason for a tensor at the path `rest` of a layer.
pub(super) fn in_layer(rest: &str, dimensions: usize) -> Option<&'static str> {
    let words: Vec<&str> = rest.split('.').collect();
    // The numbers of an MLP's linear layers are not names of modules.
    let is_name = |word: &&&str| !word.bytes().all(|byte| byte.is_ascii_digit()) && **word != "layers";
    let near: Vec<&str> = words.iter().rev().filter(is_name).take(2).copied().collect();
    by_words(&words, &near, dimensions)
}

/// The reason by the last words, as far as lists are concerned, for a tensor that may be in a layer.
pub(super) fn of_structure(name: &str, dimensions: usize) -> Option<&'static str> {
    in_layer(name, dimensions)
}

/// The reason for all tensors in a list of this name.
pub(super) fn by_container(word: &str) -> Option<&'static str> {
    if is_head(word) { Some(HEAD) } else { is_embedding(word).then_some(EMBEDDING) }
}

/// `near`: the last of the `words`, or all of them.
fn by_words(words: &[&str], near: &[&str], dimensions: usize) -> Option<&'static str> {
    let last = words[words.len() - 1];
    let any = |test: fn(&str) -> bool| words.iter().any(|word| test(word));
    let near = |test: fn(&str) -> bool| near.iter().any(|word| test(word));

    if any(is_rotary) || matches!(last, "freqs" | "freqs_cis" | "cos_sin_cache") {
        Some("rotary cache")
    } else if any(|word| ["lora_", "hada_w", "ia3_"].iter().any(|part| word.contains(part))) {
        Some("adapter factor")
    } else if any(is_position_bias) || last == "ape" || last.ends_with("_ape") {
        Some("position bias")
    } else if near(is_detector) {
        Some(HEAD)
    } else if near(is_embedding) {
        Some(EMBEDDING)
    } else if matches!(last, "scales" | "scale" | "absmax" | "quant_map" | "SCB") || last.contains("_scale") {
        Some(SCALE_FACTOR)
    } else if last.contains("quant_state") {
        Some("quantization state")
    } else if last == "weight_integer" {
        Some("integer copy of the weights")
    } else if matches!(last, "tril" | "triu" | "mask" | "causal_mask" | "attn_mask" | "attention_mask") {
        Some("causal mask")
    } else if last.contains("bias") {
        Some(if dimensions > 2 { "causal mask" } else { "bias" })
    } else if near(is_normalization) {
        Some(NORMALIZATION)
    } else if any(|word| word.contains("router") || word.ends_with("expert_gate")) || is_moe_gate(words) {
        Some(ROUTER)
    } else if near(is_head) {
        Some(HEAD)
    } else if last.starts_with("time_") || matches!(last, "A_log" | "D") || words.contains(&"altup") {
        Some("mixing coefficients")
    } else {
        (dimensions < 2).then_some(ONE_DIMENSIONAL)
    }
}

fn is_rotary(word: &str) -> bool {
    word.starts_with("rotary") || word.contains("inv_freq") || matches!(word, "cos_cached" | "sin_cached")
}

fn is_embedding(word: &str) -> bool {
    word.contains("embed") || word == "codebook" || matches!(word, "wte" | "wpe" | "shared")
}

/// Heads of object detectors, some of which are named after embeddings.
fn is_detector(word: &str) -> bool {
    let named_after_embedding = ["bbox_embed", "class_embed", "mask_embed", "mask_embedder"];
    named_after_embedding.iter().any(|end| word.ends_with(end)) || word == "reg_conf"
}

fn is_normalization(word: &str) -> bool {
    word.to_lowercase().contains("norm") || word.starts_with("ln_") || matches!(word, "ln1" | "ln2")
}

fn is_position_bias(word: &str) -> bool {
    ["relative_attention_bias", "rel_pos", "position_bias", "relative_position"].iter().any(|part| word.contains(part))
}

fn is_head(word: &str) -> bool {
    let projection = matches!(word, "q_head" | "k_head" | "v_head" | "o_head");
    let head = ["head", "_heads", "predictor", "classifier"].iter().any(|end| word.ends_with(end));
    head && !projection || is_detector(word) || matches!(word, "score" | "pooler" | "qa_outputs" | "cls")
}

/// True for `mlp.gate.weight` and similar names, which choose experts. `experts.3.gate.weight` and `attention.gate.weight` do not.
fn is_moe_gate(words: &[&str]) -> bool {
    match words {
        ["gate", _] | [.., "gate", "wg", "weight"] => true,
        [.., before, parent, "gate", _] => {
            let layer_itself = parent.bytes().all(|byte| byte.is_ascii_digit()) && *before != "experts";
            layer_itself || is_moe(parent)
        }
        [parent, "gate", _] => is_moe(parent),
        _ => false,
    }
}

fn is_moe(word: &str) -> bool {
    matches!(word, "mlp" | "block_sparse_moe" | "moe" | "feed_forward" | "ffn" | "mixer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_in_a_layer_has_its_reason() {
        for (rest, dimensions, reason) in [
            ("layer.0.SelfAttention.relative_attention_bias.weight", 2, Some("position bias")),
            ("attention.self.continuous_position_bias_mlp.0.weight", 2, Some("position bias")),
            ("attn.rel_pos_h", 2, Some("position bias")),
            ("self_attn.linear_q.weight", 2, None),
            ("proj_out.weight", 2, None),
            ("attention.q_head.weight", 2, None),
            ("attention.output.LayerNorm.weight", 1, Some("normalization")),
            ("self_attn.q_norm.weight", 2, Some("normalization")),
            ("norm_attn_norm.attn.Wqkv.weight", 2, None),
            ("norm_attn_norm.norm_1.weight", 1, Some("normalization")),
            ("mlp.experts.gate_up_proj", 2, None),
            ("mlp.experts.gate_up_proj", 3, None),
            ("mlp.experts.gate_up_proj_bias", 2, Some("bias")),
            ("ln_1.weight", 1, Some("normalization")),
            ("attn.c_attn.bias", 1, Some("bias")),
            ("attn.bias", 4, Some("causal mask")),
            ("mlp.gate.weight", 2, Some("router")),
            ("mlp.gate.wg.weight", 2, Some("router")),
            ("ffn.gate.weight", 2, Some("router")),
            ("gate.weight", 2, Some("router")),
            ("mixer.gate.weight", 2, Some("router")),
            ("mlp.shared_expert_gate.weight", 2, Some("router")),
            ("block_sparse_moe.gate.weight", 2, Some("router")),
            ("block_sparse_moe.experts.5.gate.weight", 2, None),
            ("attention.gate.weight", 2, None),
            ("attention.time_faaaa", 2, Some("mixing coefficients")),
            ("mixer.A_log", 2, Some("mixing coefficients")),
            ("altup.prediction_coefs.weight", 2, Some("mixing coefficients")),
            ("self_attn.rotary_emb.inv_freq", 1, Some("rotary cache")),
            ("self_attn.q_proj.weight_scale_inv", 2, Some("scale factor")),
            ("self_attn.q_proj.scales", 2, Some("scale factor")),
            ("attn.wo_a.scale", 2, Some("scale factor")),
            ("self_attn.q_proj.lora_A.weight", 2, Some("adapter factor")),
            ("gamma", 1, Some("one-dimensional")),
            ("mixer.in_proj.weight", 2, None),
            ("attn.compressor.ape", 2, Some("position bias")),
            ("self_attn.indexer.index_compress_ape", 2, Some("position bias")),
            ("mamba.D", 2, Some("mixing coefficients")),
            ("codebook.weight", 2, Some("embedding")),
            ("att.mask", 2, Some("causal mask")),
            ("att.tril", 2, Some("causal mask")),
            ("self_attn.cos_sin_cache", 2, Some("rotary cache")),
            ("self_attn.freqs", 2, Some("rotary cache")),
            ("intermediate.dense.weight_integer", 2, Some("integer copy of the weights")),
            ("mlp.gate.router_mlp.fc1.weight", 2, Some("router")),
        ] {
            assert_eq!(in_layer(rest, dimensions), reason, "{rest}");
        }
    }

    #[test]
    fn each_name_outside_of_the_layers_has_its_reason() {
        for (name, dimensions, reason) in [
            ("model.embed_tokens.weight", 2, Some("embedding")),
            ("embeddings.word_embeddings.weight", 2, Some("embedding")),
            ("wte.weight", 2, Some("embedding")),
            ("lm_head.weight", 2, Some("head")),
            ("proj_out.weight", 2, Some("head")),
            ("pooler.dense.weight", 2, Some("head")),
            ("model.norm.weight", 1, Some("normalization")),
            ("bbox_predictor.layers.0.weight", 2, Some("head")),
            ("class_labels_classifier.weight", 2, Some("head")),
            ("model.decoder.bbox_embed.0.layers.1.weight", 2, Some("head")),
        ] {
            assert_eq!(outside(name, dimensions), reason, "{name}");
        }
        assert_eq!(by_container("lm_heads"), Some("head"));
        assert_eq!(by_container("input_embeds_layers"), Some("embedding"));
        assert_eq!(by_container("layers"), None);
    }

    #[test]
    fn states_of_the_training_are_no_weights() {
        for (name, weights) in [
            ("ema.model.layers.0.fc.weight", Some("model.layers.0.fc.weight")),
            ("optimizer.exp_avg.model.layers.0.fc.weight", Some("model.layers.0.fc.weight")),
            ("model.layers.0.fc.hessian", Some("model.layers.0.fc")),
            ("model.schema.layers.0.fc.weight", None),
            ("model.layers.0.momentum_encoder.fc.weight", None),
        ] {
            assert_eq!(state(name).map(|state| state.weights).as_deref(), weights, "{name}");
        }
    }
}
