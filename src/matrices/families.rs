//! The names that model families give to the matrices of a layer.
//!
//! A name has the form `[stack.]container.NUMBER.role.weight`. Each family is one line: the container and the roles. Which list is
//! the list of layers is decided in `naming`, for known and unknown families alike; a known family has whole paths as roles.

use std::sync::LazyLock;

use regex::Regex;

/// Container, and roles as regular expressions, of each family.
const FAMILIES: &[(&str, &str)] = &[
    // Llama, Mistral, Qwen, Gemma, Phi, StableLM, DeepSeek; OPT, BART, Whisper, CLIP
    ("layers", r"(?:self_attn|encoder_attn|cross_attn)\.(?:[qkvo]|qkv|out|q_[ab]|kv_b)_proj"),
    ("layers", r"self_attn\.(?:kv_a_proj_with_mqa|dense)"),
    ("layers", r"(?:mlp|feed_forward)\.(?:gate|up|down|gate_up)_proj|(?:mlp\.)?fc[12]"),
    // Mixtral
    ("layers", r"block_sparse_moe\.experts\.\d+\.w[123]"),
    // Qwen-MoE, DeepSeek-MoE, OLMoE
    ("layers", r"mlp\.(?:experts\.\d+|shared_experts?)\.(?:gate|up|down)_proj"),
    // GPT-NeoX, Pythia
    ("layers", r"attention\.(?:query_key_value|dense)|mlp\.dense_(?:h_to_4h|4h_to_h)"),
    // BERT, RoBERTa, MiniLM, ELECTRA, ViT, DeiT, BEiT
    ("layer", r"(?:attention|crossattention)\.(?:self|attention)\.(?:query|key|value)"),
    ("layer", r"(?:attention\.|crossattention\.)?output\.dense|intermediate\.dense"),
    // DistilBERT
    ("layer", r"attention\.(?:[qkv]|out)_lin|ffn\.lin[12]"),
    // GPT-2, GPT-Neo, GPT-J
    ("h", r"(?:attn|crossattention)\.(?:c_attn|q_attn|c_proj)|mlp\.(?:c_fc|c_proj|fc_in|fc_out)"),
    ("h", r"attn\.(?:attention\.)?(?:[qkv]|out)_proj"),
    // Falcon, BLOOM
    ("h", r"(?:self_attention|attn)\.(?:query_key_value|dense)|mlp\.dense_(?:h_to_4h|4h_to_h)"),
    // XLNet
    ("layer", r"ff\.layer_[12]"),
    // T5, LongT5, Switch: blocks are numbered, and so are the sub-layers within a block
    (
        "block",
        r"layer\.\d+\.(?:(?:\w*SelfAttention|EncDecAttention)\.[qkvo]|(?:DenseReluDense|mlp)\.(?:wi|wi_[01]|wo))",
    ),
    ("block", r"layer\.\d+\.mlp\.experts\.expert_\d+\.(?:wi|wi_[01]|wo)"),
    // DBRX
    ("blocks", r"norm_attn_norm\.attn\.(?:Wqkv|out_proj)"),
    // ViT, Swin and others as timm names them
    ("blocks", r"attn\.(?:qkv|proj)|mlp\.fc[12]"),
];

/// The same for three-dimensional tensors that stack one matrix for each expert, with or without `.weight`.
const STACKED: &[(&str, &str)] = &[
    // Llama 4, Qwen3-VL-MoE, gpt-oss in bf16
    ("layers", r"(?:mlp|feed_forward)\.experts\.(?:gate|up|down|gate_up)_proj"),
    // Granite-MoE, JetMoE
    ("layers", r"(?:block_sparse_moe|mlp)\.(?:input|output)_linear"),
];

/// Three-dimensional tensors that are one matrix, whose columns are the last two dimensions.
const FLAT: &[(&str, &str)] = &[
    // XLNet: inputs x heads x outputs of a head
    ("layer", r"rel_attn\.[qkvor]"),
];

/// Lists whose elements of the same number are parts of one layer. The first two are in every model of the family.
pub(super) const HALVES: &[&[&str]] = &[
    // XLM, FlauBERT
    &["attentions", "ffns", "encoder_attn"],
];

/// The role of the matrix at the path `rest` in an element of this list, if it is of a known family.
pub(super) fn role(list: &str, rest: &str) -> Option<String> {
    static PATTERNS: LazyLock<Vec<Family>> = LazyLock::new(|| compile(FAMILIES, r"\.weight"));
    let role = find(&PATTERNS, list, rest)?;
    Some(without_numbers(role.strip_suffix(".weight").unwrap_or(role)))
}

/// The same for a three-dimensional tensor that stacks one matrix for each expert.
pub(super) fn stacked_role(list: &str, rest: &str) -> Option<String> {
    static PATTERNS: LazyLock<Vec<Family>> = LazyLock::new(|| compile(STACKED, r"(?:\.weight)?"));
    let role = find(&PATTERNS, list, rest)?;
    Some(without_numbers(role.strip_suffix(".weight").unwrap_or(role)))
}

/// True for a three-dimensional tensor that is one matrix.
pub(super) fn is_flat(list: &str, rest: &str) -> bool {
    static PATTERNS: LazyLock<Vec<Family>> = LazyLock::new(|| compile(FLAT, ""));
    find(&PATTERNS, list, rest).is_some()
}

/// True for a matrix in whose rows the matrices of all experts follow each other (DBRX).
pub(super) fn experts_in_rows(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('.').collect();
    matches!(words[..], [.., "experts", "mlp", last] if last != "weight")
}

