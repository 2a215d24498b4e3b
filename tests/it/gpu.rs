//! The GPU engine against the CPU engine: the same checkpoints, the same answers.
//!
//! Where there is no GPU, which is nearly everywhere, the real program runs on emulated CUDA libraries (crates/fakecuda):
//! that proves what is computed, in which order and what happens when calls fail, and nothing about speed or NVIDIA's own
//! rounding. With HTSR_REQUIRE_GPU=1 the tests run on the real GPU, and fail without one.

use std::io::Write;
use std::path::{Path, PathBuf};

use htsr::synthetic::{Model, matrix_with_singular_values};
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, Tensor, command, folder, minilm, projection, random, root, run, save, small_model};

/// A machine with a GPU, real or emulated.
#[derive(Clone)]
struct Machine {
    variables: Vec<(&'static str, String)>,
}

/// The machine to test on; `None`, said loudly, where nothing can be emulated. Under CI that is a failure.
fn machine() -> Option<Machine> {
    if std::env::var_os("HTSR_REQUIRE_GPU").is_some() {
        return Some(Machine { variables: Vec::new() });
    }
    emulated(fakecuda::FOLDER)
}

/// A machine whose emulation can be told what to do; `None` on a real GPU, where that cannot be tested.
fn emulated(libraries: Option<&str>) -> Option<Machine> {
    if std::env::var_os("HTSR_REQUIRE_GPU").is_some() {
        return None;
    }
    let message = "SKIPPED: CUDA cannot be emulated here; that takes Linux and a C++ compiler";
    assert!(libraries.is_some() || std::env::var_os("CI").is_none(), "{message}");
    let Some(libraries) = libraries else {
        let _ = writeln!(std::io::stderr(), "\n{message}");
        return None;
    };
    Some(Machine { variables: vec![("LD_LIBRARY_PATH", libraries.into()), ("HTSR_CACHE", String::new())] })
}

impl Machine {
    fn with(&self, name: &'static str, value: impl ToString) -> Machine {
        let mut machine = self.clone();
        machine.variables.push((name, value.to_string()));
        machine
    }

    fn htsr<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        run(command().env("HTSR_DEVICE", "cuda").envs(self.variables.iter().cloned()).args(arguments))
    }

    /// The results of `score`, as JSON text.
    fn score(&self, path: &Path, arguments: &[&str]) -> Run {
        self.htsr(["score", path.to_str().unwrap(), "--format", "json", "-q"].iter().chain(arguments))
    }
}

fn on_cpu(path: &Path, arguments: &[&str]) -> Run {
    run(command().args(["score", path.to_str().unwrap(), "--format", "json", "-q"]).args(arguments))
}

/// Asserts that both are the same but for where they come from and the last digits: `tolerance` is relative.
#[track_caller]
fn assert_alike(one: &Value, other: &Value, tolerance: f64, place: &str) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{place}");
            for (key, value) in one {
                let elsewhere = place.ends_with("provenance") && ["device", "solver"].contains(&key.as_str());
                // The smallest eigenvalue is known to 1e-6 for the peak rule, and else as rounding leaves it.
                let noise = key == "lambda_min" && one["rule"] != "peak";
                if !elsewhere && !noise {
                    let tolerance = if key == "lambda_min" { 1e-5 } else { tolerance };
                    assert_alike(value, &other[key], tolerance, &format!("{place}.{key}"));
                }
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{place}");
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                assert_alike(one, other, tolerance, &format!("{place}[{index}]"));
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            // A difference of alphas and the logarithm of what may be 1, of which little may be left.
            let small = ["peak_jump", "alpha_weighted", "log_spectral_norm"].iter().any(|key| place.contains(key));
            let scale = one.abs().max(other.abs()).max(if small { 1.0 } else { 0.0 });
            assert!((one - other).abs() <= tolerance * scale, "{place}: {one:e} {other:e}");
        }
        // A failed matrix has no precision but the one that was asked for, and a bound says how far rounding goes.
        _ if place.ends_with("note") || place.ends_with("precision") => {}
        _ => assert_eq!(one, other, "{place}"),
    }
}

/// Scores `path` on GPU and CPU in f64 and compares all that is given out.
#[track_caller]
fn compare(machine: &Machine, path: &Path, arguments: &[&str], code: i32) {
    compare_to(1e-9, machine, path, arguments, code);
}

