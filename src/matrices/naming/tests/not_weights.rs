//! What is no projection matrix, and how experts lie in a tensor.

use super::super::Reading;
use super::{Model, model};
use crate::checkpoint::Config;

#[test]
fn words_above_a_list_of_blocks_do_not_decide() {
    model(
        &[
            "embed_tokens_extend.image_embed.encoder.layers.{l}.attn.qkv.weight",
            "embed_tokens_extend.image_embed.encoder.layers.{l}.attn.out.weight",
            "embed_tokens_extend.image_projection.0.weight",
            "lm_heads.{l}.weight",
            "bbox_predictor.layers.{l}.weight",
            "decoder.bbox_embed.{l}.layers.{e}.weight",
            "input_embeds_layers.{l}.weight",
        ],
        2,
    )
    .assert(&[
        (
            "embed_tokens_extend.image_embed.encoder.layers.1.attn.qkv.weight",
            "embed_tokens_extend.image_embed.encoder|1|qkv",
        ),
        ("embed_tokens_extend.image_projection.0.weight", "embedding"),
        ("lm_heads.1.weight", "head"),
        ("bbox_predictor.layers.1.weight", "head"),
        ("decoder.bbox_embed.1.layers.2.weight", "head"),
        ("input_embeds_layers.1.weight", "embedding"),
    ]);
}

#[test]
fn routers_are_told_from_gates_by_the_experts_beside_them() {
    model(
        &[
            "layers.{l}.mlp.text_moe.gate.weight",
            "layers.{l}.mlp.text_moe.experts.{e}.up.weight",
            "layers.{l}.mlp.gate.down_proj.weight",
            "layers.{l}.mlp.shared_experts.gate.weight",
            "layers.{l}.attn.gate.weight",
        ],
        2,
    )
    .assert(&[
        ("layers.1.mlp.text_moe.gate.weight", "router"),
        ("layers.1.mlp.gate.down_proj.weight", "router"),
        ("layers.1.mlp.shared_experts.gate.weight", "|1|shared_experts.gate"),
        ("layers.1.attn.gate.weight", "|1|attn.gate"),
    ]);
}

#[test]
fn three_dimensional_experts_are_slices_and_heads_are_not() {
    let model = model(
        &[
            "layers.{l}.moe.gate_proj.weight[3]",
            "layers.{l}.mlp.shared_experts.shared_w13_weight[3]",
            "layers.{l}.mlp.experts.{e}.conv.weight[3]",
            "layers.{l}.conv.weight[3]",
            "transformer.layer.{l}.rel_attn.q[3]",
        ],
        2,
    );
    for (name, reading) in [
        ("layers.1.moe.gate_proj.weight", Reading::Slices),
        ("layers.1.mlp.shared_experts.shared_w13_weight", Reading::Slices),
        ("layers.1.mlp.experts.2.conv.weight", Reading::Whole),
        ("layers.1.conv.weight", Reading::Whole),
        ("transformer.layer.1.rel_attn.q", Reading::Flat),
    ] {
        assert_eq!(model.reading(name, 3), reading, "{name}");
    }
}

#[test]
fn experts_in_rows_need_their_number() {
    let name = "blocks.0.ffn.experts.mlp.w1";
    let names = [name, "blocks.0.norm_attn_norm.attn.Wqkv.weight"];
    assert_eq!(Model::new(&names).place(name), "experts stacked in rows");
    for (experts, reading) in [(4, Some(Reading::Rows(4))), (5, None), (0, None)] {
        let config = Config::parse(&format!(r#"{{"ffn_config": {{"moe_num_experts": {experts}}}}}"#));
        let model = Model::with(&names, &config, false);
        assert_eq!(model.naming.place(name, 2).ok().flatten().map(|(_, reading)| reading), reading, "{experts}");
    }
}

#[test]
fn states_of_the_training_are_no_stacks() {
    let names = ["model.layers.0.fc.weight", "ema.model.layers.0.fc.weight", "exp_avg.model.layers.0.fc.weight"];
    Model::new(&names).assert(&[
        ("model.layers.0.fc.weight", "model|0|fc"),
        ("ema.model.layers.0.fc.weight", "moving average of the weights"),
        ("exp_avg.model.layers.0.fc.weight", "optimizer state"),
    ]);
}