struct Family {
    container: &'static str,
    roles: Regex,
}

fn compile(families: &'static [(&str, &str)], end: &str) -> Vec<Family> {
    let family = |&(container, roles): &(&'static str, &str)| Family {
        container,
        // The patterns are constants, and tests compile all of them.
        roles: Regex::new(&format!("^(?:{roles}){end}$")).expect("constant pattern"),
    };
    families.iter().map(family).collect()
}

fn find<'a>(families: &[Family], list: &str, rest: &'a str) -> Option<&'a str> {
    let container = list.rsplit('.').next().unwrap_or(list);
    let matches = |family: &Family| family.container == container && family.roles.is_match(rest);
    families.iter().any(matches).then_some(rest)
}

/// `experts.3.up_proj` -> `experts.up_proj`: the same role in every expert. The sub-layers of T5 have no names: `layer.0.` is left out.
fn without_numbers(role: &str) -> String {
    let is_number = |word: &str| word.trim_start_matches("expert_").bytes().all(|byte| byte.is_ascii_digit());
    let words = role.strip_prefix("layer.").unwrap_or(role).split('.');
    words.filter(|word| !is_number(word)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_recognized() {
        for (list, rest, known) in [
            ("model.layers", "self_attn.q_proj.weight", "self_attn.q_proj"),
            ("model.layers", "mlp.gate_proj.weight", "mlp.gate_proj"),
            ("model.language_model.layers", "mlp.down_proj.weight", "mlp.down_proj"),
            ("model.layers", "self_attn.qkv_proj.weight", "self_attn.qkv_proj"),
            ("model.layers", "self_attn.kv_a_proj_with_mqa.weight", "self_attn.kv_a_proj_with_mqa"),
            ("model.layers", "block_sparse_moe.experts.7.w2.weight", "block_sparse_moe.experts.w2"),
            ("model.layers", "mlp.experts.127.up_proj.weight", "mlp.experts.up_proj"),
            ("model.layers", "mlp.shared_expert.up_proj.weight", "mlp.shared_expert.up_proj"),
            ("encoder.layer", "attention.self.query.weight", "attention.self.query"),
            ("bert.encoder.layer", "attention.output.dense.weight", "attention.output.dense"),
            ("encoder.layer", "intermediate.dense.weight", "intermediate.dense"),
            ("encoder.layer", "output.dense.weight", "output.dense"),
            ("distilbert.transformer.layer", "ffn.lin1.weight", "ffn.lin1"),
            ("h", "attn.c_attn.weight", "attn.c_attn"),
            ("transformer.h", "mlp.c_fc.weight", "mlp.c_fc"),
            ("transformer.h", "attn.q_proj.weight", "attn.q_proj"),
            ("transformer.h", "self_attention.query_key_value.weight", "self_attention.query_key_value"),
            ("model.decoder.layers", "self_attn.out_proj.weight", "self_attn.out_proj"),
            ("model.decoder.layers", "fc1.weight", "fc1"),
            ("model.decoder.layers", "encoder_attn.k_proj.weight", "encoder_attn.k_proj"),
            ("gpt_neox.layers", "attention.query_key_value.weight", "attention.query_key_value"),
            ("gpt_neox.layers", "mlp.dense_4h_to_h.weight", "mlp.dense_4h_to_h"),
            ("vit.encoder.layer", "attention.attention.key.weight", "attention.attention.key"),
            ("decoder.block", "layer.1.EncDecAttention.q.weight", "EncDecAttention.q"),
            ("encoder.block", "layer.1.DenseReluDense.wi_0.weight", "DenseReluDense.wi_0"),
            ("encoder.block", "layer.0.LocalSelfAttention.q.weight", "LocalSelfAttention.q"),
            ("encoder.block", "layer.1.mlp.experts.expert_0.wi.weight", "mlp.experts.wi"),
            ("transformer.layer", "ff.layer_1.weight", "ff.layer_1"),
            ("transformer.blocks", "norm_attn_norm.attn.Wqkv.weight", "norm_attn_norm.attn.Wqkv"),
            ("blocks", "attn.qkv.weight", "attn.qkv"),
        ] {
            assert_eq!(role(list, rest).as_deref(), Some(known), "{list} {rest}");
        }
    }

    #[test]
    fn stacked_experts_are_recognized() {
        for (rest, known) in [
            ("feed_forward.experts.gate_up_proj", "feed_forward.experts.gate_up_proj"),
            ("mlp.experts.down_proj", "mlp.experts.down_proj"),
            ("block_sparse_moe.input_linear.weight", "block_sparse_moe.input_linear"),
        ] {
            assert_eq!(stacked_role("model.layers", rest).as_deref(), Some(known));
        }
        for rest in ["mlp.experts.down_proj_bias", "shared_mlp.input_linear.weight"] {
            assert_eq!(stacked_role("model.layers", rest), None, "{rest}");
        }
        assert!(is_flat("transformer.layer", "rel_attn.q") && !is_flat("transformer.layer", "rel_attn.r_w_bias"));
        assert!(experts_in_rows("ffn.experts.mlp.w1") && !experts_in_rows("mlp.experts.mlp.weight"));
    }

    #[test]
    fn similar_names_are_not_recognized() {
        for rest in [
            "self_attn.q_proj.bias",
            "self_attn.q_proj.lora_A.weight",
            "mlp.gate.weight",
            "input_layernorm.weight",
            "0.self_attn.q_proj.weight",
        ] {
            assert_eq!(role("model.layers", rest), None, "{rest}");
        }
        assert_eq!(role("model.my_layers", "self_attn.q_proj.weight"), None);
    }
}
