//! The names that model families give to the matrices of a layer.
//!
//! A name has the form `[stack.]container.NUMBER.role.weight`. Each family is one line: the container, with `#` for the number of
//! the layer, and its roles. [`generic_place`] places names of unknown families.

use std::sync::LazyLock;

use regex::Regex;

use super::place::Place;

/// Container and roles of each family, as regular expressions.
const FAMILIES: &[(&str, &str)] = &[
    // Llama, Mistral, Qwen, Gemma, Phi, StableLM, DeepSeek; OPT, BART, Whisper, CLIP
    (r"layers\.#", r"(?:self_attn|encoder_attn|cross_attn)\.(?:[qkvo]|qkv|out|q_[ab]|kv_b)_proj"),
    (r"layers\.#", r"self_attn\.(?:kv_a_proj_with_mqa|dense)"),
    (r"layers\.#", r"(?:mlp|feed_forward)\.(?:gate|up|down|gate_up)_proj|(?:mlp\.)?fc[12]"),
    // Mixtral
    (r"layers\.#", r"block_sparse_moe\.experts\.\d+\.w[123]"),
    // Qwen-MoE, DeepSeek-MoE, OLMoE
    (r"layers\.#", r"mlp\.(?:experts\.\d+|shared_experts?)\.(?:gate|up|down)_proj"),
    // GPT-NeoX, Pythia
    (r"layers\.#", r"attention\.(?:query_key_value|dense)|mlp\.dense_(?:h_to_4h|4h_to_h)"),
    // BERT, RoBERTa, MiniLM, ELECTRA, ViT, DeiT, BEiT
    (r"layer\.#", r"(?:attention|crossattention)\.(?:self|attention)\.(?:query|key|value)"),
    (r"layer\.#", r"(?:attention\.|crossattention\.)?output\.dense|intermediate\.dense"),
    // DistilBERT
    (r"layer\.#", r"attention\.(?:[qkv]|out)_lin|ffn\.lin[12]"),
    // GPT-2, GPT-Neo, GPT-J
    (r"h\.#", r"(?:attn|crossattention)\.(?:c_attn|q_attn|c_proj)|mlp\.(?:c_fc|c_proj|fc_in|fc_out)"),
    (r"h\.#", r"attn\.(?:attention\.)?(?:[qkv]|out)_proj"),
    // Falcon, BLOOM
    (r"h\.#", r"(?:self_attention|attn)\.(?:query_key_value|dense)|mlp\.dense_(?:h_to_4h|4h_to_h)"),
    // XLNet
    (r"layer\.#", r"ff\.layer_[12]"),
    // T5, LongT5, Switch: blocks are numbered, and so are the sub-layers within a block
    (
        r"block\.#\.layer\.\d+",
        r"(?:\w*SelfAttention|EncDecAttention)\.[qkvo]|(?:DenseReluDense|mlp)\.(?:wi|wi_[01]|wo)",
    ),
    (r"block\.#\.layer\.\d+", r"mlp\.experts\.expert_\d+\.(?:wi|wi_[01]|wo)"),
    // DBRX
    (r"blocks\.#", r"norm_attn_norm\.attn\.(?:Wqkv|out_proj)"),
    // ViT, Swin and others as timm names them
    (r"blocks\.#", r"attn\.(?:qkv|proj)|mlp\.fc[12]"),
];

/// The same for three-dimensional tensors that stack one matrix for each expert, with or without `.weight`.
const STACKED: &[(&str, &str)] = &[
    // Llama 4, Qwen3-VL-MoE, gpt-oss in bf16
    (r"layers\.#", r"(?:mlp|feed_forward)\.experts\.(?:gate|up|down|gate_up)_proj"),
    // Granite-MoE, JetMoE
    (r"layers\.#", r"(?:block_sparse_moe|mlp)\.(?:input|output)_linear"),
];

/// The place of a tensor of a known family, with or without PEFT's wrapper.
pub(super) fn place(name: &str) -> Option<Place> {
    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| patterns(FAMILIES, r"\.weight"));
    first_place(&PATTERNS, name)
}

/// The same for a three-dimensional tensor that stacks one matrix for each expert.
pub(super) fn stacked_place(name: &str) -> Option<Place> {
    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| patterns(STACKED, r"(?:\.weight)?"));
    first_place(&PATTERNS, name)
}

