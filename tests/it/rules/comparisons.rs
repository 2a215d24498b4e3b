//! Comparisons of rules and alphas, sweeps, and how far an allocation depends on errors.

use std::fs;

use serde_json::Value;

use super::{allocate, json, saved, saved_csv, values};
use crate::scores::{Scored, report, small_llama};
use crate::support::{folder, htsr, save, small_model};

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
