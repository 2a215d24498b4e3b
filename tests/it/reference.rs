//! Published numbers for a real model.

use htsr::fit::Rule;

use crate::support::{data, htsr, minilm};

/// Scores MiniLM and compares every alpha with the reference in double precision and with the output of the published code.
fn minilm_agrees(rule: Rule, alpha_key: &str, tolerance: f64, extra: &[&str], published_tolerance: f64) {
    let Some(path) = minilm() else { return };
    let rule = rule.to_string();
    let mut arguments = vec!["score", path.to_str().unwrap(), "--rule", &rule, "--format", "json"];
    arguments.extend(extra);
    let result = htsr(arguments).succeeds().json();
    let matrices = result["matrices"].as_array().unwrap();
    assert_eq!(matrices.len(), 36);
    let reference = data("minilm.json");
    for matrix in matrices {
        let name = matrix["tensor"].as_str().unwrap();
        let expected = &reference["matrices"][name];
        let alpha = matrix["alpha"].as_f64().unwrap();
        let truth = expected["f64"][alpha_key].as_f64().unwrap();
        assert!((alpha / truth - 1.0).abs() < tolerance, "{name}: {alpha}, truth {truth}");
        for published in expected["published"][&rule].as_array().unwrap() {
            let published = published.as_f64().unwrap();
            assert!((alpha - published).abs() < published_tolerance, "{name}: {alpha}, published {published}");
        }
    }
}

#[test]
fn minilm_peak() {
    minilm_agrees(Rule::Peak, "peak_alpha", 1e-6, &["--precision", "f64"], 1e-3);
}

#[test]
fn minilm_median() {
    minilm_agrees(Rule::Median, "hill_code_convention", 1e-8, &["--precision", "f64"], 1e-3);
}

#[test]
fn minilm_ks_and_weightwatcher() {
    minilm_agrees(Rule::Ks, "ks_alpha", 1e-6, &["--precision", "f64"], 1e-3);
}

/// The tolerance of `--precision auto`. Alphas are about 3, so a relative error of 3e-4 is about 1e-3.
#[test]
fn minilm_in_automatic_precision() {
    minilm_agrees(Rule::Peak, "peak_alpha", 3e-4, &[], 2e-3);
    minilm_agrees(Rule::Median, "hill_code_convention", 3e-4, &[], 2e-3);
    minilm_agrees(Rule::Ks, "ks_alpha", 3e-4, &[], 2e-3);
}

#[test]
fn minilm_in_single_precision() {
    minilm_agrees(Rule::Peak, "peak_alpha", 1e-4, &["--precision", "f32"], 1e-3);
    minilm_agrees(Rule::Median, "hill_code_convention", 1e-4, &["--precision", "f32"], 1e-3);
    minilm_agrees(Rule::Ks, "ks_alpha", 7e-4, &["--precision", "f32"], 2e-3);
}

#[test]
fn minilm_spectra() {
    let Some(path) = minilm() else { return };
    let path = path.to_str().unwrap();
    let result = htsr(["score", path, "--precision", "f64", "--format", "json"]).succeeds().json();
    let reference = data("minilm.json");
    for matrix in result["matrices"].as_array().unwrap() {
        let truth = &reference["matrices"][matrix["tensor"].as_str().unwrap()]["f64"];
        for (key, tolerance) in [("lambda_max", 1e-12), ("trace", 1e-12), ("lambda_min", 1e-6)] {
            let (got, expected) = (matrix[key].as_f64().unwrap(), truth[key].as_f64().unwrap());
            assert!((got / expected - 1.0).abs() < tolerance, "{key} of {}: {got}, {expected}", matrix["tensor"]);
        }
        let (distance, expected) = (matrix["ks_distance"].as_f64().unwrap(), truth["peak_D"].as_f64().unwrap());
        assert!((distance - expected).abs() < 1e-9, "D of {}: {distance}, {expected}", matrix["tensor"]);
        let start = matrix["eigenvalues"].as_u64().unwrap() - matrix["tail"].as_u64().unwrap();
        assert_eq!(start, truth["peak_index"].as_u64().unwrap());
    }
}

#[test]
fn alphalora_on_minilm_is_reproduced_exactly() {
    let Some(path) = minilm() else { return };
    let reference = data("minilm_alphalora.json");
    let result = &reference["result"];
    for (setting, expected) in result["allocations"].as_object().unwrap() {
        let (total, beta) = setting.strip_prefix("T=").unwrap().split_once(",beta=").unwrap();
        let scored = htsr([
            "score",
            path.to_str().unwrap(),
            "--cast",
            "fp16",
            "--format",
            "json",
            "--experts",
            total,
            "--beta",
            beta,
        ]);
        let scored = scored.succeeds().json();
        assert_eq!(scored["allocation"]["experts"], expected["experts"], "{setting}");
        assert_eq!(scored["allocation"]["top_k"], expected["top_k"], "{setting}");
        for matrix in scored["matrices"].as_array().unwrap() {
            let name = matrix["tensor"].as_str().unwrap();
            let published = result["matrix_alpha"][name].as_f64().unwrap();
            assert!((matrix["alpha"].as_f64().unwrap() - published).abs() < 1e-3, "{name}");
        }
    }
}