/// The same, to a tolerance.
#[track_caller]
fn compare_to(tolerance: f64, machine: &Machine, path: &Path, arguments: &[&str], code: i32) {
    let arguments: Vec<&str> = ["--precision", "f64"].into_iter().chain(arguments.iter().copied()).collect();
    let (gpu, cpu) = (machine.score(path, &arguments), on_cpu(path, &arguments));
    assert_eq!((gpu.code, cpu.code), (code, code), "{arguments:?}: {} {}", gpu.stderr, cpu.stderr);
    assert_alike(&gpu.json(), &cpu.json(), tolerance, "");
    // What is wrong with a matrix is told in the same words.
    assert_eq!(gpu.stderr, cpu.stderr);
}

fn demo(folder: &Path, layers: usize, hidden: usize) -> PathBuf {
    Model { layers, hidden }.write(folder, |_, _| true).unwrap();
    folder.to_owned()
}

const RULES: [&str; 4] = ["peak", "peak-robust", "median", "ks"];
const SOLVERS: [&str; 6] = ["auto", "two-stage", "syevd", "syevd-two-stage", "sytrd", "batched"];

#[test]
fn the_demo_is_scored_as_on_the_cpu() {
    let Some(machine) = machine() else { return };
    let folder = folder();
    let path = demo(folder.path(), 3, 96);
    for rule in RULES {
        for solver in SOLVERS {
            let gpu = machine.score(&path, &["--rule", rule, "--solver", solver, "--precision", "f64"]);
            if gpu.code == 2 {
                assert!(gpu.stderr.contains("does not have this --solver"), "{}", gpu.stderr);
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
fn our_own_tridiagonalisation_takes_any_order() {
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
            assert_eq!(rows.stderr, cpu.stderr);
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
/// factorisation, which takes long. The weights of long matrices do not stay on the GPU, and are sent for every product.
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

/// Triangles of many rows are stacked and factorised again.
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

#[test]
fn results_do_not_depend_on_when_the_gpu_works() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = demo(folder.path(), 1, 64);
    let tall: Vec<(String, Tensor)> =
        (0..3).map(|layer| (projection(layer, 'q'), Tensor::random(9000, 16, layer as u64))).collect();
    let tall = save(folder.path(), "tall.safetensors", tall);
    for (path, arguments) in [(&path, ["--solver", "auto"]), (&path, ["--solver", "sytrd"]), (&tall, ["--rule", "ks"])]
    {
        let eager = machine.score(path, &arguments).succeeds().stdout.clone();
        for schedule in ["lazy", "random:1", "random:2", "random:3", "random:4"] {
            let other = machine.with("FAKECUDA_SCHEDULE", schedule).score(path, &arguments);
            assert_eq!(other.succeeds().stdout, eager, "{schedule}");
        }
    }
}

/// Two matrices: one that f32 suffices for, and one that takes every path of f64.
fn two_matrices(folder: &Path) -> PathBuf {
    let mut singular_values: Vec<f64> = (0..12).map(|k| 1.0 + 0.1 * k as f64).collect();
    let healthy = matrix_with_singular_values(20, 12, &singular_values, 1);
    singular_values[0] = 1e-6;
    singular_values[11] = 1e3;
    let hard = matrix_with_singular_values(20, 12, &singular_values, 2);
    let tensors =
        [(projection(0, 'q'), Tensor::bf16(&[20, 12], &healthy)), (projection(0, 'k'), Tensor::f32(&[20, 12], &hard))];
    save(folder, "model.safetensors", tensors)
}

/// Every call into CUDA fails once. The outcome is a clean error or the right result, and nothing is left behind.
fn sweep(solver: &str, schedule: &str) {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = two_matrices(folder.path());
    let report = folder.path().join("report.json");
    let machine = machine.with("FAKECUDA_REPORT", report.display()).with("FAKECUDA_SCHEDULE", schedule);
    let read = || -> Value { serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap() };
    let arguments = ["--threads", "1", "--solver", solver];
    let right = machine.score(&path, &arguments).succeeds().stdout.clone();
    let calls = read()["calls"].as_u64().unwrap();
    assert!(calls > 100, "{calls}");
    let mut outcomes = std::collections::BTreeMap::new();
    for call in 1..=calls {
        let _ = std::fs::remove_file(&report);
        let run = machine.with("FAKECUDA_FAIL", call).score(&path, &arguments);
        let end = read();
        let case = format!("call {call}, {}: {}", end["failed"], run.stderr);
        assert!(!run.stderr.contains("panicked"), "{case}");
        match run.code {
            0 => assert_eq!(run.stdout, right, "{case}"),
            // Too little memory for a lane, or a library that fails.
            5 => assert!(
                run.stdout.is_empty() && run.stderr.contains("error: ") && run.stderr.contains("hint: "),
                "{case}"
            ),
            code => panic!("exit code {code}, {case}"),
        }
        *outcomes.entry(run.code).or_insert(0) += 1;
        for (kind, count) in end["leaks"].as_object().unwrap() {
            assert_eq!(count, 0, "{kind} leaked, {case}");
        }
    }
    // Most calls matter; those that free something do not.
    assert!(outcomes[&5] > outcomes[&0], "{outcomes:?}");
}

#[test]
fn every_call_may_fail() {
    sweep("auto", "eager");
}

#[test]
fn every_call_may_fail_with_another_solver_and_late_work() {
    sweep("sytrd", "lazy");
}

#[test]
fn every_call_may_fail_with_our_own_solver() {
    sweep("two-stage", "random:1");
}

/// A spike that the sum of squares does not quite give away: f32 is given up before anything is refined.
#[test]
fn f32_without_a_chance_is_not_refined() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let report = folder.path().join("report.json");
    let mut singular_values: Vec<f64> = (0..200).map(|k| 1.0 + 1e-3 * f64::from(k)).collect();
    singular_values[199] = 24.0;
    let values = matrix_with_singular_values(220, 200, &singular_values, 4);
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::f32(&[220, 200], &values))]);
    let run = machine.with("FAKECUDA_REPORT", report.display()).score(&path, &["--solver", "sytrd"]);
    assert_eq!(run.succeeds().json()["matrices"][0]["precision"], "f64");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let calls = |function: &str| report["by_function"][function].as_u64().unwrap_or(0);
    let solved = (calls("cusolverDnSsytrd"), calls("cusolverDnDsytrd"), calls("cusolverDnDpotrf"));
    assert_eq!(solved, (1, 1, 0));
}

