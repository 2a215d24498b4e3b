//! Every allocation rule on the command line.

mod comparisons;
mod refusals;
mod results;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, TempDir, htsr};

/// Saves these scores to a file.
fn saved(folder: &TempDir, name: &str, report: &Value) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, report.to_string()).unwrap();
    path
}

fn allocate(path: &Path, options: &[&str]) -> Run {
    htsr(["allocate", path.to_str().unwrap()].iter().chain(options))
}

fn json(path: &Path, options: &[&str]) -> Value {
    let options: Vec<&str> = options.iter().chain(&["--format", "json"]).copied().collect();
    allocate(path, &options).succeeds().json()
}

/// Returns the values of the allocation in a JSON report.
fn values(result: &Value) -> Vec<f64> {
    let rows = result["allocation"]["rows"].as_array().unwrap();
    rows.iter().map(|row| row["value"].as_f64().unwrap()).collect()
}

/// Saves scores of layers.
fn saved_csv(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("other.csv");
    fs::write(&path, text).unwrap();
    path
}
