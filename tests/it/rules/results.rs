//! The numbers that each rule allocates.

use std::fs;

use htsr::allocate::{Aggregate, AllocationPlan, AllocationRule, AlphaPruning, Group, Ranks, units};
use htsr::score::{MatrixScore, layers};
use serde_json::Value;

use super::{allocate, json, saved, values};
use crate::scores::{Scored, report, small_llama};
use crate::support::{data, folder, htsr, save, small_model};

/// The matrices of a published model with their published alphas.
fn published(models: &Value, case: &Value) -> Vec<MatrixScore> {
    let roles = models["columns"].as_array().unwrap();
    let shapes = case["shapes"].as_array().unwrap();
    let mut rows = Vec::new();
    for (layer, alphas) in (0..).zip(models["models"][case["model"].as_str().unwrap()]["alpha"].as_array().unwrap()) {
        for ((role, alpha), shape) in roles.iter().zip(alphas.as_array().unwrap()).zip(shapes) {
            let shape = [0, 1].map(|side| shape[side].as_u64().unwrap() as usize);
            let role: &'static str = role.as_str().unwrap().to_owned().leak();
            rows.push(Scored { layer, role, shape, alpha: alpha.as_f64() }.row());
        }
    }
    rows
}

#[test]
fn the_budget_of_a_uniform_rank_is_met_exactly_on_all_seven_models() {
    let (models, cases) = (data("llama_alpha_peak.json"), data("alphapruning.json"));
    let cases = cases["cases"].as_array().unwrap().iter().filter(|case| case["mapping"] == "layer_wise");
    for case in cases {
        let rows = published(&models, case);
        for (group, ranks) in [(Group::Matrix, [8, 16, 64]), (Group::Layer, [2, 8, 64])] {
            for rank in ranks {
                let rule = AllocationRule::Rank(Ranks::default().with_rank(rank));
                let plan = AllocationPlan::new(rule).with_group(group);
                let allocation = plan.allocate(units(&rows, &layers(&rows), group, Aggregate::Mean).unwrap()).unwrap();
                let budget = allocation.budget.unwrap();
                assert_eq!((budget.met, budget.why), (budget.asked, None), "{} {group} {rank}", case["model"]);
            }
        }
    }
}

#[test]
fn alphapruning_matches_the_published_function_on_all_seven_models() {
    let (models, expected) = (data("llama_alpha_peak.json"), data("alphapruning.json"));
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 21);
    for case in cases {
        let name = case["model"].as_str().unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        let rows = published(&models, case);
        let group = if case["mapping"] == "block_wise" { Group::Layer } else { Group::Matrix };
        let pruning = AlphaPruning::new(number(&case["sparsity"])).with_epsilon(number(&case["epsilon"]));
        let plan = AllocationPlan::new(AllocationRule::AlphaPruning(pruning)).with_group(group);
        let allocation = plan.allocate(units(&rows, &layers(&rows), group, Aggregate::Mean).unwrap()).unwrap();
        let expected = case["expected"].as_array().unwrap();
        assert_eq!(allocation.rows.len(), expected.len());
        for (row, expected) in allocation.rows.iter().zip(expected) {
            let (found, expected) = (row.value.real(), number(expected));
            assert!((found / expected - 1.0).abs() < 1e-12, "{name} {}: {found} {expected}", row.unit.name());
        }
        assert!(allocation.notes.is_empty() && allocation.budget.unwrap().why.is_none());
    }
}