#[test]
fn a_gpu_that_is_fast_in_f64_takes_it_at_once_but_for_the_median() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let report = folder.path().join("report.json");
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::random(90, 40, 1))]);
    for (ratio, rule, single) in [(2, "peak", 0), (2, "ks", 0), (2, "median", 1), (64, "peak", 1), (64, "ks", 1)] {
        let machine = machine.with("FAKECUDA_REPORT", report.display()).with("FAKECUDA_DOUBLE_RATIO", ratio);
        machine.score(&path, &["--rule", rule, "--solver", "sytrd"]).succeeds();
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        let calls = report["by_function"]["cusolverDnSsytrd"].as_u64().unwrap_or(0);
        assert_eq!(calls, single, "{ratio} {rule}");
    }
}

#[test]
fn a_matrix_whose_solver_fails_is_reported_and_the_others_are_scored() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    // Our own reduction cannot fail to converge.
    for solver in SOLVERS.into_iter().filter(|&solver| solver != "two-stage") {
        let arguments = ["--precision", "f64", "--threads", "1", "--solver", solver];
        let whole = machine.score(&path, &arguments).succeeds().json();
        let run = machine.with("FAKECUDA_SOLVER_INFO", 2).score(&path, &arguments);
        run.fails(4, &["the eigensolver failed", "hint: "]);
        let rows = run.json();
        let pairs = rows["matrices"].as_array().unwrap().iter().zip(whole["matrices"].as_array().unwrap());
        let failed = pairs.filter(|(row, whole)| {
            assert!(row["status"] == "failed" || row == whole, "{solver}: {row} {whole}");
            row["status"] == "failed"
        });
        assert_eq!(failed.count(), 1, "{solver}");
        // Where f32 fails, f64 is tried before a matrix is given up.
        let arguments = ["--rule", "median", "--threads", "1", "--solver", solver];
        let auto = machine.with("FAKECUDA_SOLVER_INFO", 1).score(&path, &arguments);
        assert_eq!(auto.code, 0, "{solver}: {}", auto.stderr);
    }
}

