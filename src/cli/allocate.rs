//! `htsr allocate`: saved scores to another table.

use std::path::Path;

use htsr::error::{Error, Kind, Result};
use htsr::pipeline;
use htsr::report::Report;
use htsr::score::LayerScore;

use super::Ending;
use super::args::{AllocateArgs, ScoreRow};
use super::output::Output;
use super::printer::Printer;
use super::score::warn_of_zeros;

pub fn run(args: AllocateArgs, printer: &Printer) -> Result<Ending> {
    let plan = args.plan.plan(args.rule)?;
    let output = Output::new(args.output)?;
    let Report { mut provenance, matrices, layers, skipped, .. } = Report::read(&args.scores)?;
    let layers: Vec<LayerScore> = layers.into_iter().map(|row| row.score).collect();
    provenance.options.set_plan(plan);
    let allocation = pipeline::allocate(&matrices, &layers, &plan).map_err(|error| blame(error, &args.scores))?;
    let report = Report::new(provenance, matrices, layers, Some(allocation), skipped);
    output.write(&ScoreRow::of(args.by, &report), printer)?;
    warn_of_zeros(&report, printer);
    Ok(Ending::Complete)
}

/// Names the file if it is the scores that do not allow what was asked for.
fn blame(error: Error, scores: &Path) -> Error {
    if error.kind == Kind::Input { error.file(scores) } else { error }
}
