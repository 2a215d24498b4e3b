//! `htsr allocate`: published allocations from published alphas, and files that cannot be used.

use std::fmt::Write;
use std::fs;

use crate::support::{data, folder, htsr, save, small_model};

#[test]
fn every_published_llama_allocation_is_reproduced_exactly() {
    let folder = folder();
    let reference = data("llama_allocations.json");
    let models = reference["models"].as_object().unwrap();
    assert_eq!(models.len(), 7);
    for (model, expected) in models {
        let mut csv = String::from("layer,alpha\n");
        for (layer, alpha) in expected["layer_alpha"].as_array().unwrap().iter().enumerate() {
            writeln!(csv, "{layer},{alpha}").unwrap();
        }
        let path = folder.path().join(format!("{model}.csv"));
        fs::write(&path, csv).unwrap();
        let (total, beta) = (expected["T"].to_string(), expected["beta"].to_string());
        let arguments = ["allocate", path.to_str().unwrap(), "--experts", &total, "--beta", &beta, "--format", "json"];
        let result = htsr(arguments).succeeds().json();
        assert_eq!(result["allocation"]["experts"], expected["experts_compat"], "{model}");
    }
}

#[test]
fn a_saved_json_gives_the_same_allocation_as_score() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let scores = folder.path().join("scores.json");
    let (model, scores) = (model.to_str().unwrap(), scores.to_str().unwrap());
    htsr(["score", model, "--experts", "20", "-o", scores]).succeeds();
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(scores).unwrap()).unwrap();
    let again = htsr(["allocate", scores, "--experts", "20", "--format", "json"]).succeeds().json();
    assert_eq!(again, saved);
    let other = htsr(["allocate", scores, "--experts", "31", "--beta", "1", "--format", "json"]).succeeds().json();
    assert_eq!(other["matrices"], saved["matrices"]);
    assert_eq!(other["allocation"]["total"], 31);
    assert_eq!(other["provenance"]["options"]["beta"], 1.0);
    let sum: u64 = other["allocation"]["experts"].as_array().unwrap().iter().map(|e| e.as_u64().unwrap()).sum();
    assert_eq!(sum, 31);
}

#[test]
fn a_csv_of_scores_can_be_allocated_again() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let scores = folder.path().join("scores.csv");
    htsr(["score", model.to_str().unwrap(), "-o", scores.to_str().unwrap()]).succeeds();
    let again = htsr(["allocate", scores.to_str().unwrap(), "--format", "csv"]).succeeds().stdout.clone();
    let column = |text: &str, column: usize| -> Vec<String> {
        text.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().to_owned()).collect()
    };
    let saved = fs::read_to_string(&scores).unwrap();
    for index in 0..6 {
        assert_eq!(column(&saved, index), column(&again, index));
    }
}

#[test]
fn largest_remainder_keeps_its_bounds() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    fs::write(&path, "layer,alpha\n0,1.2\n1,3\n2,9\n").unwrap();
    let run = |extra: &[&str]| {
        let mut arguments = vec!["allocate", path.to_str().unwrap(), "--experts", "12", "--format", "json"];
        arguments.extend(["--rounding", "largest-remainder"]);
        arguments.extend(extra);
        htsr(arguments).succeeds().json()["allocation"]["experts"].to_string()
    };
    assert_eq!(run(&[]), "[1,1,10]");
    assert_eq!(run(&["--min-experts", "0"]), "[0,1,11]");
    assert_eq!(run(&["--max-experts", "6"]), "[1,5,6]");
    assert_eq!(run(&["--min-experts", "2", "--max-experts", "7"]), "[2,3,7]");
}

