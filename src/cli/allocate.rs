//! `htsr allocate`: saved scores to another table.

use htsr::error::Result;
use htsr::pipeline;
use htsr::report::Report;
use htsr::score::LayerScore;

use super::Ending;
use super::args::AllocateArgs;
use super::output::Output;
use super::printer::Printer;
use super::score::warn_of_zeros;

pub fn run(args: AllocateArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let Report { mut provenance, matrices, layers, skipped, .. } = Report::read(&args.scores)?;
    let layers: Vec<LayerScore> = layers.into_iter().map(|row| row.score).collect();
    provenance.options.budget = args.budget.budget(160);
    let allocation = pipeline::allocate(&layers, &provenance.options.budget)?;
    let report = Report::new(provenance, matrices, layers, Some(allocation), skipped);
    output.write(&args.by.of(&report), printer)?;
    warn_of_zeros(&report, printer);
    Ok(Ending::Complete)
}
