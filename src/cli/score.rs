//! `htsr score`: a checkpoint to a table.

use std::path::PathBuf;

use crate::error::Result;
use crate::metrics::MetricSelection;
use crate::pipeline::{Scored, Scorer, Sink};

use super::ending::Ending;
use super::options::{
    BaseArgs, DeviceArgs, MethodArgs, PlanArgs, RuleName, SamplingArgs, ScoreRow, SelectionArgs, SimulationArgs,
    StudyArgs, TailChoice,
};
use super::output::{self, Output, OutputArgs};
use super::plots::Plots;
use super::printer::Printer;
use super::scoring;
use super::warnings;

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
    pub metrics: Option<MetricSelection>,
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

pub fn run(args: ScoreArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let sampling = args.sampling.sampling();
    let study = args.study.study();
    let metrics = args.metrics.unwrap_or_default().with_simulations(args.simulations.simulations());
    let metrics = TailChoice::add_to(&args.fit, metrics);
    let rows = args.by.or((!metrics.requested().is_empty()).then_some(ScoreRow::Matrix));
    let scorer = Scorer::new()
        .with_selection(args.selection.selection())
        .with_sampling(sampling)
        .with_method(args.method.method())
        .with_metrics(metrics.and_alphas(&study.compare))
        .with_allocation(args.plan.plan(args.allocate)?)
        .with_sensitivity(study);
    let checkpoint = args.base.open(&args.path)?;
    output.spare(checkpoint.files(), output::CHECKPOINT)?;
    let device = args.device.open(printer)?;
    let alternatives = args.fit.iter().filter_map(|tail| tail.alternative()).collect();
    let plots = args.plots.map(|folder| Plots::new(folder, alternatives, printer)).transpose()?;
    let sinks: Vec<&dyn Sink> = plots.iter().map(|plots| plots as &dyn Sink).collect();
    let Scored { report, problems } = scoring::score(&checkpoint, &scorer, &*device, &sinks, printer)?;
    let written = output.write(&ScoreRow::of(rows, &report), printer);
    let finished = sinks.iter().try_for_each(|sink| sink.finish(&report));
    let ending = warnings::tell(&report, &problems, printer);
    written.and(finished).map(|()| ending)
}
