//! `htsr demo`: scores a generated checkpoint with known exponents, in the same way as a real one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::allocate::{AllocationPlan, Unit};
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::pipeline::{Scored, Scorer};
use crate::report::{Cell, Document, Report};
use crate::synthetic::SyntheticModel;
use serde::Serialize;

use super::ending::Ending;
use super::options::{BudgetArgs, DeviceArgs, MethodArgs};
use super::output::{Output, OutputArgs};
use super::printer::Printer;
use super::{interrupt, scoring, warnings};

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Number of layers
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub layers: u32,
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..=16384))]
    pub hidden: u32,
    /// Keep the checkpoint in this new folder
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

/// The results, and the planted alphas.
#[derive(Serialize)]
struct Demonstration<'a> {
    /// The planted alpha of each layer.
    planted: Vec<f64>,
    #[serde(flatten)]
    report: &'a Report,
}

pub fn run(args: DemoArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let model = SyntheticModel { layers: args.layers as usize, hidden: args.hidden as usize };
    let plan = AllocationPlan::experts(args.budget.budget()).for_layers((0..args.layers).map(|layer| ("model", layer)));
    let scorer = Scorer::new().with_method(args.method.method()).with_allocation(plan.clone());
    // Before anything is written; the alphas do not matter here.
    let layers: Vec<Unit> = (0..args.layers).map(|layer| Unit::of_layer(layer, 2.0)).collect();
    plan.check(&layers)?;
    let device = args.device.open(printer)?;
    let Scored { mut report, problems } = match &args.keep {
        Some(folder) => {
            fs::create_dir(folder).map_err(|error| cannot_create(folder, &error))?;
            generate_and_score(&model, folder, &scorer, &*device, printer)?
        }
        None => {
            let temporary = tempfile::Builder::new().prefix("htsr-demo-").tempdir();
            let temporary = temporary.map_err(|error| cannot_create(&std::env::temp_dir(), &error))?;
            let _cleanup = interrupt::remove_on_exit(temporary.path());
            let temporary = temporary; // removed before it is forgotten
            generate_and_score(&model, temporary.path(), &scorer, &*device, printer)?
        }
    };
    if args.keep.is_none() {
        // The temporary path differs in every run.
        report.provenance.input.path = "demo".into();
    }
    let planted = (0..model.layers).map(|layer| model.planted_alpha(layer)).collect();
    let demonstration = Demonstration { planted, report: &report };
    let written = output.write(demonstration.document(), printer);
    let ending = warnings::report(&report, &problems, printer);
    written.map(|()| ending)
}

fn generate_and_score(
    model: &SyntheticModel,
    folder: &Path,
    scorer: &Scorer,
    device: &dyn Device,
    printer: &Printer,
) -> Result<Scored> {
    let SyntheticModel { layers, hidden } = model;
    printer.note(&format!("generating a Llama-shaped checkpoint, {layers} x {hidden}, in {}", folder.display()));
    let keep_going = |_, _| !interrupt::requested();
    let written = model.write(folder, keep_going);
    if written.is_err() || interrupt::requested() {
        // A partial checkpoint looks like a complete one. The folder is new, so it is safe to remove.
        let _ = fs::remove_dir_all(folder);
    }
    written.map_err(|error| cannot_create(folder, &error))?;
    if interrupt::requested() {
        return Err(Error::interrupted());
    }
    scoring::score(&Checkpoint::open(folder)?, scorer, device, &(), &[], printer)
}

fn cannot_create(folder: &Path, error: &std::io::Error) -> Error {
    let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
    let error = Error::usage(format!("the checkpoint cannot be written: {error}")).file(folder);
    error.hint(if exists {
        "use --keep with a folder that does not exist yet"
    } else {
        "set TMPDIR to a folder on a disk with space, or use --keep with a folder that does not exist yet"
    })
}

impl Demonstration<'_> {
    fn document(&self) -> Document<'_, Self> {
        let Document { mut table, mut footer, .. } = self.report.by_layer();
        let column = table.columns.iter().position(|(name, _)| *name == "alpha").unwrap_or(0);
        table.columns.insert(column, ("planted", true));
        for (row, &planted) in table.rows.iter_mut().zip(&self.planted) {
            row.insert(column, Cell::real(planted));
        }
        footer.insert(0, ("planted", "the exponent each layer was generated with; alpha is the measured one".into()));
        Document { table, footer, json: self }
    }
}
