//! `htsr compare`: two models side by side, given as checkpoints or as saved scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, TempDir, Tensor, folder, htsr, projection, root, save, small_model};

/// Saves a model of three layers under `stack`. Each has q of 24 x 24, and `seed` determines the alphas.
fn model(folder: &Path, file: &str, stack: &str, seed: u64) -> PathBuf {
    let tensors: BTreeMap<String, Tensor> = (0..3)
        .map(|layer| {
            let name = projection(layer, 'q').replacen("model.", stack, 1);
            (name, Tensor::random(24, 24, seed + layer as u64))
        })
        .collect();
    save(folder, file, tensors)
}

fn pair() -> (TempDir, [PathBuf; 2]) {
    let folder = folder();
    let paths =
        [model(folder.path(), "a.safetensors", "model.", 1), model(folder.path(), "b.safetensors", "model.", 20)];
    (folder, paths)
}

fn compare(a: &Path, b: &Path, arguments: &[&str]) -> Run {
    htsr(["compare", a.to_str().unwrap(), b.to_str().unwrap(), "-q"].iter().chain(arguments))
}

fn scores(path: &Path, file: &str, arguments: &[&str]) -> PathBuf {
    let output = path.parent().unwrap().join(file);
    let words = ["score", path.to_str().unwrap(), "-q", "-o", output.to_str().unwrap()];
    htsr(words.iter().chain(arguments)).succeeds();
    output
}

fn json(run: &Run) -> Value {
    run.succeeds().json()
}

#[test]
fn the_numbers_equal_those_of_score() {
    let (_folder, [a, b]) = pair();
    let options = ["--experts", "12", "--format", "json"];
    let of = |path: &Path| htsr(["score", path.to_str().unwrap()].iter().chain(&options)).json();
    let (one, other) = (of(&a), of(&b));
    let compared = json(&compare(&a, &b, &options));
    assert_eq!((&compared["a"], &compared["b"]), (&one["provenance"], &other["provenance"]));
    assert_eq!(compared["schema"], 1);
    for (index, row) in compared["layers"].as_array().unwrap().iter().enumerate() {
        let (x, y) = (&one["layers"][index], &other["layers"][index]);
        assert_eq!((&row["alpha_a"], &row["alpha_b"]), (&x["alpha"], &y["alpha"]));
        let difference = y["alpha"].as_f64().unwrap() - x["alpha"].as_f64().unwrap();
        assert_eq!(row["alpha_difference"].as_f64().unwrap(), difference);
        let moved = y["experts"].as_i64().unwrap() - x["experts"].as_i64().unwrap();
        assert_eq!(row["experts_difference"].as_i64().unwrap(), moved);
    }
    assert_eq!(compared["matrices"].as_array().unwrap().len(), 3);
    assert_eq!(compared["matrices"][1]["tensor_a"], projection(1, 'q'));
    assert_eq!(compared["matrices"][1]["alpha_b"], other["matrices"][1]["alpha"]);
    for list in ["unpaired_layers", "unpaired_matrices"] {
        assert_eq!(compared[list], Value::Array(Vec::new()));
    }
    let same = json(&compare(&a, &a, &options));
    assert_eq!((&same["rank_correlation"]["layers"], &same["moved_experts"]), (&1.0.into(), &0.into()));
}

#[test]
fn saved_scores_give_the_same_comparison_as_checkpoints() {
    let (_folder, [a, b]) = pair();
    let expected = json(&compare(&a, &b, &["--experts", "9", "--format", "json"]));
    let (saved_a, saved_b) = (scores(&a, "a.json", &["--experts", "9"]), scores(&b, "b.json", &["--experts", "30"]));
    // Without a budget option, the budget of the first saved scores applies to both.
    for (a, b) in [(&saved_a, &b), (&saved_a, &saved_b)] {
        assert_eq!(json(&compare(a, b, &["--format", "json"])), expected);
    }
    let csv = scores(&b, "b.csv", &[]);
    let from_csv = json(&compare(&saved_a, &csv, &["--format", "json"]));
    assert_eq!(from_csv["layers"], expected["layers"]);
    assert_eq!(from_csv["matrices"], Value::Array(Vec::new()));
    assert_eq!(from_csv["unpaired_matrices"].as_array().unwrap().len(), 3);
}

