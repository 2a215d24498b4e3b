//! Tests that only an emulated GPU allows: calls that fail, late work, little memory, old libraries.

use std::path::{Path, PathBuf};

use htsr::internals::matrix_with_singular_values;
use serde_json::Value;

use super::{Machine, SOLVERS, compare, demo, emulated};
use crate::support::{Run, Tensor, folder, projection, save, small_model};

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

/// Two matrices: one for which f32 suffices, and one that takes every path of f64.
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

/// Every call into CUDA fails once. The outcome is a clean error or the right result, and nothing leaks.
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
    // Most failures end the run; those of calls that free something do not.
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

/// A spike that the sum of squares almost reveals: f32 is given up before anything is refined.
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
    // No memory for even a handle: libraries report other reasons for that.
    mib(3).score(&path, &[]).fails(5, &["not enough GPU memory: cusolverDnCreate", "hint: close other programs"]);
}

#[test]
fn lanes_go_where_there_is_memory() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let (model, reports) = (folder(), folder());
    let path = demo(model.path(), 1, 64);
    // One matrix at a time, so that there is work for many lanes.
    let arguments = ["--device", "cuda:all", "--solver", "two-stage"];
    let right = machine.score(&path, &arguments).succeeds().json();
    let report = reports.path().join("report.json");
    let machine = machine.with("FAKECUDA_DEVICES", 2).with("FAKECUDA_REPORT", report.display());
    // Megabytes of two GPUs, and how many lanes each may have at most; a lane takes 34 MB.
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
        run.fails(2, &["cuSOLVER 11.6.0 does not have this solver", "hint: two-stage"]);
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
    machine.score(&path, &["--device", "cpu", "--solver", "syevd"]).fails(2, &["this solver is cuSOLVER's", "hint: "]);
    let none = machine.with("FAKECUDA_DEVICES", 0);
    none.score(&path, &[])
        .fails(5, &["cannot be used: cuInit returned CUDA_ERROR_NO_DEVICE", "hint: does `nvidia-smi`"]);
    // auto may use the CPU, and prints that.
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

/// NVIDIA's own compiler on the emulated driver, which must refuse real machine code.
#[test]
fn the_real_compiler_compiles_what_the_driver_then_refuses() {
    let Some(machine) = emulated(fakecuda::FOLDER) else { return };
    let compiler = crate::support::root().join("fixtures/nvrtc");
    if !compiler.exists() {
        return; // tests/it/nvrtc.rs prints that
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
    // The cache is off again.
    assert_eq!(compilations(&machine), 7);
}
