//! The floor of the stored format: eigenvalues that rounding makes, in updates that were merged and in plain weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, TempDir, Tensor, folder, htsr, minilm, projection, random, save};

const RULES: [&str; 4] = ["peak", "peak-robust", "median", "ks"];

fn score(path: &Path, arguments: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json"].iter().chain(arguments))
}

fn row(run: &Run) -> Value {
    run.json()["matrices"][0].clone()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"))
}

fn tensor(dtype: Dtype, shape: &[usize; 2], values: &[f64]) -> Tensor {
    match dtype {
        Dtype::F64 => Tensor::f64(shape, values),
        Dtype::F32 => Tensor::f32(shape, values),
        Dtype::F16 => Tensor::f16(shape, values),
        _ => Tensor::bf16(shape, values),
    }
}

/// The values that are left of `values` after rounding to `dtype`.
fn rounded(dtype: Dtype, values: &[f64]) -> Vec<f64> {
    let round = |x: &f64| match dtype {
        Dtype::F64 => *x,
        Dtype::F32 => f64::from(*x as f32),
        Dtype::F16 => half::f16::from_f64(*x).to_f64(),
        _ => half::bf16::from_f64(*x).to_f64(),
    };
    values.iter().map(round).collect()
}

/// A matrix of rank `rank` whose elements have about this size, with a heavy tail.
fn low_rank([rows, cols]: [usize; 2], rank: usize, size: f64, seed: u64) -> Vec<f64> {
    let normal = |count: usize, seed: u64| random(count, seed).iter().map(|x| x / 0.0212).collect::<Vec<f64>>();
    let (up, down) = (normal(rows * rank, seed), normal(rank * cols, seed + 1));
    let scale = |k: usize| ((k as f64 + 0.5) / rank as f64).powf(-0.7) * size / (2.0 * (rank as f64).sqrt());
    let element = |at: usize| -> f64 {
        let (row, col) = (at / cols, at % cols);
        (0..rank).map(|k| up[row * rank + k] * scale(k) * down[k * cols + col]).sum()
    };
    (0..rows * cols).map(element).collect()
}

/// A base in `dtype`, the same with `update` merged, and the update itself in F64.
struct Merged {
    _folder: TempDir,
    base: PathBuf,
    merged: PathBuf,
    update: PathBuf,
}

impl Merged {
    fn new(dtype: Dtype, shape: [usize; 2], before: &[f64], update: &[f64]) -> Merged {
        let folder = folder();
        let before = rounded(dtype, before);
        let after: Vec<f64> = before.iter().zip(update).map(|(x, dx)| x + dx).collect();
        let name = || projection(0, 'q');
        let write = |file: &str, tensor| save(folder.path(), file, [(name(), tensor)]);
        let base = write("base.safetensors", tensor(dtype, &shape, &before));
        let merged = write("merged.safetensors", tensor(dtype, &shape, &after));
        let update = write("update.safetensors", Tensor::f64(&shape, update));
        Merged { _folder: folder, base, merged, update }
    }

    fn score(&self, arguments: &[&str]) -> Run {
        score(&self.merged, &[&["--base", self.base.to_str().unwrap()], arguments].concat())
    }

    /// The update before rounding; what is below 1e-12 of its largest eigenvalue is rounding in F64.
    fn truth(&self, arguments: &[&str]) -> Value {
        row(&score(&self.update, &[&["--floor", "1e-20"], arguments].concat()))
    }
}

/// Weights with a standard deviation of 0.02.
fn weights(count: usize, seed: u64) -> Vec<f64> {
    random(count, seed)
}

