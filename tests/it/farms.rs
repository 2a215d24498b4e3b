//! FARMS: scores from windows of a matrix.

use safetensors::tensor::Dtype;

use crate::support::{Run, Tensor, data, folder, htsr, minilm, projection, random, save};

fn score(tensors: Vec<(String, Tensor)>, options: &[&str]) -> Run {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", tensors);
    htsr(["score", path.to_str().unwrap(), "--quiet", "--format", "json"].iter().chain(options))
}

fn query(rows: usize, cols: usize, values: &[f64]) -> (String, Tensor) {
    (projection(0, 'q'), Tensor::f64(&[rows, cols], values))
}

#[test]
fn minilm_matches_the_published_code() {
    let Some(path) = minilm() else { return };
    let reference = data("minilm_farms.json");
    for rule in ["median", "peak"] {
        let options = ["--rule", rule, "--farms", "rows=128,q=1,windows=5", "--format", "json"];
        let result = htsr(["score", path.to_str().unwrap()].iter().chain(&options)).succeeds().json();
        assert_eq!(result["provenance"]["precision"], "f64");
        assert_eq!(result["provenance"]["options"]["farms"], serde_json::json!({"rows": 128, "q": 1.0, "windows": 5}));
        let matrices = result["matrices"].as_array().unwrap();
        assert_eq!(matrices.len(), 36);
        for matrix in matrices {
            let name = matrix["tensor"].as_str().unwrap();
            let (alpha, published) = (&matrix["alpha"], &reference["matrices"][name][rule]);
            let (alpha, published) = (alpha.as_f64().unwrap(), published.as_f64().unwrap());
            assert!((alpha - published).abs() < 2e-5, "{rule} {name}: {alpha}, published {published}");
            assert_eq!((&matrix["eigenvalues"], &matrix["metrics"]["num_evals"]), (&3200.into(), &3200.into()));
            assert_eq!(matrix["windows"], serde_json::json!({"count": 25, "rows": 128, "cols": 128}));
            assert_eq!(matrix["metrics"]["alpha_mp"], serde_json::Value::Null);
        }
    }
}

/// A window has the same eigenvalues as a tensor with the same elements.
#[test]
fn a_matrix_of_one_window_is_scored_as_that_window() {
    let values = random(40 * 50, 3);
    let corner: Vec<f64> = values.chunks(50).take(20).flat_map(|row| row[..30].to_vec()).collect();
    for rule in ["peak", "median", "ks"] {
        let one = score(vec![query(40, 50, &values)], &["--rule", rule, "--farms", "rows=20,q=1.5,windows=1"]);
        let other = score(vec![query(20, 30, &corner)], &["--rule", rule, "--precision", "f64"]);
        let (one, other) = (one.succeeds().json(), other.succeeds().json());
        for key in ["alpha", "ks_distance", "xmin", "tail", "eigenvalues", "lambda_min", "lambda_max", "trace"] {
            assert_eq!(one["matrices"][0][key], other["matrices"][0][key], "{rule} {key}");
        }
        assert_eq!(one["matrices"][0]["windows"]["count"], 1);
    }
}

#[test]
fn the_cast_comes_before_the_windows() {
    let values = random(40 * 50, 4);
    let rounded: Vec<f64> = values.iter().map(|&x| half::f16::from_f64(x).to_f64()).collect();
    let farms = ["--farms", "rows=20,windows=3"];
    let one = score(vec![query(40, 50, &values)], &[&farms[..], &["--cast", "fp16"]].concat()).succeeds().json();
    let other = score(vec![query(40, 50, &rounded)], &farms).succeeds().json();
    assert_eq!(one["matrices"][0]["alpha"], other["matrices"][0]["alpha"]);
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let tensors = || -> Vec<(String, Tensor)> {
        (0..3).map(|layer| (projection(layer, 'q'), Tensor::random(60, 40 + 30 * layer, layer as u64))).collect()
    };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", tensors());
    let run = |threads: &str| {
        let options = ["--farms", "rows=24,windows=4", "--threads", threads, "--format", "json"];
        htsr(["score", path.to_str().unwrap()].iter().chain(&options)).succeeds().stdout.clone()
    };
    assert_eq!(run("1"), run("3"));
}

#[test]
fn a_window_without_a_spectrum_is_named() {
    let mut values = random(30 * 30, 5);
    values.chunks_mut(30).skip(10).take(10).for_each(|row| row[20..].fill(0.0));
    let farms = ["--farms", "rows=10,windows=3"];
    let run = score(vec![query(30, 30, &values)], &farms);
    run.fails(
        4,
        &["the window of rows 10 to 19 and columns 20 to 29: all elements are zero", "hint: try larger windows"],
    );
    assert_eq!(run.json()["matrices"][0]["eigenvalues"], 90);
    values[14 * 30 + 25] = f64::NAN;
    score(vec![query(30, 30, &values)], &farms).fails(4, &["NaN or infinity (first at row 14, column 25)"]);
}

#[test]
fn matrices_that_are_too_small_for_windows_say_so() {
    let tensors = vec![query(7, 100, &random(700, 6)), (projection(0, 'k'), Tensor::random(8, 100, 7))];
    let run = score(tensors, &["--farms", "default"]);
    run.fails(4, &["the window of rows 0 to 6 and columns 0 to 6: 7 eigenvalues, fewer than the 8"]);
    let result = run.json();
    assert_eq!(result["matrices"][0]["windows"], serde_json::json!({"count": 15, "rows": 8, "cols": 8}));
    assert_eq!(result["matrices"][0]["status"], "ok");
}

#[test]
fn invalid_settings_are_refused() {
    let tensors = || vec![(projection(0, 'q'), Tensor::zeros(Dtype::BF16, &[9, 9]))];
    for (settings, answer) in [
        ("row=5", "unknown key `row`: the keys are rows, q and windows"),
        ("rows=0", "`rows` is not a positive whole number"),
        ("q=0", "`q` is not a positive number"),
        ("windows=1000", "windows=1000 exceeds 100"),
    ] {
        score(tensors(), &["--farms", settings]).fails(2, &[answer, "hint: write rows=2000,q=1,windows=15"]);
    }
    score(tensors(), &["--farms", "default", "--randomize", "1"]).fails(2, &["--randomize"]);
    score(tensors(), &["--randomize", "-1"]).fails(2, &["--randomize"]);
}
