//! Models with several stacks: which ones take part in an allocation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use htsr::allocate::{AllocationPlan, Budget, LeftOutKind, Rounding, Unit};

use crate::support::{Run, TempDir, Tensor, folder, htsr, save};

/// Llama's attention projections.
const ROLES: [&str; 4] = ["q_proj", "k_proj", "v_proj", "o_proj"];

/// The layers of a stack. Those in `empty` have only zeros, and so no alpha.
fn stack(prefix: &str, layers: u32, empty: &[u32]) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    for layer in 0..layers {
        for (role, index) in ROLES.into_iter().zip(0..) {
            let weight = match empty.contains(&layer) {
                true => Tensor::f32(&[24, 20], &[0.0; 480]),
                false => Tensor::random(24, 20, u64::from(layer) * 10 + index + prefix.len() as u64 * 100),
            };
            tensors.insert(format!("{prefix}.layers.{layer}.self_attn.{role}.weight"), weight);
        }
    }
    tensors
}

/// A decoder of four layers, and an encoder of two whose second layer has no alpha.
fn with_broken_encoder(folder: &TempDir) -> PathBuf {
    let tensors = stack("model.decoder", 4, &[]).into_iter().chain(stack("model.encoder", 2, &[1]));
    save(folder.path(), "model.safetensors", tensors)
}

fn run(command: &str, path: &Path, options: &[&str]) -> Run {
    htsr([command, path.to_str().unwrap()].iter().chain(options))
}

fn scored(folder: &TempDir, model: &Path, code: i32) -> PathBuf {
    let scores = folder.path().join("scores.json");
    run("score", model, &["-q", "-o", scores.to_str().unwrap()]).fails(code, &[]);
    scores
}

/// The experts of each layer with its stack, and those of the allocation's rows.
fn experts(report: &Value) -> (Vec<(String, Option<u64>)>, Vec<u64>) {
    let layer = |row: &Value| (row["stack"].as_str().unwrap().to_owned(), row["experts"].as_u64());
    let layers = report["layers"].as_array().unwrap().iter().map(layer).collect();
    let list = report["allocation"]["experts"].as_array().unwrap();
    (layers, list.iter().map(|experts| experts.as_u64().unwrap()).collect())
}

#[test]
fn an_unscorable_layer_of_a_minor_stack_does_not_take_the_allocation_from_the_others() {
    let folder = folder();
    let model = with_broken_encoder(&folder);
    let warning = "warning: no LoRA experts for stack `model.encoder`: layer 1 of model.encoder has no alpha";
    let hint = "hint: --stack model.decoder leaves it out without this warning";
    let result = run("score", &model, &["--format", "json"]);
    result.fails(4, &["all elements are zero", warning, hint]);
    let report = result.json();
    let (layers, list) = experts(&report);
    assert_eq!(list.iter().sum::<u64>(), 20, "5 for each layer of the decoder");
    for (stack, experts) in &layers {
        assert_eq!(experts.is_some(), stack == "model.decoder", "{stack}");
    }
    let left_out = &report["allocation"]["left_out"];
    assert_eq!(left_out.as_array().unwrap().len(), 1);
    assert_eq!((&left_out[0]["stack"], &left_out[0]["kind"]), (&"model.encoder".into(), &"no_alpha".into()));

    // The same from the saved scores, and the hint works.
    let scores = scored(&folder, &model, 4);
    let again = run("allocate", &scores, &["--format", "json"]);
    again.fails(4, &[warning, hint]);
    assert_eq!(again.json(), report);
    let named = run("allocate", &scores, &["--stack", "model.decoder", "--format", "json"]);
    assert!(!named.succeeds().stderr.contains("warning"), "{}", named.stderr);
    assert_eq!(experts(&named.json()), (layers, list));
    assert_eq!(named.json()["provenance"]["options"]["plan"]["stacks"], Value::from(vec!["model.decoder"]));

    // A table shows the layers without a number, and says why they have none.
    let table = run("allocate", &scores, &[]).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().any(|row| row.starts_with(&["model.encoder", "1", "-", "0", "-", "-"])), "{table}");
    assert!(table.contains("left out") && table.contains("stack `model.encoder`: layer 1"), "{table}");
    let csv = run("allocate", &scores, &["--format", "csv", "--stability"]).stdout;
    // The reader refuses rows of different lengths.
    let records: Vec<csv::StringRecord> =
        csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(|record| record[4].is_empty() == (&record[0] == "model.encoder")), "{csv}");
}

