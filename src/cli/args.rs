//! The command line as a whole: every command imported, imported by none.

use clap::{Parser, Subcommand};

use super::allocate::AllocateArgs;
use super::bench::BenchArgs;
use super::compare::CompareArgs;
use super::demo::DemoArgs;
use super::doctor::DoctorArgs;
use super::esd::EsdArgs;
use super::export::ExportArgs;
use super::inspect::InspectArgs;
use super::printer::Verbosity;
use super::score::ScoreArgs;

const EXIT_CODES: &str = "Exit codes: 0 success, 2 usage, 3 input unreadable or unsupported, 4 partial result (what failed \
    is named on stderr), 5 device error, 130 interrupted.";

/// How many LoRA experts does each layer of a model need?
///
/// htsr reads a checkpoint's weights where they lie, computes the spectrum of every matrix, fits a power law to its tail,
/// and allocates LoRA experts to layers in proportion to alpha^beta (AlphaLoRA, arXiv 2410.10054). No training, no GPU
/// needed.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score a checkpoint: an alpha for every matrix and layer, and LoRA experts for every layer
    Score(Box<ScoreArgs>),
    /// Show one matrix in depth: its spectrum drawn, its fit, its metrics, and how other tails compare
    Esd(EsdArgs),
    /// Show what a checkpoint holds and what scoring it would take, from its headers alone
    Inspect(InspectArgs),
    /// Turn saved scores into experts or ranks, without touching weights
    Allocate(AllocateArgs),
    /// Compare two models: alphas and experts side by side, and what has no counterpart
    Compare(CompareArgs),
    /// Write scores or an allocation in the form that another tool reads
    Export(ExportArgs),
    /// Generate a small checkpoint with known exponents, score it, and compare
    Demo(DemoArgs),
    /// Time the analysis of random matrices, or of a whole model's worth of them
    Bench(BenchArgs),
    /// Say whether a GPU can be used: what was looked for, what was found, what to install
    Doctor(DoctorArgs),
}