#[test]
fn uniform_and_mola_allocate_experts_without_alphas() {
    let folder = folder();
    let csv = folder.path().join("scores.csv");
    fs::write(&csv, "layer,alpha\n0,3\n1,\n2,2\n3,2\n4,5\n5,1.1\n").unwrap();
    assert_eq!(values(&json(&csv, &["--allocate", "uniform", "--experts", "20"])), [4.0, 4.0, 3.0, 3.0, 3.0, 3.0]);
    let mola = json(&csv, &["--allocate", "mola"]);
    assert_eq!(values(&mola), [2.0, 2.0, 4.0, 6.0, 6.0, 8.0]);
    assert_eq!(mola["allocation"]["rule"], "mola");
    assert_eq!(mola["allocation"]["total"], 28);
    assert_eq!(
        mola["allocation"]["experts"],
        mola["layers"].as_array().unwrap().iter().map(|l| l["experts"].clone()).collect::<Value>()
    );
    let table = allocate(&csv, &["--allocate", "mola", "--shape", "8,1,1,1"]);
    assert!(
        table.succeeds().stdout.contains("number_experts  8,8,1,1,1,1\ntop_k           2,2,1,1,1,1\n"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("allocation      20 experts in MoLA's shape 8,1,1,1"), "{}", table.stdout);
    allocate(&csv, &["--allocate", "alphalora"]).fails(3, &["no allocation: layer 1 has no alpha", "hint: "]);
}

#[test]
fn ranks_use_up_their_budget() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    // All layers cost the same: 4 layers of rank 8 share 32 ranks, which rise with alpha.
    let layers = json(&scores, &["--allocate", "rank"]);
    let ranks = values(&layers);
    assert_eq!(ranks.iter().sum::<f64>(), 32.0);
    assert!(ranks.is_sorted() && ranks[0] < ranks[3]);
    let budget = &layers["allocation"]["budget"];
    assert_eq!((&budget["of"], &budget["why"]), (&"trainable parameters".into(), &Value::Null));
    assert_eq!(budget["asked"], budget["met"]);
    for row in layers["allocation"]["rows"].as_array().unwrap() {
        assert_eq!(row["lora_alpha"].as_f64(), row["value"].as_f64(), "lora_alpha / r is 1");
        assert_eq!(row["parameters_per_rank"], 2 * 128 + 2 * 80 + 3 * 224);
    }
    // No combination of ranks meets this budget: the report states what was met, and why.
    let odd =
        json(&scores, &["--allocate", "rank", "--group", "matrix", "--parameters", "50001", "--lora-scaling", "2"]);
    let budget = &odd["allocation"]["budget"];
    assert_eq!((budget["asked"].as_f64(), budget["met"].as_f64()), (Some(50001.0), Some(50000.0)));
    assert!(budget["why"].as_str().unwrap().contains("a multiple of 16 parameters"), "{budget}");
    let spent: f64 = odd["allocation"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!(row["lora_alpha"].as_f64().unwrap(), 2.0 * row["value"].as_f64().unwrap());
            row["value"].as_f64().unwrap() * row["parameters_per_rank"].as_f64().unwrap()
        })
        .sum();
    assert_eq!(spent, 50000.0);
    let table =
        allocate(&scores, &["--allocate", "rank", "--group", "role", "--multiple-of", "4", "--lora-alpha", "16"]);
    assert!(
        table.succeeds().stdout.starts_with("role              alpha  matrices  rank  lora_alpha\nself_attn.q_proj"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("rank by alpha^2.5, multiples of 4"), "{}", table.stdout);
}

#[test]
fn multipliers_span_their_range() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    let rates = json(&scores, &["--allocate", "tempbalance"]);
    assert_eq!(rates["allocation"]["quantity"], "learning_rate");
    assert_eq!(rates["allocation"]["plan"]["group"], "matrix");
    assert_eq!(values(&rates).len(), 28);
    assert_eq!((values(&rates)[0], values(&rates)[27]), (0.5, 1.5));
    let decays = json(&scores, &["--allocate", "alphadecay", "--group", "layer"]);
    for (found, place) in values(&decays).into_iter().zip(0..) {
        assert!((found - (0.666 + (3.0 - 0.666) * f64::from(place) / 3.0)).abs() < 1e-12, "{found}");
    }
    let roots = values(&json(&scores, &["--allocate", "tempbalance", "--map", "sqrt", "--group", "layer"]));
    assert!((roots.iter().sum::<f64>() - 4.0).abs() < 1e-12, "the mean is 1");
}

