//! Tests for any machine with a GPU, real or emulated.

use std::path::{Path, PathBuf};

use htsr::internals::matrix_with_singular_values;
use safetensors::tensor::Dtype;
use serde_json::Value;

use super::{RULES, SOLVERS, assert_alike, compare, compare_to, demo, machine, on_cpu};
use crate::support::{Run, Tensor, folder, minilm, projection, random, root, save};

#[test]
fn the_demo_is_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let path = demo(folder.path(), 3, 96);
    for rule in RULES {
        for solver in SOLVERS {
            let gpu = machine.score(&path, &["--rule", rule, "--solver", solver, "--precision", "f64"]);
            if gpu.code == 2 {
                assert!(gpu.stderr.contains("does not have this solver"), "{}", gpu.stderr);
                continue;
            }
            assert_alike(
                &gpu.succeeds().json(),
                &on_cpu(&path, &["--rule", rule, "--precision", "f64"]).json(),
                1e-9,
                "",
            );
        }
    }
}

/// Orders around the edges of bands, panels and blocks; on all scales.
#[test]
fn our_own_tridiagonalization_takes_any_order() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let orders = [8, 33, 34, 35, 65, 129, 161, 301];
    let mut tensors = Vec::new();
    for (layer, n) in orders.into_iter().enumerate() {
        let scale = [1e-9, 1.0, 1e9][layer % 3];
        let values: Vec<f64> = random(n * 2 * n, n as u64).into_iter().map(|x| x * scale).collect();
        tensors.push((projection(layer, 'q'), Tensor::f32(&[n, 2 * n], &values)));
        // A quarter of its columns is zero, and an eighth is the same.
        let columns = |at: usize| if at % n < n / 4 { 0.0 } else { values[at - at % n + (at % n).min(7 * n / 8)] };
        let values: Vec<f64> = (0..n * 2 * n).map(columns).collect();
        tensors.push((projection(layer, 'v'), Tensor::f32(&[2 * n, n], &values)));
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    let arguments = ["--rule", "median", "--solver", "two-stage"];
    compare(&machine, &path, &arguments, 0);
    let single = machine.score(&path, &[&arguments[..], &["--precision", "f32"]].concat()).json();
    let double = on_cpu(&path, &["--rule", "median", "--precision", "f64"]).json();
    for (single, double) in single["matrices"].as_array().unwrap().iter().zip(double["matrices"].as_array().unwrap()) {
        assert_eq!(single["status"], double["status"], "{single} {double}");
        if let (Some(one), Some(other)) = (single["alpha"].as_f64(), double["alpha"].as_f64()) {
            assert!((one - other).abs() <= 1e-4 * other, "{single} {double}");
        }
    }
}

/// Of this order, only half of a Gram matrix is computed.
#[test]
fn large_matrices_are_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let tensor = |rows, cols| Tensor::bf16(&[rows, cols], &random(rows * cols, (rows + cols) as u64));
    let tensors = [(projection(0, 'q'), tensor(1101, 1140)), (projection(0, 'k'), tensor(1140, 1030))];
    let path = save(folder.path(), "model.safetensors", tensors);
    let gpu = machine.score(&path, &["--solver", "sytrd", "--precision", "f64"]);
    assert_alike(&gpu.succeeds().json(), &on_cpu(&path, &["--precision", "f64"]).json(), 1e-9, "");
}

#[test]
fn minilm_is_scored_as_on_the_cpu() {
    let (Some(machine), Some(path)) = (machine(), minilm()) else { return };
    for rule in RULES {
        compare(&machine, &path, &["--rule", rule], 0);
    }
    compare(&machine, &path, &["--cast", "fp16"], 0);
}

