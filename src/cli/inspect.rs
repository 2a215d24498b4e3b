//! `htsr inspect`: the contents of a checkpoint, and what scoring needs. Reads headers only.

use std::path::PathBuf;

use crate::error::Result;
use crate::matrices::{Catalog, missing_layers};
use crate::report::Inspection;
use clap::ValueEnum;

use super::ending::Ending;
use super::options::{BaseArgs, MethodArgs, SelectionArgs, ThreadArgs};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::warnings::warn_of_rename;

#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A .safetensors file, or the folder of a checkpoint or LoRA adapter
    pub path: PathBuf,
    #[command(flatten)]
    pub base: BaseArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub threads: ThreadArgs,
    /// One row of the table per role or tensor
    ///
    /// JSON always contains all tensors.
    #[arg(long, value_enum, default_value_t, value_name = "ROW", help_heading = "Output")]
    pub by: InspectRow,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum InspectRow {
    #[default]
    Role,
    Tensor,
}

pub fn run(args: InspectArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let checkpoint = args.base.open(&args.path, printer)?;
    output.refuse_overwrite(checkpoint.files(), output::CHECKPOINT)?;
    let catalog = Catalog::new(&checkpoint, &args.selection.selection());
    let inspection = Inspection::new(&checkpoint, catalog, &args.method.method(), args.threads.count());
    let document = match args.by {
        InspectRow::Role => inspection.by_role(),
        InspectRow::Tensor => inspection.by_matrix(),
    };
    output.write(document, printer)?;
    warn_of_rename(&checkpoint, inspection.rename.as_deref(), printer);
    printer.skipped(&inspection.skipped);
    let problems = missing_layers(&checkpoint);
    printer.warnings(&problems);
    Ok(if problems.is_empty() { Ending::Complete } else { Ending::Partial })
}
