//! The random-matrix baseline: random matrices, whose alpha has no excess over it, and shuffled matrices.

use std::collections::HashMap;

use htsr::fit::Rule;
use htsr::internals::random_baseline;
use serde_json::Value;

use crate::support::{Run, Tensor, folder, htsr, projection, random, save};

const MATRICES: usize = 60;
/// Shapes with Q = 1, 4 and 8, and one between the rows of the table.
const SHAPES: [(char, usize, usize); 4] = [('q', 64, 64), ('k', 64, 256), ('v', 512, 64), ('o', 50, 255)];

/// Returns standard normal numbers (Box and Muller).
fn gaussian(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let number = |_| (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    (0..count).map(number).collect()
}

/// The table was simulated from bidiagonal matrices; these are dense. The mean excess of 60 matrices is within 4.5 standard
/// errors of zero, including the errors of the table. The spread is 0.6 to 1.6 times the spread in the table.
#[test]
fn random_matrices_of_any_shape_have_no_excess() {
    let folder = folder();
    let mut tensors = Vec::new();
    for layer in 0..MATRICES {
        for (letter, rows, cols) in SHAPES {
            let values = gaussian(rows * cols, 1000 * layer as u64 + u64::from(u32::from(letter)));
            tensors.push((projection(layer, letter), Tensor::f32(&[rows, cols], &values)));
        }
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
        let options = [
            "--rule",
            &rule.to_string(),
            "--precision",
            "f64",
            "--format",
            "json",
            "--quiet",
            "--rounding",
            "largest-remainder",
        ];
        let result = htsr(["score", path.to_str().unwrap()].iter().chain(&options)).succeeds().json();
        let mut excess: HashMap<char, Vec<f64>> = HashMap::new();
        for row in result["matrices"].as_array().unwrap() {
            let metric = |name: &str| row["metrics"][name].as_f64().unwrap();
            assert!((metric("alpha") - metric("alpha_mp") - metric("alpha_excess")).abs() < 1e-12);
            let letter =
                SHAPES.iter().find(|(letter, ..)| row["tensor"].as_str().unwrap().contains(&format!("{letter}_proj")));
            excess.entry(letter.unwrap().0).or_default().push(metric("alpha_excess"));
        }
        for (letter, rows, cols) in SHAPES {
            let baseline =
                random_baseline(rule, rows.min(cols), rows.max(cols) as f64 / rows.min(cols) as f64).unwrap();
            let values = &excess[&letter];
            let mean = values.iter().sum::<f64>() / MATRICES as f64;
            let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (MATRICES - 1) as f64).sqrt();
            // Each row of the table comes from 2048 matrices, and linear interpolation between rows is off by about a percent.
            let standard_error =
                baseline.deviation * (1.0 / MATRICES as f64 + 1.0 / 2048.0).sqrt() + 0.002 * baseline.alpha;
            assert!(mean.abs() < 4.5 * standard_error, "{rule} {letter}: {mean} of {baseline:?}");
            let spread = deviation / baseline.deviation;
            assert!((0.6..1.6).contains(&spread), "{rule} {letter}: {deviation} of {baseline:?}");
        }
    }
}

fn model() -> Vec<(String, Tensor)> {
    // Noise with one much stronger direction. Shuffling leaves only noise.
    let (rows, cols) = (60, 120);
    let mut values = random(rows * cols, 1);
    let (left, right) = (random(rows, 2), random(cols, 3));
    for (index, value) in values.iter_mut().enumerate() {
        *value += 20.0 * left[index / cols] * right[index % cols];
    }
    vec![
        (projection(0, 'q'), Tensor::f32(&[rows, cols], &values)),
        (projection(0, 'k'), Tensor::random(rows, cols, 4)),
        (projection(0, 'v'), Tensor::f64(&[rows, cols], &[1.0; 60 * 120])),
    ]
}

fn randomize(seed: &str, options: &[&str]) -> Run {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", model());
    htsr(["score", path.to_str().unwrap(), "--randomize", seed, "--quiet", "--format", "json"].iter().chain(options))
}

fn metric(result: &Value, letter: char, name: &str) -> f64 {
    let rows = result["matrices"].as_array().unwrap();
    let row = rows.iter().find(|row| row["tensor"] == projection(0, letter)).unwrap();
    row["metrics"][name].as_f64().unwrap_or_else(|| panic!("{letter} {name}: {row}"))
}

#[test]
fn shuffling_keeps_the_elements_and_removes_their_correlations() {
    let result = randomize("7", &["--rule", "median"]).fails(4, &[]).json();
    assert_eq!(result["provenance"]["options"]["randomize"], 7);
    // The largest eigenvalue of noise with the same variance: sigma^2 (sqrt N + sqrt M)^2, for any direction.
    for letter in ['q', 'k'] {
        let row = |name| metric(&result, letter, name);
        let trace =
            result["matrices"].as_array().unwrap().iter().find(|row| row["tensor"] == projection(0, letter)).unwrap();
        let edge = trace["trace"].as_f64().unwrap() / (60.0 * 120.0) * (60.0_f64.sqrt() + 120.0_f64.sqrt()).powi(2);
        assert!((row("max_rand_eval") / edge - 1.0).abs() < 0.25, "{letter}: {} {edge}", row("max_rand_eval"));
        assert!((0.0..2.0_f64.ln().sqrt()).contains(&row("rand_distance")));
    }
    // The shuffled matrix has no spike above the noise. The original has one: the direction.
    assert_eq!((metric(&result, 'q', "num_traps"), metric(&result, 'q', "num_spikes")), (0.0, 1.0));
    assert_eq!(metric(&result, 'k', "num_traps"), 0.0);
    assert!(metric(&result, 'q', "rand_distance") > 4.0 * metric(&result, 'k', "rand_distance"));
    // A matrix of ones does not change when it is shuffled.
    assert!(metric(&result, 'v', "rand_distance") < 1e-6);
}

#[test]
fn the_order_depends_only_on_the_seed() {
    let run = |seed, threads| randomize(seed, &["--threads", threads]).json()["matrices"].clone();
    assert_eq!(run("7", "1"), run("7", "3"));
    assert_ne!(run("7", "1"), run("8", "1"));
}

#[test]
fn without_a_seed_the_comparison_is_missing_with_a_reason() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", model());
    let options = ["--metrics", "rand_distance", "--format", "json", "--quiet"];
    let result = htsr(["score", path.to_str().unwrap()].iter().chain(&options)).fails(4, &[]).json();
    for row in result["matrices"].as_array().unwrap() {
        assert_eq!(row["missing"]["rand_distance"], "only with the option randomize");
    }
}
