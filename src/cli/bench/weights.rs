//! Random weights in a file, and the folder for them.

use std::path::Path;

use crate::bench::{self, RandomTensor};
use crate::error::{Error, Result};
use tempfile::TempDir;

use crate::cli::interrupt;
use crate::cli::printer::Printer;

pub fn temporary_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("htsr-bench-").tempdir();
    folder.map_err(|error| cannot_write(&std::env::temp_dir(), &error))
}

/// Writes random weights to `file`.
pub fn generate(file: &Path, tensors: &[RandomTensor], printer: &Printer) -> Result<()> {
    let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes() as u64).sum();
    printer.note(&format!("generating {:.1} MB of weights in {}", bytes as f64 / 1e6, file.display()));
    bench::write(file, tensors, &|| !interrupt::requested()).map_err(|error| match interrupt::requested() {
        true => Error::interrupted(),
        false => cannot_write(file, &error),
    })
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Error {
    let error = Error::usage(format!("the weights cannot be written: {error}")).file(file);
    error.hint("set TMPDIR to a folder on a disk with space; with --model, --keep chooses one, too")
}
