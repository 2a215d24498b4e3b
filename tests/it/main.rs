//! Integration tests: the command line as a user meets it, and the library against known answers.

mod accuracy;
mod allocate;
mod bench;
mod cli;
mod determinism;
mod eigenvalues;
mod export;
#[cfg(feature = "cuda")]
mod gpu;
mod inspect;
mod interrupt;
mod kernels;
mod malformed;
mod matrices;
mod metrics;
mod nvrtc;
mod properties;
mod reference;
mod rules;
mod scores;
mod support;