#[test]
fn too_little_memory_means_fewer_lanes_and_then_a_sentence() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let right = machine.score(&path, &[]).succeeds().stdout.clone();
    let mib = |count: u64| machine.with("FAKECUDA_MEMORY", count << 20);
    // A lane takes 32 MiB for cuBLAS, and little else here.
    for memory in [300, 100, 40] {
        assert_eq!(mib(memory).score(&path, &["--threads", "4"]).succeeds().stdout, right, "{memory} MiB");
        assert_eq!(mib(memory).score(&path, &[]).succeeds().stdout, right, "{memory} MiB");
    }
    let run = mib(20).score(&path, &[]);
    run.fails(5, &["GiB of GPU memory, and 0.02 GiB are free on Emulated CUDA device 0", "hint: close other programs"]);
    assert!(run.stdout.is_empty());
    // Not even room for a handle, which libraries report as anything but that.
    mib(3)
        .score(&path, &[])
        .fails(5, &["the GPU has not enough memory: cusolverDnCreate", "hint: close other programs"]);
}

#[test]
fn lanes_go_where_there_is_memory() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let (model, reports) = (folder(), folder());
    let path = demo(model.path(), 1, 64);
    // One matrix after the other, so that there is work for many lanes.
    let arguments = ["--device", "cuda:all", "--solver", "two-stage"];
    let right = machine.score(&path, &arguments).succeeds().json();
    let report = reports.path().join("report.json");
    let machine = machine.with("FAKECUDA_DEVICES", 2).with("FAKECUDA_REPORT", report.display());
    // Megabytes of two GPUs, of which a lane takes 34, and how many lanes each may have at most.
    for ([first, second], lanes) in
        [([1000, 1000], [4, 4]), ([1000, 80], [4, 1]), ([1000, 20], [4, 0]), ([20, 1000], [0, 4])]
    {
        let machine = machine.with("FAKECUDA_MEMORY", format!("{first}000000,{second}000000"));
        let run = machine.score(&path, &arguments);
        assert_eq!(run.succeeds().json()["matrices"], right["matrices"], "{first}, {second}");
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        for (peak, lanes) in report["peak_bytes"].as_array().unwrap().iter().zip(lanes) {
            let peak = peak.as_u64().unwrap();
            assert!(peak < (lanes + 1) * 33_000_000, "{first}, {second}: {peak} bytes of {lanes} lanes");
            assert!(lanes == 0 || peak > 33_000_000, "{first}, {second}: {peak} bytes of {lanes} lanes");
        }
    }
}

#[test]
fn solvers_of_an_old_library() {
    let Some(machine) = emulated(fakecuda::OLD_FOLDER) else { return };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    compare(&machine, &path, &[], 0);
    for solver in ["batched", "syevd-two-stage"] {
        let run = machine.score(&path, &["--solver", solver]);
        run.fails(2, &["cuSOLVER 11.6.0 does not have this --solver", "hint: --solver two-stage"]);
    }
    let doctor = machine.htsr(["doctor", "--format", "json"]);
    assert_eq!(doctor.succeeds().json()["solvers"], serde_json::json!(["two-stage", "sytrd", "syevd"]));
}

#[test]
fn a_device_that_does_not_exist() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = machine.score(&path, &["--device", "cuda:3"]);
    run.fails(2, &["there is no GPU number 3: the driver shows 1", "hint: ", "CUDA_VISIBLE_DEVICES"]);
    machine.score(&path, &["--device", "gpu"]).fails(2, &["not a device", "hint: auto, cpu, cuda"]);
    machine.score(&path, &["--device", "cpu", "--solver", "syevd"]).fails(2, &["--solver is cuSOLVER's", "hint: "]);
    let none = machine.with("FAKECUDA_DEVICES", 0);
    none.score(&path, &[])
        .fails(5, &["cannot be used: cuInit returned CUDA_ERROR_NO_DEVICE", "hint: does `nvidia-smi`"]);
    // auto may take the CPU, and says so.
    let auto = run_auto(&none, &path);
    auto.succeeds();
    assert!(auto.stderr.contains("warning: using the CPU: the NVIDIA driver cannot be used"), "{}", auto.stderr);
    assert!(auto.json()["provenance"]["device"].as_str().unwrap().starts_with("cpu"));
    let found = run_auto(&machine, &path).succeeds().json();
    assert!(found["provenance"]["device"].as_str().unwrap().contains("cuda"), "{found}");
}

fn run_auto(machine: &Machine, path: &Path) -> Run {
    machine.score(path, &["--device", "auto"])
}

#[test]
fn without_a_driver() {
    if std::env::var_os("HTSR_REQUIRE_GPU").is_some() {
        return;
    }
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let nowhere = Machine { variables: vec![("LD_LIBRARY_PATH", String::new())] };
    if nowhere.htsr(["doctor", "--device", "cuda"]).code == 0 {
        return; // a machine with a GPU
    }
    nowhere.score(&path, &[]).fails(5, &["hint: ", "`htsr doctor`"]);
    nowhere.htsr(["doctor", "--device", "cuda:all"]).fails(5, &["error: ", "hint: "]);
    let doctor = nowhere.htsr(["doctor"]);
    assert!(doctor.succeeds().stdout.contains("CPU"), "{}", doctor.stdout);
}