#[test]
fn clipped_sparsities_are_redistributed_and_reported() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    let result = json(&scores, &["--allocate", "alphapruning", "--sparsity", "0.9"]);
    let sparsities = values(&result);
    assert!((sparsities.iter().sum::<f64>() / 4.0 - 0.9).abs() < 1e-15);
    assert_eq!(sparsities[2..], [1.0, 1.0]);
    assert_eq!(result["allocation"]["rows"][3]["held"], "maximum");
    assert_eq!(
        result["allocation"]["notes"][0],
        "2 of 4 held at the maximum; the difference is spread over the others"
    );
    let flat = json(&scores, &["--allocate", "alphapruning", "--sparsity", "0.5", "--epsilon", "0"]);
    assert_eq!(values(&flat), [0.5; 4]);
    let csv = folder.path().join("scores.csv");
    fs::write(&csv, "layer,alpha\n0,3\n1,2\n").unwrap();
    let unsized_layers = allocate(&csv, &["--allocate", "alphapruning", "--sparsity", "0.5"]);
    assert!(unsized_layers.succeeds().stdout.contains("parameter counts are unknown"), "{}", unsized_layers.stdout);
}

#[test]
fn a_layer_can_be_summarized_by_mean_median_or_weighted_mean() {
    let folder = folder();
    let alphas = [(0, 2.0, 10), (0, 3.0, 10), (0, 10.0, 80), (1, 4.0, 10), (1, 4.0, 10), (1, 4.0, 80)];
    let roles = ["a", "b", "c", "a", "b", "c"];
    let matrices = alphas.iter().zip(roles).map(|(&(layer, alpha, rows), role)| Scored {
        layer,
        role,
        shape: [rows, 10],
        alpha: Some(alpha),
    });
    let scores = saved(&folder, "scores.json", &report(&matrices.collect::<Vec<_>>()));
    for (aggregate, expected) in [("mean", 5.0), ("median", 3.0), ("weighted", 8.5)] {
        let result = json(&scores, &["--aggregate", aggregate]);
        let rows = &result["allocation"]["rows"];
        assert_eq!((rows[0]["alpha"].as_f64(), rows[1]["alpha"].as_f64()), (Some(expected), Some(4.0)), "{aggregate}");
        assert_eq!(result["layers"][0]["alpha"], 5.0, "the score itself stays a mean");
    }
    let roles = json(&scores, &["--group", "role"]);
    assert_eq!(roles["allocation"]["rows"][2]["alpha"], 7.0);
    assert_eq!((&roles["layers"][0]["experts"], &roles["allocation"]["total"]), (&Value::Null, &10.into()));
}

#[test]
fn score_allocates_in_the_same_run() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let scores = folder.path().join("scores.json");
    let options = ["--group", "matrix", "--rank", "4", "--stability", "--stability-draws", "200"];
    let score = ["score", model.to_str().unwrap(), "--allocate", "rank", "-o", scores.to_str().unwrap()];
    htsr(score.iter().chain(&options)).succeeds();
    let saved: Value = serde_json::from_slice(&fs::read(&scores).unwrap()).unwrap();
    assert_eq!(saved["allocation"]["rule"], "rank");
    assert_eq!(saved["provenance"]["options"]["plan"]["rank"], 4);
    assert!(saved["provenance"]["options"].get("experts").is_none(), "ranks have no budget of experts");
    let again: Vec<&str> = ["--allocate", "rank"].iter().chain(&options).copied().collect();
    assert_eq!(json(&scores, &again), saved);
    let table = htsr(["score", model.to_str().unwrap(), "--allocate", "tempbalance"]);
    assert!(table.succeeds().stdout.starts_with("tensor "), "{}", table.stdout);
    let layers = htsr(["score", model.to_str().unwrap(), "--allocate", "tempbalance", "--by", "layer"]);
    assert!(layers.succeeds().stdout.starts_with("layer  alpha  matrices"), "{}", layers.stdout);
    // An impossible budget is refused before anything is computed.
    let run = htsr(["score", model.to_str().unwrap(), "--allocate", "rank", "--parameters", "5"]);
    run.fails(
        2,
        &[
            "a budget of 5 trainable parameters is below the 192 that rank 1 everywhere needs",
            "raise --parameters to 192",
        ],
    );
    assert_eq!(run.stdout, "");
}