#[test]
fn windows_and_randomized_matrices_are_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let path = demo(folder.path(), 2, 96);
    for rule in RULES {
        compare(&machine, &path, &["--rule", rule, "--farms", "rows=20,q=1.5,windows=3"], 0);
        compare(&machine, &path, &["--rule", rule, "--randomize", "3"], 0);
    }
    compare(&machine, &path, &["--cast", "fp16", "--farms", "rows=20,windows=2"], 0);
}

#[test]
fn minilm_in_other_precisions() {
    let (Some(machine), Some(path)) = (machine(), minilm()) else { return };
    for rule in RULES {
        let alphas = |run: Run| -> Vec<f64> {
            let rows = run.succeeds().json();
            rows["matrices"].as_array().unwrap().iter().map(|row| row["alpha"].as_f64().unwrap()).collect()
        };
        let exact = alphas(on_cpu(&path, &["--rule", rule, "--precision", "f64"]));
        for (precision, solver) in [("auto", "auto"), ("f32", "auto"), ("f32", "sytrd")] {
            let found = alphas(machine.score(&path, &["--rule", rule, "--precision", precision, "--solver", solver]));
            for (found, exact) in found.iter().zip(&exact) {
                assert!((found - exact).abs() <= 1e-3, "{rule} {precision} {solver}: {found} {exact}");
            }
        }
    }
}

/// Shapes around every limit of the engine: fewer rows than columns and the other way round, several blocks, and all types.
#[test]
fn shapes_types_and_casts() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let shapes = [(8, 8), (9, 31), (31, 9), (33, 33), (64, 63), (1024, 8), (2050, 9), (9, 9000), (9001, 16)];
    let mut tensors = Vec::new();
    for (index, (rows, cols)) in shapes.into_iter().enumerate() {
        let values = random(rows * cols, index as u64);
        let shape = [rows, cols];
        let of_type = |layer, letter, tensor| (projection(layer, letter), tensor);
        tensors.push(of_type(index, 'q', Tensor::bf16(&shape, &values)));
        tensors.push(of_type(index, 'k', Tensor::f16(&shape, &values)));
        tensors.push(of_type(index, 'v', Tensor::f32(&shape, &values)));
        tensors.push(of_type(index, 'o', Tensor::f64(&shape, &values)));
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    for rule in RULES {
        compare(&machine, &path, &["--rule", rule], 0);
    }
    compare(&machine, &path, &["--cast", "bf16", "--solver", "auto"], 0);
}

/// A folder with a matrix for everything that can be wrong with one, among healthy ones.
fn sick_model(folder: &Path) -> PathBuf {
    let healthy = |seed| random(40 * 24, seed);
    let with = |seed: u64, place: usize, value: f64| {
        let mut values = healthy(seed);
        values[place] = value;
        values
    };
    let scaled = |scale: f64| healthy(1).iter().map(|x| x * scale).collect::<Vec<_>>();
    let mut deficient = healthy(2);
    for row in deficient.chunks_mut(24) {
        row[7] = row[3];
    }
    let matrices = [
        healthy(3),
        with(4, 77, f64::NAN),
        with(5, 901, f64::NEG_INFINITY),
        vec![0.0; 40 * 24],
        deficient,
        with(6, 5, 1e7),
        scaled(1e-140),
        scaled(1e140),
        scaled(1e-300),
        scaled(1e250),
        healthy(7),
    ];
    let tall =
        matrices.iter().enumerate().map(|(layer, values)| (projection(layer, 'q'), Tensor::f64(&[40, 24], values)));
    let wide =
        matrices.iter().enumerate().map(|(layer, values)| (projection(layer, 'k'), Tensor::f64(&[24, 40], values)));
    let small = [1e-20, 1e20]
        .into_iter()
        .enumerate()
        .map(|(layer, scale)| (projection(layer, 'v'), Tensor::f32(&[40, 24], &scaled(scale))));
    let brief = std::iter::once((projection(0, 'o'), Tensor::random(7, 30, 8)));
    save(folder, "model.safetensors", tall.chain(wide).chain(small).chain(brief))
}