#[test]
fn a_merged_update_has_the_alpha_of_the_update() {
    let shape = [96, 64];
    for (dtype, size) in [(Dtype::F32, 2e-4), (Dtype::F16, 3e-3), (Dtype::BF16, 2e-2)] {
        let merged = Merged::new(dtype, shape, &weights(96 * 64, 1), &low_rank(shape, 16, size, 2));
        for rule in RULES {
            let (found, truth) = (row(&merged.score(&["--rule", rule])), merged.truth(&["--rule", rule]));
            assert_eq!((&found["below_floor"], &found["rank_above_floor"]), (&48.into(), &16.into()), "{dtype:?}");
            assert_eq!((&found["eigenvalues"], &truth["rank_above_floor"]), (&64.into(), &16.into()));
            let (alpha, expected) = (number(&found, "alpha"), number(&truth, "alpha"));
            assert!((alpha / expected - 1.0).abs() < 0.03, "{dtype:?} {rule}: {alpha} {expected}");
            assert!(number(&found, "tail") <= 16.0 && number(&found, "xmin") > number(&found, "floor"));
            // matrix_rank keeps its meaning: what is not zero.
            assert!(found["metrics"]["matrix_rank"].as_u64().unwrap() >= 60);
            assert!(number(&found, "unchanged") < 0.1);
        }
        let all = row(&merged.score(&["--floor", "none"]));
        assert!(all.get("below_floor").is_none() && all.get("floor").is_none());
        assert!(number(&all, "alpha") < 1.3, "the fit sees the noise: {all}");
    }
}

#[test]
fn outlier_rows_and_columns_raise_the_floor() {
    let shape = [80, 64];
    let mut before = weights(80 * 64, 3);
    (0..64).for_each(|col| before[7 * 64 + col] *= 30.0);
    (0..80).for_each(|row| before[row * 64 + 5] *= 30.0);
    let merged = Merged::new(Dtype::F32, shape, &before, &low_rank(shape, 12, 1e-3, 4));
    let found = row(&merged.score(&["--rule", "median"]));
    let plain = Merged::new(Dtype::F32, shape, &weights(80 * 64, 3), &low_rank(shape, 12, 1e-3, 4));
    let other = row(&plain.score(&["--rule", "median"]));
    for row in [&found, &other] {
        assert_eq!(row["rank_above_floor"], 12);
        let (alpha, expected) = (number(row, "alpha"), number(&plain.truth(&["--rule", "median"]), "alpha"));
        assert!((alpha / expected - 1.0).abs() < 1e-3, "{alpha} {expected}");
    }
    assert!(number(&found, "floor") > 5.0 * number(&other, "floor"));
}

#[test]
fn two_roundings_are_recognized_by_their_noise() {
    // Both models were cast from finer ones.
    let shape = [128, 128];
    let (fine, update) = (weights(128 * 128, 5), low_rank(shape, 16, 4e-3, 6));
    let after: Vec<f64> = fine.iter().zip(&update).map(|(x, dx)| x + dx).collect();
    let folder = folder();
    let write =
        |file: &str, values: &[f64]| save(folder.path(), file, [(projection(0, 'q'), Tensor::bf16(&shape, values))]);
    let (base, merged) = (write("base.safetensors", &fine), write("merged.safetensors", &after));
    let twice = row(&score(&merged, &["--base", base.to_str().unwrap()]));
    let once = row(&Merged::new(Dtype::BF16, shape, &fine, &update).score(&[]));
    assert_eq!((&twice["rank_above_floor"], &once["rank_above_floor"]), (&16.into(), &16.into()));
    let ratio = number(&twice, "floor") / number(&once, "floor");
    assert!((1.3..=2.0).contains(&ratio), "{ratio}");
}

