//! Which number is the layer's.

use super::{Model, model};
use crate::checkpoint::Config;

#[test]
fn known_families_have_whole_paths_as_roles() {
    model(
        &[
            "model.layers.{l}.self_attn.q_proj.weight",
            "model.layers.{l}.self_attn.k_proj.weight",
            "model.layers.{l}.mlp.experts.{e}.up_proj.weight",
            "model.layers.{l}.mlp.shared_expert.up_proj.weight",
            "model.layers.{l}.mlp.gate.weight",
            "model.layers.{l}.input_layernorm.weight[1]",
            "lm_head.weight",
        ],
        3,
    )
    .assert(&[
        ("model.layers.2.self_attn.q_proj.weight", "model|2|self_attn.q_proj"),
        ("model.layers.2.mlp.experts.1.up_proj.weight", "model|2|mlp.experts.up_proj"),
        ("model.layers.0.mlp.shared_expert.up_proj.weight", "model|0|mlp.shared_expert.up_proj"),
        ("model.layers.0.mlp.gate.weight", "router"),
        ("model.layers.0.input_layernorm.weight", "normalization"),
        ("lm_head.weight", "head"),
    ]);
}

#[test]
fn sub_layers_of_t5_are_no_layers() {
    model(
        &[
            "decoder.block.{l}.layer.0.SelfAttention.q.weight",
            "decoder.block.{l}.layer.0.SelfAttention.o.weight",
            "decoder.block.{l}.layer.1.EncDecAttention.q.weight",
            "decoder.block.{l}.layer.1.EncDecAttention.o.weight",
            "decoder.block.{l}.layer.2.mlp.experts.expert_{e}.wi.weight",
        ],
        2,
    )
    .assert(&[
        ("decoder.block.1.layer.0.SelfAttention.q.weight", "decoder|1|SelfAttention.q"),
        ("decoder.block.1.layer.1.EncDecAttention.o.weight", "decoder|1|EncDecAttention.o"),
        ("decoder.block.1.layer.2.mlp.experts.expert_2.wi.weight", "decoder|1|mlp.experts.wi"),
    ]);
}

#[test]
fn stages_hold_stacks_of_layers() {
    let swin = [
        "encoder.layers.{l}.blocks.0.attn.qkv.weight",
        "encoder.layers.{l}.blocks.0.mlp.fc1.weight",
        "encoder.layers.{l}.blocks.1.attn.qkv.weight",
        "encoder.layers.{l}.blocks.1.mlp.fc1.weight",
        "encoder.layers.{l}.downsample.reduction.weight",
    ];
    model(&swin, 2).assert(&[
        ("encoder.layers.1.blocks.1.attn.qkv.weight", "encoder.layers.1|1|attn.qkv"),
        ("encoder.layers.1.downsample.reduction.weight", "encoder|1|reduction"),
    ]);
    // One block in each stage: the word decides.
    model(&swin[..2], 2).assert(&[("encoder.layers.1.blocks.0.attn.qkv.weight", "encoder.layers.1|0|attn.qkv")]);
    model(&["block.{l}.0.fc1.weight", "block.{l}.0.fc2.weight", "block.{l}.1.fc1.weight", "block.{l}.1.fc2.weight"], 2)
        .assert(&[("block.1.0.fc1.weight", "block.1|0|fc1")]);
    let unet = [
        "down_blocks.{l}.attentions.{e}.transformer_blocks.0.attn1.to_q.weight",
        "down_blocks.{l}.attentions.{e}.transformer_blocks.0.ff.net.2.weight",
        "down_blocks.{l}.attentions.{e}.transformer_blocks.1.attn1.to_q.weight",
        "down_blocks.{l}.attentions.{e}.transformer_blocks.1.ff.net.2.weight",
    ];
    model(&unet, 2).assert(&[(
        "down_blocks.1.attentions.2.transformer_blocks.1.attn1.to_q.weight",
        "down_blocks.1.attentions.2.transformer|1|to_q",
    )]);
}