#[test]
fn what_is_wrong_with_a_matrix_is_found_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let path = sick_model(folder.path());
    for rule in RULES {
        for solver in ["auto", "sytrd"] {
            let rows = machine.score(&path, &["--rule", rule, "--solver", solver, "--precision", "f64"]);
            let cpu = on_cpu(&path, &["--rule", rule, "--precision", "f64"]);
            rows.fails(4, &["NaN or infinity (first at row 3, column 5)", "all elements are zero", "7 eigenvalues"]);
            // One giant element leaves the rest of its Gram matrix to rounding.
            assert_alike(&rows.json(), &cpu.json(), 1e-6, "");
            // A floor has the digits of the smallest eigenvalues, which rounding decides.
            let lines = |text: &str| -> Vec<String> {
                text.lines().filter(|line| !line.contains("floor")).map(str::to_owned).collect()
            };
            assert_eq!(lines(&rows.stderr), lines(&cpu.stderr));
            // In f32 some of these are out of range at first, and none may be lost.
            let auto = machine.score(&path, &["--rule", rule, "--solver", solver]).json();
            for (auto, cpu) in
                auto["matrices"].as_array().unwrap().iter().zip(cpu.json()["matrices"].as_array().unwrap())
            {
                let case = format!("{rule}, {solver}: {auto} {cpu}");
                assert_eq!(auto["status"], cpu["status"], "{case}");
                if let (Some(one), Some(other)) = (auto["alpha"].as_f64(), cpu["alpha"].as_f64()) {
                    assert!((one - other).abs() <= 1e-3, "{case}");
                }
            }
        }
    }
}

/// Singular values, ascending, that f32, a Gram matrix, or both get wrong.
fn hard_spectra(n: usize) -> Vec<Vec<f64>> {
    let step = |i: usize| i as f64 / (n - 1) as f64;
    let spread = |decades: f64| (0..n).map(|i| 10.0_f64.powf(-decades * (1.0 - step(i)))).collect::<Vec<_>>();
    let pareto =
        |alpha: f64| (0..n).map(|k| (1.0 - (k as f64 + 0.5) / n as f64).powf(-0.5 / (alpha - 1.0))).collect::<Vec<_>>();
    let with = |mut values: Vec<f64>, index: usize, value: f64| {
        values[index] = value;
        values
    };
    let mut spectra = vec![spread(0.3), spread(2.0), spread(4.0), spread(7.0), pareto(1.8), pareto(3.0), pareto(6.0)];
    spectra.extend([1e-2, 1e-4, 1e-6, 1e-8, 1e-10].map(|tiny| with(pareto(3.0), 0, tiny)));
    spectra.extend([1e2, 1e4, 1e6].map(|giant| with(pareto(3.0), n - 1, giant)));
    spectra.push((0..n).map(|i| 1.0 + (i * 4 / n) as f64).collect());
    spectra
}