#[test]
fn an_unscorable_layer_of_the_main_stack_takes_the_allocation() {
    let folder = folder();
    let tensors = stack("model.decoder", 3, &[2]).into_iter().chain(stack("model.encoder", 2, &[]));
    let model = save(folder.path(), "model.safetensors", tensors);
    run("score", &model, &[]).fails(4, &["no allocation: layer 2 of model.decoder has no alpha", "--stack"]);
    let scores = scored(&folder, &model, 4);
    run("allocate", &scores, &[]).fails(3, &["no allocation: layer 2 of model.decoder has no alpha"]);
    let encoder = run("allocate", &scores, &["--stack", "model.encoder", "--format", "json"]);
    let (layers, list) = experts(&encoder.succeeds().json());
    assert_eq!((list.len(), list.iter().sum::<u64>()), (2, 10));
    assert!(layers.iter().all(|(stack, experts)| experts.is_some() == (stack == "model.encoder")));

    // Two stacks of the same number of layers: neither is minor.
    let tensors = stack("model.decoder", 2, &[]).into_iter().chain(stack("model.encoder", 2, &[1]));
    let model = save(folder.path(), "model.safetensors", tensors);
    run("score", &model, &[]).fails(4, &["no allocation: layer 1 of model.encoder has no alpha"]);
    // Rules that need no alphas leave nothing out.
    let scores = scored(&folder, &model, 4);
    let uniform = run("allocate", &scores, &["--allocate", "uniform", "--format", "json"]);
    assert_eq!(experts(&uniform.succeeds().json()).1.len(), 4);
}

#[test]
fn stacks_are_chosen_by_name() {
    let folder = folder();
    let tensors = stack("model.decoder", 4, &[]).into_iter().chain(stack("model.encoder", 2, &[]));
    let model = save(folder.path(), "model.safetensors", tensors);
    let total = |options: &[&str]| {
        let report = run("score", &model, &[&["--format", "json"], options].concat()).succeeds().json();
        assert!(report["allocation"]["left_out"].as_array().is_none_or(|left_out| left_out[0]["kind"] == "not_named"));
        let (layers, list) = experts(&report);
        let with_experts = layers.iter().filter(|(_, experts)| experts.is_some()).count();
        assert_eq!(with_experts, list.len());
        (list.len(), list.iter().sum::<u64>())
    };
    assert_eq!(total(&[]), (6, 20));
    assert_eq!(total(&["--stack", "model.encoder"]), (2, 10));
    assert_eq!(total(&["--stack", "model.decoder"]), (4, 20));
    assert_eq!(total(&["--stack", "model.encoder", "--stack", "model.decoder"]), (6, 20));
    assert_eq!(total(&["--stack", "model.encoder", "--experts", "7"]), (2, 7));

    let scores = scored(&folder, &model, 0);
    let unknown = ["no layer is in a stack `encoder`", "hint: --stack takes one of `model.decoder`, `model.encoder`"];
    for (command, path) in [("score", &model), ("allocate", &scores)] {
        run(command, path, &["--stack", "encoder"]).fails(2, &unknown);
    }
    run("export", &scores, &["--to", "csv", "--allocate", "rank", "--stack", "encoder"]).fails(2, &unknown);
    run("export", &scores, &["--to", "csv", "--stack", "model.encoder"])
        .fails(2, &["--stack changes an allocation", "hint: add --allocate"]);
    for path in [&model, &scores] {
        run("compare", path, &[scores.to_str().unwrap(), "--stack", "encoder"]).fails(2, &unknown);
    }
    let compared = run("compare", &scores, &[model.to_str().unwrap(), "--stack", "model.encoder", "--format", "json"]);
    let compared = compared.succeeds().json();
    let rows = compared["layers"].as_array().unwrap();
    let is_named = |row: &&Value| row["stack"] == "model.encoder";
    assert!(rows.iter().all(|row| row["experts_a"].is_number() == is_named(&row)));
    assert_eq!(compared["moved_experts"], 0);
}

