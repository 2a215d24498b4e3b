//! `htsr export`: writes scores or an allocation for another tool.

use std::path::PathBuf;

use crate::allocate::AllocationPlan;
use crate::error::{Error, Result};
use crate::export::Target;
use crate::rename::Rename;
use crate::report::Report;
use crate::sensitivity::SensitivityAnalysis;

use super::command_line::CommandLine;
use super::ending::Ending;
use super::options::choices::explain;
use super::options::{AllocationChoice, AllocationRuleParser, PlanArgs, ScoreRow};
use super::output::Destination;
use super::printer::Printer;
use super::warnings::{warn_of_left_out, warn_of_zeros};
use super::words::in_file;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A JSON file of `htsr score` or `htsr allocate`, or a CSV file with the columns layer,alpha
    pub scores: PathBuf,
    /// Tool, or format of the table
    #[arg(long, value_enum, value_name = "TARGET")]
    pub to: Target,
    /// Allocate by this rule first
    #[arg(long, alias = "rule", value_parser = AllocationRuleParser, value_name = "RULE", help_heading = "Allocation")]
    #[arg(hide_possible_values = true)]
    #[arg(long_help = explain::<AllocationChoice>("Allocate by this rule first; without it, export the allocation in SCORES"))]
    pub allocate: Option<AllocationChoice>,
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Replace the start of module names (peft, axolotl, llm-compressor, optimizer)
    ///
    /// `=transformer.` adds a prefix to every name, `model.=` removes one.
    #[arg(long, value_name = "OLD=NEW", help_heading = "Output")]
    pub rename: Option<Rename>,
    /// Replace all that matches in module names, where a start is not enough
    ///
    /// `'^h\.(\d+)=layers.${1}'` turns h.0 into layers.0.
    #[arg(long, value_name = "REGEX=NEW", help_heading = "Output", value_parser = Rename::parse_regex, conflicts_with = "rename")]
    #[arg(hide_short_help = true)]
    pub rename_regex: Option<Rename>,
    /// One row per layer, matrix or role (csv, md, parquet)
    ///
    /// [default: what --group allocates to]
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Output", hide_possible_values = true)]
    pub by: Option<ScoreRow>,
    /// Write to this file instead of stdout
    ///
    /// The file appears complete or not at all. `-` is stdout.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

pub fn run(args: ExportArgs, printer: &Printer) -> Result<Ending> {
    let target = args.to;
    if args.by.is_some() && !target.is_table() {
        let error = Error::usage(format!("{target} has no rows for --by to choose"));
        return Err(error.hint("use --by with csv, json, md or parquet; --group chooses what to allocate to"));
    }
    if args.rename.as_ref().or(args.rename_regex.as_ref()).is_some() && !target.names_modules() {
        let error = Error::usage(format!("{target} contains no module names for --rename to change"));
        return Err(error.hint("use --rename with peft, axolotl, llm-compressor or optimizer"));
    }
    let plan = plan(&args)?;
    let destination = match target.is_binary() {
        true => Destination::for_bytes(args.output, &target.to_string())?,
        false => Destination::new(args.output)?,
    };
    destination.refuse_overwrite(std::iter::once(args.scores.as_path()), "contains the scores to export")?;
    let mut report = Report::read(&args.scores)?;
    if let Some(plan) = plan {
        target.check(&report, &plan).map_err(|error| in_file(error, &args.scores))?;
        let allocated = report.allocate(&plan, &SensitivityAnalysis::default(), &[]);
        allocated.map_err(|error| in_file(error, &args.scores))?;
    }
    let document = ScoreRow::of(args.by, &report).in_style(&CommandLine);
    let export = target.render(&report, &document, &args.rename.or(args.rename_regex).unwrap_or_default());
    destination.write(&export.map_err(|error| in_file(error, &args.scores))?, printer)?;
    warn_of_zeros(&report, printer);
    Ok(warn_of_left_out(&report, printer))
}

/// The plan to allocate by before the export, if there is one.
fn plan(args: &ExportArgs) -> Result<Option<AllocationPlan>> {
    match (args.allocate, args.plan.first_option()) {
        (Some(_), _) if args.to == Target::Alphapruning => {
            let error = Error::usage("alphapruning reads alphas and computes the sparsities itself");
            Err(error.hint("remove --allocate, and pass --sparsity_ratio and --epsilon to AlphaPruning"))
        }
        (Some(rule), _) => args.plan.plan(rule).map(Some),
        (None, Some(option)) => {
            let error = Error::usage(format!("{option} changes an allocation, and no rule to allocate by is given"));
            Err(error.hint("add --allocate RULE"))
        }
        (None, None) => Ok(None),
    }
}