#[test]
fn auto_keeps_its_promise_on_hard_spectra() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let mut tensors = Vec::new();
    for (layer, singular_values) in hard_spectra(48).iter().enumerate() {
        for (letter, [rows, cols]) in [('q', [48, 48]), ('k', [48, 100]), ('v', [100, 48])] {
            let values = matrix_with_singular_values(rows, cols, singular_values, layer as u64);
            tensors.push((projection(layer, letter), Tensor::f32(&[rows, cols], &values)));
        }
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    let mut words = std::collections::BTreeSet::new();
    for rule in RULES {
        let cpu = on_cpu(&path, &["--rule", rule, "--precision", "f64"]).json();
        for solver in ["auto", "sytrd"] {
            let gpu = machine.score(&path, &["--rule", rule, "--solver", solver]).json();
            for (gpu, cpu) in gpu["matrices"].as_array().unwrap().iter().zip(cpu["matrices"].as_array().unwrap()) {
                let case = format!("{rule}, {solver}: {gpu} {cpu}");
                assert_eq!((&gpu["status"], &gpu["reason"]), (&cpu["status"], &cpu["reason"]), "{case}");
                words.insert(gpu["precision"].as_str().unwrap().to_owned());
                if let (Some(one), Some(other)) = (gpu["alpha"].as_f64(), cpu["alpha"].as_f64()) {
                    // A note says where even f64 cannot keep the promise.
                    let tolerance = if cpu["note"].is_null() { 1e-3 } else { 1e-5 * other };
                    assert!((one - other).abs() <= tolerance, "{case}");
                }
            }
        }
        let whole = cpu["matrices"].as_array().unwrap().iter().all(|row| row["status"] == "ok");
        compare_to(1e-5, &machine, &path, &["--rule", rule], if whole { 0 } else { 4 });
    }
    // Every way must have been taken, or this proves little.
    // A GPU that is fast in f64 takes one way less.
    let double = std::env::var_os("HTSR_REQUIRE_GPU").is_some();
    for word in ["f32", "f32+chol", "f64", "f64+chol", "f64+qr", "f64 svd"] {
        assert!(double && word == "f32+chol" || words.contains(word), "{word} is not among {words:?}");
    }
}

/// Smallest eigenvalues that a Gram matrix in f64 gives too coarsely, and products with W well: nothing needs a QR
/// factorization, which is slow. The weights of long matrices do not stay on the GPU, and are sent for every product.
#[test]
fn smallest_eigenvalues_come_from_products_with_the_weights() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let report = folder.path().join("report.json");
    let mut tensors = Vec::new();
    for (layer, [rows, cols]) in
        [[9, 8], [8, 8], [9, 9], [48, 48], [48, 49], [16, 4500], [4500, 16], [33, 16]].into_iter().enumerate()
    {
        let mut singular_values: Vec<f64> = (0..rows.min(cols)).map(|k| 1.0 + k as f64).collect();
        singular_values[0] = 2e-5 / (1.0 + layer as f64);
        let values = matrix_with_singular_values(rows, cols, &singular_values, layer as u64);
        let shape = [rows, cols];
        tensors.push((projection(layer, 'q'), Tensor::f64(&shape, &values)));
        tensors.push((projection(layer, 'k'), Tensor::f32(&shape, &values)));
        tensors.push((
            projection(layer, 'v'),
            Tensor::f64(&shape, &values.iter().map(|x| x * 1e-140).collect::<Vec<_>>()),
        ));
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    let emulated = machine.with("FAKECUDA_REPORT", report.display());
    for (precision, solver) in [("f64", "auto"), ("f64", "sytrd"), ("f32", "sytrd")] {
        let arguments = ["--precision", precision, "--solver", solver];
        let gpu = emulated.score(&path, &arguments).succeeds().json();
        let cpu = on_cpu(&path, &["--precision", "f64"]).succeeds().json();
        for (gpu, cpu) in gpu["matrices"].as_array().unwrap().iter().zip(cpu["matrices"].as_array().unwrap()) {
            let case = format!("{precision}, {solver}: {gpu} {cpu}");
            assert_eq!(gpu["precision"], format!("{precision}+chol"), "{case}");
            let ratio = gpu["lambda_min"].as_f64().unwrap() / cpu["lambda_min"].as_f64().unwrap();
            assert!((ratio - 1.0).abs() < 1e-6, "{case}");
        }
        if let Ok(report) = std::fs::read(&report) {
            let report: Value = serde_json::from_slice(&report).unwrap();
            assert!(report["by_function"]["cusolverDnDgeqrf"].is_null(), "{report}");
        }
    }
}