#[test]
fn groups_other_than_layers_leave_out_whole_stacks_too() {
    let folder = folder();
    let scores = scored(&folder, &with_broken_encoder(&folder), 4);
    for (group, rows) in [("matrix", 16), ("role", 4)] {
        let options = ["--allocate", "rank", "--group", group, "--format", "json"];
        let result = run("allocate", &scores, &options);
        let report = result.json();
        // Only a matrix has no alpha; the roles of the encoder have those of its first layer.
        let expected = if group == "matrix" { (4, rows) } else { (0, 2 * rows) };
        assert_eq!((result.code, report["allocation"]["rows"].as_array().unwrap().len()), expected, "{group}");
    }
    let csv = run("allocate", &scores, &["--group", "matrix", "--format", "csv"]);
    csv.fails(
        4,
        &["no LoRA experts for stack `model.encoder`: tensor `model.encoder.layers.1.self_attn.k_proj.weight`"],
    );
    assert_eq!(csv.stdout.lines().count(), 1 + 24);
}

#[test]
fn exports_skip_stacks_without_numbers() {
    let folder = folder();
    let scores = scored(&folder, &with_broken_encoder(&folder), 4);
    let sentence = "for stack `model.encoder`: layer 1 of model.encoder has no alpha";
    let peft = run("export", &scores, &["--to", "peft", "--allocate", "rank"]);
    peft.fails(4, &["no LoRA ranks", sentence]);
    let peft = peft.json();
    assert_eq!(peft["rank_pattern"].as_object().unwrap().len(), 16);
    // Short names would give the modules of the encoder an adapter, too.
    let modules: Vec<&str> = peft["target_modules"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(modules.len(), 16);
    assert!(modules.iter().all(|module| module.starts_with("model.decoder.layers.")), "{modules:?}");

    let optimizer =
        run("export", &scores, &["--to", "optimizer", "--allocate", "tempbalance", "--stack", "model.decoder"]);
    assert_eq!(optimizer.succeeds().json()["groups"].as_array().unwrap().len(), 16);
    let options = ["--to", "mola", "--allocate", "alphalora", "--stack"];
    let mola = run("export", &scores, &[&options[..], &["model.decoder"]].concat()).succeeds().stdout.clone();
    let list = mola.split_whitespace().nth(1).unwrap();
    let numbers: Vec<u64> = list.split(',').map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers.iter().sum::<u64>()), (4, 20));
    // Positions in a list are clear for one stack only.
    let both = run("export", &scores, &["--to", "mola", "--allocate", "uniform"]);
    both.fails(2, &["mola supports one stack of layers", "`model.decoder` and `model.encoder`", "--stack"]);
    let pruning = ["--to", "llm-compressor", "--allocate", "alphapruning", "--sparsity", "0.5"];
    let recipe = run("export", &scores, &pruning);
    recipe.fails(4, &["no sparsities", sentence]);
    assert!(recipe.stdout.contains("model.decoder.layers.3") && !recipe.stdout.contains("model.encoder"));
    // The table has all layers, and the parameters of the recipe are those of the decoder.
    let csv = run("export", &scores, &["--to", "csv", "--stack", "model.decoder", "--allocate", "uniform"]);
    assert_eq!(csv.succeeds().stdout.lines().count(), 1 + 6);
}

#[test]
fn both_models_of_a_comparison_get_experts_for_the_same_layers() {
    let folder = folder();
    let broken = with_broken_encoder(&folder);
    let tensors = stack("model.decoder", 4, &[]).into_iter().chain(stack("model.encoder", 2, &[]));
    let whole = save(folder.path(), "whole.safetensors", tensors);
    for (a, b) in [(&broken, &whole), (&whole, &broken)] {
        let result = run("compare", a, &[b.to_str().unwrap(), "--format", "json"]);
        result.fails(4, &["no LoRA experts for stack `model.encoder`: layer 1 of model.encoder has no alpha"]);
        let compared = result.json();
        for row in compared["layers"].as_array().unwrap() {
            let expected = row["stack"] == "model.decoder";
            assert_eq!((row["experts_a"].is_number(), row["experts_b"].is_number()), (expected, expected), "{row}");
        }
        // The decoders are equal.
        assert_eq!(compared["moved_experts"], 0);
    }
}

/// A layer of a stack.
fn unit(stack: usize, layer: u32, alpha: Option<f64>) -> Unit {
    let mut unit = Unit::of_layer(layer, 1.0);
    (unit.stack, unit.alpha) = (format!("s{stack}"), alpha);
    unit
}

