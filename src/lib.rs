//! Heavy-tailed self-regularization (HT-SR) for checkpoints.
//!
//! The spectrum of a trained weight matrix has a heavy tail: the eigenvalues of W^T W above some xmin follow a power law with
//! an exponent alpha. A small alpha means a heavy tail and a well-trained layer. `htsr` memory-maps a checkpoint, computes
//! the spectrum of every weight matrix on a GPU or the CPU, fits alpha, and turns the alphas of the layers into an
//! allocation: LoRA experts or ranks, sparsities, learning rates.
//!
//! # Overview
//!
//! - [`Checkpoint`] opens a file or folder of weights; only headers are read.
//! - [`Scorer`] holds the options and scores a checkpoint: [`Scorer::score`].
//! - [`Rule`] is how the start of the tail is chosen, [`Precision`] the arithmetic of the spectra.
//! - [`Report`] is the result: an alpha for each matrix and layer, and the allocation. It is what
//!   `htsr score -o scores.json` writes: [`Report::read`] reads it again, [`Report::allocate`] replaces the allocation.
//! - [`analyze`] fits one matrix in memory.
//! - [`Error`] says what failed: kind, file, tensor, cause, and a hint.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # htsr::internals::SyntheticModel { layers: 2, hidden: 64 }.write(folder.path(), |_, _| true)?;
//! # let path = folder.path();
//! use htsr::{Checkpoint, Rule, Scorer};
//!
//! let checkpoint = Checkpoint::open(path)?;
//! let scored = Scorer::new().with_rule(Rule::Peak).score(&checkpoint)?;
//! for layer in &scored.report.layers {
//!     println!("layer {}: alpha {:?}, experts {:?}", layer.score.layer, layer.score.alpha, layer.experts);
//! }
//! for problem in &scored.problems {
//!     eprintln!("{problem}");
//! }
//! # assert!((scored.report.layers[0].score.alpha.unwrap() / 2.7 - 1.0).abs() < 0.3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Inside
//!
//! Data flows one way. Each stage is a module, and a stage uses only the stages to its left:
//!
//! ```text
//! checkpoint -> matrices -> device (gram -> eigenvalues -> fit) -> metrics -> score -> allocate -> report -> export
//! ```
//!
//! [`pipeline`] runs the stages in order.
//!
//! # Features
//!
//! `cli` (the `htsr` command), `cuda` (the NVIDIA GPU engine), `plot` (SVG and PNG pictures) and `parquet` (one target of
//! exports) are on by default. A program that only scores needs none of them.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod allocate;
#[cfg(feature = "cli")]
mod bench;
pub mod checkpoint;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod compare;
pub mod device;
pub mod error;
pub mod export;
pub mod fit;
pub mod floor;
mod in_memory;
mod limits;
pub mod matrices;
mod memory;
pub mod message;
pub mod metrics;
pub mod pipeline;
pub mod plot;
mod rename;
pub mod report;
pub mod score;
pub mod sensitivity;
mod spearman;
pub mod spectrum;
mod synthetic;
pub mod tails;
pub mod uncertainty;

pub use checkpoint::Checkpoint;
pub use device::Precision;
pub use error::{Error, Result};
pub use fit::Rule;
pub use in_memory::{Weight, analyze};
pub use pipeline::{Scored, Scorer};
pub use rename::Rename;
pub use report::Report;

/// What this project's tests and benchmarks need. It is not for users, and nothing about it is stable.
#[doc(hidden)]
pub mod internals {
    pub use crate::checkpoint::view::{Element, MatrixView, Scan};
    pub use crate::device::cpu::{
        Eigensolver, Level, Real, faer_eigenvalues, gram_matrix, symmetric_eigenvalues, tridiagonal_eigenvalues,
    };
    pub use crate::metrics::analyzed_matrix::AnalyzedMatrix;
    pub use crate::metrics::measure::measure;
    pub use crate::metrics::random_baseline::random_baseline;
    pub use crate::pipeline::schedule::analyze;
    pub use crate::synthetic::{SyntheticModel, matrix_with_singular_values};
    pub use crate::uncertainty::lone_elements::check_elements;
    pub use crate::uncertainty::positions::Positions;
    pub use crate::uncertainty::standard_error::standard_error;
}
