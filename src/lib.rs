//! Heavy-tailed self-regularization (HT-SR) for checkpoints.
//!
//! `htsr` reads a checkpoint's weight matrices where they lie on disk, computes the spectrum of each, fits a power law to
//! its tail, and turns the layers' exponents into an allocation table. Data flows one way, and each stage is a module:
//!
//! ```text
//! checkpoint -> matrices -> device (gram -> eigenvalues -> fit) -> score -> allocate -> report
//! ```
//!
//! A stage knows only the stages to its left; [`pipeline`] knows the order.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod allocate;
pub mod checkpoint;
pub mod device;
pub mod error;
pub mod fit;
pub mod matrices;
pub mod pipeline;
pub mod report;
pub mod score;
pub mod spectrum;
pub mod synthetic;