#[test]
fn each_model_gets_the_default_for_its_own_layers() {
    let (folder, [a, _]) = pair();
    let b = save(folder.path(), "two.safetensors", small_model());
    let experts = |compared: &Value| ["a", "b"].map(|side| compared[side]["options"]["experts"].as_u64().unwrap());
    let (saved_a, saved_b) = (scores(&a, "a.json", &[]), scores(&b, "b.json", &[]));
    for (one, other) in [(&a, &b), (&saved_a, &b), (&a, &saved_b), (&saved_a, &saved_b)] {
        assert_eq!(experts(&json(&compare(one, other, &["--format", "json"]))), [15, 10]);
    }
    assert!(compare(&b, &a, &[]).succeeds().stdout.contains("a 10, b 15 experts by alpha^2.5"));
    assert_eq!(experts(&json(&compare(&a, &b, &["--format", "json", "--experts", "12"]))), [12, 12]);
    let chosen = scores(&a, "chosen.json", &["--experts", "20"]);
    assert_eq!(experts(&json(&compare(&b, &chosen, &["--format", "json"]))), [20, 20]);
}

#[test]
fn results_are_printed_in_every_format_by_layer_and_by_matrix() {
    let (_folder, [a, b]) = pair();
    let table = compare(&a, &b, &["--experts", "12"]).succeeds().stdout.clone();
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    let columns = ["layer", "alpha_a", "alpha_b", "alpha_difference", "experts_a", "experts_b", "experts_difference"];
    assert_eq!(words, columns);
    assert!(table.contains("rank correlation  ") && table.contains(" over 3 layers, "), "{table}");
    assert!(table.contains("both 12 experts by alpha^2.5, reference rounding; "), "{table}");
    let matrices = compare(&a, &b, &["--by", "matrix", "--format", "csv"]).succeeds().stdout.clone();
    assert!(
        matrices.starts_with("tensor_a,tensor_b,layer,role,alpha_a,alpha_b,alpha_difference,rule_a,rule_b,input_a")
    );
    assert_eq!(matrices.lines().count(), 4);
    assert!(compare(&a, &b, &["--format", "md"]).succeeds().stdout.starts_with("| layer | alpha_a |"));
}

#[test]
fn unpaired_layers_and_matrices_are_listed() {
    let folder = folder();
    let a = model(folder.path(), "a.safetensors", "model.", 1);
    let b = save(
        folder.path(),
        "b.safetensors",
        [
            ("other.layers.2.self_attn.q_proj.weight".to_owned(), Tensor::random(24, 24, 4)),
            ("other.layers.2.self_attn.k_proj.weight".to_owned(), Tensor::random(24, 24, 5)),
            ("other.layers.3.self_attn.q_proj.weight".to_owned(), Tensor::random(24, 24, 6)),
        ],
    );
    let run = compare(&a, &b, &["--format", "json"]);
    let compared = json(&run);
    let matrix = &compared["matrices"][0];
    assert_eq!((&matrix["tensor_a"], &matrix["layer"]), (&projection(2, 'q').into(), &2.into()));
    assert_eq!(matrix["tensor_b"], "other.layers.2.self_attn.q_proj.weight");
    let names = |list: &str| -> Vec<String> {
        let item = |item: &Value| format!("{} {}", item["in"].as_str().unwrap(), item["name"].as_str().unwrap());
        compared[list].as_array().unwrap().iter().map(item).collect()
    };
    assert_eq!(names("unpaired_layers"), ["a layer 0 of model", "a layer 1 of model", "b layer 3 of other"]);
    assert_eq!(names("unpaired_matrices").len(), 4);
    assert_eq!(compared["moved_experts"], Value::Null);
    assert_eq!(compared["rank_correlation"]["layers"], Value::Null);
    let table = compare(&a, &b, &[]).succeeds().stdout.clone();
    assert!(
        table.contains("layers only in    a: layer 0 of model, layer 1 of model; b: layer 3 of other\n"),
        "{table}"
    );
    assert!(table.contains("none over 1 layer, none over 1 matrix (Spearman"), "{table}");

    let elsewhere = save(folder.path(), "c.safetensors", [(projection(9, 'q'), Tensor::random(24, 24, 4))]);
    compare(&a, &elsewhere, &[])
        .fails(3, &["a.safetensors: no layer pairs with one of ", "hint: layers pair by stack"]);
}

