//! What can be typed.

use std::path::{Path, PathBuf};

use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{self, Choice, Device, Method, Opened, Precision, SolverChoice};
use crate::error::Error;
use crate::export::{Rename, Target};
use crate::fit::Rule;
use crate::matrices::{Farms, Layers, Selection};
use crate::metrics::Plan;
use crate::pipeline::Sampling;
use crate::report::{Document, Format, Report};
use crate::tails::Alternative;
use crate::uncertainty::Simulations;
use clap::{Parser, Subcommand, ValueEnum};
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
    /// A .safetensors file, or the folder of a checkpoint or of a PEFT adapter (LoRA)
    pub path: PathBuf,
    #[command(flatten)]
    pub base: BaseArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    /// What the alphas are turned into; `htsr allocate` does it again from saved scores
    #[arg(long, value_enum, default_value_t, value_name = "RULE", help_heading = "Allocation")]
    pub allocate: RuleName,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub simulations: SimulationArgs,
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
    /// Fit these tails to the eigenvalues, too, and compare them with the power law by likelihood: parameters, R and p of every
    /// matrix, as --metrics shows them. alpha stays that of the power law
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "pl", help_heading = "Fit")]
    pub fit: Vec<TailChoice>,
    /// Draw the spectrum of every matrix, and a heat map of alpha by layer and role (alpha.svg), as SVG files in this folder
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub plots: Option<PathBuf>,
    /// One row of the table per layer, per matrix, or per role with means of metrics (JSON always has all) [default: what got
    /// a number, see --group; with --metrics: matrix]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct EsdArgs {
    /// A .safetensors file, or the folder of a checkpoint or of a PEFT adapter (LoRA)
    pub path: PathBuf,
    /// Name of a matrix, or a part of it that no other matrix has
    #[arg(value_name = "TENSOR")]
    pub tensor: String,
    #[command(flatten)]
    pub base: BaseArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub simulations: SimulationArgs,
    /// Draw these fitted tails into the picture of --output, too; all of them are compared in any case
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "pl", help_heading = "Fit")]
    pub fit: Vec<TailChoice>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Format of the results; csv has the eigenvalues, json everything [default: by the extension of --output, else table]
    #[arg(long, value_enum, help_heading = "Output")]
    pub format: Option<Format>,
    /// Write the picture (.svg, .png) or the results (.json, .csv, .md, .txt) to this file, in one step
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

/// A tail to be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailChoice {
    /// The power law, which is always fitted: alpha is its exponent
    Pl,
    /// The truncated power law, x^-alpha exp(-lambda x)
    Tpl,
    /// A normal distribution of ln x
    Lognormal,
    /// exp(-lambda x)
    Exponential,
}

impl TailChoice {
    /// What is compared with the power law.
    pub fn alternative(self) -> Option<Alternative> {
        match self {
            TailChoice::Pl => None,
            TailChoice::Tpl => Some(Alternative::Tpl),
            TailChoice::Lognormal => Some(Alternative::Lognormal),
            TailChoice::Exponential => Some(Alternative::Exponential),
        }
    }

