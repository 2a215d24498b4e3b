//! Integration tests: the command line as a user sees it, and the library compared with known results.

mod accuracy;
mod allocate;
mod bench;
mod cli;
mod compare;
mod determinism;
mod docs;
mod eigenvalues;
mod eight_bits;
mod error_bars;
mod esd;
mod export;
mod farms;
#[cfg(feature = "cuda")]
mod gpu;
mod gram;
mod help;
mod inspect;
mod interrupt;
mod kernels;
mod library;
mod malformed;
mod matrices;
mod metrics;
mod nvrtc;
mod properties;
mod random_baseline;
mod reduction;
mod reference;
mod rules;
mod scores;
mod stacked;
mod structure;
mod support;
mod terminal;
mod updates;
