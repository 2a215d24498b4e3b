//! The complete command line: imports every command; no command imports it.

use clap::{Parser, Subcommand};

use super::allocate::AllocateArgs;
use super::bench::BenchArgs;
use super::color::ColorWhen;
use super::compare::CompareArgs;
use super::completions::CompletionsArgs;
use super::demo::DemoArgs;
use super::doctor::DoctorArgs;
use super::esd::EsdArgs;
use super::export::ExportArgs;
use super::help::{self, HelpArgs};
use super::inspect::InspectArgs;
use super::man::ManArgs;
use super::printer::Verbosity;
use super::score::ScoreArgs;

/// How many LoRA experts does each layer of a model need?
///
/// htsr memory-maps a checkpoint, computes the spectrum of every weight matrix, fits a power law to its tail, and allocates
/// LoRA experts to layers in proportion to alpha^beta (AlphaLoRA, arXiv 2410.10054). No training, no GPU needed.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = help::TOPICS_IN_SHORT)]
#[command(after_long_help = help::topics_and_exit_codes())]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub verbosity: Verbosity,
    /// Color help and messages: auto, always or never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_short_help = true)]
    pub color: ColorWhen,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score a checkpoint: an alpha and LoRA experts for every layer
    #[command(after_help = help::TOPICS_IN_SHORT)]
    Score(Box<ScoreArgs>),
    /// Show one matrix in depth: its spectrum, fit and metrics
    Esd(EsdArgs),
    /// List the contents of a checkpoint, and what scoring it needs
    Inspect(InspectArgs),
    /// Turn saved scores into experts, ranks or sparsities
    Allocate(AllocateArgs),
    /// Compare the alphas and experts of two models
    Compare(CompareArgs),
    /// Write scores or an allocation for another tool
    Export(ExportArgs),
    /// Score a small generated checkpoint with known exponents
    Demo(DemoArgs),
    /// Time the analysis of random matrices, or of a whole model
    Bench(BenchArgs),
    /// Check GPU support
    Doctor(DoctorArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(ManArgs),
    /// Explain a command or a topic
    Help(HelpArgs),
}
