//! `htsr allocate`: saved scores to another table.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::report::Report;

use super::ending::Ending;
use super::options::{PlanArgs, RuleName, ScoreRow, StudyArgs};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::warnings::{tell_of_comparison, warn_of_zeros};

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

pub fn run(args: AllocateArgs, printer: &Printer) -> Result<Ending> {
    let plan = args.plan.plan(args.rule)?;
    let study = args.study.study();
    let output = Output::new(args.output)?;
    let inputs = std::iter::once(&args.scores).chain(&args.others);
    output.spare(inputs.map(PathBuf::as_path), output::SCORES)?;
    let mut report = Report::read(&args.scores)?;
    let read = |path: &PathBuf| Ok((path.clone(), Report::read(path)?));
    let others = args.others.iter().map(read).collect::<Result<Vec<_>>>()?;
    report.allocate(&plan, &study, &others).map_err(|error| blame(error, &args.scores))?;
    output.write(&ScoreRow::of(args.by, &report), printer)?;
    warn_of_zeros(&report, printer);
    Ok(tell_of_comparison(&report, printer))
}

/// Names the file if it is the scores that do not allow what was asked for.
pub fn blame(error: Error, scores: &Path) -> Error {
    if error.kind == Kind::Input { error.file(scores) } else { error }
}