#[test]
fn an_update_that_is_mostly_lost_has_no_alpha() {
    let shape = [64, 64];
    // BF16 weights of 0.02 are about 1e-4 apart.
    let merged = Merged::new(Dtype::BF16, shape, &weights(64 * 64, 7), &low_rank(shape, 16, 3e-5, 8));
    for rule in RULES {
        let run = merged.score(&["--rule", rule, "--metrics", "alpha_median,alpha_ks,alpha_low"]);
        run.fails(
            4,
            &[
                "% of the elements are unchanged: the update is smaller than the spacing of the stored numbers",
                "hint: exclude it with --exclude, or fit all eigenvalues, rounding included, with --floor none",
            ],
        );
        let row = row(&run);
        assert!(number(&row, "unchanged") > 0.5 && row["alpha"].is_null() && row["status"] == "failed");
        // No metric fits them, either.
        for metric in ["alpha_median", "alpha_ks", "alpha_low", "num_pl_spikes"] {
            assert!(row["metrics"][metric].is_null(), "{metric}");
        }
        assert!(row["metrics"]["log_norm"].is_number());
    }
    assert!(row(merged.score(&["--floor", "none", "--rule", "median"]).succeeds())["alpha"].is_number());
}

#[test]
fn too_few_eigenvalues_above_the_floor_have_no_alpha() {
    let shape = [64, 64];
    let merged = Merged::new(Dtype::F32, shape, &weights(64 * 64, 9), &low_rank(shape, 4, 1e-3, 10));
    let run = merged.score(&[]);
    run.fails(4, &["4 of 64 eigenvalues are above the floor of the stored format, fewer than the 8", "--floor none"]);
    assert_eq!(row(&run)["rank_above_floor"], 4);
}

#[test]
fn rows_and_columns_that_were_not_trained_do_not_count_as_lost() {
    let shape = [64, 64];
    let mut update = low_rank([64, 64], 16, 2e-2, 11);
    for (at, x) in update.iter_mut().enumerate() {
        *x *= if at / 64 < 40 || at % 64 < 20 { 0.0 } else { 1.0 };
    }
    let merged = Merged::new(Dtype::BF16, shape, &weights(64 * 64, 12), &update);
    let found = row(merged.score(&["--rule", "median"]).succeeds());
    assert!(number(&found, "unchanged") < 0.1, "{found}");
    assert_eq!(found["rank_above_floor"], 16);
}

#[test]
fn low_rank_weights_keep_their_alpha_and_get_a_note() {
    let shape = [64, 64];
    let values = low_rank(shape, 48, 0.1, 13);
    let folder = folder();
    let file = |name: &str, tensor| save(folder.path(), name, [(projection(0, 'q'), tensor)]);
    let stored = file("f32.safetensors", Tensor::f32(&shape, &values));
    let auto = score(&stored, &[]);
    let found = row(auto.succeeds());
    let note = "16 of 64 eigenvalues are below the floor of the stored format, where rounding makes them; without them (option floor=";
    let text = found["note"].as_str().unwrap();
    assert!(text.starts_with(note), "{text}");
    let plain = row(&score(&stored, &["--floor", "none"]));
    for key in ["alpha", "xmin", "tail", "ks_distance", "trace", "metrics"] {
        assert_eq!(found[key], plain[key], "{key}: weights are fitted whole");
    }
    assert_eq!((&found["metrics"]["matrix_rank"], &found["metrics"]["rank_loss"]), (&64.into(), &0.into()));
    // What the note offers gives what it says.
    let value = text[note.len()..].split(')').next().unwrap();
    let alpha: f64 = text.rsplit(' ').next().unwrap().parse().unwrap();
    let cut = row(score(&stored, &["--floor", value]).succeeds());
    assert!((number(&cut, "alpha") - alpha).abs() < 6e-4, "{cut}");
    let exact = file("f64.safetensors", Tensor::f64(&shape, &values));
    let truth = number(&row(&score(&exact, &["--floor", value])), "alpha");
    assert!((alpha / truth - 1.0).abs() < 1e-3, "{alpha} {truth}");
    assert_eq!((&cut["below_floor"], &cut["rank_above_floor"]), (&16.into(), &48.into()));
    // esd and compare fit the same, and the tail in esd's eigenvalues is that of the row.
    let esd = htsr(["esd", stored.to_str().unwrap(), "q_proj", "--format", "json", "--floor", value]).succeeds().json();
    assert_eq!((&esd["matrix"]["alpha"], esd["eigenvalues"].as_array().unwrap().len()), (&cut["alpha"], 64));
    let provenance = |run: &Run| run.json()["provenance"]["options"]["floor"].clone();
    assert_eq!((provenance(&auto), provenance(&score(&stored, &["--floor", "none"]))), (Value::Null, "none".into()));
}