proptest! {
    #[test]
    fn the_budget_is_met_by_the_stacks_that_take_part(
        stacks in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 1.1f64..8.0), 1..6), 1..5),
        experts in 30u32..200,
    ) {
        let mut units = Vec::new();
        for (stack, alphas) in stacks.iter().enumerate() {
            units.extend(alphas.iter().zip(0..).map(|(alpha, layer)| unit(stack, layer, *alpha)));
        }
        let layers: Vec<(String, u32)> = units.iter().map(|unit| (unit.stack.clone(), unit.layer.unwrap())).collect();
        let layers = layers.iter().map(|(stack, layer)| (stack.as_str(), *layer));
        let budget = Budget::default().with_experts(experts).with_rounding(Rounding::LargestRemainder);
        let plan = AllocationPlan::experts(budget);
        let most = stacks.iter().map(Vec::len).max().unwrap();
        let complete = |alphas: &[Option<f64>]| alphas.iter().all(Option::is_some);
        let (taken, left_out) = plan.participants(units.clone(), layers).unwrap();
        prop_assert!(left_out.iter().all(|left_out| left_out.kind == LeftOutKind::NoAlpha));
        for (stack, alphas) in stacks.iter().enumerate() {
            let name = format!("s{stack}");
            let takes_part = complete(alphas) || alphas.len() == most;
            prop_assert_eq!(left_out.iter().any(|left_out| left_out.stack == name), !takes_part);
            let count = taken.iter().filter(|unit| unit.stack == name).count();
            prop_assert_eq!(count, if takes_part { alphas.len() } else { 0 });
        }
        let refused = stacks.iter().any(|alphas| alphas.len() == most && !complete(alphas));
        let allocation = plan.allocate(taken);
        prop_assert_eq!(allocation.is_err(), refused);
        if let Ok(allocation) = allocation {
            prop_assert_eq!(allocation.whole_values().unwrap().iter().sum::<u32>(), experts);
            // Naming the stacks that take part gives the same.
            let mut named: Vec<String> = allocation.rows.iter().map(|row| row.unit.stack.clone()).collect();
            named.dedup();
            let again = plan.with_stacks(named).allocate(units).unwrap();
            prop_assert_eq!(again.rows, allocation.rows);
        }
    }
}

#[test]
fn heads_for_multi_token_prediction_get_numbers_only_if_named() {
    let folder = folder();
    // As in DeepSeek-V3: one more layer, which joins a hidden state with an embedding.
    let mut tensors = stack("model", 5, &[]);
    tensors.insert("model.layers.4.eh_proj.weight".into(), Tensor::random(20, 40, 3));
    let model = save(folder.path(), "model.safetensors", tensors);
    let config = r#"{"model_type": "deepseek_v3", "num_hidden_layers": 4, "num_nextn_predict_layers": 1}"#;
    fs::write(folder.path().join("config.json"), config).unwrap();
    let note =
        "no LoRA experts for stack `mtp`: a head for multi-token prediction (--stack model --stack mtp includes it)";
    let result = run("score", &model, &["--format", "json"]);
    result.fails(0, &[note]);
    assert!(!result.stderr.contains("warning"), "{}", result.stderr);
    assert!(!run("score", &model, &["-q"]).succeeds().stderr.contains("mtp"));
    let report = result.json();
    assert_eq!(report["allocation"]["left_out"][0]["kind"], "multi_token_prediction");
    let (layers, list) = experts(&report);
    assert_eq!((list.len(), list.iter().sum::<u64>()), (4, 20));
    assert_eq!(layers.last(), Some(&("mtp".to_owned(), None)));
    // Even for rules without alphas; and the note works.
    let scores = scored(&folder, &model, 0);
    let uniform = run("allocate", &scores, &["--allocate", "uniform", "--format", "json"]).succeeds().json();
    assert_eq!(experts(&uniform).1, [5; 4]);
    let both = ["--stack", "model", "--stack", "mtp", "--experts", "30", "--format", "json"];
    assert_eq!(experts(&run("allocate", &scores, &both).succeeds().json()).1.len(), 5);
    // Positions in a list are those of the layers that the model runs.
    let mola = run("export", &scores, &["--to", "mola"]);
    mola.fails(0, &[note]);
    assert_eq!(mola.stdout.split_whitespace().nth(1).unwrap().split(',').count(), 4);
}
