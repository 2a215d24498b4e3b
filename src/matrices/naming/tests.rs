//! Hand-made names of each kind of model.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{Context, Named, Naming, Reading};
use crate::checkpoint::Config;
use crate::matrices::selection::Selection;

/// Places names of two-dimensional tensors; `[3]` at the end of a name stands for three dimensions, `[1]` for one.
struct Model {
    names: Vec<(String, Vec<u64>)>,
    naming: Naming,
}

impl Model {
    fn new(names: &[&str]) -> Model {
        Model::with(names, &Config::default(), false)
    }

    fn with(names: &[&str], config: &Config, partial: bool) -> Model {
        let shape =
            |name: &&str| match name.rsplit_once('[').and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?))) {
                Some((name, "3")) => (name.to_owned(), vec![4, 8, 6]),
                Some((name, "1")) => (name.to_owned(), vec![8]),
                _ => ((*name).to_owned(), vec![12, 8]),
            };
        let names: Vec<(String, Vec<u64>)> = names.iter().map(shape).collect();
        let named: Vec<Named> = names.iter().map(|(name, shape)| Named { name, shape, readable: true }).collect();
        let naming = Naming::new(&named, Context { config, selection: &Selection::default(), partial });
        Model { names, naming }
    }

    /// Stack, layer and role as one text, or the reason why the tensor is skipped.
    fn place(&self, name: &str) -> String {
        let (_, shape) = self.names.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
        match self.naming.place(name, shape.len()) {
            Ok(Some((place, _))) => format!("{}|{}|{}", place.stack, place.layer, place.role),
            Ok(None) => "outside".into(),
            Err(reason) => reason.into(),
        }
    }

    fn reading(&self, name: &str, dimensions: usize) -> Reading {
        self.naming.place(name, dimensions).unwrap().unwrap().1
    }

    #[track_caller]
    fn assert(&self, expected: &[(&str, &str)]) {
        for (name, place) in expected {
            assert_eq!(self.place(name), *place, "{name}");
        }
    }
}

/// `{l}` and `{e}` in each name replaced by numbers below these counts.
fn repeat(names: &[&str], layers: usize, experts: usize) -> Vec<String> {
    let mut all = Vec::new();
    for name in names {
        for layer in 0..layers {
            let name = name.replace("{l}", &layer.to_string());
            let experts = if name.contains("{e}") { experts } else { 1 };
            all.extend((0..experts).map(|expert| name.replace("{e}", &expert.to_string())));
        }
    }
    all.sort();
    all.dedup();
    all
}