#[test]
fn numbers_within_a_layer_are_no_layers() {
    model(
        &[
            "conformer.{l}.ffw_layer_start.ffw_layer_1.weight",
            "conformer.{l}.ffw_layer_start.ffw_layer_2.weight",
            "conformer.{l}.attention.attn.q_proj.weight",
            "conformer.{l}.attention.attn.k_proj.weight",
        ],
        2,
    )
    .assert(&[("conformer.1.ffw_layer_start.ffw_layer_2.weight", "conformer|1|ffw_layer_2")]);
    model(
        &[
            "trf_blocks.{l}.att.W_query.weight",
            "trf_blocks.{l}.att.W_key.weight",
            "trf_blocks.{l}.att.mask",
            "trf_blocks.{l}.ff.layers.0.weight",
            "trf_blocks.{l}.ff.layers.2.weight",
        ],
        3,
    )
    .assert(&[
        ("trf_blocks.2.ff.layers.0.weight", "trf|2|0"),
        ("trf_blocks.2.ff.layers.2.weight", "trf|2|2"),
        ("trf_blocks.2.att.mask", "causal mask"),
    ]);
    model(
        &[
            "perceiver_resampler.blocks.{l}.0.q_proj.weight",
            "perceiver_resampler.blocks.{l}.0.k_proj.weight",
            "perceiver_resampler.blocks.{l}.1.fc.weight",
            "perceiver_resampler.blocks.{l}.1.c_proj.weight",
        ],
        3,
    )
    .assert(&[("perceiver_resampler.blocks.2.1.fc.weight", "perceiver_resampler|2|fc")]);
    // Layers of nothing but experts.
    model(
        &[
            "backbone.layers.{l}.mixer.experts.{e}.up_proj.weight",
            "backbone.layers.{l}.mixer.experts.{e}.down_proj.weight",
        ],
        2,
    )
    .assert(&[("backbone.layers.1.mixer.experts.2.up_proj.weight", "backbone|1|up_proj")]);
}

#[test]
fn words_for_lists_need_not_be_known() {
    model(&["trunk.{l}.mixer.in.weight", "trunk.{l}.mixer.out.weight", "proj.0.weight", "proj.2.weight"], 2)
        .assert(&[("trunk.1.mixer.in.weight", "trunk|1|in"), ("proj.2.weight", "outside")]);
    let torchvision = "encoder.layers.encoder_layer_{l}.self_attention.in_proj_weight";
    model(&[torchvision, "encoder.layers.encoder_layer_{l}.mlp.0.weight"], 2).assert(&[(
        "encoder.layers.encoder_layer_1.self_attention.in_proj_weight",
        "encoder.layers.encoder|1|in_proj_weight",
    )]);
    let xlm = [
        "attentions.{l}.q_lin.weight",
        "attentions.{l}.out_lin.weight",
        "ffns.{l}.lin1.weight",
        "encoder_attn.{l}.q_lin.weight",
        "encoder_attn.{l}.k_lin.weight",
        "ffns.{l}.lin2.weight",
    ];
    model(&xlm, 2).assert(&[
        ("attentions.1.q_lin.weight", "|1|attentions.q_lin"),
        ("attentions.1.out_lin.weight", "|1|out_lin"),
        ("encoder_attn.1.q_lin.weight", "|1|encoder_attn.q_lin"),
        ("ffns.1.lin1.weight", "|1|lin1"),
    ]);
}

#[test]
fn models_without_numbers_are_numbered_in_order() {
    let model = Model::new(&["fc2.weight", "fc10.weight", "fc1.weight", "fc1.bias[1]", "embed.weight", "net.0.weight"]);
    assert_eq!(model.naming.unnumbered(), 4);
    model.assert(&[
        ("fc1.weight", "|0|fc1"),
        ("fc2.weight", "|1|fc2"),
        ("fc10.weight", "|2|fc10"),
        ("net.0.weight", "|3|0"),
        ("fc1.bias", "bias"),
        ("embed.weight", "embedding"),
    ]);
    let layers = Model::new(&["layers.0.fc.weight", "fc1.weight"]);
    layers.assert(&[("fc1.weight", "outside")]);
    assert_eq!(layers.naming.unnumbered(), 0);
}

#[test]
fn the_lists_of_an_adapter_may_lack_most_matrices() {
    let names = ["encoder.layers.0.blocks.0.attn.qkv.weight", "encoder.layers.0.blocks.1.attn.qkv.weight"];
    Model::with(&names, &Config::default(), true).assert(&[(names[1], "encoder.layers.0|1|attn.qkv")]);
    let names = ["conformer.0.attn.q.weight", "conformer.1.attn.q.weight"];
    Model::with(&names, &Config::default(), true).assert(&[(names[1], "conformer|1|q")]);
    let wrapped = ["model.layers.0.self_attn.q_proj.base_layer.weight"];
    Model::new(&wrapped).assert(&[(wrapped[0], "model|0|self_attn.q_proj")]);
}

