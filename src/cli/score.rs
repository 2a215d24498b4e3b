//! `htsr score`: a checkpoint to a table.

use std::collections::HashSet;

use crate::allocate::Comparison;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Outcome};
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;
use crate::pipeline::{self, Observer, Request, Scored};
use crate::report::{Provenance, Report};
use crate::score::{LayerScore, MatrixScore};

use super::Ending;
use super::args::{ScoreArgs, ScoreRow, TailChoice};
use super::output::{self, Output};
use super::plots::Plots;
use super::printer::Printer;
use super::progress::Progress;

pub fn run(args: ScoreArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let sampling = args.sampling.sampling();
    let study = args.study.study();
    let metrics = args.metrics.unwrap_or_default().with_simulations(args.simulations.simulations());
    let metrics = TailChoice::add_to(&args.fit, metrics);
    let rows = args.by.or((!metrics.asked().is_empty()).then_some(ScoreRow::Matrix));
    let request = Request {
        selection: args.selection.selection(),
        sampling,
        method: sampling.method(args.method.method()),
        metrics: metrics.and_alphas(&study.compare),
        plan: args.plan.plan(args.allocate)?,
        study,
    };
    let checkpoint = args.base.open(&args.path)?;
    output.spare(checkpoint.files(), output::CHECKPOINT)?;
    let device = args.device.open(request.method, printer)?;
    let alternatives = args.fit.iter().filter_map(|tail| tail.alternative()).collect();
    let plots = args.plots.map(|folder| Plots::new(folder, alternatives)).transpose()?;
    let Scored { report, problems } = score_and_draw(&checkpoint, &request, &*device, plots.as_ref(), printer)?;
    let written = output.write(&ScoreRow::of(rows, &report), printer);
    let drawn = plots.map_or(Ok(()), |plots| plots.finish(&report, printer));
    let ending = tell(&report, &problems, printer);
    written.and(drawn).map(|()| ending)
}

/// Scores `checkpoint` with progress on stderr.
pub fn score(checkpoint: &Checkpoint, request: &Request, device: &dyn Device, printer: &Printer) -> Result<Scored> {
    score_and_draw(checkpoint, request, device, None, printer)
}

fn score_and_draw(
    checkpoint: &Checkpoint,
    request: &Request,
    device: &dyn Device,
    plots: Option<&Plots>,
    printer: &Printer,
) -> Result<Scored> {
    let progress = Progress::new(printer);
    let scored = pipeline::score(checkpoint, request, device, &Drawing { progress: &progress, plots })?;
    let (seconds, lanes) = (progress.elapsed().as_secs_f64(), progress.lanes());
    drop(progress);
    let matrices = count(scored.report.matrices.len(), "matrix", "matrices");
    let layers = count(scored.report.layers.len(), "layer", "layers");
    let lanes = count(lanes, "lane", "lanes");
    printer.note(&format!("{matrices} in {layers} scored in {seconds:.2} s ({lanes} on {})", device.name()));
    printer.skipped(&scored.report.skipped);
    Ok(scored)
}

/// Watches a run, and draws what it finds.
struct Drawing<'a> {
    progress: &'a Progress<'a>,
    plots: Option<&'a Plots>,
}