#[test]
fn the_default_is_5_experts_for_each_layer_of_the_main_stack() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    let scores = path.to_str().unwrap();
    let run = |csv: &str, options: &[&str]| {
        fs::write(&path, csv).unwrap();
        htsr(["allocate", scores, "--format", "json"].iter().chain(options)).succeeds().json()
    };
    let single: String = (0..32).map(|layer| format!("{layer},{}\n", 2.0 + f64::from(layer) / 40.0)).collect();
    let single = format!("layer,alpha\n{single}");
    for options in [vec![], vec!["--allocate", "uniform"], vec!["--experts", "160"]] {
        let result = run(&single, &options);
        let plan = &result["provenance"]["options"]["plan"];
        assert_eq!((&result["allocation"]["total"], &plan["experts"]), (&160.into(), &160.into()), "{options:?}");
        assert_eq!(result["allocation"]["budget"]["asked"], 160.0);
    }
    let stack = |name: &str, layers: u32| -> String { (0..layers).map(|l| format!("{name},{l},3\n")).collect() };
    for (encoder, decoder, total) in [(4, 6, 30), (6, 4, 30), (4, 4, 20)] {
        let csv = format!("stack,layer,alpha\n{}{}", stack("decoder", decoder), stack("encoder", encoder));
        assert_eq!(run(&csv, &[])["allocation"]["total"], total, "{encoder} and {decoder} layers");
    }
}

#[test]
fn the_hint_of_a_failed_rounding_works() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    let scores = path.to_str().unwrap();
    // The reference rounding fails for equal alphas with too few experts, and for 80 alphas with the default of 400 experts.
    let equal: Vec<f64> = vec![2.0; 10];
    let mixed: Vec<f64> = (0..80).map(|layer| 2.0 + f64::from(8 * layer % 80) / 100.0).collect();
    for (alphas, options, cause, total) in [
        (equal, vec!["--experts", "6"], "gives layer 0 -3 experts", 6),
        (mixed, vec![], "gives layer 9 -1 experts", 400),
    ] {
        let rows: String = alphas.iter().zip(0..).map(|(alpha, layer)| format!("{layer},{alpha}\n")).collect();
        fs::write(&path, format!("layer,alpha\n{rows}")).unwrap();
        let command = |more: &[&str]| htsr(["allocate", scores, "--format", "json"].iter().chain(&options).chain(more));
        let refused = command(&[]);
        refused.fails(2, &[cause, "hint: add --rounding largest-remainder"]);
        let hint = refused.stderr.split("hint: add ").nth(1).unwrap().trim();
        let allocated = command(&hint.split(' ').collect::<Vec<_>>()).succeeds().json();
        assert_eq!(allocated["allocation"]["total"], total);
    }
}

#[test]
fn a_layer_with_zero_experts_gets_a_warning() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    fs::write(&path, "layer,alpha\n0,1.2\n1,9\n").unwrap();
    let run = htsr(["allocate", path.to_str().unwrap(), "--experts", "8"]);
    run.succeeds();
    assert!(run.stderr.contains("no expert for layer 0") && run.stderr.contains("largest-remainder"), "{}", run.stderr);
    let run = htsr(["allocate", path.to_str().unwrap(), "--experts", "1"]);
    assert!(run.succeeds().stderr.contains("hint: --experts 2 is the least"), "{}", run.stderr);
}

#[test]
fn the_rows_of_a_csv_may_come_in_any_order() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    let experts = |csv: &str, options: &[&str]| {
        fs::write(&path, csv).unwrap();
        let arguments = ["allocate", path.to_str().unwrap(), "--format", "json"];
        htsr(arguments.iter().chain(options)).succeeds().json()["allocation"]["experts"].to_string()
    };
    assert_eq!(experts("layer,alpha\n3,3\n2,3\n1,3\n0,3\n", &["--allocate", "mola"]), "[2,4,6,8]");
    let sorted = experts("layer,alpha\n0,2\n1,3\n2,5\n", &["--experts", "30"]);
    assert_eq!(experts("\u{feff}layer,alpha\n1,3\n0,2\n2,5\n", &["--experts", "30"]), sorted);
}

#[test]
fn scores_are_never_overwritten() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    fs::write(&path, "layer,alpha\n0,2\n1,3\n").unwrap();
    let scores = path.to_str().unwrap();
    for command in [vec!["allocate", scores], vec!["compare", scores, scores]] {
        htsr(command.into_iter().chain(["-o", scores]))
            .fails(2, &["scores.csv: contains the scores to read and would be overwritten", "hint: "]);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "layer,alpha\n0,2\n1,3\n");
}

