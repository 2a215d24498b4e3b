//! `htsr compare`: the alphas and experts of two models side by side.

use std::path::{Path, PathBuf};

use crate::allocate::{AllocationPlan, AllocationRule, Budget, LeftOutKind};
use crate::checkpoint::{Checkpoint, is_index};
use crate::device::{Device, Method};
use crate::error::{Error, Result};
use crate::matrices::{Catalog, Selection, whole};
use crate::pipeline::{Scored, Scorer};
use crate::report::{ModelComparison, Report};
use crate::sensitivity::SensitivityAnalysis;
use clap::ValueEnum;

use super::ending::Ending;
use super::options::{
    BudgetArgs, ComponentArgs, DeviceArgs, FloorArgs, MethodArgs, RenameArgs, SelectionArgs, StackArgs,
};
use super::output::{self, Output, OutputArgs};
use super::printer::Printer;
use super::scoring::score;
use super::warnings::{warn_of_found_rename, warn_of_left_out};

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A checkpoint or adapter to score, or scores that `htsr score` saved (.json, .csv)
    pub a: PathBuf,
    /// The other model
    pub b: PathBuf,
    #[command(flatten)]
    pub component: ComponentArgs,
    #[command(flatten)]
    pub rename: RenameArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub floor: FloorArgs,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub stacks: StackArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// One row of the table per layer or matrix
    ///
    /// JSON always contains both.
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

/// One of the two models.
#[expect(clippy::large_enum_variant, reason = "there are only two")]
enum Input {
    Scores(Report),
    Checkpoint(Checkpoint),
}

pub fn run(args: CompareArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let paths = [args.a.as_path(), args.b.as_path()];
    let open = |path| open(path, &args.component, printer);
    let inputs = [open(paths[0])?, open(paths[1])?];
    for (input, path) in inputs.iter().zip(paths) {
        match input {
            Input::Checkpoint(checkpoint) => output.refuse_overwrite(checkpoint.files(), output::CHECKPOINT)?,
            Input::Scores(_) => output.refuse_overwrite([path].into_iter(), output::SCORES)?,
        }
    }
    let selection = args.selection.selection();
    if !selection.is_all()
        && let Some((_, path)) = inputs.iter().zip(paths).find(|(input, _)| matches!(input, Input::Scores(_)))
    {
        let error = Error::usage("contains scores, and a selection applies to checkpoints only").file(path);
        return Err(error.hint("remove --include, --exclude and --layers, or use the checkpoint"));
    }
    if args.component.is_given() && inputs.iter().all(|input| matches!(input, Input::Scores(_))) {
        let error = Error::usage("both files contain scores, and --component applies to folders only");
        return Err(error.hint("remove --component"));
    }
    let is_plain = args.method.method() == Method::default() && args.floor.floor.is_auto();
    if !is_plain && inputs.iter().all(|input| matches!(input, Input::Scores(_))) {
        let error = Error::usage(
            "both files contain scores; --rule, --precision, --cast and --floor apply to checkpoints only",
        );
        return Err(error.hint("remove them, or use a checkpoint"));
    }
    let rename = args.rename.rename();
    if let Some(rename) = &rename {
        let names = [0, 1].map(|side| names(&inputs[side], &selection));
        let [a, b] = names.each_ref().map(|names| names.iter().map(String::as_str));
        rename.check(a, b).map_err(|error| error.file(paths[0]))?;
    }
    let method = args.method.method();
    check_rules(&inputs, paths, method)?;
    let mut budget = args.budget.budget();
    budget.experts = budget.experts.or_else(|| inputs.iter().find_map(chosen));
    // Without a number of experts, each model gets the default for its own layers.
    let plan = AllocationPlan::experts(budget).with_stacks(args.stacks.stack);
    let scorer = Scorer::new()
        .with_selection(selection)
        .with_method(method)
        .with_floor(args.floor.floor)
        .with_allocation(plan.clone());
    let mut opened: Option<Box<dyn Device>> = None;
    let mut problems = Vec::new();
    let mut reports = Vec::new();
    for input in inputs {
        let Scored { report, problems: new } = match input {
            Input::Scores(report) => allocate(report, &plan)?,
            Input::Checkpoint(checkpoint) => {
                let device = match &opened {
                    Some(device) => device,
                    None => opened.insert(args.device.open(printer)?),
                };
                score(&checkpoint, &scorer, &**device, &(), &[], printer)?
            }
        };
        reports.push(report);
        problems.extend(new);
    }
    problems.extend(leave_out_the_same_stacks(&mut reports, &plan));
    let comparison = ModelComparison::new(&reports[0], &reports[1], rename.as_ref());
    if comparison.pairs.layers.is_empty() {
        let error = Error::input(paths[0], format!("no layer pairs with one of {}", paths[1].display()));
        let hint =
            "layers pair by stack and number, which `htsr inspect PATH` lists; --rename maps names of A to those of B";
        return Err(error.hint(hint));
    }
    let document = match args.by {
        CompareRow::Layer => comparison.by_layer(),
        CompareRow::Matrix => comparison.by_matrix(),
    };
    let written = output.write(document, printer);
    if let Some(found) = comparison.pairs.rename.as_ref().filter(|_| rename.is_none()) {
        warn_of_found_rename(&found.to_string(), printer);
    }
    printer.warnings(&problems);
    let endings = reports.iter().map(|report| warn_of_left_out(report, printer)).collect::<Vec<_>>();
    let is_complete = problems.is_empty() && endings.iter().all(|ending| matches!(ending, Ending::Complete));
    written.map(|()| if is_complete { Ending::Complete } else { Ending::Partial })
}

