//! `htsr score`: scores a checkpoint and allocates to its layers.

use std::path::PathBuf;

use crate::error::Result;
use crate::metrics::MetricSelection;
use crate::pipeline::{Observer, Scored, Scorer, Sink};

use super::ending::Ending;
use super::options::choices::explain;
use super::options::{
    AllocationChoice, AllocationRuleParser, BaseArgs, DeviceArgs, FloorArgs, MethodArgs, PlanArgs, SamplingArgs,
    ScoreRow, SelectionArgs, SensitivityArgs, SimulationArgs, TailChoice,
};
use super::output::{self, Output, OutputArgs};
use super::plots::Plots;
use super::printer::Printer;
use super::scoring;
use super::timings::Timings;
use super::warnings;

#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    /// A .safetensors file, or the folder of a checkpoint or LoRA adapter
    pub path: PathBuf,
    #[command(flatten)]
    pub base: BaseArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub floor: FloorArgs,
    /// Allocation rule: see `htsr help allocation`
    #[arg(long, default_value_t, value_parser = AllocationRuleParser, value_name = "RULE", help_heading = "Allocation")]
    #[arg(hide_possible_values = true, long_help = explain::<AllocationChoice>("Allocation rule; `htsr allocate` applies another one to saved scores"))]
    pub allocate: AllocationChoice,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub simulations: SimulationArgs,
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub sensitivity: SensitivityArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Show these metrics of every matrix, e.g. alpha,D
    ///
    /// `all` shows all of them; `htsr help metrics` lists them. JSON and CSV always contain the metrics that cost nothing.
    #[arg(long, value_name = "LIST", help_heading = "Output")]
    pub metrics: Option<MetricSelection>,
    /// Compare these tails with the power law by likelihood
    ///
    /// Shows the parameters, R and p of each as metrics. alpha is still that of the power law.
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "pl", help_heading = "Fit")]
    #[arg(hide_short_help = true)]
    pub fit: Vec<TailChoice>,
    /// Draw every spectrum and a heat map of alpha as SVG
    ///
    /// The heat map of alpha by layer and role is alpha.svg.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub plots: Option<PathBuf>,
    /// Write the seconds of each matrix to this file, as JSON lines
    ///
    /// One line per matrix, and one for the whole run. Where a GPU analyzes a batch of matrices at once, each gets the seconds of
    /// the batch divided by its matrices. The results contain no timings.
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub timings: Option<PathBuf>,
    /// One row of the table per layer, matrix or role
    ///
    /// JSON always contains all. [default: what --group allocates to; matrix with --metrics]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output", hide_possible_values = true)]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

pub fn run(args: ScoreArgs, printer: &Printer) -> Result<Ending> {
    let results = args.output.file();
    let output = Output::new(args.output)?;
    let sampling = args.sampling.sampling();
    let sensitivity = args.sensitivity.sensitivity();
    let metrics = args.metrics.unwrap_or_default().with_simulations(args.simulations.simulations());
    let metrics = TailChoice::add_to(&args.fit, metrics);
    let rows = args.by.or((!metrics.requested().is_empty()).then_some(ScoreRow::Matrix));
    let scorer = Scorer::new()
        .with_selection(args.selection.selection())
        .with_sampling(sampling)
        .with_method(args.method.method())
        .with_floor(args.floor.floor)
        .with_metrics(metrics.and_alphas(&sensitivity.compare))
        .with_allocation(args.plan.plan(args.allocate)?)
        .with_sensitivity(sensitivity);
    let checkpoint = args.base.open(&args.path, printer)?;
    output.refuse_overwrite(checkpoint.files(), output::CHECKPOINT)?;
    let timings_file = args.timings.clone();
    let timings = |file| Timings::new(file, checkpoint.files(), results.as_deref(), printer);
    let timings = args.timings.map(timings).transpose()?;
    let device = args.device.open(printer)?;
    let alternatives = args.fit.iter().filter_map(|tail| tail.alternative()).collect();
    let plots = args.plots.map(|folder| Plots::new(folder, alternatives, printer)).transpose()?;
    if let Some(plots) = &plots {
        [&results, &timings_file].into_iter().flatten().try_for_each(|file| plots.refuse_collision(file))?;
    }
    // Timings come first, so that they do not include drawing.
    let timed = timings.iter().map(|timings| timings as &dyn Sink);
    let sinks: Vec<&dyn Sink> = timed.chain(plots.iter().map(|plots| plots as &dyn Sink)).collect();
    let observer: &dyn Observer = timings.as_ref().map_or(&(), |timings| timings);
    let Scored { report, problems } = scoring::score(&checkpoint, &scorer, &*device, observer, &sinks, printer)?;
    let written = output.write(ScoreRow::of(rows, &report), printer);
    let finished = sinks.iter().try_for_each(|sink| sink.finish(&report));
    warnings::warn_of_rename(&checkpoint, report.provenance.options.rename.as_deref(), printer);
    let ending = warnings::report(&report, &problems, printer);
    written.and(finished).map(|()| ending)
}