fn patterns(families: &[(&str, &str)], end: &str) -> Vec<Regex> {
    let pattern = |(container, roles): &(&str, &str)| {
        let container = container.replace('#', r"(?<layer>\d+)");
        format!(r"^(?:(?<stack>.+)\.)?{container}\.(?<role>{roles}){end}$")
    };
    // The patterns are constants, and tests compile all of them.
    families.iter().map(|family| Regex::new(&pattern(family)).expect("constant pattern")).collect()
}

fn first_place(patterns: &[Regex], name: &str) -> Option<Place> {
    let name = name.replace(".base_layer.", ".");
    let captures = patterns.iter().find_map(|pattern| pattern.captures(&name))?;
    Some(Place {
        stack: captures.name("stack").map_or(String::new(), |stack| stack.as_str().to_owned()),
        layer: captures["layer"].parse().ok()?,
        role: without_numbers(&captures["role"]),
    })
}

/// The place of a tensor by the general form of its name: the last number after a word such as `layers` is the layer, and the last
/// element of the path is the role. Of two consecutive numbers, as in `blocks.2.4`, the first is a stage and belongs to the stack.
pub(super) fn generic_place(name: &str) -> Option<Place> {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
        let container = "(?:layers?|h|(?:res)?blocks?|blk)";
        let pattern = format!(
            r"^(?:(?<stack>.*)[._])?(?<container>{container})[._](?:(?<stage>\d+)\.)?(?<layer>\d+)\.(?<path>.+)$"
        );
        Regex::new(&pattern).expect("constant pattern")
    });
    let captures = PATTERN.captures(name)?;
    let path = captures["path"].strip_suffix(".weight").unwrap_or(&captures["path"]);
    let mut stack: Vec<&str> = captures.name("stack").into_iter().map(|stack| stack.as_str()).collect();
    if let Some(stage) = captures.name("stage") {
        stack.extend([&captures["container"], stage.as_str()]);
    }
    Some(Place {
        stack: stack.join("."),
        layer: captures["layer"].parse().ok()?,
        role: path.rsplit('.').next().unwrap_or(path).to_owned(),
    })
}

