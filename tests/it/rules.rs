//! Every allocation rule on the command line: its results, refused inputs, sweeps, comparisons and stability.

use std::fs;
use std::path::{Path, PathBuf};

use htsr::allocate::{Aggregate, AllocationPlan, AllocationRule, AlphaPruning, Group, Ranks, units};
use htsr::score::{MatrixScore, layers};
use serde_json::Value;

use crate::scores::{Scored, report, small_llama};
use crate::support::{Run, TempDir, data, folder, htsr, save, small_model};

/// Saves these scores to a file.
fn saved(folder: &TempDir, name: &str, report: &Value) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, report.to_string()).unwrap();
    path
}

fn allocate(path: &Path, options: &[&str]) -> Run {
    htsr(["allocate", path.to_str().unwrap()].iter().chain(options))
}

fn json(path: &Path, options: &[&str]) -> Value {
    let options: Vec<&str> = options.iter().chain(&["--format", "json"]).copied().collect();
    allocate(path, &options).succeeds().json()
}

/// Returns the values of the allocation in a JSON report.
fn values(result: &Value) -> Vec<f64> {
    let rows = result["allocation"]["rows"].as_array().unwrap();
    rows.iter().map(|row| row["value"].as_f64().unwrap()).collect()
}

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

#[test]
fn rules_of_fit_are_compared_side_by_side() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let model = model.to_str().unwrap();
    let file = |name: &str| folder.path().join(name);
    let score = |rule: &str, name: &str, more: &[&str]| {
        let path = file(name);
        htsr(["score", model, "--rule", rule, "--precision", "f64", "-o", path.to_str().unwrap()].iter().chain(more))
            .succeeds();
        path
    };
    let all = score("peak", "all.json", &["--compare", "peak,median,ks"]);
    let (median, ks) = (score("median", "median.json", &[]), score("ks", "ks.json", &[]));
    let saved: Value = serde_json::from_slice(&fs::read(&all).unwrap()).unwrap();
    let columns = saved["comparison"]["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 3);
    assert_eq!((&columns[0]["label"], &columns[0]["moved"]), (&"peak".into(), &0.0.into()));
    for (column, other) in columns[1..].iter().zip([&median, &ks]) {
        let own = json(other, &[]);
        let expected: Vec<f64> = values(&own);
        let found: Vec<f64> =
            column["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(found, expected, "{}", column["label"]);
    }
    // One file with three rules, and three files with one rule each, give the same columns.
    let again = json(&all, &["--compare", "peak,median,ks"]);
    assert_eq!(again["comparison"], saved["comparison"]);
    let (median, ks) = (median.to_str().unwrap(), ks.to_str().unwrap());
    let files = json(&score("peak", "peak.json", &[]), &[median, ks]);
    assert_eq!(
        files["comparison"]["columns"],
        saved["comparison"]["columns"].as_array().unwrap()[1..].iter().cloned().collect::<Value>()
    );
    let table = allocate(&all, &["--compare", "median,ks"]);
    assert!(
        table.succeeds().stdout.starts_with("layer  alpha  matrices  experts  top_k  median  ks\n"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("compared        ks: "), "{}", table.stdout);
    allocate(&file("peak.json"), &["--compare", "ks"])
        .fails(2, &["no alphas by the ks rule", "hint: `htsr score MODEL --compare"]);
    // Scores of another model cannot be compared.
    let other = saved_csv(&folder, "layer,alpha\n0,2\n1,3\n2,4\n");
    let run = allocate(&file("peak.json"), &[other.to_str().unwrap()]);
    run.fails(4, &["other.csv: has other layers or matrices"]);
    assert!(run.stdout.contains("number_experts"));
}

fn saved_csv(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("other.csv");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_sweep_has_a_column_for_each_value() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    let result = json(&scores, &["--experts", "160", "--sweep", "beta=0:5:2.5", "--rounding", "largest-remainder"]);
    let columns = result["comparison"]["columns"].as_array().unwrap();
    let labels: Vec<&str> = columns.iter().map(|column| column["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["beta=0", "beta=2.5", "beta=5"]);
    assert_eq!(columns[0]["values"], serde_json::json!([40, 40, 40, 40]));
    assert_eq!((columns[1]["moved"].as_f64(), columns[1]["rank_correlation"].as_f64()), (Some(0.0), Some(1.0)));
    assert!(columns[2]["moved"].as_f64() > Some(0.0));
    let table =
        allocate(&scores, &["--allocate", "alphapruning", "--sparsity", "0.5", "--sweep", "epsilon=0.1:0.3:0.1"]);
    assert!(
        table
            .succeeds()
            .stdout
            .starts_with("layer  alpha  matrices  sparsity  epsilon=0.1  epsilon=0.2  epsilon=0.3\n"),
        "{}",
        table.stdout
    );
    for (options, fragment) in [
        (vec!["--sweep", "color=1:2:1"], "cannot be swept over `color`"),
        (vec!["--sweep", "beta=4:1:1"], "not a range"),
        (vec!["--sweep", "beta=1:4"], "not three numbers"),
        (vec!["--allocate", "mola", "--sweep", "beta=1:4:1"], "the rule mola cannot be swept"),
    ] {
        allocate(&scores, &options).fails(2, &[fragment, "hint: "]);
    }
    // An impossible value leaves a gap in the table, and the sweep continues.
    let run = allocate(&scores, &["--allocate", "rank", "--sweep", "rank=8:32:24"]);
    run.fails(4, &["rank=32: rank 32 on average", "is above the"]);
    assert!(run.stdout.contains("compared") && run.stderr.contains("\nhint: lower --rank to 16"), "{}", run.stderr);
}

#[test]
fn stability_shows_which_allocations_change_within_the_error_bars() {
    let folder = folder();
    let mut report = report(&small_llama());
    let scores = saved(&folder, "scores.json", &report);
    let options = ["--experts", "20", "--stability", "--stability-draws", "2000"];
    let assumed = json(&scores, &options);
    assert_eq!(assumed, json(&scores, &options), "the same seed, the same bytes");
    let stability = &assumed["allocation"]["stability"];
    assert_eq!(
        (&stability["stated"], &stability["assumed"], &stability["draws"]),
        (&0.into(), &28.into(), &2000.into())
    );
    let table = allocate(&scores, &options);
    assert!(
        table.succeeds().stdout.starts_with("layer  alpha  matrices  experts  top_k  low  high"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("assumed to be 5 % of alpha for 28 alphas"), "{}", table.stdout);
    // Errors stated in the scores are used. If all errors are zero, every allocation is determined.
    for matrix in report["matrices"].as_array_mut().unwrap() {
        matrix["metrics"] =
            serde_json::json!({ "alpha_se": 0.0, "alpha_low": matrix["alpha"], "alpha_high": matrix["alpha"] });
    }
    report["matrices"][0]["metrics"] = serde_json::json!({ "alpha_se": null });
    let stated = json(&saved(&folder, "stated.json", &report), &[&options[..], &["--alpha-error", "0"]].concat());
    let stability = &stated["allocation"]["stability"];
    assert_eq!(
        (&stability["stated"], &stability["assumed"], &stability["undetermined"]),
        (&27.into(), &1.into(), &0.into())
    );
    assert_eq!(stated["allocation"]["rows"][0]["range"]["share"], 1.0);
    for matrix in report["matrices"].as_array_mut().unwrap() {
        matrix["metrics"]["alpha_high"] = 6.0.into();
        matrix["metrics"]["alpha_low"] = 1.2.into();
    }
    let wide = json(&saved(&folder, "wide.json", &report), &options);
    assert!(wide["allocation"]["stability"]["undetermined"].as_u64() > Some(0), "the interval over xmin counts");
    for (options, fragment) in [
        (vec!["--allocate", "mola", "--stability"], "the rule mola does not use alphas"),
        (vec!["--stability", "--alpha-error", "-1"], "invalid simulation: 10000 draws with a relative error of -1"),
        (vec!["--stability", "--stability-draws", "0"], "0 is not in 1..=1000000"),
        (vec!["--stability-draws", "10"], "--stability"),
    ] {
        allocate(&scores, &options).fails(2, &[fragment]);
    }
}

#[test]
fn impossible_plans_are_refused() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    let output = folder.path().join("result.json");
    for (options, fragments) in [
        (
            vec!["--allocate", "rank", "--parameters", "100"],
            vec!["a budget of 100 trainable parameters is below the 4352 that rank 1", "raise --parameters to 4352"],
        ),
        (
            vec!["--allocate", "rank", "--rank", "2", "--min-rank", "4"],
            vec!["rank 2 on average", "rank 4 everywhere", "raise --rank to 4"],
        ),
        (vec!["--allocate", "rank", "--rank", "40"], vec!["above the", "lower --rank to 16", "smallest dimension"]),
        (vec!["--allocate", "rank", "--max-rank", "4"], vec!["above the", "lower --rank to 4, or raise --max-rank"]),
        (vec!["--allocate", "rank", "--multiple-of", "32"], vec!["no multiple of 32", "hint: "]),
        (vec!["--allocate", "rank", "--lora-alpha", "-1"], vec!["unexpected argument", "-1"]),
        (vec!["--allocate", "rank", "--lora-scaling", "0"], vec!["lora_alpha must be a positive number", "hint: "]),
        (
            vec!["--allocate", "rank", "--lora-scaling", "1e308"],
            vec!["lora_alpha must be a positive number for every rank"],
        ),
        (vec!["--allocate", "rank", "--multiple-of", "0"], vec!["0 is not in"]),
        (vec!["--allocate", "alphapruning"], vec!["needs the sparsity of the whole model", "hint: add --sparsity 0.7"]),
        (
            vec!["--allocate", "alphapruning", "--sparsity", "1"],
            vec!["a sparsity of 1 is not between 0 and 1", "hint: "],
        ),
        (vec!["--allocate", "alphapruning", "--sparsity", "NaN"], vec!["not between 0 and 1"]),
        (
            vec!["--allocate", "alphapruning", "--sparsity", "0.5", "--epsilon", "1.5"],
            vec!["epsilon = 1.5 is not in 0..=1", "hint: "],
        ),
        (vec!["--allocate", "tempbalance", "--range", "2:1"], vec!["2:1 is not a valid range", "hint: "]),
        (
            vec!["--allocate", "tempbalance", "--range", "0:1e308"],
            vec!["is not a valid range of multipliers", "hint: "],
        ),
        (vec!["--allocate", "tempbalance", "--range", "1"], vec!["not two numbers", "hint: "]),
        (
            vec!["--allocate", "mola", "--shape", "246"],
            vec!["not four positive whole numbers", "hint: use 2468, 8642, 8228 or 5555 (MoLA's shapes)"],
        ),
        (vec!["--allocate", "mola", "--group", "role"], vec!["MoLA's shapes apply to layers", "hint: "]),
        (
            vec!["--allocate", "mola", "--experts", "9"],
            vec![
                "the allocation rule mola does not use --experts",
                "or use --allocate alphalora or --allocate uniform",
            ],
        ),
        (vec!["--allocate", "rank", "--experts", "9"], vec!["the allocation rule rank does not use --experts"]),
        (
            vec!["--sparsity", "0.5"],
            vec!["the allocation rule alphalora does not use --sparsity", "or use --allocate alphapruning"],
        ),
        (
            vec!["--allocate", "uniform", "--experts", "3"],
            vec!["3 experts are too few for 4 layers", "raise --experts to 4"],
        ),
        (vec!["--rule", "color"], vec!["invalid value 'color'", "alphalora"]),
    ] {
        let options: Vec<&str> = options.into_iter().chain(["-o", output.to_str().unwrap()]).collect();
        let run = allocate(&scores, &options);
        run.fails(2, &fragments);
        assert!(run.stdout.is_empty() && !output.exists(), "no partial output");
    }
}

#[test]
fn scores_that_do_not_allow_a_plan_are_refused() {
    let folder = folder();
    let with = |change: &dyn Fn(&mut Vec<Scored>)| {
        let mut matrices = small_llama();
        change(&mut matrices);
        saved(&folder, "scores.json", &report(&matrices))
    };
    let fails = |path: &Path, options: &[&str], fragments: &[&str]| {
        let run = allocate(path, options);
        run.fails(3, fragments).fails(3, &[path.to_str().unwrap(), "\nhint: "]);
        assert_eq!(run.stdout, "");
    };
    let equal = with(&|matrices| matrices.iter_mut().for_each(|matrix| matrix.alpha = Some(2.5)));
    for rule in [
        vec!["--allocate", "tempbalance"],
        vec!["--allocate", "alphadecay"],
        vec!["--allocate", "alphapruning", "--sparsity", "0.5"],
    ] {
        fails(&equal, &rule, &["all alphas are 2.5"]);
    }
    json(&equal, &["--allocate", "alphapruning", "--sparsity", "0.5", "--epsilon", "0"]);
    let ranks = values(&json(&equal, &["--allocate", "rank"]));
    assert_eq!(ranks, [8.0; 4]);
    let missing = with(&|matrices| matrices[3].alpha = None);
    fails(
        &missing,
        &["--group", "matrix"],
        &["tensor `model.layers.0.self_attn.o_proj.weight` has no alpha", "--group layer"],
    );
    json(&missing, &["--allocate", "rank"]);
    let layer = with(&|matrices| matrices[7..14].iter_mut().for_each(|matrix| matrix.alpha = None));
    fails(&layer, &["--allocate", "rank"], &["layer 1 of model has no alpha", "score the model without that layer"]);
    for (alpha, fragment) in [(-1.0, "alpha -1"), (0.0, "alpha 0")] {
        let negative = with(&|matrices| matrices[0].alpha = Some(alpha));
        fails(&negative, &["--allocate", "tempbalance"], &[fragment]);
    }
    let small = with(&|matrices| matrices[0].alpha = Some(0.9));
    fails(&small, &["--allocate", "tempbalance", "--map", "log2"], &["the logarithm of alpha = 0.9 is not positive"]);
    let giant = with(&|matrices| matrices[0].shape = [usize::MAX, usize::MAX]);
    fails(&giant, &["--allocate", "rank"], &["their shapes cannot be right"]);
    for (list, fragment) in [
        ("layers", "has matrices of layer 0 of `model`, but not that layer"),
        ("matrices", "layer 0 of model claims 7 matrices with an alpha, but the file has 6"),
    ] {
        let mut edited = report(&small_llama());
        edited[list].as_array_mut().unwrap().remove(0);
        fails(&saved(&folder, "edited.json", &edited), &[], &[fragment]);
    }
    let csv = saved_csv(&folder, "layer,alpha\n0,2\n1,3\n");
    fails(&csv, &["--allocate", "rank"], &["has no matrix shapes"]);
    fails(&csv, &["--group", "role"], &["no matrices, which --group role needs"]);
    fails(&csv, &["--allocate", "tempbalance"], &["no matrices, which --group matrix needs", "--group layer"]);
    fails(&csv, &["--aggregate", "median"], &["no matrices, so there is no median alpha"]);
    let strange = saved_csv(&folder, "layer,alpha,color\n0,2,red\n");
    fails(&strange, &[], &["unknown column `color`", "the known columns are stack, layer, alpha"]);
}

#[test]
fn unstable_alphas_are_counted_below_the_table() {
    let folder = folder();
    let row = |layer, role| Scored { layer, role, shape: [64, 32], alpha: Some(3.0) };
    let mut scores = report(&[row(0, "q"), row(1, "q")]);
    for (jump, size) in [(0.002, "by less than 0.01"), (0.587, "up to 0.59")] {
        scores["matrices"][0]["metrics"] = serde_json::json!({ "peak_fragile": true, "peak_jump": jump });
        let run = allocate(&saved(&folder, "scores.json", &scores), &[]);
        let line = format!("1 of 2 alphas are unstable ({size}); consider --rule peak-robust");
        assert!(run.succeeds().stdout.contains(&line), "{}", run.stdout);
    }
    scores["provenance"]["rule"] = "peak-robust".into();
    let run = allocate(&saved(&folder, "robust.json", &scores), &[]);
    assert!(
        run.succeeds().stdout.contains("alphas are unstable") && !run.stdout.contains("consider"),
        "{}",
        run.stdout
    );
}
