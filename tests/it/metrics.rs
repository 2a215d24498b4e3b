//! Metrics as a user sees them.

use htsr::metrics::METRICS;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, Tensor, data, folder, htsr, minilm, projection, random, save, small_model};

/// Scores the small model with an additional matrix of zeros.
fn score(options: &[&str]) -> Run {
    let folder = folder();
    let zeros = (projection(1, 'v'), Tensor::zeros(Dtype::BF16, &[24, 48]));
    let path = save(folder.path(), "model.safetensors", small_model().into_iter().chain([zeros]));
    let mut arguments = vec!["score", path.to_str().unwrap(), "--quiet"];
    arguments.extend(options);
    htsr(arguments)
}

fn header(run: &Run) -> Vec<String> {
    run.stdout.lines().next().unwrap().split([' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_json_has_all_cheap_metrics_and_reasons_for_missing_ones() {
    let result = score(&["--format", "json"]).fails(4, &[]).json();
    let rows = result["matrices"].as_array().unwrap();
    let zeros = rows.iter().find(|row| row["tensor"] == projection(1, 'v')).unwrap();
    assert_eq!((&zeros["metrics"]["num_evals"], &zeros["metrics"]["Q"]), (&24.into(), &2.0.into()));
    assert_eq!(zeros["metrics"]["stable_rank"], Value::Null);
    assert_eq!(zeros["missing"]["stable_rank"], "there is no spectrum: all elements are zero");
    for row in rows.iter().filter(|row| row["status"] == "ok") {
        for (metric, field) in [("alpha", "alpha"), ("D", "ks_distance"), ("lambda_max", "lambda_max")] {
            assert_eq!(row["metrics"][metric], row[field]);
        }
        let stable_rank = row["trace"].as_f64().unwrap() / row["lambda_max"].as_f64().unwrap();
        assert_eq!(row["metrics"]["stable_rank"], stable_rank);
    }
    assert!(result["provenance"]["options"].get("metrics").is_none());
}

#[test]
fn tables_show_the_requested_metrics() {
    let plain = header(&score(&["--by", "matrix"]));
    let asked = header(&score(&["--metrics", "stable_rank,lambda_max,alpha"]));
    let mut expected = plain.clone();
    expected.insert(expected.iter().position(|name| name == "precision").unwrap(), "lambda_max".into());
    expected.push("stable_rank".into());
    assert_eq!(asked, expected);
    assert_eq!(header(&score(&["--metrics", "all", "--by", "layer"])), header(&score(&[])));
    let all = header(&score(&["--metrics", "all"]));
    let csv = header(&score(&["--by", "matrix", "--format", "csv"]));
    for metric in METRICS {
        assert_eq!(all.iter().filter(|name| *name == metric.name).count(), 1, "{}", metric.name);
        assert!(csv.iter().any(|name| name == metric.name) || !metric.always, "{}", metric.name);
    }
}

#[test]
fn an_unknown_metric_gets_a_list_of_the_known_ones() {
    score(&["--metrics", "alpha,rank"]).fails(2, &["unknown metric `rank`", "hint: known metrics: all, alpha, "]);
}

#[test]
fn saved_metrics_are_read_again_and_older_files_without_them_too() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let saved = folder.path().join("scores.json");
    htsr(["score", path.to_str().unwrap(), "--metrics", "stable_rank", "-o", saved.to_str().unwrap()]).succeeds();
    let again = |format: &str| htsr(["allocate", saved.to_str().unwrap(), "--by", "matrix", "--format", format]);
    let mut scores: Value = serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    assert_eq!(again("json").succeeds().json()["matrices"], scores["matrices"]);
    assert!(header(&again("table")).contains(&"stable_rank".to_owned()));

    scores["provenance"]["options"].as_object_mut().unwrap().remove("metrics");
    for row in scores["matrices"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("metrics");
    }
    std::fs::write(&saved, scores.to_string()).unwrap();
    assert_eq!(again("json").succeeds().json()["matrices"], scores["matrices"]);
    assert!(!header(&again("csv")).contains(&"stable_rank".to_owned()));
}

#[test]
fn a_matrix_without_an_alpha_still_has_the_other_metrics() {
    // The product of a 24 x 5 and a 5 x 40 matrix.
    let (left, right) = (random(24 * 5, 1), random(5 * 40, 2));
    let element = |row: usize, col: usize| (0..5).map(|k| left[row * 5 + k] * right[k * 40 + col]).sum::<f64>();
    let product: Vec<f64> = (0..24 * 40).map(|index| element(index / 40, index % 40)).collect();
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::f64(&[24, 40], &product))]);
    let score = |options: &[&str]| {
        let mut arguments = vec!["score", path.to_str().unwrap(), "--quiet", "--format", "json"];
        arguments.extend(options);
        htsr(arguments).fails(4, &["rank"]).json()["matrices"][0].clone()
    };
    let row = score(&["--rule", "median"]);
    assert_eq!((&row["metrics"]["matrix_rank"], &row["metrics"]["rank_loss"]), (&5.into(), &19.into()));
    assert!(row["metrics"]["entropy"].as_f64().unwrap() > 0.5);
    for metric in
        ["alpha", "alpha_weighted", "log_alpha_norm", "D", "sigma", "xmin", "xmax", "num_pl_spikes", "warning"]
    {
        assert_eq!(row["metrics"][metric], Value::Null);
        assert!(row["missing"][metric].as_str().unwrap().contains("numerical rank 5 of 24"), "{metric}");
    }
    assert_eq!(row["missing"]["num_spikes"], "there is no random bulk: 5 nonzero eigenvalues, fewer than 8");
    let single = score(&["--rule", "median", "--precision", "f32"]);
    assert!(single["missing"]["matrix_rank"].as_str().unwrap().starts_with("between 5 and 24: single precision hides"));
}

