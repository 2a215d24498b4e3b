//! Signals end a run within a matrix and leave nothing behind.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{command, folder};

fn interrupted_by(signal: &str) {
    let folder = folder();
    let output = folder.path().join("scores.json");
    let mut child = command()
        .args(["demo", "--layers", "40", "--hidden", "256", "--threads", "2", "--verbose", "-o"])
        .arg(&output)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first matrix has been scored, 279 are left.
    assert!(stderr.any(|line| line.unwrap().contains("alpha")));
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = stderr.map(|line| line.unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line == "error: interrupted; nothing was written"), "{rest:?}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn ctrl_c() {
    interrupted_by("-INT");
}

#[test]
fn termination() {
    interrupted_by("-TERM");
}
