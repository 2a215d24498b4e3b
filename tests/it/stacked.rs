//! Experts stacked in one three-dimensional tensor, compared with the same experts in separate tensors.

use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{TempDir, Tensor, folder, htsr, projection, random, save};

/// Role and shape of the experts' matrices.
const ROLES: [(&str, [usize; 2]); 2] = [("gate_up_proj", [24, 40]), ("down_proj", [20, 24])];
const LAYERS: usize = 2;

fn stack(layer: usize, role: &str) -> String {
    format!("model.layers.{layer}.mlp.experts.{role}")
}

fn separate(layer: usize, expert: usize, role: &str) -> String {
    format!("model.layers.{layer}.mlp.experts.{expert}.{role}.weight")
}

/// Saves two layers with this number of experts: once stacked, once in separate tensors.
fn models(experts: usize) -> (TempDir, [PathBuf; 2]) {
    let folder = folder();
    let [mut stacked, mut apart] = [Vec::new(), Vec::new()];
    for layer in 0..LAYERS {
        let attention = Tensor::random(24, 24, layer as u64);
        stacked.push((projection(layer, 'q'), attention.clone()));
        apart.push((projection(layer, 'q'), attention));
        for (role, [rows, cols]) in ROLES {
            let seed = |expert: usize| (100 + 10 * layer + expert + role.len()) as u64;
            let all: Vec<f64> = (0..experts).flat_map(|expert| random(rows * cols, seed(expert))).collect();
            stacked.push((stack(layer, role), Tensor::bf16(&[experts, rows, cols], &all)));
            let one = |expert| (separate(layer, expert, role), Tensor::random(rows, cols, seed(expert)));
            apart.extend((0..experts).map(one));
        }
        stacked.push((format!("{}_bias", stack(layer, "down_proj")), Tensor::zeros(Dtype::BF16, &[experts, 24])));
        stacked.push((format!("model.layers.{layer}.conv.weight"), Tensor::zeros(Dtype::BF16, &[24, 1, 4])));
    }
    let stacked = save(folder.path(), "stacked.safetensors", stacked);
    let apart = save(folder.path(), "apart.safetensors", apart);
    (folder, [stacked, apart])
}

fn score(path: &Path, arguments: &[&str]) -> Value {
    let score = ["score", path.to_str().unwrap(), "--rule", "median", "--format", "json"];
    htsr(score.iter().chain(arguments)).succeeds().json()
}

fn matrix<'a>(scores: &'a Value, name: &str) -> &'a Value {
    let found = scores["matrices"].as_array().unwrap().iter().find(|row| row["tensor"] == name);
    found.unwrap_or_else(|| panic!("{name} is not among {}", scores["matrices"]))
}

#[test]
fn every_expert_of_a_stack_is_a_matrix() {
    let (_folder, [stacked, apart]) = models(3);
    let (one, other) = (score(&stacked, &[]), score(&apart, &[]));
    for layer in 0..LAYERS {
        for (role, _) in ROLES {
            for expert in 0..3 {
                let slice = matrix(&one, &format!("{}[{expert}]", stack(layer, role)));
                let tensor = matrix(&other, &separate(layer, expert, role));
                for key in ["alpha", "d", "xmin", "tail", "rows", "cols", "layer", "stack", "dtype", "metrics"] {
                    assert_eq!(slice[key], tensor[key], "{key}");
                }
                assert_eq!(slice["role"], format!("mlp.experts.{role}"));
            }
        }
        assert_eq!(one["layers"][layer]["matrices"], 7);
        let [x, y] = [&one, &other].map(|scores| scores["layers"][layer]["alpha"].as_f64().unwrap());
        assert!((x - y).abs() < 1e-12);
    }
    let skipped = one["skipped"].as_array().unwrap();
    let reasons: Vec<&str> = skipped.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["3-dimensional, not a matrix", "bias", "3-dimensional, not a matrix", "bias"]);
}