/// The names of the matrices of a model, or its stacks and layers if it has no matrices.
fn names(input: &Input, selection: &Selection) -> Vec<String> {
    match input {
        Input::Checkpoint(checkpoint) => {
            Catalog::new(checkpoint, selection).matrices.iter().map(|matrix| whole(matrix.name()).to_owned()).collect()
        }
        Input::Scores(report) if report.matrices.is_empty() => {
            report.layers.iter().map(|row| format!("{}.{}", row.score.stack, row.score.layer)).collect()
        }
        Input::Scores(report) => report.matrices.iter().map(|matrix| whole(&matrix.tensor).to_owned()).collect(),
    }
}

/// Allocates again to a model if a stack has no alphas in the other one: otherwise their budgets would cover different layers.
fn leave_out_the_same_stacks(reports: &mut [Report], plan: &AllocationPlan) -> Vec<Error> {
    let unscored = |report: &Report| -> Vec<String> {
        let left_out = report.allocation.iter().flat_map(|row| &row.allocation.left_out);
        left_out.filter(|it| it.kind == LeftOutKind::NoAlpha).map(|left_out| left_out.stack.clone()).collect()
    };
    let unscored: Vec<String> = reports.iter().flat_map(unscored).collect();
    let again = |report: &mut Report| {
        let rows = report.allocation.iter().flat_map(|row| &row.allocation.rows);
        let mut stacks: Vec<String> = rows.map(|row| row.unit.stack.clone()).collect();
        stacks.dedup();
        let count = stacks.len();
        stacks.retain(|stack| !unscored.contains(stack));
        if stacks.len() == count || stacks.is_empty() {
            return None;
        }
        report.allocate(&plan.clone().with_stacks(stacks), &SensitivityAnalysis::default(), &[]).err()
    };
    reports.iter_mut().filter_map(again).collect()
}

/// Reads scores or opens a checkpoint, depending on the extension. (The index of a checkpoint is JSON, too.)
fn open(path: &Path, component: &ComponentArgs, printer: &Printer) -> Result<Input> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_scores = [".json", ".csv"].iter().any(|extension| name.ends_with(extension)) && !path.is_dir();
    match is_scores && !is_index(path) {
        true => Report::read(path).map(Input::Scores),
        false => component.open(path, printer).map(Input::Checkpoint),
    }
}

/// The number of experts that saved scores were allocated, unless it is the default for their layers.
fn chosen(input: &Input) -> Option<u32> {
    let Input::Scores(report) = input else { return None };
    let row = report.allocation.as_ref()?;
    let total: u32 = row.total?.try_into().ok()?;
    let layers = report.layers.iter().map(|row| (row.score.stack.as_str(), row.score.layer));
    let default = AllocationPlan::default().with_stacks(row.allocation.plan.stacks.clone()).for_layers(layers);
    let is_default =
        matches!(default.rule, AllocationRule::AlphaLora(Budget { experts, .. }) if experts == Some(total));
    (!is_default).then_some(total)
}

/// Refuses alphas of different fit rules, which cannot be compared.
fn check_rules(inputs: &[Input; 2], paths: [&Path; 2], method: Method) -> Result<()> {
    let rule = |input: &Input| match input {
        Input::Scores(report) => report.provenance.rule,
        Input::Checkpoint(_) => Some(method.rule),
    };
    let (Some(a), Some(b)) = (rule(&inputs[0]), rule(&inputs[1])) else { return Ok(()) };
    if a == b {
        return Ok(());
    }
    let cause = format!("{} has alphas of the {a} rule, {} of the {b} rule", paths[0].display(), paths[1].display());
    let saved = inputs.iter().zip([a, b]).find(|(input, _)| matches!(input, Input::Scores(_)));
    let rule = saved.map_or(a, |(_, rule)| rule);
    Err(Error::usage(cause)
        .hint(format!("alphas of different fit rules are not comparable: score both with --rule {rule}")))
}

/// Allocates to saved scores.
fn allocate(mut report: Report, plan: &AllocationPlan) -> Result<Scored> {
    plan.check_stacks(report.layers.iter().map(|row| (row.score.stack.as_str(), row.score.layer)))?;
    let problem = report.allocate(plan, &SensitivityAnalysis::default(), &[]).err();
    Ok(Scored { report, problems: problem.into_iter().collect() })
}