#[test]
fn files_of_wider_types_have_the_floor_of_their_values() {
    let shape = [64, 64];
    let values = rounded(Dtype::BF16, &low_rank(shape, 24, 0.1, 14));
    let folder = folder();
    let file = |name: &str, tensor| save(folder.path(), name, [(projection(0, 'q'), tensor)]);
    let floors = [Tensor::bf16(&shape, &values), Tensor::f32(&shape, &values), Tensor::f64(&shape, &values)]
        .map(|tensor| row(&score(&file("w.safetensors", tensor), &["--rule", "median"])))
        .map(|row| (number(&row, "floor"), row["below_floor"].clone()));
    assert_eq!(floors[0].1, 40);
    assert!(floors.iter().all(|floor| *floor == floors[0]), "{floors:?}");
}

#[test]
fn windows_leave_out_what_is_below_their_floor() {
    let shape = [128, 96];
    let merged = Merged::new(Dtype::F32, shape, &weights(128 * 96, 15), &low_rank(shape, 12, 1e-3, 16));
    let farms = ["--farms", "rows=48,q=1,windows=2", "--rule", "median"];
    let found = row(merged.score(&farms).succeeds());
    let count = found["windows"]["count"].as_u64().unwrap();
    assert_eq!(found["rank_above_floor"], 12 * count);
    let (alpha, truth) = (number(&found, "alpha"), number(&merged.truth(&farms), "alpha"));
    assert!((alpha / truth - 1.0).abs() < 0.01, "{alpha} {truth}");
}

#[test]
fn simulated_errors_and_baselines_are_those_of_whole_spectra() {
    let shape = [64, 64];
    let merged = Merged::new(Dtype::F32, shape, &weights(64 * 64, 17), &low_rank(shape, 20, 1e-3, 18));
    let found = row(merged.score(&["--rule", "ks", "--se", "10", "--gof", "10"]).succeeds());
    for (metric, reason) in
        [("alpha_se", "the fit left out"), ("alpha_mp", "whole spectrum"), ("alpha_excess", "whole")]
    {
        assert!(found["metrics"][metric].is_null());
        assert!(found["missing"][metric].as_str().unwrap().contains(reason), "{found}");
    }
    assert!(number(&found["metrics"], "gof_p") >= 0.0);
    assert_eq!(found["metrics"]["num_pl_spikes"], found["tail"]);
}

#[test]
fn a_floor_is_a_word_or_a_positive_number() {
    let folder = folder();
    let path = save(folder.path(), "w.safetensors", BTreeMap::from([(projection(0, 'q'), Tensor::random(24, 24, 1))]));
    for floor in ["low", "0", "-1", "inf"] {
        score(&path, &["--floor", floor]).fails(
            2,
            &[
                "not auto, none, or a positive eigenvalue, such as 1e-12",
                "hint: `htsr score PATH --format json` reports the floor of every matrix as `floor`",
            ],
        );
    }
    score(&path, &["--floor", "1e9"]).fails(4, &["0 of 24 eigenvalues are above the floor", "--floor none"]);
}

#[test]
fn full_precision_weights_of_a_real_model_are_above_their_floor() {
    let Some(path) = minilm() else { return };
    let found = score(&path, &["--rule", "median"]).succeeds().json();
    for row in found["matrices"].as_array().unwrap() {
        // Single precision hides up to a few.
        assert!(row["below_floor"] == 0 || row.get("below_floor").is_none(), "{row}");
        assert_eq!(row["note"], Value::Null, "{row}");
    }
}