#[test]
fn the_doctor_says_what_was_found() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let run = machine.htsr(["doctor", "--device", "cuda"]);
    for word in
        ["NVIDIA driver", "cuBLAS", "cuSOLVER", "12.3.4", "NVRTC", "GPU 0", "Emulated CUDA", "sytrd", "libcusolver.so"]
    {
        assert!(run.succeeds().stdout.contains(word), "{word}: {}", run.stdout);
    }
    let json = machine.htsr(["doctor", "--format", "json"]).succeeds().json();
    assert!(json["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{json}");
    // Libraries in a folder that is not on the search path, as pip leaves them.
    let folder = folder();
    let libraries = folder.path().join("lib/python3.11/site-packages/nvidia/cu13/lib");
    std::fs::create_dir_all(&libraries).unwrap();
    for name in ["libcuda.so", "libcublas.so", "libcusolver.so", "libnvrtc.so"] {
        std::fs::copy(Path::new(fakecuda::FOLDER.unwrap()).join(name), libraries.join(name)).unwrap();
    }
    for variable in ["VIRTUAL_ENV", "HTSR_CUDA_PATH"] {
        let value = if variable == "VIRTUAL_ENV" { folder.path() } else { &libraries };
        let machine = machine.with("LD_LIBRARY_PATH", "").with(variable, value.display());
        let json = machine.htsr(["doctor", "--format", "json", "--device", "cuda"]).succeeds().json();
        let path = json["checks"][1]["detail"].as_str().unwrap().to_owned();
        assert!(path.starts_with(folder.path().to_str().unwrap()), "{path}");
    }
    // A driver alone.
    let alone = folder.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(libraries.join("libcuda.so"), alone.join("libcuda.so")).unwrap();
    let run = machine.with("LD_LIBRARY_PATH", alone.display()).htsr(["doctor", "--device", "cuda"]);
    run.fails(5, &["cuBLAS was not found", "hint: install CUDA 12 or 13, or `pip install nvidia-cublas`"]);
    assert!(run.stdout.contains("pip install nvidia-cusolver"), "{}", run.stdout);
}

/// NVIDIA's own compiler, on the emulated driver, which can only refuse what it makes.
#[test]
fn the_real_compiler_compiles_what_the_driver_then_refuses() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let compiler = crate::support::root().join("fixtures/nvrtc");
    if !compiler.exists() {
        return; // tests/it/nvrtc.rs says so
    }
    let folder = folder();
    for name in ["libcuda.so", "libcublas.so", "libcusolver.so"] {
        std::fs::copy(Path::new(fakecuda::FOLDER.unwrap()).join(name), folder.path().join(name)).unwrap();
    }
    let libraries = std::env::join_paths([folder.path(), &compiler]).unwrap();
    let run = machine.with("LD_LIBRARY_PATH", libraries.display()).htsr(["doctor", "--device", "cuda"]);
    run.fails(5, &["refuses kernels that NVRTC 13.5 compiled for sm_90", "hint: update the driver"]);
    assert!(run.stdout.contains("fixtures/nvrtc/libnvrtc.so.13"), "{}", run.stdout);
}

#[test]
fn kernels_are_compiled_once() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let (cache, report) = (folder.path().join("cache"), folder.path().join("report.json"));
    let machine = machine.with("FAKECUDA_REPORT", report.display());
    let compilations = |machine: &Machine| {
        machine.score(&path, &[]).succeeds();
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        report["by_function"]["nvrtcCompileProgram"].as_u64().unwrap_or(0)
    };
    let cached = machine.with("HTSR_CACHE", cache.display());
    assert_eq!(compilations(&cached), 7);
    assert_eq!(compilations(&cached), 0);
    // A damaged file is made again.
    let file = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(compilations(&cached), 1);
    assert_eq!(compilations(&cached), 0);
    std::fs::write(&file, b"short").unwrap();
    assert_eq!(compilations(&cached), 1);
    // A folder that cannot be written to costs time only.
    assert_eq!(compilations(&machine.with("HTSR_CACHE", "/proc/nowhere")), 7);
    // Another driver, another file.
    assert_eq!(compilations(&machine), 7);
}

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