#[test]
fn unusable_scores_are_refused() {
    let folder = folder();
    for (content, fragments) in [
        ("", vec!["no column `layer`"]),
        ("layer,beta\n0,1\n", vec!["no column `alpha`", "hint:"]),
        ("layer,alpha,color\n0,1,red\n", vec!["unknown column `color`", "known columns are stack, layer"]),
        ("layer,alpha\n", vec!["contains no layer"]),
        ("layer,alpha\n0,2\nfirst,2\n", vec!["line 3: `first` in the column layer is not the number of a layer"]),
        ("layer,alpha\n,2\n", vec!["line 2: the column layer is empty"]),
        ("layer,alpha\n0,two\n", vec!["line 2: `two` in the column alpha is not a number"]),
        ("layer,alpha,matrices\n0,2,x\n", vec!["line 2: `x` in the column matrices is not a count"]),
        ("layer,alpha\n0,2\n1,2,3\n", vec!["line 3: 3 values for 2 columns"]),
        ("layer,alpha\n0,2\n0,3\n", vec!["layer 0 appears twice"]),
        ("layer,alpha\n0,\n", vec!["layer 0 has no alpha"]),
        ("layer,alpha\n0,NaN\n", vec!["alpha NaN", "positive numbers"]),
        ("layer,alpha\n0,-2\n", vec!["alpha -2"]),
        ("layer,alpha\n0,inf\n", vec!["alpha inf"]),
        ("layer,alpha,rule\n0,2,peak\n1,2,ks\n", vec!["alphas of several rules: ks, peak"]),
        ("layer,tensor,alpha\n0,a,2\n", vec!["a row per matrix", "--by layer"]),
        ("{", vec!["not a JSON file of `htsr`"]),
        ("{\"schema\": 9}", vec!["schema 9", "reads schema 1"]),
        ("{\"schema\": 1}", vec!["not a complete report"]),
    ] {
        let path = folder.path().join("scores");
        fs::write(&path, content).unwrap();
        let run = htsr(["allocate", path.to_str().unwrap()]);
        run.fails(3, &fragments).fails(3, &[path.to_str().unwrap(), "\nhint: "]);
        assert_eq!(run.stdout, "");
    }
    let json = folder.path().join("scores.json");
    for content in ["", "[]", "layer,alpha\n0,2\n"] {
        fs::write(&json, content).unwrap();
        htsr(["allocate", json.to_str().unwrap()]).fails(3, &["scores.json: is not a JSON file of `htsr`", "hint: "]);
    }
    htsr(["allocate", "/no/such/file"]).fails(3, &["/no/such/file: cannot be read", "hint: "]);
}

#[test]
fn budgets_that_cannot_be_met_are_refused() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    let csv: String = (0..10).map(|layer| format!("{layer},2\n")).collect();
    fs::write(&path, format!("layer,alpha\n{csv}")).unwrap();
    for (options, fragments) in [
        (vec!["--experts", "0"], vec!["not a positive whole number", "hint: "]),
        (vec!["--beta", "NaN"], vec!["not a finite number", "hint: "]),
        (vec!["--beta", "-1"], vec!["not a finite number", "hint: "]),
        (vec!["--beta", "inf"], vec!["not a finite number"]),
        (
            vec!["--min-experts", "2"],
            vec!["the reference rounding does not support --min-experts", "hint: add --rounding"],
        ),
        (vec!["--experts", "6"], vec!["-3 experts", "hint: add --rounding largest-remainder --min-experts 0"]),
        (
            vec!["--rounding", "largest-remainder", "--experts", "9"],
            vec!["9 experts are too few for 10 layers with at least 1 each", "hint: raise --experts to 10"],
        ),
        (
            vec!["--rounding", "largest-remainder", "--experts", "41", "--max-experts", "4"],
            vec!["41 experts are too many for 10 layers with at most 4 each", "hint: lower --experts to 40"],
        ),
        (
            vec!["--rounding", "largest-remainder", "--min-experts", "5", "--max-experts", "4"],
            vec!["the minimum of 5", "hint: "],
        ),
        (
            vec!["--rounding", "largest-remainder", "--min-experts", "20", "--experts", "10"],
            vec!["10 experts are too few for 10 layers with at least 20 each"],
        ),
        (vec!["--beta", "1e6"], vec!["out of range", "hint: use a smaller --beta"]),
    ] {
        let mut arguments = vec!["allocate", path.to_str().unwrap()];
        arguments.extend(options);
        let run = htsr(arguments);
        run.fails(2, &fragments);
        assert_eq!(run.stdout, "");
    }
}
