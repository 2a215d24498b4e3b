//! Heavy-tailed self-regularization (HT-SR) for checkpoints.
//!
//! `htsr` reads a checkpoint's weight matrices where they lie on disk, computes the spectrum of each, fits a power law to
//! its tail, and turns the layers' exponents into an allocation table. Data flows one way, and each stage is a module:
//!
//! ```text
//! checkpoint -> matrices -> device (gram -> eigenvalues -> fit) -> metrics -> score -> allocate -> report -> export
//! ```
//!
//! A stage knows only the stages to its left; [`pipeline`] knows the order.
//!
//! ```
//! use htsr::checkpoint::Checkpoint;
//! use htsr::device::cpu::Cpu;
//! use htsr::pipeline::{Request, score};
//! use htsr::synthetic::SyntheticModel;
//!
//! // A checkpoint of 14 matrices in 2 layers whose exponents are known.
//! let folder = tempfile::tempdir()?;
//! let model = SyntheticModel { layers: 2, hidden: 64 };
//! model.write(folder.path(), |_, _| true)?;
//!
//! let checkpoint = Checkpoint::open(folder.path())?;
//! let request = Request::default(); // all matrices, AlphaLoRA's rule, 160 experts
//! let scored = score(&checkpoint, &request, &Cpu::new(None), &())?;
//!
//! let alpha = scored.report.layers[0].score.alpha.unwrap();
//! assert!((alpha / model.planted_alpha(0) - 1.0).abs() < 0.05);
//! assert_eq!(scored.report.allocation.unwrap().total, Some(160));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod allocate;
pub mod bench;
pub mod checkpoint;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod compare;
pub mod device;
pub mod error;
pub mod export;
pub mod fit;
pub mod matrices;
mod memory;
pub mod metrics;
pub mod pipeline;
pub mod plot;
pub mod report;
pub mod score;
pub mod sensitivity;
pub mod spectrum;
pub mod synthetic;
pub mod tails;
pub mod uncertainty;
