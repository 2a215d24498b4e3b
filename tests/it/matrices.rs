//! Models of many families, given by tensor names: which tensors are scored, in which layer, and why others are skipped.

use safetensors::tensor::Dtype;

use crate::support::{Tensor, folder, htsr, save};

/// Stack, number and roles of a layer.
type Layer = (String, u64, Vec<String>);

/// Inspects a model with 16 x 16 tensors of these names. Returns its layers, and the skipped names with reasons.
fn inspect(names: &[&str]) -> (Vec<Layer>, Vec<(String, String)>) {
    let folder = folder();
    let tensors = names.iter().map(|name| ((*name).to_owned(), Tensor::zeros(Dtype::BF16, &[16, 16])));
    let path = save(folder.path(), "model.safetensors", tensors);
    let json = htsr(["inspect", path.to_str().unwrap(), "--format", "json"]).succeeds().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut layers: Vec<Layer> = Vec::new();
    for matrix in json["matrices"].as_array().unwrap() {
        let (stack, layer, role) = (text(&matrix["stack"]), matrix["layer"].as_u64().unwrap(), text(&matrix["role"]));
        match layers.last_mut() {
            Some((last, number, roles)) if *last == stack && *number == layer => roles.push(role),
            _ => layers.push((stack, layer, vec![role])),
        }
    }
    let skipped = json["skipped"].as_array().unwrap().iter().map(|row| (text(&row["tensor"]), text(&row["reason"])));
    (layers, skipped.collect())
}

#[test]
fn two_stacks_with_the_same_layer_numbers_stay_apart() {
    let (layers, skipped) = inspect(&[
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "decoder.block.0.layer.0.SelfAttention.q.weight",
        "decoder.block.0.layer.1.EncDecAttention.q.weight",
        "decoder.block.10.layer.2.DenseReluDense.wo.weight",
        "decoder.block.9.layer.2.DenseReluDense.wo.weight",
        "shared.weight",
    ]);
    let layer = |stack: &str, number, roles: &[&str]| {
        (stack.to_owned(), number, roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        layers,
        [
            layer("decoder", 0, &["SelfAttention.q", "EncDecAttention.q"]),
            layer("decoder", 9, &["DenseReluDense.wo"]),
            layer("decoder", 10, &["DenseReluDense.wo"]),
            layer("encoder", 0, &["SelfAttention.q"]),
        ]
    );
    assert_eq!(skipped.len(), 2);
    let reasons: Vec<&str> = skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["position bias", "embedding"]);
}

#[test]
fn experts_share_a_role_and_routers_are_skipped() {
    let (layers, skipped) = inspect(&[
        "model.layers.0.mlp.experts.0.up_proj.weight",
        "model.layers.0.mlp.experts.11.up_proj.weight",
        "model.layers.0.mlp.experts.2.up_proj.weight",
        "model.layers.0.mlp.gate.weight",
    ]);
    assert_eq!(layers, [("model".into(), 0, vec!["mlp.experts.up_proj".to_owned(); 3])]);
    assert_eq!(skipped, [("model.layers.0.mlp.gate.weight".into(), "router".into())]);
}

#[test]
fn stacks_that_differ_only_in_leading_zeros_stay_apart() {
    let (layers, _) = inspect(&[
        "m.1.layers.0.fa.weight",
        "m.01.layers.0.fa.weight",
        "m.1.layers.0.fb.weight",
        "m.01.layers.0.fb.weight",
    ]);
    assert_eq!(
        layers.iter().map(|(stack, _, roles)| (stack.as_str(), roles.len())).collect::<Vec<_>>(),
        [("m.01", 2), ("m.1", 2)]
    );
}

#[test]
fn layers_of_an_unknown_model_family_are_found() {
    let (layers, skipped) =
        inspect(&["net.blocks.3.mixer.in_map.weight", "net.stem.weight", "net.blocks.3.mixer.norm.weight"]);
    assert_eq!(layers, [("net".into(), 3, vec!["in_map".into()])]);
    let reasons: Vec<&str> = skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["normalization", "outside the numbered layers"]);
}
