//! Matrices with equal eigenvalues: orthogonal matrices, and those that repeat a singular value.

use crate::support::{Tensor, folder, htsr, projection, random, save};

const ORDER: usize = 48;
const RULES: [&str; 4] = ["peak", "peak-robust", "median", "ks"];

/// A product of random reflections, row by row.
fn orthogonal(seed: u64) -> Vec<f64> {
    let mut matrix: Vec<f64> = (0..ORDER * ORDER).map(|at| f64::from(u8::from(at % (ORDER + 1) == 0))).collect();
    for reflection in 0..8 {
        let v = random(ORDER, 100 * seed + reflection);
        let square: f64 = v.iter().map(|x| x * x).sum();
        for row in matrix.chunks_exact_mut(ORDER) {
            let projection = 2.0 * row.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() / square;
            row.iter_mut().zip(&v).for_each(|(x, v)| *x -= projection * v);
        }
    }
    matrix
}

#[test]
fn an_orthogonal_matrix_has_no_alpha_whatever_it_is_stored_as() {
    let folder = folder();
    let shape = [ORDER, ORDER];
    let q = orthogonal(1);
    // 0.3 has its own rounding errors in all types.
    let scaled: Vec<f64> = q.iter().map(|x| 0.3 * x).collect();
    let model = [
        (projection(0, 'q'), Tensor::f64(&shape, &q)),
        (projection(1, 'q'), Tensor::f32(&shape, &scaled)),
        (projection(2, 'q'), Tensor::bf16(&shape, &scaled)),
        (projection(3, 'q'), Tensor::f32(&[24, ORDER], &scaled[..24 * ORDER])),
        (projection(4, 'q'), Tensor::f32(&shape, &random(ORDER * ORDER, 5))),
    ];
    let path = save(folder.path(), "model.safetensors", model);
    for rule in RULES {
        for more in [&["--format", "json"][..], &["--format", "json", "--precision", "f32"], &["--cast", "bf16"]] {
            let run = htsr(["score", path.to_str().unwrap(), "--rule", rule].iter().chain(more));
            run.fails(4, &["no power-law tail: the eigenvalues in question are equal within rounding", "hint: "]);
            assert!(run.stderr.contains("no allocation: layer 0 of model has no alpha"), "{}", run.stderr);
            if more[0] == "--cast" {
                continue;
            }
            for (row, layer) in run.json()["matrices"].as_array().unwrap().iter().zip(0..) {
                let status = if layer < 4 { "failed" } else { "ok" };
                assert_eq!(row["status"], status, "{rule} {more:?}, layer {layer}: {row}");
                assert_eq!(row["alpha"].is_null(), layer < 4);
            }
        }
    }
}

#[test]
fn a_tail_holds_all_eigenvalues_from_xmin_on() {
    let folder = folder();
    // Exact singular values, in groups of four that include the middle of the spectrum.
    let diagonal = |at: usize| if at.is_multiple_of(ORDER + 1) { 1.0 + ((at / ORDER + 1) / 4) as f64 } else { 0.0 };
    let values: Vec<f64> = (0..ORDER * ORDER).map(diagonal).collect();
    let path = save(folder.path(), "ties.safetensors", [(projection(0, 'q'), Tensor::f32(&[ORDER, ORDER], &values))]);
    for rule in RULES {
        let run = htsr(["score", path.to_str().unwrap(), "--rule", rule, "--format", "json"]).succeeds().json();
        let row = &run["matrices"][0];
        let xmin = row["xmin"].as_f64().unwrap();
        let count = (0..ORDER).filter(|&i| diagonal(i * (ORDER + 1)).powi(2) >= xmin * (1.0 - 1e-6)).count();
        assert_eq!(row["tail"], count, "{rule}: {row}");
        assert_eq!(row["metrics"]["num_pl_spikes"], count, "{rule}");
    }
}