    /// The metrics of these alternatives, too.
    pub fn add_to(choices: &[TailChoice], plan: Plan) -> Plan {
        let names =
            choices.iter().filter_map(|choice| choice.alternative()).map(|alternative| format!("{alternative}_"));
        let prefixes: Vec<String> = names.collect();
        plan.and(|metric| prefixes.iter().any(|prefix| metric.name.starts_with(prefix)))
    }
}

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A .safetensors file, or the folder of a checkpoint or of a PEFT adapter (LoRA)
    pub path: PathBuf,
    #[command(flatten)]
    pub base: BaseArgs,
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
    /// One row of the table per layer, per matrix, or per role (JSON always has all) [default: what got a number: see --group]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A checkpoint or adapter, which is scored now, or the .json or .csv of one that `htsr score` wrote
    pub a: PathBuf,
    /// The same of the other model
    pub b: PathBuf,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// One row of the table per layer, or per matrix (JSON always has both)
    #[arg(long, value_enum, default_value_t, value_name = "ROW", help_heading = "Output")]
    pub by: CompareRow,
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareRow {
    #[default]
    Layer,
    Matrix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreRow {
    Layer,
    Matrix,
    Role,
}

impl ScoreRow {
    /// `report` with these rows; by default with what got a number.
    pub fn of(row: Option<ScoreRow>, report: &Report) -> Document<'_, Report> {
        match row {
            None => report.by_unit(),
            Some(ScoreRow::Layer) => report.by_layer(),
            Some(ScoreRow::Matrix) => report.by_matrix(),
            Some(ScoreRow::Role) => report.by_role(),
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
pub struct BaseArgs {
    /// Score what has changed since this checkpoint: W - W_base, in f64, for tensors of the same name and shape
    #[arg(long, value_name = "BASE")]
    base: Option<PathBuf>,
}

impl BaseArgs {
    /// Opens the checkpoint at `path`, as an update of the base if there is one.
    pub fn open(&self, path: &Path) -> crate::error::Result<Checkpoint> {
        let checkpoint = Checkpoint::open(path)?;
        let Some(base) = &self.base else { return Ok(checkpoint) };
        if checkpoint.adapter().is_some() {
            let error = Error::usage("is an adapter, which is an update by itself").file(path);
            return Err(error.hint("leave --base out"));
        }
        let base = Checkpoint::open(base)?;
        if base.adapter().is_some() {
            let error = Error::usage("is an adapter, and cannot be the base").file(base.path());
            return Err(error.hint("give the model that was fine-tuned; an adapter is scored without --base"));
        }
        Ok(checkpoint.with_base(base))
    }
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
#[command(next_help_heading = "Error bars")]
pub struct SimulationArgs {
    /// Give every alpha a standard error (alpha_se) by N simulated spectra; 100 are enough. For each matrix it costs
    /// N fits and two more passes over its elements, once for each shape N times the eigenvalues of a tridiagonal matrix
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub se: Option<u32>,
    /// Give every fit a p-value (gof_p) by N simulated spectra (Clauset et al., section 4.1); 100 tell 0.1 from 0.2, 2500
    /// give two digits. Costs N fits a matrix
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub gof: Option<u32>,
    /// Seed of the simulations
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl SimulationArgs {
    pub fn simulations(&self) -> Simulations {
        Simulations { standard_error: self.se, goodness: self.gof, seed: self.seed }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct SamplingArgs {
    /// Fit the eigenvalues of windows of every matrix, all of one shape, instead of its own (FARMS): rows=2000,q=1,windows=15
    /// is what is published for LLaMA and the default of each; q is columns by rows, and up to windows x windows are laid
    /// over a matrix
    #[arg(long, value_name = "SETTINGS", conflicts_with = "randomize")]
    pub farms: Option<Farms>,
    /// Compare every matrix with its elements in the random order that this number determines, for the metrics rand_*: twice
    /// the work
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    pub randomize: Option<u64>,
}

impl SamplingArgs {
    pub fn sampling(&self) -> Sampling {
        match (self.farms, self.randomize) {
            (Some(farms), _) => Sampling::Windows(farms),
            (None, Some(seed)) => Sampling::Randomized(seed),
            (None, None) => Sampling::Whole,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct ThreadArgs {
    /// Cores to use, each for one matrix and then to help with others, or lanes of a GPU; changes speed and memory, never
    /// results [default: all cores, or 4 lanes of each GPU, or as many as fit in 60 % of
    /// its free memory, and in 20 GiB]
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
    pub fn open(&self, method: Method, printer: &Printer) -> crate::error::Result<Box<dyn Device>> {
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
) -> crate::error::Result<Box<dyn Device>> {
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
