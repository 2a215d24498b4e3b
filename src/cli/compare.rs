//! `htsr compare`: two models side by side, scored now or before.

use std::path::{Path, PathBuf};

use crate::allocate::AllocationPlan;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Method};
use crate::error::{Error, Result};
use crate::pipeline::{Scored, Scorer};
use crate::report::{ModelComparison, Report};
use crate::sensitivity::SensitivityAnalysis;
use clap::ValueEnum;

use super::ending::Ending;
use super::options::{BudgetArgs, DeviceArgs, MethodArgs, SelectionArgs};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::scoring::score;

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A checkpoint or adapter, which is scored now, or the .json or .csv of one that `htsr score` wrote
    pub a: PathBuf,
    /// The same of the other model
    pub b: PathBuf,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// One row of the table per layer, or per matrix (JSON always has both)
    #[arg(long, value_enum, default_value_t, value_name = "ROW", help_heading = "Output")]
    pub by: CompareRow,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareRow {
    #[default]
    Layer,
    Matrix,
}

/// A model as it was given.
#[expect(clippy::large_enum_variant, reason = "there are only two")]
enum Given {
    Scores(Report),
    Checkpoint(Checkpoint),
}

pub fn run(args: CompareArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let paths = [args.a.as_path(), args.b.as_path()];
    let given = [open(paths[0])?, open(paths[1])?];
    for (given, path) in given.iter().zip(paths) {
        match given {
            Given::Checkpoint(checkpoint) => output.spare(checkpoint.files(), output::CHECKPOINT)?,
            Given::Scores(_) => output.spare([path].into_iter(), output::SCORES)?,
        }
    }
    let selection = args.selection.selection();
    if !selection.is_all()
        && let Some((_, path)) = given.iter().zip(paths).find(|(given, _)| matches!(given, Given::Scores(_)))
    {
        let error = Error::usage("has scores already, and the selection applies to checkpoints").file(path);
        return Err(error.hint("leave --include, --exclude and --layers out, or give the checkpoint"));
    }
    if args.method.method() != Method::default() && given.iter().all(|given| matches!(given, Given::Scores(_))) {
        let error = Error::usage("both have scores already: --rule, --precision and --cast apply to checkpoints");
        return Err(error.hint("leave them out, or give a checkpoint"));
    }
    let method = args.method.method();
    check_rules(&given, paths, method)?;
    let mut budget = args.budget.budget();
    budget.experts = budget.experts.or_else(|| given.iter().find_map(allocated));
    let mut plan = AllocationPlan::experts(budget);
    let mut scorer = Scorer::new().with_selection(selection).with_method(method).with_allocation(plan);
    let mut opened: Option<Box<dyn Device>> = None;
    let mut problems = Vec::new();
    let mut reports = Vec::new();
    for given in given {
        let Scored { report, problems: new } = match given {
            Given::Scores(report) => allocate(report, &plan),
            Given::Checkpoint(checkpoint) => {
                let device = match &opened {
                    Some(device) => device,
                    None => opened.insert(args.device.open(printer)?),
                };
                score(&checkpoint, &scorer, &**device, &[], printer)?
            }
        };
        // Both get the same number of experts: where none is given, that for the layers of A.
        plan = report.provenance.options.plan.unwrap_or(plan);
        scorer = scorer.with_allocation(plan);
        reports.push(report);
        problems.extend(new);
    }
    let comparison = ModelComparison::new(&reports[0], &reports[1]);
    if comparison.pairs.layers.is_empty() {
        let error = Error::input(paths[0], format!("no layer pairs with one of {}", paths[1].display()));
        return Err(error.hint("layers pair by stack and number: `htsr inspect` shows those of a checkpoint"));
    }
    let document = match args.by {
        CompareRow::Layer => comparison.by_layer(),
        CompareRow::Matrix => comparison.by_matrix(),
    };
    let written = output.write(&document, printer);
    printer.warnings(&problems);
    written.map(|()| if problems.is_empty() { Ending::Complete } else { Ending::Partial })
}

/// Scores, by the extension, or a checkpoint. (The index of a checkpoint is a JSON too.)
fn open(path: &Path) -> Result<Given> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_scores = [".json", ".csv"].iter().any(|extension| name.ends_with(extension)) && !path.is_dir();
    match is_scores && !name.ends_with(".safetensors.index.json") {
        true => Report::read(path).map(Given::Scores),
        false => Checkpoint::open(path).map(Given::Checkpoint),
    }
}

/// The experts that saved scores were allocated.
fn allocated(given: &Given) -> Option<u32> {
    match given {
        Given::Scores(report) => report.allocation.as_ref()?.total?.try_into().ok(),
        Given::Checkpoint(_) => None,
    }
}

/// Alphas of different rules cannot be compared.
fn check_rules(given: &[Given; 2], paths: [&Path; 2], method: Method) -> Result<()> {
    let rule = |given: &Given| match given {
        Given::Scores(report) => report.provenance.rule,
        Given::Checkpoint(_) => Some(method.rule),
    };
    let (Some(a), Some(b)) = (rule(&given[0]), rule(&given[1])) else { return Ok(()) };
    if a == b {
        return Ok(());
    }
    let cause = format!("{} has alphas of the {a} rule, {} of the {b} rule", paths[0].display(), paths[1].display());
    let saved = given.iter().zip([a, b]).find(|(given, _)| matches!(given, Given::Scores(_)));
    let rule = saved.map_or(a, |(_, rule)| rule);
    Err(Error::usage(cause)
        .hint(format!("the rule moves alpha more than anything else: score both with --rule {rule}")))
}

/// Saved scores with experts of another plan.
fn allocate(mut report: Report, plan: &AllocationPlan) -> Scored {
    let problem = report.allocate(plan, &SensitivityAnalysis::default(), &[]).err();
    Scored { report, problems: problem.into_iter().collect() }
}