/// Triangles of many rows are stacked and factorized again.
#[test]
fn nearly_singular_tall_matrices() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let mut singular_values: Vec<f64> = (0..16).map(|k| 1.0 + k as f64).collect();
    // Two, so that neither can be told from the other by a Gram matrix.
    (singular_values[0], singular_values[1]) = (1e-7, 3e-7);
    let tensors =
        [(4500, 16), (16, 4500), (40, 16), (33, 16), (16, 16)].into_iter().enumerate().map(|(layer, (rows, cols))| {
            let values = matrix_with_singular_values(rows, cols, &singular_values, 3);
            (projection(layer, 'q'), Tensor::f64(&[rows, cols], &values))
        });
    let path = save(folder.path(), "model.safetensors", tensors);
    let rows = machine.score(&path, &["--precision", "f64"]).succeeds().json();
    for row in rows["matrices"].as_array().unwrap() {
        assert_eq!(row["precision"], "f64 svd");
        let smallest = row["lambda_min"].as_f64().unwrap();
        assert!((smallest / 1e-14 - 1.0).abs() < 1e-6, "{row}");
    }
}

#[test]
fn results_depend_neither_on_lanes_nor_on_the_number_of_gpus() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let path = demo(folder.path(), 2, 64);
    let once = machine.score(&path, &["--threads", "1"]).succeeds().stdout.clone();
    for threads in ["2", "5"] {
        assert_eq!(machine.score(&path, &["--threads", threads]).succeeds().stdout, once);
    }
    let all = machine.with("FAKECUDA_DEVICES", 3).score(&path, &["--device", "cuda:all"]);
    // The name of the emulated device has its number.
    assert_alike(&all.succeeds().json(), &serde_json::from_str(&once).unwrap(), 0.0, "");
}

// ---- What only an emulation can show.

/// Weights that are multiplied by their factors before they are sent, and parts of larger tensors.
#[test]
fn weights_of_8_bits_and_stacked_experts_are_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let bits = random(40 * 32, 1).into_iter().map(|x| (x * 1000.0) as i8 as u8 & 0xf7);
    let eights = Tensor { dtype: Dtype::F8_E4M3, shape: vec![40, 32], bytes: bits.collect() };
    let path = save(
        folder.path(),
        "model.safetensors",
        [
            (projection(0, 'q'), eights),
            (projection(0, 'q') + "_scale_inv", Tensor::f32(&[3, 2], &[0.5, 0.75, 1.0, 1.5, 0.3, 0.7])),
            ("model.layers.0.mlp.experts.up_proj".into(), Tensor::bf16(&[3, 24, 40], &random(3 * 24 * 40, 2))),
        ],
    );
    for rule in RULES {
        compare(&machine, &path, &["--rule", rule], 0);
    }
    compare(&machine, &path, &["--cast", "bf16", "--solver", "auto"], 0);
}

/// Elements that are computed before they are sent: differences of every type, and the small matrices of an adapter.
#[test]
fn updates_are_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let model = |seed: u64, tensor: fn(&[usize], &[f64]) -> Tensor| {
        let matrix = |index: usize| tensor(&[20, 32], &random(20 * 32, seed + index as u64));
        (0..3).map(move |layer| (projection(layer, 'q'), matrix(layer))).collect::<Vec<_>>()
    };
    let path = save(folder.path(), "tuned.safetensors", model(1, Tensor::bf16));
    let base = save(folder.path(), "base.safetensors", model(50, Tensor::f16));
    let base = base.to_str().unwrap();
    for rule in RULES {
        compare(&machine, &path, &["--base", base, "--rule", rule], 0);
        compare(&machine, &root().join("tests/data/adapter"), &["--rule", rule], 4);
    }
    compare(&machine, &path, &["--base", base, "--cast", "bf16"], 0);
    compare(&machine, &path, &["--base", path.to_str().unwrap()], 4);
    // What auto makes of it.
    let auto = machine.score(&path, &["--base", base, "--rule", "ks"]);
    assert_alike(&auto.succeeds().json(), &on_cpu(&path, &["--base", base, "--rule", "ks"]).json(), 1e-3, "");
}
