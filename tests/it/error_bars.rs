//! Error bars as a user sees them.

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Tensor, folder, htsr, minilm, projection, save};

/// One random matrix, and one each with: too few eigenvalues, two equal columns, only zeros, one outlier element.
fn tensors() -> Vec<(String, Tensor)> {
    let mut deficient = crate::support::random(70 * 64, 2);
    for row in deficient.chunks_exact_mut(64) {
        row[1] = row[0];
    }
    let mut lone = crate::support::random(96 * 64, 4);
    lone[1000] = 50.0;
    vec![
        (projection(1, 'q'), Tensor::f32(&[96, 64], &lone)),
        (projection(0, 'q'), Tensor::random(96, 64, 1)),
        (projection(0, 'k'), Tensor::random(96, 24, 3)),
        (projection(0, 'v'), Tensor::f32(&[70, 64], &deficient)),
        (projection(0, 'o'), Tensor::zeros(Dtype::BF16, &[64, 64])),
    ]
}

fn score(options: &[&str]) -> crate::support::Run {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", tensors());
    htsr(["score", path.to_str().unwrap(), "--quiet"].iter().chain(options))
}

fn row(result: &Value, letter: char) -> Value {
    let rows = result["matrices"].as_array().unwrap();
    rows.iter().find(|row| row["tensor"] == projection(0, letter)).unwrap().clone()
}

#[test]
fn error_bars_depend_on_the_seed_and_not_on_the_number_of_threads() {
    for rule in ["median", "ks", "peak", "peak-robust"] {
        let run = |seed: &str, threads: &str| {
            let options =
                ["--rule", rule, "--se", "20", "--gof", "20", "--seed", seed, "--threads", threads, "--format", "json"];
            score(&options).fails(4, &[]).json()
        };
        let one = run("5", "1");
        for threads in ["2", "7"] {
            assert_eq!(run("5", threads)["matrices"], one["matrices"], "{rule}");
        }
        assert_ne!(row(&run("6", "2"), 'q')["metrics"]["alpha_se"], row(&one, 'q')["metrics"]["alpha_se"], "{rule}");
        let recorded = &one["provenance"]["options"]["simulations"];
        assert_eq!(recorded, &serde_json::json!({ "standard_error": 20, "goodness": 20, "seed": 5 }));
    }
}

#[test]
fn a_missing_error_bar_has_a_reason() {
    let result = score(&["--rule", "ks", "--se", "20", "--gof", "20", "--metrics", "all", "--format", "json"])
        .fails(4, &[])
        .json();
    let all = ["alpha_se", "gof_p", "alpha_low", "alpha_high"];
    let random = row(&result, 'q');
    assert!(all.iter().all(|name| random["metrics"][name].is_f64()), "{random}");
    assert!(random["metrics"]["alpha_low"].as_f64() <= random["alpha"].as_f64());
    assert!(random["metrics"]["alpha_high"].as_f64() >= random["alpha"].as_f64());
    let reason = |letter: char, name: &str| {
        let row = row(&result, letter);
        assert_eq!(row["metrics"][name], Value::Null, "{letter} {name}");
        row["missing"][name].as_str().unwrap().to_owned()
    };
    assert!(reason('k', "alpha_se").starts_with("24 eigenvalues, fewer than the 50 "));
    let rows = result["matrices"].as_array().unwrap();
    let lone = rows.iter().find(|row| row["tensor"] == projection(1, 'q')).unwrap();
    assert_eq!(lone["metrics"]["alpha_se"], Value::Null);
    let lone = lone["missing"]["alpha_se"].as_str().unwrap();
    assert!(lone.starts_with("single elements stand out from their rows and columns (excess kurtosis "), "{lone}");
    assert_eq!(reason('v', "alpha_se"), "1 of 64 eigenvalues are zero within rounding");
    for name in all.iter().chain(&["peak_jump", "peak_fragile"]) {
        assert_eq!(reason('o', name), "there is no spectrum: all elements are zero");
    }
    assert_eq!(reason('q', "peak_fragile"), "the ks rule does not use a peak");
}

#[test]
fn error_bars_are_off_by_default_and_their_metrics_name_the_option() {
    let plain = score(&["--format", "json"]).json();
    assert!(row(&plain, 'q')["metrics"].get("alpha_se").is_none());
    assert!(plain["provenance"]["options"].get("simulations").is_none());
    let asked = score(&["--metrics", "alpha_se,gof_p", "--format", "json"]).json();
    assert_eq!(row(&asked, 'q')["missing"]["alpha_se"], "only with the option se");
    assert_eq!(row(&asked, 'q')["missing"]["gof_p"], "only with the option gof");
    // Tables show the simulated metrics.
    let table = score(&["--se", "20"]);
    assert!(table.stdout.lines().next().unwrap().contains("alpha_se"), "{}", table.stdout);
}

#[test]
fn invalid_numbers_of_draws_are_refused() {
    for option in ["--se", "--gof"] {
        for number in ["0", "9", "many", "1e3", "99999999999"] {
            score(&[option, number]).fails(2, &[option]);
        }
    }
    score(&["--seed", "x"]).fails(2, &["--seed"]);
}

#[test]
fn the_peak_rule_is_unstable_on_a_real_model_and_the_robust_rule_is_not() {
    let Some(path) = minilm() else { return };
    let run = |rule: &str| htsr(["score", path.to_str().unwrap(), "--rule", rule, "-q", "--by", "matrix"]);
    let json = |rule: &str| {
        htsr(["score", path.to_str().unwrap(), "--rule", rule, "-q", "--format", "json"]).succeeds().json()
    };
    let jumps = |rule: &str| -> Vec<f64> {
        let result = json(rule);
        let rows = result["matrices"].as_array().unwrap();
        rows.iter().map(|row| row["metrics"]["peak_jump"].as_f64().unwrap()).collect()
    };
    let peak = jumps("peak");
    // A separate script counted these: see docs/error-bars.md.
    assert_eq!(peak.iter().filter(|jump| **jump > 1e-3).count(), 19);
    assert!((peak.iter().copied().fold(0.0, f64::max) - 0.587).abs() < 1e-3);
    assert!(jumps("peak-robust").iter().all(|jump| *jump == 0.0));
    let line = "19 of 36 alphas are unstable (up to 0.59); consider --rule peak-robust";
    assert!(run("peak").stdout.contains(line) && !run("peak-robust").stdout.contains("unstable"));
}
