//! `htsr export`: scores or an allocation in the form that another tool reads.

use std::path::PathBuf;

use crate::allocate::AllocationPlan;
use crate::error::{Error, Result};
use crate::export::{Rename, Target};
use crate::report::Report;
use crate::sensitivity::SensitivityAnalysis;

use super::allocate::blame;
use super::ending::Ending;
use super::options::{PlanArgs, RuleName, ScoreRow};
use super::output::Destination;
use super::printer::Printer;
use super::warnings::warn_of_zeros;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A JSON that `htsr score` or `htsr allocate` wrote, or a CSV with the columns layer,alpha
    pub scores: PathBuf,
    /// The tool, or the format of the table; see docs/exports.md
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: Target,
    /// Allocate by this rule first; without it, the allocation in SCORES is exported
    #[arg(long, value_enum, value_name = "RULE", help_heading = "Allocation")]
    pub rule: Option<RuleName>,
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Names in the model that begin otherwise than in the checkpoint: `=transformer.` puts that in front of all, `model.=`
    /// takes it away (peft, axolotl, llm-compressor, optimizer)
    #[arg(long, value_name = "OLD=NEW", help_heading = "Output")]
    pub rename: Option<Rename>,
    /// One row per layer, or per matrix (csv, md, parquet) [default: what got a number: see --group]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output")]
    pub by: Option<ScoreRow>,
    /// Write to this file instead of stdout, in one step
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

pub fn run(args: ExportArgs, printer: &Printer) -> Result<Ending> {
    let target = args.to;
    if args.by.is_some() && !target.is_table() {
        let error = Error::usage(format!("--by has no meaning for {target}, which is no table"));
        return Err(error.hint("it is for csv, json, md and parquet; --group says what gets a number"));
    }
    if args.rename.is_some() && !target.names_modules() {
        let error = Error::usage(format!("--rename has no meaning for {target}, which names no modules"));
        return Err(error.hint("it is for peft, axolotl, llm-compressor and optimizer"));
    }
    let plan = plan(&args)?;
    let destination = match target.is_binary() {
        true => Destination::for_bytes(args.output, &target.to_string())?,
        false => Destination::new(args.output)?,
    };
    destination.spare(std::iter::once(args.scores.as_path()), "is what is exported")?;
    let mut report = Report::read(&args.scores)?;
    if let Some(plan) = plan {
        let allocated = report.allocate(&plan, &SensitivityAnalysis::default(), &[]);
        allocated.map_err(|error| blame(error, &args.scores))?;
    }
    let document = ScoreRow::of(args.by, &report);
    let export = target.render(&report, &document, &args.rename.unwrap_or_default());
    destination.write(&export.map_err(|error| blame(error, &args.scores))?, printer)?;
    warn_of_zeros(&report, printer);
    Ok(Ending::Complete)
}

/// How to allocate first, if that is asked for.
fn plan(args: &ExportArgs) -> Result<Option<AllocationPlan>> {
    match (args.rule, args.plan.given()) {
        (Some(_), _) if args.to == Target::Alphapruning => {
            let error = Error::usage("alphapruning takes alphas, of which AlphaPruning makes sparsities itself");
            Err(error.hint("leave out --rule, and give --sparsity_ratio and --epsilon to AlphaPruning"))
        }
        (Some(rule), _) => args.plan.plan(rule).map(Some),
        (None, Some(option)) => {
            let error =
                Error::usage(format!("{option} is for an allocation, and without --rule there is none to make"));
            Err(error.hint("add --rule"))
        }
        (None, None) => Ok(None),
    }
}
