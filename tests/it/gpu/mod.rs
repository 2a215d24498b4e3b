//! The GPU engine against the CPU engine: the same checkpoints, the same answers.
//!
//! By default the real program runs on emulated CUDA libraries (crates/fakecuda). That proves what is computed, in which order,
//! and what happens when calls fail; it proves nothing about speed or NVIDIA's rounding. With HTSR_REQUIRE_GPU=1 the tests
//! run on the real GPU, and fail without one.

mod emulated;
mod scores;

use htsr::internals::SyntheticModel;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, command, run};

/// A machine with a GPU, real or emulated.
#[derive(Clone)]
struct Machine {
    variables: Vec<(&'static str, String)>,
}

/// The machine to test on; `None`, with a warning, if CUDA cannot be emulated here. Under CI that is a failure.
fn machine() -> Option<Machine> {
    if std::env::var_os("HTSR_REQUIRE_GPU").is_some() {
        return Some(Machine { variables: Vec::new() });
    }
    emulated(fakecuda::FOLDER)
}

/// A machine whose emulation has settings; `None` on a real GPU.
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

/// Asserts that both are the same, except for the device and for a relative `tolerance`.
#[track_caller]
fn assert_alike(one: &Value, other: &Value, tolerance: f64, place: &str) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            // The floor is left out where the smallest eigenvalue, which is less accurate, is far above it.
            let keys = |row: &serde_json::Map<String, Value>| -> Vec<String> {
                row.keys().filter(|key| *key != "floor").cloned().collect()
            };
            assert_eq!(keys(one), keys(other), "{place}");
            for (key, value) in one.iter().filter(|(key, _)| *key != "floor") {
                let elsewhere = place.ends_with("provenance") && ["device", "solver"].contains(&key.as_str());
                // The smallest eigenvalue is accurate to 1e-6 for the peak rule; for others it may be lost to rounding.
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
            // Differences of alphas, and logarithms of what may be 1: cancellation may leave few digits.
            let small = ["peak_jump", "alpha_weighted", "log_spectral_norm"].iter().any(|key| place.contains(key));
            let scale = one.abs().max(other.abs()).max(if small { 1.0 } else { 0.0 });
            assert!((one - other).abs() <= tolerance * scale, "{place}: {one:e} {other:e}");
        }
        // A failed matrix has only the precision that was asked for, and a note has the bound of the device.
        _ if place.ends_with("note") || place.ends_with("precision") => {}
        _ => assert_eq!(one, other, "{place}"),
    }
}

/// Scores `path` on GPU and CPU in f64, and compares all output.
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
    // Problems of matrices are reported in the same words.
    assert_eq!(gpu.stderr, cpu.stderr);
}

fn demo(folder: &Path, layers: usize, hidden: usize) -> PathBuf {
    SyntheticModel { layers, hidden }.write(folder, |_, _| true).unwrap();
    folder.to_owned()
}

const RULES: [&str; 4] = ["peak", "peak-robust", "median", "ks"];
const SOLVERS: [&str; 6] = ["auto", "two-stage", "syevd", "syevd-two-stage", "sytrd", "batched"];