#[test]
fn experts_of_a_stack_are_chosen_and_shown_by_name() {
    let (_folder, [stacked, _]) = models(11);
    let path = stacked.to_str().unwrap();
    let scores = score(&stacked, &["--include", r"down_proj\[\d\]"]);
    assert_eq!(scores["matrices"].as_array().unwrap().len(), LAYERS * 10);
    assert!(
        scores["skipped"].as_array().unwrap().iter().any(|row| row["reason"] == "not matched by an include pattern")
    );
    let shown = htsr(["esd", path, "0.mlp.experts.down_proj[10]", "--format", "json"]).succeeds().json();
    assert_eq!(shown["matrix"]["tensor"], stack(0, "down_proj[10]"));
    let inspected = htsr(["inspect", path, "--by", "tensor", "--format", "csv"]).succeeds().stdout.clone();
    let named = |line: &&str| line.starts_with(&stack(1, "gate_up_proj["));
    let experts: Vec<&str> = inspected.lines().filter(named).collect();
    assert_eq!(experts.len(), 11);
    assert!(
        experts[9].starts_with(&stack(1, "gate_up_proj[9]")) && experts[10].starts_with(&stack(1, "gate_up_proj[10]"))
    );
}

#[test]
fn differences_of_stacks_are_taken_expert_by_expert() {
    let (folder, [stacked, _]) = models(3);
    let shifted = |path: &Path, file: &str| {
        let mut bytes = std::fs::read(path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        // The signs of some elements differ.
        bytes[header + 1..].iter_mut().step_by(2 * 7).for_each(|byte| *byte ^= 0x80);
        let path = folder.path().join(file);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let base = shifted(&stacked, "base.safetensors");
    // Most elements are unchanged.
    let scores = score(&stacked, &["--floor", "none", "--base", base.to_str().unwrap()]);
    assert_eq!(scores["matrices"].as_array().unwrap().len(), LAYERS * 7);
    let slice = matrix(&scores, &stack(1, "down_proj[2]"));
    assert_eq!(slice["update"]["kind"], "difference");

    // The same difference, for one separate expert.
    let read = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let all = tensors.tensor(&stack(1, "down_proj")).unwrap();
        let numbers =
            all.data().chunks_exact(2).skip(2 * 20 * 24).map(|x| half::bf16::from_le_bytes([x[0], x[1]]).to_f64());
        numbers.collect::<Vec<f64>>()
    };
    let difference: Vec<f64> = read(&stacked).iter().zip(read(&base)).map(|(x, y)| x - y).collect();
    let alone = save(folder.path(), "alone.safetensors", [(projection(1, 'o'), Tensor::f64(&[20, 24], &difference))]);
    assert_eq!(slice["alpha"], matrix(&score(&alone, &[]), &projection(1, 'o'))["alpha"]);

    let (_other, [fewer, _]) = models(2);
    let run = htsr(["score", stacked.to_str().unwrap(), "--base", fewer.to_str().unwrap(), "--format", "json"]);
    let skipped = run.json()["skipped"].clone();
    let unpaired: Vec<&str> = skipped
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["unpaired"] == true)
        .map(|row| row["tensor"].as_str().unwrap())
        .collect();
    let expected: Vec<String> =
        (0..LAYERS).flat_map(|layer| ["down_proj[2]", "gate_up_proj[2]"].map(|role| stack(layer, role))).collect();
    assert_eq!(unpaired, expected);
}

#[test]
fn exports_name_the_stack_or_refuse() {
    let (folder, [stacked, _]) = models(3);
    let path = folder.path().join("scores.json");
    let scores = path.to_str().unwrap();
    htsr(["score", stacked.to_str().unwrap(), "--rule", "median", "-o", scores]).succeeds();
    let export = |target: &str, arguments: &[&str]| htsr(["export", scores, "--to", target].iter().chain(arguments));

    let groups = export("optimizer", &["--allocate", "tempbalance", "--group", "layer"]).succeeds().json();
    let names = ["down_proj", "gate_up_proj"].map(|role| regex::escape(&stack(1, role)));
    let attention = regex::escape(&projection(1, 'q'));
    assert_eq!(groups["groups"][1]["pattern"], format!("^(?:{}|{}|{attention})$", names[0], names[1]));
    let by_matrix = export("optimizer", &["--allocate", "tempbalance", "--group", "matrix"]);
    by_matrix.fails(
        2,
        &["mlp.experts.down_proj", "one parameter with several matrices", "hint: allocate with --group layer"],
    );
    let ranks = export("peft", &["--allocate", "rank", "--rank", "8"]);
    ranks.fails(2, &["down_proj[0]", "not the weight of its own module", "hint: exclude it when scoring"]);
}