impl Observer for Drawing<'_> {
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        self.progress.planned(matrices, lanes);
    }

    fn started(&self, matrix: &WeightMatrix) {
        self.progress.started(matrix);
    }

    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        self.progress.finished(matrix, outcome);
    }

    fn scored(&self, row: &MatrixScore, outcome: &Outcome) {
        if let (Some(plots), Ok(analysis)) = (self.plots, outcome) {
            plots.draw(row, analysis);
        }
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

/// `1 layer`, `2 layers`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reports what is missing from the results, and what to know before using them.
pub fn tell(report: &Report, problems: &[Error], printer: &Printer) -> Ending {
    printer.warnings(problems);
    warn_of_zeros(report, printer);
    warn_of_unpaired(report, printer);
    warn_of_gaps(report, printer);
    let noted = report.matrices.iter().filter_map(|matrix| Some((matrix, matrix.note.as_ref()?)));
    let noted: Vec<_> = noted.collect();
    if let Some((matrix, note)) = noted.first() {
        let others = if noted.len() > 1 { format!(" (and {} more)", noted.len() - 1) } else { String::new() };
        let hint = match matrix.precision.starts_with("f32") {
            true => "--precision f64 resolves smaller eigenvalues",
            false => "the matrix is nearly singular: compare with another --rule",
        };
        printer.warning(&format!("tensor `{}`{others}: {note}", matrix.tensor), Some(hint));
    }
    match tell_of_comparison(report, printer) {
        Ending::Complete if problems.is_empty() => Ending::Complete,
        _ => Ending::Partial,
    }
}

/// What has no partner is missing from its layer's mean, and may be a sign of the wrong base or a damaged adapter.
fn warn_of_unpaired(report: &Report, printer: &Printer) {
    const NAMED: usize = 5;
    let unpaired: Vec<_> = report.skipped.iter().filter(|skipped| skipped.unpaired).collect();
    if unpaired.is_empty() {
        return;
    }
    let names: Vec<String> =
        unpaired.iter().take(NAMED).map(|skipped| format!("`{}` ({})", skipped.tensor, skipped.reason)).collect();
    let others = unpaired.len().saturating_sub(NAMED);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let tensors = count(unpaired.len(), "tensor has", "tensors have");
    let hint = "`htsr inspect --by tensor`, with the same --base, lists them all";
    printer.warning(&format!("{tensors} no partner: {}{others}", names.join(", ")), Some(hint));
}

/// A layer that nobody left out and of which no tensor can be scored gets no experts, and lists by place are wrong without it.
fn warn_of_gaps(report: &Report, printer: &Printer) {
    let Provenance { options, input, base, .. } = &report.provenance;
    let is_all = options.include.is_empty() && options.exclude.is_empty() && options.layers.is_none();
    if !is_all || input.adapter.is_some() || base.is_some() {
        return;
    }
    const NAMED: usize = 5;
    let layers: Vec<&LayerScore> = report.layers.iter().map(|row| &row.score).collect();
    for stack in layers.chunk_by(|a, b| a.stack == b.stack) {
        let numbers: HashSet<u32> = stack.iter().map(|score| score.layer).collect();
        let all = stack.iter().map(|score| score.layer as usize + 1).max().unwrap_or(0);
        let missing = all - numbers.len();
        if missing == 0 {
            continue;
        }
        let absent = (0..).filter(|layer| !numbers.contains(layer)).take(missing.min(NAMED));
        let name = |layer| LayerScore { stack: stack[0].stack.clone(), layer, alpha: None, matrices: 0 }.name();
        let others = if missing > NAMED { format!(" and {} more", missing - NAMED) } else { String::new() };
        let names = absent.map(name).collect::<Vec<_>>().join(", ");
        let hint = "`htsr inspect --by tensor` says which tensors are skipped, and why";
        printer.warning(&format!("nothing to score in {names}{others}"), Some(hint));
    }
}

/// Layers without experts are what the reference rounding may give, and hardly what anybody wants.
pub fn warn_of_zeros(report: &Report, printer: &Printer) {
    let Some(experts) = report.allocation.as_ref().filter(|row| row.experts.is_some()) else { return };
    let empty = experts.allocation.rows.iter().filter(|row| row.value.real() == 0.0);
    let empty: Vec<String> = empty.map(|row| row.unit.name()).collect();
    if !empty.is_empty() {
        let hint = "--rounding largest-remainder gives every layer at least --min-experts (1)";
        printer.warning(&format!("no expert for {}", empty.join(", ")), Some(hint));
    }
}

/// Reports which allocations of a comparison there are none of.
pub fn tell_of_comparison(report: &Report, printer: &Printer) -> Ending {
    let problems = report.comparison.as_ref().map(Comparison::problems).unwrap_or_default();
    printer.warnings(&problems);
    if problems.is_empty() { Ending::Complete } else { Ending::Partial }
}
