//! The reasons why a tensor of no known family is not a projection matrix, by its name.
//!
//! Outside the numbered layers, any word of the path may give the reason. Within a layer, only the names of the module and its
//! parameter count, because parent modules may be named after neighbors (DBRX keeps its attention in `norm_attn_norm`).

/// The reason for tensors that scale other tensors.
pub(super) const SCALE_FACTOR: &str = "scale factor";

/// The reason by name and number of dimensions, or `None` if the tensor may be a projection matrix.
pub(super) fn by_name(name: &str, in_layer: bool, dimensions: usize) -> Option<&'static str> {
    let words: Vec<&str> = name.split('.').collect();
    let last = words[words.len() - 1];
    let module = &words[words.len().saturating_sub(2)..];
    let any = |test: fn(&str) -> bool| words.iter().any(|word| test(word));
    let near = |test: fn(&str) -> bool| if in_layer { module } else { &words[..] }.iter().any(|word| test(word));

    if any(|word| {
        word.starts_with("rotary") || word.contains("inv_freq") || matches!(word, "cos_cached" | "sin_cached")
    }) {
        Some("rotary cache")
    } else if any(|word| ["lora_", "hada_w", "ia3_"].iter().any(|part| word.contains(part))) {
        Some("adapter factor")
    } else if any(is_position_bias) {
        Some("position bias")
    } else if near(|word| word.contains("embed") || matches!(word, "wte" | "wpe" | "shared")) {
        Some("embedding")
    } else if matches!(last, "scales" | "scale" | "absmax" | "quant_map" | "SCB") || last.contains("_scale") {
        Some(SCALE_FACTOR)
    } else if last.contains("quant_state") {
        Some("quantization state")
    } else if last.contains("bias") {
        Some(if dimensions > 2 { "causal mask" } else { "bias" })
    } else if near(|word| {
        word.to_lowercase().contains("norm") || word.starts_with("ln_") || matches!(word, "ln1" | "ln2")
    }) {
        Some("normalization")
    } else if any(|word| word.contains("router") || word.ends_with("expert_gate")) || is_moe_gate(&words) {
        Some("router")
    } else if near(is_head) || (!in_layer && words.contains(&"proj_out")) {
        Some("head")
    } else if last.starts_with("time_") || last == "A_log" || words.contains(&"altup") {
        Some("mixing coefficients")
    } else if dimensions < 2 {
        Some("one-dimensional")
    } else if matches!(words[..], [.., "experts", "mlp", _]) && last != "weight" && dimensions == 2 {
        // DBRX: the rows of all experts follow each other; only the config has the number of experts.
        Some("experts stacked in rows")
    } else {
        None
    }
}

fn is_position_bias(word: &str) -> bool {
    ["relative_attention_bias", "rel_pos", "position_bias", "relative_position"].iter().any(|part| word.contains(part))
}

fn is_head(word: &str) -> bool {
    let projection = matches!(word, "q_head" | "k_head" | "v_head" | "o_head");
    let head = word.ends_with("head") || word.ends_with("predictor");
    head && !projection || matches!(word, "classifier" | "score" | "pooler" | "qa_outputs" | "cls")
}

/// True for `mlp.gate.weight` and similar names, which choose experts. `experts.3.gate.weight` and `attention.gate.weight` do not.
fn is_moe_gate(words: &[&str]) -> bool {
    let [.., before, parent, "gate", _] = words else {
        return matches!(words, [.., "gate", "wg", "weight"]);
    };
    let layer_itself = parent.bytes().all(|byte| byte.is_ascii_digit()) && *before != "experts";
    layer_itself || matches!(*parent, "mlp" | "block_sparse_moe" | "moe" | "feed_forward" | "ffn" | "mixer")
}

#[cfg(test)]
mod tests {
    use super::by_name;