/// Tensors of MiniLM, Llama and SmolLM2, Mixtral, DeepSeek, T5, Whisper, Swin, GPT-2 and others, and the stack, layer and role of the
/// last one in scores saved before.
const SAVED: &[(&str, &str)] = &[
    ("encoder.layer.{l}.attention.self.query.weight", "encoder|1|attention.self.query"),
    ("encoder.layer.{l}.attention.output.dense.weight", "encoder|1|attention.output.dense"),
    ("encoder.layer.{l}.intermediate.dense.weight", "encoder|1|intermediate.dense"),
    ("encoder.layer.{l}.output.dense.weight", "encoder|1|output.dense"),
    ("model.layers.{l}.self_attn.q_proj.weight", "model|1|self_attn.q_proj"),
    ("model.layers.{l}.self_attn.o_proj.weight", "model|1|self_attn.o_proj"),
    ("model.layers.{l}.mlp.gate_proj.weight", "model|1|mlp.gate_proj"),
    ("model.layers.{l}.mlp.down_proj.weight", "model|1|mlp.down_proj"),
    ("moe.layers.{l}.block_sparse_moe.experts.{e}.w1.weight", "moe|1|block_sparse_moe.experts.w1"),
    ("moe.layers.{l}.self_attn.v_proj.weight", "moe|1|self_attn.v_proj"),
    ("deep.layers.{l}.self_attn.kv_a_proj_with_mqa.weight", "deep|1|self_attn.kv_a_proj_with_mqa"),
    ("deep.layers.{l}.self_attn.q_b_proj.weight", "deep|1|self_attn.q_b_proj"),
    ("deep.layers.{l}.mlp.experts.{e}.down_proj.weight", "deep|1|mlp.experts.down_proj"),
    ("deep.layers.{l}.mlp.shared_experts.down_proj.weight", "deep|1|mlp.shared_experts.down_proj"),
    ("t5.decoder.block.{l}.layer.0.SelfAttention.q.weight", "t5.decoder|1|SelfAttention.q"),
    ("t5.decoder.block.{l}.layer.1.EncDecAttention.q.weight", "t5.decoder|1|EncDecAttention.q"),
    ("t5.decoder.block.{l}.layer.2.DenseReluDense.wi_0.weight", "t5.decoder|1|DenseReluDense.wi_0"),
    ("model.decoder.layers.{l}.self_attn.out_proj.weight", "model.decoder|1|self_attn.out_proj"),
    ("model.decoder.layers.{l}.encoder_attn.k_proj.weight", "model.decoder|1|encoder_attn.k_proj"),
    ("model.decoder.layers.{l}.fc1.weight", "model.decoder|1|fc1"),
    ("swin.layers.2.blocks.{l}.attn.qkv.weight", "swin.layers.2|1|attn.qkv"),
    ("swin.layers.2.blocks.{l}.mlp.fc1.weight", "swin.layers.2|1|mlp.fc1"),
    ("transformer.h.{l}.attn.c_attn.weight", "transformer|1|attn.c_attn"),
    ("transformer.h.{l}.mlp.c_proj.weight", "transformer|1|mlp.c_proj"),
    ("gpt_neox.layers.{l}.attention.query_key_value.weight", "gpt_neox|1|attention.query_key_value"),
    ("falcon.h.{l}.self_attention.dense.weight", "falcon|1|self_attention.dense"),
    ("vit.encoder.layer.{l}.attention.attention.key.weight", "vit.encoder|1|attention.attention.key"),
    ("backbone.layers.{l}.mixer.in_proj.weight", "backbone|1|in_proj"),
    ("single_transformer_blocks.{l}.proj_mlp.weight", "single_transformer|1|proj_mlp"),
    ("blk.{l}.attn_q.weight", "|1|attn_q"),
    ("visual.transformer.resblocks.{l}.attn.in_proj_weight", "visual.transformer|1|in_proj_weight"),
];

#[test]
fn places_in_common_models_stay() {
    let all: Vec<&str> = SAVED.iter().map(|(tensor, _)| *tensor).collect();
    for (tensor, place) in SAVED {
        let last = tensor.replace("{l}", "1").replace("{e}", "2");
        // Alone, as in an adapter that changes one matrix of each layer, and among all the others.
        for names in [&[*tensor][..], &all] {
            assert_eq!(model(names, 2).place(&last), *place, "{tensor}");
        }
    }
}
