//! Reasons for which a tensor that no family knows is not a projection matrix.

/// A reason by name and number of dimensions, or `None` if nothing speaks against the tensor.
pub(super) fn by_name(name: &str, dimensions: usize) -> Option<&'static str> {
    let words: Vec<&str> = name.split('.').collect();
    let last = *words.last().unwrap_or(&name);
    let any = |test: &dyn Fn(&str) -> bool| words.iter().any(|word| test(word));

    if any(&|word| {
        word.starts_with("rotary") || word.contains("inv_freq") || matches!(word, "cos_cached" | "sin_cached")
    }) {
        return Some("rotary cache");
    }
    if any(&|word| word.contains("lora_") || word == "lora_magnitude_vector") {
        return Some("LoRA adapter factor");
    }
    if any(&|word| word.contains("embed") || matches!(word, "wte" | "wpe" | "shared" | "relative_attention_bias")) {
        return Some("embedding");
    }
    if matches!(last, "scales" | "absmax" | "quant_map" | "SCB")
        || last.contains("_scale")
        || last.contains("quant_state")
    {
        return Some("quantization constant");
    }
    if last.contains("bias") {
        return Some(if dimensions > 2 { "causal mask" } else { "bias" });
    }
    if any(&|word| word.contains("norm") || word.starts_with("ln_") || matches!(word, "ln1" | "ln2" | "LayerNorm")) {
        return Some("normalization");
    }
    if any(&|word| word.contains("router") || word.ends_with("expert_gate"))
        || matches!(words.as_slice(), [.., "mlp" | "block_sparse_moe" | "moe" | "feed_forward", "gate", "weight"])
    {
        return Some("router");
    }
    let head = |word: &str| {
        word.ends_with("head") || matches!(word, "classifier" | "score" | "pooler" | "qa_outputs" | "cls" | "proj_out")
    };
    if any(&head) {
        return Some("head");
    }
    if dimensions < 2 {
        return Some("one-dimensional");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::by_name;

    #[test]
    fn reasons_are_the_right_ones() {
        for (name, dimensions, reason) in [
            ("model.embed_tokens.weight", 2, Some("embedding")),
            ("embeddings.word_embeddings.weight", 2, Some("embedding")),
            ("wte.weight", 2, Some("embedding")),
            ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2, Some("embedding")),
            ("lm_head.weight", 2, Some("head")),
            ("pooler.dense.weight", 2, Some("head")),
            ("model.norm.weight", 1, Some("normalization")),
            ("encoder.layer.0.attention.output.LayerNorm.weight", 1, Some("normalization")),
            ("h.0.ln_1.weight", 1, Some("normalization")),
            ("h.0.attn.c_attn.bias", 1, Some("bias")),
            ("h.0.attn.bias", 4, Some("causal mask")),
            ("model.layers.0.mlp.gate.weight", 2, Some("router")),
            ("model.layers.0.mlp.shared_expert_gate.weight", 2, Some("router")),
            ("model.layers.0.block_sparse_moe.gate.weight", 2, Some("router")),
            ("model.layers.0.self_attn.rotary_emb.inv_freq", 1, Some("rotary cache")),
            ("model.layers.0.self_attn.q_proj.weight_scale_inv", 2, Some("quantization constant")),
            ("model.layers.0.self_attn.q_proj.scales", 2, Some("quantization constant")),
            ("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", 2, Some("LoRA adapter factor")),
            ("layers.0.gamma", 1, Some("one-dimensional")),
            ("layers.0.mixer.in_proj.weight", 2, None),
        ] {
            assert_eq!(by_name(name, dimensions), reason, "{name}");
        }
    }
}
