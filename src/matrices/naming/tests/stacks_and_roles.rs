//! The names of stacks and roles.

use super::{Model, model, repeat};
use crate::checkpoint::Config;

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