/// `experts.3.up_proj` -> `experts.up_proj`: the same role in every expert.
fn without_numbers(role: &str) -> String {
    let is_number = |word: &str| word.trim_start_matches("expert_").bytes().all(|byte| byte.is_ascii_digit());
    role.split('.').filter(|word| !is_number(word)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> (String, u32, String) {
        let Place { stack, layer, role } = place(name).unwrap_or_else(|| panic!("{name} is not recognized"));
        (stack, layer, role)
    }

    #[test]
    fn every_family_is_recognized() {
        for (name, stack, layer, role) in [
            ("model.layers.31.self_attn.q_proj.weight", "model", 31, "self_attn.q_proj"),
            ("model.layers.0.mlp.gate_proj.weight", "model", 0, "mlp.gate_proj"),
            ("model.language_model.layers.7.mlp.down_proj.weight", "model.language_model", 7, "mlp.down_proj"),
            ("model.layers.3.self_attn.qkv_proj.weight", "model", 3, "self_attn.qkv_proj"),
            ("model.layers.2.self_attn.kv_a_proj_with_mqa.weight", "model", 2, "self_attn.kv_a_proj_with_mqa"),
            ("model.layers.2.block_sparse_moe.experts.7.w2.weight", "model", 2, "block_sparse_moe.experts.w2"),
            ("model.layers.2.mlp.experts.127.up_proj.weight", "model", 2, "mlp.experts.up_proj"),
            ("model.layers.2.mlp.shared_expert.up_proj.weight", "model", 2, "mlp.shared_expert.up_proj"),
            ("encoder.layer.11.attention.self.query.weight", "encoder", 11, "attention.self.query"),
            ("bert.encoder.layer.1.attention.output.dense.weight", "bert.encoder", 1, "attention.output.dense"),
            ("encoder.layer.1.intermediate.dense.weight", "encoder", 1, "intermediate.dense"),
            ("encoder.layer.1.output.dense.weight", "encoder", 1, "output.dense"),
            ("distilbert.transformer.layer.5.ffn.lin1.weight", "distilbert.transformer", 5, "ffn.lin1"),
            ("h.11.attn.c_attn.weight", "", 11, "attn.c_attn"),
            ("transformer.h.0.mlp.c_fc.weight", "transformer", 0, "mlp.c_fc"),
            ("transformer.h.0.attn.q_proj.weight", "transformer", 0, "attn.q_proj"),
            (
                "transformer.h.4.self_attention.query_key_value.weight",
                "transformer",
                4,
                "self_attention.query_key_value",
            ),
            ("model.decoder.layers.23.self_attn.out_proj.weight", "model.decoder", 23, "self_attn.out_proj"),
            ("model.decoder.layers.23.fc1.weight", "model.decoder", 23, "fc1"),
            ("model.decoder.layers.3.encoder_attn.k_proj.weight", "model.decoder", 3, "encoder_attn.k_proj"),
            ("gpt_neox.layers.5.attention.query_key_value.weight", "gpt_neox", 5, "attention.query_key_value"),
            ("gpt_neox.layers.5.mlp.dense_4h_to_h.weight", "gpt_neox", 5, "mlp.dense_4h_to_h"),
            ("vit.encoder.layer.2.attention.attention.key.weight", "vit.encoder", 2, "attention.attention.key"),
            ("decoder.block.3.layer.1.EncDecAttention.q.weight", "decoder", 3, "EncDecAttention.q"),
            ("encoder.block.10.layer.1.DenseReluDense.wi_0.weight", "encoder", 10, "DenseReluDense.wi_0"),
            ("encoder.block.3.layer.0.LocalSelfAttention.q.weight", "encoder", 3, "LocalSelfAttention.q"),
            ("encoder.block.3.layer.1.mlp.experts.expert_0.wi.weight", "encoder", 3, "mlp.experts.wi"),
            ("transformer.layer.3.ff.layer_1.weight", "transformer", 3, "ff.layer_1"),
            ("transformer.blocks.3.norm_attn_norm.attn.Wqkv.weight", "transformer", 3, "norm_attn_norm.attn.Wqkv"),
            ("model.layers.3.self_attn.qkv_proj.base_layer.weight", "model", 3, "self_attn.qkv_proj"),
            ("blocks.9.attn.qkv.weight", "", 9, "attn.qkv"),
        ] {
            assert_eq!(known(name), (stack.into(), layer, role.into()), "{name}");
        }
    }

    #[test]
    fn stacked_experts_are_recognized() {
        for (name, stack, layer, role) in [
            (
                "language_model.model.layers.7.feed_forward.experts.gate_up_proj",
                "language_model.model",
                7,
                "feed_forward.experts.gate_up_proj",
            ),
            ("model.layers.0.mlp.experts.down_proj", "model", 0, "mlp.experts.down_proj"),
            ("model.layers.0.block_sparse_moe.input_linear.weight", "model", 0, "block_sparse_moe.input_linear"),
        ] {
            let place = stacked_place(name).unwrap();
            assert_eq!(place, Place { stack: stack.into(), layer, role: role.into() });
        }
        assert_eq!(stacked_place("model.layers.0.mlp.experts.down_proj_bias"), None);
        assert_eq!(stacked_place("model.layers.0.shared_mlp.input_linear.weight"), None);
    }

    #[test]
    fn similar_names_are_not_recognized() {
        for name in [
            "model.layers.0.self_attn.q_proj.bias",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "model.layers.0.mlp.gate.weight",
            "model.layers.0.input_layernorm.weight",
            "model.layers.99999999999.self_attn.q_proj.weight",
            "lm_head.weight",
        ] {
            assert_eq!(place(name), None, "{name}");
        }
    }

    #[test]
    fn unknown_models_are_placed_by_the_last_number() {
        let place = generic_place("layers.1.blocks.12.mixer.in_proj.weight").unwrap();
        assert_eq!(place, Place { stack: "layers.1".into(), layer: 12, role: "in_proj".into() });
        let place = generic_place("blk.4.attn_q.weight").unwrap();
        assert_eq!(place, Place { stack: String::new(), layer: 4, role: "attn_q".into() });
        let place = generic_place("encoder.layers.encoder_layer_2.self_attention.in_proj_weight").unwrap();
        assert_eq!(place, Place { stack: "encoder.layers.encoder".into(), layer: 2, role: "in_proj_weight".into() });
        let place = generic_place("segformer.encoder.block.2.4.mixer.dense.weight").unwrap();
        assert_eq!(place, Place { stack: "segformer.encoder.block.2".into(), layer: 4, role: "dense".into() });
        let place = generic_place("visual.transformer.resblocks.3.attn.in_proj_weight").unwrap();
        assert_eq!(place, Place { stack: "visual.transformer".into(), layer: 3, role: "in_proj_weight".into() });
        assert_eq!(generic_place("conv.0.weight"), None);
    }
}
