//! A signal ends a run within the time of one matrix, and no file is left.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use htsr::Scorer;
use htsr::checkpoint::Checkpoint;
use htsr::device::Cpu;
use htsr::device::Outcome;
use htsr::error::Kind;
use htsr::matrices::WeightMatrix;
use htsr::pipeline::Observer;

use crate::support::{Tensor, command, folder, projection, save};

/// A demo with 280 matrices.
const DEMO: [&str; 7] = ["demo", "--layers", "40", "--hidden", "256", "--threads", "2"];
const BENCH: [&str; 10] =
    ["bench", "--device", "cpu", "--sizes", "256", "--count", "500", "--lanes", "2", "--check-up-to=0"];

fn interrupted_by(signal: &str, arguments: &[&str]) {
    let folder = folder();
    let output = folder.path().join("scores.json");
    let mut child = command()
        .args(arguments)
        .args(["--verbose", "-o"])
        .arg(&output)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first matrix has been scored; hundreds remain.
    assert!(stderr.any(|line| line.unwrap().contains("alpha")));
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = stderr.map(|line| line.unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line == "error: interrupted; no report was written"), "{rest:?}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Cancels the run after the first matrix.
#[derive(Default)]
struct StopsAfterOne(AtomicBool);

impl Observer for StopsAfterOne {
    fn finished(&self, _: &WeightMatrix, _: &Outcome) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn canceled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A signal counts even if no matrix remains to be started.
#[test]
fn a_signal_during_the_last_matrix_ends_the_run() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 1))]);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let device = Cpu::new(Some(2));
    let error = Scorer::new().score_on(&checkpoint, &device, &StopsAfterOne::default(), &[]).unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
}

#[test]
fn ctrl_c_ends_the_run() {
    interrupted_by("-INT", &DEMO);
    interrupted_by("-INT", &BENCH);
}

/// A partial checkpoint could be mistaken for a complete one.
#[test]
fn an_incomplete_checkpoint_is_not_kept() {
    let folder = folder();
    let kept = folder.path().join("kept");
    let mut child = command()
        .args(["demo", "--layers", "500", "--hidden", "512", "--keep"])
        .arg(&kept)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(stderr.any(|line| line.unwrap().contains("generating")));
    while !kept.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!kept.exists());
}

#[test]
fn sigterm_ends_the_run() {
    interrupted_by("-TERM", &DEMO);
}
