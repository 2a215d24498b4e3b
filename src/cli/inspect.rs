//! `htsr inspect`: what a checkpoint holds, from its headers alone.

use crate::error::Result;
use crate::matrices::Catalog;
use crate::report::Inspection;

use super::Ending;
use super::args::{InspectArgs, InspectRow};
use super::output::{self, Output};
use super::printer::Printer;

pub fn run(args: InspectArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let checkpoint = args.base.open(&args.path)?;
    output.spare(checkpoint.files(), output::CHECKPOINT)?;
    let catalog = Catalog::new(&checkpoint, &args.selection.selection());
    let inspection = Inspection::new(&checkpoint, catalog, &args.method.method(), args.threads.count());
    let document = match args.by {
        InspectRow::Role => inspection.by_role(),
        InspectRow::Tensor => inspection.by_matrix(),
    };
    output.write(&document, printer)?;
    printer.skipped(&inspection.skipped);
    Ok(Ending::Complete)
}
