//! Models whose layers no list of words gives, through the binary: nested lists, buffers, states of the training, heads, experts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Tensor, folder, htsr, save};

/// Saves random tensors of these names and shapes.
fn model(folder: &Path, file: &str, tensors: &[(String, [usize; 2])]) -> String {
    let tensor = |(index, (name, [rows, cols])): (usize, &(String, [usize; 2]))| {
        (name.clone(), Tensor::random(*rows, *cols, index as u64 + 1))
    };
    save(folder, file, tensors.iter().enumerate().map(tensor)).to_str().unwrap().to_owned()
}

/// The names with `{l}` replaced by the numbers of so many layers.
fn layers(count: usize, names: &[(&str, [usize; 2])]) -> Vec<(String, [usize; 2])> {
    let of_layer =
        |layer: usize| names.iter().map(move |(name, shape)| (name.replace("{l}", &layer.to_string()), *shape));
    (0..count).flat_map(of_layer).collect()
}

fn inspect(path: &str) -> Value {
    htsr(["inspect", path, "--format", "json"]).succeeds().json()
}

/// Tensor, stack, layer and role of each matrix.
fn places(json: &Value) -> BTreeMap<String, String> {
    let matrices = json["matrices"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let place = |m: &Value| format!("{}|{}|{}", text(&m["stack"]), m["layer"], text(&m["role"]));
    matrices.iter().map(|matrix| (text(&matrix["tensor"]), place(matrix))).collect()
}

fn reasons(json: &Value) -> BTreeMap<String, String> {
    let skipped = json["skipped"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    skipped.iter().map(|skipped| (text(&skipped["tensor"]), text(&skipped["reason"]))).collect()
}

const SMALL_GPT: [(&str, [usize; 2]); 4] = [
    ("trf_blocks.{l}.att.W_query.weight", [24, 24]),
    ("trf_blocks.{l}.att.out_proj.weight", [24, 24]),
    ("trf_blocks.{l}.ff.layers.0.weight", [48, 24]),
    ("trf_blocks.{l}.ff.layers.2.weight", [24, 48]),
];

#[test]
fn the_linear_layers_of_a_feed_forward_part_are_no_layers() {
    let folder = folder();
    for (index, names) in [
        SMALL_GPT,
        [
            ("encoder.layers.{l}.self_attn.attn.in_proj_weight", [48, 24]),
            ("encoder.layers.{l}.self_attn.attn.out_proj.weight", [24, 24]),
            ("encoder.layers.{l}.ffn.layers.0.0.weight", [48, 24]),
            ("encoder.layers.{l}.ffn.layers.1.weight", [24, 48]),
        ],
        [
            ("decoder.layers.{l}.self_attn.q_proj.weight", [24, 24]),
            ("decoder.layers.{l}.self_attn.k_proj.weight", [24, 24]),
            ("decoder.layers.{l}.mlp.layers.0.weight", [48, 24]),
            ("decoder.layers.{l}.mlp.layers.1.weight", [24, 48]),
        ],
    ]
    .iter()
    .enumerate()
    {
        let path = model(folder.path(), &format!("{index}.safetensors"), &layers(3, names));
        let json = htsr(["score", &path, "--experts", "30", "--format", "json"]).succeeds().json();
        let counts: Vec<&Value> = json["layers"].as_array().unwrap().iter().map(|layer| &layer["matrices"]).collect();
        assert_eq!(counts, [4, 4, 4], "{names:?}");
        assert_eq!(json["allocation"]["experts"].as_array().unwrap().len(), 3, "{names:?}");
    }
}

#[test]
fn buffers_in_a_layer_do_not_change_its_alpha() {
    let folder = folder();
    let plain = layers(2, &SMALL_GPT);
    let mut buffers = plain.clone();
    for (name, reason) in [
        ("att.mask", "causal mask"),
        ("att.tril", "causal mask"),
        ("att.cos_sin_cache", "rotary cache"),
        ("att.freqs", "rotary cache"),
        ("att.hessian", "Hessian of the calibration"),
        ("att.compressor.ape", "position bias"),
        ("att.out_proj.weight_integer", "integer copy of the weights"),
    ] {
        buffers.extend(layers(2, &[(&format!("trf_blocks.{{l}}.{name}"), [30, 30])]));
        let path = model(folder.path(), "buffer.safetensors", &buffers);
        assert_eq!(reasons(&inspect(&path))[&format!("trf_blocks.1.{name}")], reason);
    }
    let scores = |file: &str, tensors: &[(String, [usize; 2])]| {
        let path = model(folder.path(), file, tensors);
        htsr(["score", &path, "--format", "json"]).succeeds().json()["layers"].clone()
    };
    assert_eq!(scores("with.safetensors", &buffers), scores("without.safetensors", &plain));
}

#[test]
fn states_of_the_training_are_scored_only_on_request() {
    let folder = folder();
    let names = ["q", "k", "v", "o"].map(|letter| format!("model.layers.{{l}}.self_attn.{letter}_proj.weight"));
    let of = |prefix: &str| {
        let names: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
        layers(2, &names.iter().map(|name| (name.as_str(), [24, 24])).collect::<Vec<_>>())
    };
    for (state, reason) in [("ema.", "moving average of the weights"), ("optimizer.exp_avg.", "optimizer state")] {
        let path = model(folder.path(), "with.safetensors", &[of(""), of(state)].concat());
        let json = inspect(&path);
        assert_eq!((places(&json).len(), reasons(&json).len()), (8, 8));
        assert!(reasons(&json).values().all(|found| found == reason), "{json}");
        // A pattern that also matches the weights does not ask for the state.
        let json = htsr(["inspect", &path, "--include", "q_proj", "--format", "json"]).succeeds().json();
        assert_eq!(places(&json).len(), 2, "{json}");

        let path = model(folder.path(), "only.safetensors", &of(state));
        let word = state.split('.').next().unwrap();
        let option = format!("--include {word}");
        htsr(["score", &path]).fails(3, &[&format!("8 {reason}"), &option]);
        let json = htsr(["score", &path, "--include", word, "--format", "json"]).succeeds().json();
        assert_eq!(json["layers"].as_array().unwrap().len(), 2);
        assert_eq!(json["layers"][1]["stack"], format!("{state}model"));
    }
}

#[test]
fn matrices_without_layers_are_numbered_by_name_with_a_note() {
    let folder = folder();
    let lstm = [
        ("lstm.weight_hh_l0", [48, 12]),
        ("lstm.weight_ih_l0", [48, 12]),
        ("fc10.weight", [16, 12]),
        ("fc9.weight", [12, 16]),
    ];
    let path = model(folder.path(), "lstm.safetensors", &layers(1, &lstm));
    let json = inspect(&path);
    let expected = [
        ("fc9.weight", "|0|fc9"),
        ("fc10.weight", "|1|fc10"),
        ("lstm.weight_hh_l0", "|2|weight_hh_l0"),
        ("lstm.weight_ih_l0", "|3|weight_ih_l0"),
    ];
    assert_eq!(places(&json), expected.map(|(name, place)| (name.into(), place.into())).into());
    let note = "no numbered layers: each matrix counts as one, in the order of the names";
    assert_eq!(json["notes"][0], note);
    for command in ["inspect", "score"] {
        assert!(htsr([command, &path]).succeeds().stdout.contains(note), "{command}");
    }
    let numbered = model(folder.path(), "layers.safetensors", &layers(2, &SMALL_GPT));
    assert_eq!(inspect(&numbered).get("notes"), None);
}

#[test]
fn further_layers_for_several_tokens_are_the_stack_mtp() {
    let folder = folder();
    let mut tensors = layers(
        4,
        &[("model.layers.{l}.self_attn.q_proj.weight", [16, 16]), ("model.layers.{l}.mlp.up_proj.weight", [16, 16])],
    );
    tensors.push(("model.layers.3.eh_proj.weight".into(), [16, 32]));
    model(folder.path(), "model.safetensors", &tensors);
    let config = r#"{"num_hidden_layers": 3, "num_nextn_predict_layers": 1}"#;
    fs::write(folder.path().join("config.json"), config).unwrap();
    let places = places(&inspect(folder.path().to_str().unwrap()));
    assert_eq!(places["model.layers.2.mlp.up_proj.weight"], "model|2|mlp.up_proj");
    assert_eq!(places["model.layers.3.mlp.up_proj.weight"], "mtp|3|mlp.up_proj");
    assert_eq!(places["model.layers.3.eh_proj.weight"], "mtp|3|eh_proj");
    // Layers 0 to 2 of the stack `mtp` are not missing.
    let run = htsr(["score", folder.path().to_str().unwrap(), "--format", "json"]);
    assert!(!run.succeeds().stderr.contains("nothing to score"), "{}", run.stderr);

    fs::write(folder.path().join("config.json"), "{").unwrap();
    let run = htsr(["inspect", folder.path().to_str().unwrap()]);
    assert!(run.succeeds().stdout.contains("config.json is not used: it is not JSON"), "{}", run.stdout);
}

#[test]
fn scores_saved_under_another_stack_pair_by_their_tensors() {
    let folder = folder();
    let mut tensors = layers(3, &[("model.layers.{l}.self_attn.q_proj.weight", [16, 16])]);
    tensors.push(("model.layers.2.eh_proj.weight".into(), [16, 32]));
    let path = model(folder.path(), "model.safetensors", &tensors);
    let scores = folder.path().join("scores.json");
    let scores = scores.to_str().unwrap();
    htsr(["score", &path, "-o", scores]).succeeds();
    // As a version saved them that took the last layer for one more.
    let saved = folder.path().join("saved.json");
    let text = fs::read_to_string(scores).unwrap();
    assert!(text.contains(r#""stack": "mtp""#));
    fs::write(&saved, text.replace(r#""stack": "mtp""#, r#""stack": "model""#)).unwrap();
    for pair in [[saved.to_str().unwrap(), scores], [scores, saved.to_str().unwrap()]] {
        let json = htsr(["compare", pair[0], pair[1], "--format", "json"]).json();
        assert_eq!(json["layers"].as_array().unwrap().len(), 3, "{json}");
        assert_eq!(json["unpaired_layers"].as_array().unwrap().len(), 0, "{json}");
    }
}

#[test]
fn heads_of_detectors_are_no_stacks() {
    let folder = folder();
    let mut tensors = layers(2, &[("model.layers.{l}.self_attn.q_proj.weight", [16, 16])]);
    tensors.extend(layers(3, &[("bbox_predictor.layers.{l}.weight", [16, 16]), ("class_embed.{l}.weight", [16, 16])]));
    let json = inspect(&model(folder.path(), "model.safetensors", &tensors));
    assert_eq!(places(&json).len(), 2);
    assert!(reasons(&json).values().all(|reason| reason == "head"), "{json}");
}

#[test]
fn the_experts_in_the_rows_of_dbrx_are_split_by_the_number_in_the_config() {
    let folder = folder();
    let names = [
        ("transformer.blocks.{l}.ffn.experts.mlp.w1", [40, 12]),
        ("transformer.blocks.{l}.norm_attn_norm.attn.Wqkv.weight", [24, 12]),
    ];
    let tensors = layers(2, &names);
    model(folder.path(), "model.safetensors", &tensors);
    let path = folder.path().to_str().unwrap();
    let name = "transformer.blocks.0.ffn.experts.mlp.w1";
    assert_eq!(reasons(&inspect(path))[name], "experts stacked in rows");
    fs::write(folder.path().join("config.json"), r#"{"ffn_config": {"moe_num_experts": 4}}"#).unwrap();
    assert_eq!(places(&inspect(path)).len(), 2 * (4 + 1));

    // Each expert has the spectrum of its rows.
    let whole = Tensor::random(40, 12, 1);
    let rows = Tensor { shape: vec![10, 12], bytes: whole.bytes[2 * 120 * 2..][..120 * 2].to_vec(), ..whole };
    let apart = save(folder.path(), "apart.safetensors", [("layers.0.w.weight".to_owned(), rows)]);
    let eigenvalues =
        |path: &str, name: &str| htsr(["esd", path, name, "--format", "json"]).succeeds().json()["eigenvalues"].clone();
    let model = folder.path().join("model.safetensors");
    assert_eq!(
        eigenvalues(model.to_str().unwrap(), &format!("{name}[2]")),
        eigenvalues(apart.to_str().unwrap(), "layers.0.w.weight")
    );
}

#[test]
fn the_heads_of_xlnet_are_one_matrix() {
    let folder = folder();
    let q = Tensor { shape: vec![24, 3, 8], ..Tensor::random(24, 24, 5) };
    let ff = |layer: usize| (format!("transformer.layer.{layer}.ff.layer_1.weight"), Tensor::random(24, 24, 7));
    let name = |layer: usize| format!("transformer.layer.{layer}.rel_attn.q");
    let tensors = [0, 1].into_iter().flat_map(|layer| [(name(layer), q.clone()), ff(layer)]);
    let path = save(folder.path(), "model.safetensors", tensors);
    let path = path.to_str().unwrap();
    let json = inspect(path);
    let matrix = json["matrices"].as_array().unwrap().iter().find(|matrix| matrix["tensor"] == name(1)).unwrap();
    assert_eq!((&matrix["rows"], &matrix["cols"], &matrix["role"]), (&24.into(), &24.into(), &"q".into()));
    let flat = save(folder.path(), "flat.safetensors", [("h.0.q.weight".to_owned(), Tensor::random(24, 24, 5))]);
    let eigenvalues =
        |path: &str, name: &str| htsr(["esd", path, name, "--format", "json"]).succeeds().json()["eigenvalues"].clone();
    assert_eq!(eigenvalues(path, &name(1)), eigenvalues(flat.to_str().unwrap(), "h.0.q.weight"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_tensor_is_scored_or_skipped_once(
        paths in prop::collection::hash_set(prop::collection::vec(prop::sample::select(vec![
            "model", "layers", "blocks", "0", "1", "experts", "expert_1", "encoder_layer_1", "attn", "q_proj", "norm", "lm_head",
            "ema", "weight", "bias", "bbox_embed", "mtp", "wte",
        ]), 1..6), 1..20),
        dimensions in 1_usize..4,
    ) {
        let folder = folder();
        let names: std::collections::BTreeSet<String> = paths.iter().map(|path| path.join(".")).collect();
        let shape = &[3, 4, 5][..dimensions];
        let tensors = names.iter().map(|name| (name.clone(), Tensor::zeros(Dtype::F32, shape)));
        let path = save(folder.path(), "model.safetensors", tensors);
        let checkpoint = htsr::Checkpoint::open(&path).unwrap();
        let catalog = htsr::matrices::Catalog::new(&checkpoint, &htsr::matrices::Selection::default());
        let whole = |name: &str| name.split('[').next().unwrap().to_owned();
        let scored: std::collections::BTreeSet<String> = catalog.matrices.iter().map(|matrix| whole(matrix.name())).collect();
        let skipped: Vec<String> = catalog.skipped.iter().map(|skipped| whole(&skipped.tensor)).collect();
        let all: Vec<String> = scored.iter().cloned().chain(skipped.iter().cloned()).collect();
        prop_assert_eq!(all.len(), names.len(), "{:?}", all);
        prop_assert_eq!(all.into_iter().collect::<std::collections::BTreeSet<_>>(), names);
    }
}