    #[test]
    fn each_name_has_its_reason() {
        for (name, in_layer, dimensions, reason) in [
            ("model.embed_tokens.weight", false, 2, Some("embedding")),
            ("embeddings.word_embeddings.weight", false, 2, Some("embedding")),
            ("wte.weight", false, 2, Some("embedding")),
            ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", true, 2, Some("position bias")),
            ("encoder.layers.2.attention.self.continuous_position_bias_mlp.0.weight", true, 2, Some("position bias")),
            ("vision_encoder.layers.3.attn.rel_pos_h", true, 2, Some("position bias")),
            ("audio_embed.encoders.0.self_attn.linear_q.weight", true, 2, None),
            ("lm_head.weight", false, 2, Some("head")),
            ("proj_out.weight", false, 2, Some("head")),
            ("single_transformer_blocks.3.proj_out.weight", true, 2, None),
            ("funnel.encoder.blocks.0.1.attention.q_head.weight", true, 2, None),
            ("bbox_predictor.layers.0.weight", true, 2, None),
            ("pooler.dense.weight", false, 2, Some("head")),
            ("model.norm.weight", false, 1, Some("normalization")),
            ("encoder.layer.0.attention.output.LayerNorm.weight", true, 1, Some("normalization")),
            ("model.layers.0.self_attn.q_norm.weight", true, 2, Some("normalization")),
            ("transformer.blocks.3.norm_attn_norm.attn.Wqkv.weight", true, 2, None),
            ("transformer.blocks.3.norm_attn_norm.norm_1.weight", true, 1, Some("normalization")),
            ("transformer.blocks.3.ffn.experts.mlp.w1", true, 2, Some("experts stacked in rows")),
            ("model.layers.3.mlp.experts.gate_up_proj", true, 2, None),
            ("model.layers.3.mlp.experts.gate_up_proj", true, 3, None),
            ("model.layers.3.mlp.experts.gate_up_proj_bias", true, 2, Some("bias")),
            ("h.0.ln_1.weight", true, 1, Some("normalization")),
            ("h.0.attn.c_attn.bias", true, 1, Some("bias")),
            ("h.0.attn.bias", true, 4, Some("causal mask")),
            ("model.layers.0.mlp.gate.weight", true, 2, Some("router")),
            ("model.layers.0.mlp.gate.wg.weight", true, 2, Some("router")),
            ("layers.3.ffn.gate.weight", true, 2, Some("router")),
            ("layers.3.gate.weight", true, 2, Some("router")),
            ("backbone.layers.3.mixer.gate.weight", true, 2, Some("router")),
            ("model.layers.0.mlp.shared_expert_gate.weight", true, 2, Some("router")),
            ("model.layers.0.block_sparse_moe.gate.weight", true, 2, Some("router")),
            ("model.layers.3.block_sparse_moe.experts.5.gate.weight", true, 2, None),
            ("rwkv.blocks.3.attention.gate.weight", true, 2, None),
            ("rwkv.blocks.3.attention.time_faaaa", true, 2, Some("mixing coefficients")),
            ("backbone.layers.3.mixer.A_log", true, 2, Some("mixing coefficients")),
            ("model.layers.3.altup.prediction_coefs.weight", true, 2, Some("mixing coefficients")),
            ("model.layers.0.self_attn.rotary_emb.inv_freq", true, 1, Some("rotary cache")),
            ("model.layers.0.self_attn.q_proj.weight_scale_inv", true, 2, Some("scale factor")),
            ("model.layers.0.self_attn.q_proj.scales", true, 2, Some("scale factor")),
            ("layers.3.attn.wo_a.scale", true, 2, Some("scale factor")),
            ("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", true, 2, Some("adapter factor")),
            ("layers.0.gamma", true, 1, Some("one-dimensional")),
            ("layers.0.mixer.in_proj.weight", true, 2, None),
        ] {
            assert_eq!(by_name(name, in_layer, dimensions), reason, "{name}");
        }
    }
}
