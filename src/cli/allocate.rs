//! `htsr allocate`: allocates from saved scores.

use std::path::PathBuf;

use crate::error::Result;
use crate::report::Report;

use super::ending::Ending;
use super::options::choices::explain;
use super::options::{AllocationChoice, AllocationRuleParser, PlanArgs, ScoreRow, SensitivityArgs};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::warnings::{report_comparison, warn_of_left_out, warn_of_zeros};
use super::words::in_file;

#[derive(Debug, clap::Args)]
pub struct AllocateArgs {
    /// A JSON file of `htsr score`, or a CSV file with the columns layer,alpha
    pub scores: PathBuf,
    /// More files of scores of the same layers, for comparison
    #[arg(value_name = "OTHERS", conflicts_with = "sweep")]
    pub others: Vec<PathBuf>,
    /// Allocation rule: see `htsr help allocation`
    #[arg(long, alias = "rule", default_value_t, value_parser = AllocationRuleParser, value_name = "RULE", help_heading = "Allocation")]
    #[arg(hide_possible_values = true, long_help = explain::<AllocationChoice>("Allocation rule"))]
    pub allocate: AllocationChoice,
    #[command(flatten)]
    pub plan: PlanArgs,
    #[command(flatten)]
    pub sensitivity: SensitivityArgs,
    /// One row of the table per layer, matrix or role
    ///
    /// JSON always contains all. [default: what --group allocates to]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output", hide_possible_values = true)]
    pub by: Option<ScoreRow>,
    #[command(flatten)]
    pub output: OutputArgs,
}

pub fn run(args: AllocateArgs, printer: &Printer) -> Result<Ending> {
    let plan = args.plan.plan(args.allocate)?;
    let sensitivity = args.sensitivity.sensitivity();
    let output = Output::new(args.output)?;
    let inputs = std::iter::once(&args.scores).chain(&args.others);
    output.refuse_overwrite(inputs.map(PathBuf::as_path), output::SCORES)?;
    let mut report = Report::read(&args.scores)?;
    let read = |path: &PathBuf| Ok((path.clone(), Report::read(path)?));
    let others = args.others.iter().map(read).collect::<Result<Vec<_>>>()?;
    report.allocate(&plan, &sensitivity, &others).map_err(|error| in_file(error, &args.scores))?;
    output.write(ScoreRow::of(args.by, &report), printer)?;
    warn_of_zeros(&report, printer);
    Ok(match (warn_of_left_out(&report, printer), report_comparison(&report, printer)) {
        (Ending::Complete, Ending::Complete) => Ending::Complete,
        _ => Ending::Partial,
    })
}
