//! Metrics as a user meets them.

use htsr::metrics::METRICS;
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, Tensor, folder, htsr, projection, save, small_model};

/// Scores the small model with a matrix of zeros.
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
fn the_json_has_what_costs_nothing_and_reasons_for_what_is_missing() {
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
fn tables_show_the_metrics_that_are_asked_for() {
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
fn unknown_metrics_are_answered_with_the_known_ones() {
    score(&["--metrics", "alpha,rank"]).fails(2, &["there is no metric `rank`", "hint: there are all, alpha, "]);
}

#[test]
fn saved_metrics_are_read_back_and_older_files_still_are() {
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
