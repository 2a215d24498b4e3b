//! `htsr esd`: the spectrum, fit and metrics of one matrix.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::matrices::{Catalog, Selection};
use crate::metrics::MetricSelection;
use crate::pipeline::{Examined, Scorer};
use crate::plot::{self, Figure, png, svg, terminal};
use crate::tails::TailComparison;

use super::ending::Ending;
use super::format::{OutputFormat, extensions, of_extension};
use super::options::{BaseArgs, DeviceArgs, FloorArgs, MethodArgs, SamplingArgs, SimulationArgs, TailChoice};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::progress::Progress;
use super::warnings::warn_of_rename;

#[derive(Debug, clap::Args)]
pub struct EsdArgs {
    /// A .safetensors file, or the folder of a checkpoint or LoRA adapter
    pub path: PathBuf,
    /// Name of a matrix, or a part of it that is unique
    ///
    /// Any two-dimensional tensor can be analyzed, also embeddings and heads.
    #[arg(value_name = "TENSOR")]
    pub tensor: String,
    #[command(flatten)]
    pub base: BaseArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub floor: FloorArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub simulations: SimulationArgs,
    /// Draw these fitted tails in the picture of --output
    ///
    /// All of them are compared in any case.
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "pl", help_heading = "Fit")]
    #[arg(hide_short_help = true)]
    pub fit: Vec<TailChoice>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// table, json, csv (the eigenvalues) or md
    ///
    /// json contains everything. [default: by the extension of --output, or table]
    #[arg(long, value_enum, help_heading = "Output", hide_possible_values = true)]
    pub format: Option<OutputFormat>,
    /// Write a picture (.svg, .png) or the results to this file
    ///
    /// The results have the extension .json, .csv, .md or .txt. The file appears complete or not at all. `-` is stdout.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

pub fn run(args: EsdArgs, printer: &Printer) -> Result<Ending> {
    let picture = args.output.as_deref().filter(|file| PictureFormat::of(file).is_some());
    let file = if picture.is_some() { None } else { args.output.clone() };
    let pictures: Vec<&str> =
        PICTURES.iter().map(|(name, _)| *name).filter(|_| plot::check_support().is_ok()).collect();
    let output = Output::among(OutputArgs { format: args.format, output: file }, &pictures)?;
    if let Some(file) = picture {
        let hint = || format!("use {}", extensions(&[]));
        plot::check_support().map_err(|cause| Error::usage(cause).file(file).hint(hint()))?;
        output::check(file)?;
    }
    let sampling = args.sampling.sampling();
    let metrics = all_tails(MetricSelection::default()).with_simulations(args.simulations.simulations());
    let scorer = Scorer::new()
        .with_method(args.method.method())
        .with_floor(args.floor.floor)
        .with_sampling(sampling)
        .with_metrics(metrics);
    let checkpoint = args.base.open(&args.path, printer)?;
    output.refuse_overwrite(checkpoint.files(), output::CHECKPOINT)?;
    picture.map_or(Ok(()), |file| output::refuse_overwrite(file, checkpoint.files(), output::CHECKPOINT))?;
    let catalog = Catalog::new(&checkpoint, &Selection::default());
    let matrix = catalog.find_any(&checkpoint, &args.tensor)?;
    warn_of_rename(&checkpoint, catalog.rename.as_ref().map(ToString::to_string).as_deref(), printer);
    let checkpoint = checkpoint.with_found_rename(catalog.rename);
    let device = args.device.open(printer)?;
    let examined = scorer.examine(&checkpoint, &matrix, &*device, &Progress::new(printer))?;

    let figure = figure(&examined, &args.fit);
    let drawn = figure.clone().and_then(|figure| picture.map_or(Ok(()), |file| draw(&figure, file, printer)));
    let more = match (output.format(), &figure) {
        (OutputFormat::Table, Ok(figure)) => {
            let (width, unicode) = printer.drawing();
            format!("\n{}", terminal::render(figure, width, unicode))
        }
        _ => String::new(),
    };
    let written = match output.format() {
        OutputFormat::Csv => output.write(examined.esd.by_eigenvalue(), printer),
        _ => output.write_with(examined.esd.by_number(), &more, printer),
    };
    written.and(drawn)?;
    printer.warnings(examined.problem.as_slice());
    Ok(if examined.problem.is_some() { Ending::Partial } else { Ending::Complete })
}

fn all_tails(plan: MetricSelection) -> MetricSelection {
    TailChoice::add_to(&[TailChoice::Tpl, TailChoice::Lognormal, TailChoice::Exponential], plan)
}

fn figure(examined: &Examined, fit: &[TailChoice]) -> Result<Figure> {
    let shown =
        |comparison: &&TailComparison| fit.iter().any(|tail| tail.alternative() == Some(comparison.alternative));
    let alternatives: Vec<TailComparison> = examined.comparisons.iter().filter(shown).cloned().collect();
    Figure::new(&examined.esd.matrix, &examined.analysis, &alternatives).map_err(|reason| {
        let error = Error::usage(format!("there is nothing to draw: {reason}"));
        error.tensor(&examined.esd.matrix.tensor)
    })
}

/// The formats of pictures by the extension of a file.
const PICTURES: [(&str, PictureFormat); 2] = [("svg", PictureFormat::Svg), ("png", PictureFormat::Png)];

#[derive(Debug, Clone, Copy)]
enum PictureFormat {
    Svg,
    Png,
}

impl PictureFormat {
    fn of(file: &Path) -> Option<PictureFormat> {
        of_extension(file.extension()?, &PICTURES)
    }
}

fn draw(figure: &Figure, file: &Path, printer: &Printer) -> Result<()> {
    let bytes = match PictureFormat::of(file) {
        Some(PictureFormat::Png) => png(figure),
        _ => svg(figure).map(String::into_bytes),
    };
    output::write_file(file, &bytes.map_err(|cause| Error::usage(cause).file(file))?)?;
    printer.note(&format!("wrote {}", file.display()));
    Ok(())
}