fn model(names: &[&str], layers: usize) -> Model {
    let names = repeat(names, layers, 3);
    Model::new(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

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
fn stacks_with_the_same_name_get_the_words_of_their_lists() {
    model(&["blocks.{l}.attn.proj.weight", "layers.{l}.mlp.down_proj.weight", "decoder.layers.{l}.mlp.fc1.weight"], 2)
        .assert(&[
            ("blocks.1.attn.proj.weight", "blocks|1|attn.proj"),
            ("layers.1.mlp.down_proj.weight", "layers|1|mlp.down_proj"),
            ("decoder.layers.1.mlp.fc1.weight", "decoder|1|mlp.fc1"),
        ]);
}

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
fn roles_that_collide_become_longer() {
    model(
        &[
            "layers.{l}.attn.Wo.weight",
            "layers.{l}.mlp.Wo.weight",
            "layers.{l}.attn.Wqkv.weight",
            "layers.{l}.ffn.experts.{e}.w1.weight",
            "layers.{l}.ffn.shared_experts.w1.weight",
            "layers.{l}.self_attn.0.o.weight",
            "layers.{l}.self_attn.1.o.weight",
            "layers.{l}.ff.net.2.weight",
            "layers.{l}.ff_context.net.2.weight",
        ],
        2,
    )
    .assert(&[
        ("layers.1.attn.Wo.weight", "|1|attn.Wo"),
        ("layers.1.mlp.Wo.weight", "|1|mlp.Wo"),
        ("layers.1.attn.Wqkv.weight", "|1|Wqkv"),
        ("layers.1.ffn.experts.2.w1.weight", "|1|experts.w1"),
        ("layers.1.ffn.shared_experts.w1.weight", "|1|shared_experts.w1"),
        ("layers.1.self_attn.1.o.weight", "|1|self_attn.1.o"),
        ("layers.1.ff.net.2.weight", "|1|ff.net.2"),
        ("layers.1.ff_context.net.2.weight", "|1|ff_context.net.2"),
    ]);
    // Matrices that have the same name in different layers do not collide.
    Model::new(&[
        "layers.0.mamba.out.weight",
        "layers.0.mamba.in.weight",
        "layers.1.attn.out.weight",
        "layers.1.attn.in.weight",
    ])
    .assert(&[("layers.0.mamba.out.weight", "|0|out"), ("layers.1.attn.out.weight", "|1|out")]);
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
fn further_layers_for_several_tokens_are_a_stack_of_their_own() {
    let mut names = repeat(&["model.layers.{l}.self_attn.q_proj.weight", "model.layers.{l}.mlp.up_proj.weight"], 3, 1);
    names.extend(repeat(&["vision.layers.{l}.attn.q.weight", "vision.layers.{l}.attn.k.weight"], 3, 1));
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["model.layers.2.eh_proj.weight"]).collect();
    let config = r#"{"text_config": {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}}"#;
    for config in [Config::parse(config), Config::default()] {
        Model::with(&names, &config, false).assert(&[
            ("model.layers.1.mlp.up_proj.weight", "model|1|mlp.up_proj"),
            ("model.layers.2.mlp.up_proj.weight", "mtp|2|mlp.up_proj"),
            ("model.layers.2.eh_proj.weight", "mtp|2|eh_proj"),
            ("vision.layers.2.attn.q.weight", "vision|2|q"),
        ]);
    }
    model(&["mtp.layers.{l}.mlp.up_proj.weight", "mtp.layers.{l}.mlp.down_proj.weight"], 1)
        .assert(&[("mtp.layers.0.mlp.up_proj.weight", "mtp|0|mlp.up_proj")]);
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
fn states_of_the_training_are_no_stacks() {
    let names = ["model.layers.0.fc.weight", "ema.model.layers.0.fc.weight", "exp_avg.model.layers.0.fc.weight"];
    Model::new(&names).assert(&[
        ("model.layers.0.fc.weight", "model|0|fc"),
        ("ema.model.layers.0.fc.weight", "moving average of the weights"),
        ("exp_avg.model.layers.0.fc.weight", "optimizer state"),
    ]);
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

/// Random names, most of them in nested lists.
fn names() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec![
        "model",
        "layers",
        "blocks",
        "trunk",
        "attn",
        "mlp",
        "experts",
        "0",
        "1",
        "2",
        "q_proj",
        "encoder_layer_1",
        "expert_0",
        "norm",
        "gate",
        "layer",
        "attentions",
        "ffns",
        "mtp",
        "ema",
    ]);
    let name = (prop::collection::vec(word, 1..7), prop::sample::select(vec![".weight", ".bias", ""]));
    let name = name.prop_map(|(words, end)| format!("{}{end}", words.join(".")));
    prop::collection::hash_set(name, 1..40).prop_map(|names| names.into_iter().collect())
}

proptest! {
    #[test]
    fn the_order_of_tensors_changes_nothing(names in names()) {
        let forward: Vec<&str> = names.iter().map(String::as_str).collect();
        let backward: Vec<&str> = forward.iter().rev().copied().collect();
        let (one, other) = (Model::new(&forward), Model::new(&backward));
        for name in &forward {
            prop_assert_eq!(one.place(name), other.place(name), "{}", name);
        }
    }

    #[test]
    fn matrices_of_a_layer_have_different_roles_unless_they_are_experts(names in names()) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let model = Model::new(&names);
        let mut seen = HashSet::new();
        // An attribute of a module is not a parameter and a module at once.
        let is_both = |name: &&&str| names.contains(&&*format!("{name}.weight"));
        for name in names.iter().filter(|name| !name.contains("expert") && !is_both(name)) {
            if let Ok(Some((place, _))) = model.naming.place(name, 2) {
                prop_assert!(seen.insert((place.stack, place.layer, place.role)), "{} {}", name, model.place(name));
            }
        }
    }
}