#[test]
fn the_summary_covers_all_matrices_and_each_role() {
    let result = score(&["--format", "json", "--rule", "ks"]).fails(4, &[]).json();
    let summary = &result["summary"];
    let alphas: Vec<f64> =
        result["matrices"].as_array().unwrap().iter().filter_map(|row| row["alpha"].as_f64()).collect();
    assert_eq!(
        (&summary["matrices"], &summary["failed"], &summary["alpha"]["count"]),
        (&5.into(), &1.into(), &4.into())
    );
    assert!((summary["alpha"]["mean"].as_f64().unwrap() - alphas.iter().sum::<f64>() / 4.0).abs() < 1e-12);
    assert_eq!(summary["alpha"]["min"].as_f64().unwrap(), alphas.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(summary["metrics"]["Q"]["max"], 2.0);
    let over = alphas.iter().filter(|alpha| **alpha < 2.0).count();
    let under = alphas.iter().filter(|alpha| **alpha > 6.0).count();
    assert_eq!((&summary["over_trained"], &summary["under_trained"]), (&over.into(), &under.into()));
    let roles: Vec<_> =
        summary["roles"].as_array().unwrap().iter().map(|role| (&role["role"], &role["matrices"])).collect();
    let role = |letter: char| Value::from(format!("self_attn.{letter}_proj"));
    assert_eq!(roles, [(&role('o'), &2.into()), (&role('q'), &2.into()), (&role('v'), &1.into())]);
    assert_eq!(summary["roles"][2]["alpha"], Value::Null);

    let peak = score(&["--by", "role", "--metrics", "Q,alpha"]);
    assert_eq!(header(&peak), ["role", "matrices", "failed", "alpha", "median", "min", "max", "Q"]);
    let last = peak.stdout.lines().nth(3).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(last, ["self_attn.v_proj", "1", "1", "-", "-", "-", "-", "2.000"]);
    let line = peak.stdout.lines().find(|line| line.starts_with("alphas")).unwrap();
    assert!(line.contains("mean ") && line.ends_with("5 matrices, 1 failed"), "{line}");
    assert_eq!(score(&["--format", "json"]).json()["summary"]["over_trained"], Value::Null);
    let ks = score(&["--rule", "ks"]);
    let line = ks.stdout.lines().find(|line| line.starts_with("alphas")).unwrap();
    assert!(line.ends_with(&format!("{over} over-trained (< 2), {under} under-trained (> 6)")), "{line}");
}

/// The metrics defined as in WeightWatcher 0.7.7, on a real model. docs/metrics.md lists the differences.
#[test]
fn metrics_of_minilm_match_weightwatcher() {
    let Some(path) = minilm() else { return };
    let options = ["--rule", "ks", "--precision", "f64", "--format", "json"];
    let result = htsr(["score", path.to_str().unwrap()].iter().chain(&options)).succeeds().json();
    let reference = data("minilm_weightwatcher.json");
    let rows = result["matrices"].as_array().unwrap();
    assert_eq!(rows.len(), reference["matrices"].as_object().unwrap().len());
    for row in rows {
        let name = row["tensor"].as_str().unwrap();
        for (metric, expected) in reference["matrices"][name].as_object().unwrap() {
            let found = &row["metrics"][metric];
            match expected.as_f64() {
                Some(expected) => {
                    let found =
                        found.as_f64().unwrap_or_else(|| panic!("{metric} of {name}: {}", row["missing"][metric]));
                    let error = (found - expected).abs();
                    assert!(error <= 1e-6 * expected.abs(), "{metric} of {name}: {found}, {expected}");
                }
                None => {
                    let expected = Some(expected.as_str().unwrap()).filter(|word| !word.is_empty()).unwrap_or("none");
                    assert_eq!(found, expected, "{metric} of {name}");
                }
            }
        }
    }
    assert_eq!(result["summary"]["over_trained"], 0);
}
