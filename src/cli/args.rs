//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use htsr::checkpoint::Cast;
use htsr::device::{self, Choice, Device, Method, Opened, Precision, SolverChoice};
use htsr::export::{Rename, Target};
use htsr::fit::Rule;
use htsr::matrices::{Layers, Selection};
use htsr::metrics::Plan;
use htsr::report::{Document, Format, Report};
use regex::Regex;

use super::bench::BenchArgs;
use super::plan::{BudgetArgs, PlanArgs, RuleName};
use super::printer::Printer;
use super::study::StudyArgs;

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
    Score(ScoreArgs),
    /// Show what a checkpoint holds and what scoring it would take, from its headers alone
    Inspect(InspectArgs),
    /// Turn saved scores into experts or ranks, without touching weights
    Allocate(AllocateArgs),
    /// Write scores or an allocation in the form that another tool reads
    Export(ExportArgs),
    /// Generate a small checkpoint with known exponents, score it, and compare
    Demo(DemoArgs),
    /// Time the analysis of random matrices, or of a whole model's worth of them
    Bench(BenchArgs),
    /// Say whether a GPU can be used: what was looked for, what was found, what to install
    Doctor(DoctorArgs),
}

#[derive(Debug, clap::Args)]
pub struct Verbosity {
    /// Print nothing to stderr but errors and warnings
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print every matrix as it is scored and every skipped tensor to stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    /// A .safetensors file, or the folder of a checkpoint
    pub path: PathBuf,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    /// What the alphas are turned into; `htsr allocate` does it again from saved scores
    #[arg(long, value_enum, default_value_t, value_name = "RULE", help_heading = "Allocation")]
    pub allocate: RuleName,
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub study: StudyArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Show these metrics of every matrix, as names with commas between them, or all; an unknown name lists them. JSON and
    /// CSV have those that cost nothing in any case
    #[arg(long, value_name = "LIST", help_heading = "Output")]
    pub metrics: Option<Plan>,
    /// One row of the table per layer, or per matrix (JSON always has both) [default: what got a number, see --group; with
    /// --metrics: matrix]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A .safetensors file, or the folder of a checkpoint
    pub path: PathBuf,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// One row of the table per role, or per tensor (JSON always has all tensors)
    #[arg(long, value_enum, default_value_t, value_name = "ROW", help_heading = "Output")]
    pub by: InspectRow,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct AllocateArgs {
    /// A JSON that `htsr score` wrote, or a CSV with the columns layer,alpha
    pub scores: PathBuf,
    /// More such files, of the same layers, to compare with
    #[arg(value_name = "OTHERS", conflicts_with = "sweep")]
    pub others: Vec<PathBuf>,
    /// What the alphas are turned into
    #[arg(long, value_enum, default_value_t, value_name = "RULE", help_heading = "Allocation")]
    pub rule: RuleName,
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub study: StudyArgs,
    /// One row of the table per layer, or per matrix (JSON always has both) [default: what got a number: see --group]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A JSON that `htsr score` or `htsr allocate` wrote, or a CSV with the columns layer,alpha
    pub scores: PathBuf,
    /// The tool, or the format of the table; see docs/exports.md
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: Target,
    /// Allocate by this rule first; without it, the allocation in SCORES is exported
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Allocation")]
    pub rule: Option<RuleName>,
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Names in the model that begin otherwise than in the checkpoint: `=transformer.` puts that in front of all, `model.=`
    /// takes it away (peft, axolotl, llm-compressor, optimizer)
    #[arg(long, value_name = "OLD=NEW", help_heading = "Output")]
    pub rename: Option<Rename>,
    /// One row per layer, or per matrix (csv, md, parquet) [default: what got a number: see --group]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    /// Write to this file instead of stdout, in one step
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Number of layers
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub layers: u32,
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..=16384))]
    pub hidden: u32,
    /// Write the checkpoint into this folder, which must not exist yet, and keep it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Fail (exit code 5) unless this device can be used: auto, cpu, cuda, cuda:N or cuda:all
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: Choice,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreRow {
    Layer,
    Matrix,
}

impl ScoreRow {
    /// `report` with these rows; by default with what got a number.
    pub fn of(row: Option<ScoreRow>, report: &Report) -> Document<'_, Report> {
        match row {
            None => report.by_unit(),
            Some(ScoreRow::Layer) => report.by_layer(),
            Some(ScoreRow::Matrix) => report.by_matrix(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum InspectRow {
    #[default]
    Role,
    Tensor,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Score only matrices whose tensor name matches; may be repeated
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub include: Vec<Regex>,
    /// Leave out matrices whose tensor name matches; may be repeated
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub exclude: Vec<Regex>,
    /// Score only these layers, e.g. 0-15,20
    #[arg(long, value_name = "LIST")]
    pub layers: Option<Layers>,
}

impl SelectionArgs {
    pub fn selection(self) -> Selection {
        Selection { include: self.include, exclude: self.exclude, layers: self.layers }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct MethodArgs {
    /// How the start of the power-law tail is chosen
    #[arg(long, value_enum, default_value_t)]
    pub rule: Rule,
    /// Arithmetic of the spectra
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// Round the weights first, as scripts do that load a model in half precision
    #[arg(long, value_enum, default_value_t)]
    pub cast: Cast,
}

impl MethodArgs {
    pub fn method(&self) -> Method {
        Method { rule: self.rule, precision: self.precision, cast: self.cast }
    }
}

#[derive(Debug, clap::Args)]
pub struct ThreadArgs {
    /// Cores to use, each for one matrix and then to help with others, or lanes of a GPU; changes speed and memory, never
    /// results [default: all cores, or 4 lanes of each GPU, as far as memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl ThreadArgs {
    pub fn count(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// auto, cpu, cuda, cuda:N or cuda:all; auto takes the first NVIDIA GPU if it can be used
    #[arg(long, value_name = "DEVICE", default_value_t, env = "HTSR_DEVICE", hide_env_values = true)]
    pub device: Choice,
    /// How eigenvalues are found
    #[arg(long, value_enum, default_value_t)]
    pub solver: SolverChoice,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl DeviceArgs {
    /// Opens the device.
    pub fn open(&self, method: Method, printer: &Printer) -> htsr::error::Result<Box<dyn Device>> {
        open_device(self.device, method, self.solver, self.threads.count(), Some(printer))
    }
}

/// Opens a device, and tells what the user should know of it.
pub fn open_device(
    choice: Choice,
    method: Method,
    solver: SolverChoice,
    lanes: Option<usize>,
    printer: Option<&Printer>,
) -> htsr::error::Result<Box<dyn Device>> {
    let Opened { device, note } = device::open(choice, method, solver, lanes)?;
    if let (Some(note), Some(printer)) = (note, printer) {
        printer.warning(&note, Some("`htsr doctor` says what was looked for; --device cpu asks for the CPU"));
    }
    Ok(device)
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the results [default: by the extension of --output, else table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write the results to this file instead of stdout, in one step
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

fn pattern(text: &str) -> Result<Regex, String> {
    let hint = r"hint: quote the pattern for the shell, and write \. for a dot";
    Regex::new(text).map_err(|error| format!("{error}\n\n{hint}"))
}