#[test]
fn an_adapter_is_compared_with_its_model() {
    let folder = folder();
    let names = ["q_proj", "v_proj"].map(|role| format!("model.layers.0.self_attn.{role}.weight"));
    let tensors = names.clone().map(|name| (name, Tensor::random(24, 24, 3)));
    let model = save(folder.path(), "model.safetensors", tensors);
    let adapter = root().join("tests/data/adapter");
    let run = compare(&model, &adapter, &["--format", "json", "--exclude", "0.mlp.down_proj"]);
    let compared = json(&run);
    let paired: Vec<&Value> = compared["matrices"].as_array().unwrap().iter().map(|row| &row["tensor_b"]).collect();
    assert_eq!(paired, names.iter().collect::<Vec<_>>());
}

#[test]
fn inputs_that_cannot_be_compared_are_refused() {
    let (folder, [a, b]) = pair();
    let median = scores(&a, "median.json", &["--rule", "median"]);
    let hint = "score both with --rule median";
    compare(&median, &b, &[]).fails(2, &["median.json has alphas of the median rule, ", " of the peak rule", hint]);
    compare(&b, &median, &[]).fails(2, &[hint]);
    compare(&b, &median, &["--rule", "median"]).succeeds();
    let table = scores(&b, "peak.csv", &[]);
    compare(&table, &median, &[]).fails(2, &["peak.csv has alphas of the peak rule, "]);
    compare(&median, &median, &["--layers", "0"]).fails(2, &["a selection applies to checkpoints only", "hint: "]);
    compare(&median, &median, &["--rule", "ks"]).fails(2, &["both files contain scores; --rule", "hint: "]);
    compare(&a, Path::new("/no/such.json"), &[]).fails(3, &["/no/such.json: cannot be read"]);
    let overwrite = ["-o", median.to_str().unwrap()];
    compare(&median, &median, &overwrite).fails(2, &["median.json: ", "would be overwritten"]);

    // A layer without an alpha is shown, and its model gets no experts.
    let mut tensors = small_model();
    tensors.insert(projection(1, 'q'), Tensor::f32(&[24, 24], &[0.0; 576]));
    tensors.insert(projection(1, 'o'), Tensor::f32(&[24, 24], &[0.0; 576]));
    let failing = save(folder.path(), "failing.safetensors", tensors);
    let good = save(folder.path(), "good.safetensors", small_model());
    let run = compare(&good, &failing, &["--format", "json"]);
    run.fails(4, &["all elements are zero", "no allocation: layer 1 of model has no alpha"]);
    let table = compare(&good, &failing, &[]).stdout;
    assert!(table.contains("none over 1 layer, ") && table.contains(" over 2 matrices "), "only alphas count: {table}");
    let layer = &run.json()["layers"][1];
    assert_eq!((&layer["alpha_b"], &layer["alpha_difference"]), (&Value::Null, &Value::Null));
    assert!(layer["alpha_a"].is_number() && layer["experts_a"].is_number() && layer["experts_b"].is_null());
}
