//! Thin wrappers around the CUDA libraries: every handle is freed when it goes out of scope, every call returns a `Result`.
//!
//! `cudarc::*::sys` has the raw functions. The safe layer of that crate panics in destructors and leaks when an allocation
//! fails halfway. Streams are explicit: a lane uses one stream, which runs what was enqueued in that order.

pub mod blas;
pub mod context;
pub mod error;
pub mod library;
mod library_search;
pub mod matrix;
pub mod memory;
pub mod module;
pub mod nvrtc;
pub mod scalar;
pub mod solver;
pub mod stream;
