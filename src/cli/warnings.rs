//! Warnings about a report: what is missing from it, and what to know before using it.

use std::collections::HashSet;

use crate::allocate::{AllocationComparison, LeftOutKind, Rounding};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::matrices::UnreadLayer;
use crate::matrices::is_mtp;
use crate::report::{Provenance, Report};
use crate::score::LayerScore;

use super::ending::Ending;
use super::options::stack_options;
use super::printer::Printer;
use super::words::count;

/// How many layers or tensors a warning names.
const NAMED: usize = 5;

/// Prints what is missing from the results, and what to know before using them.
pub fn report(report: &Report, problems: &[Error], printer: &Printer) -> Ending {
    printer.warnings(problems);
    warn_of_zeros(report, printer);
    warn_of_unpaired(report, printer);
    warn_of_unread(report, printer);
    warn_of_gaps(report, printer);
    let noted = report.matrices.iter().filter_map(|matrix| Some((matrix, matrix.note.as_ref()?)));
    let noted: Vec<_> = noted.collect();
    if let Some((matrix, note)) = noted.first() {
        let others = if noted.len() > 1 { format!(" (and {} more)", noted.len() - 1) } else { String::new() };
        let hint = match matrix.precision.starts_with("f32") {
            _ if matrix.floor.below_floor > Some(0) => {
                "--floor NUMBER sets the floor for all matrices, --floor none removes it"
            }
            true => "--precision f64 resolves smaller eigenvalues",
            false => "the matrix is nearly singular: compare with another --rule",
        };
        printer.warning(&format!("tensor `{}`{others}: {note}", matrix.tensor), Some(hint));
    }
    match (warn_of_left_out(report, printer), report_comparison(report, printer)) {
        (Ending::Complete, Ending::Complete) if problems.is_empty() => Ending::Complete,
        _ => Ending::Partial,
    }
}

/// Names may be paired in another way than the user said, because nothing paired.
pub fn warn_of_rename(checkpoint: &Checkpoint, rename: Option<&str>, printer: &Printer) {
    if let Some(rename) = rename.filter(|_| checkpoint.base_rename().is_none()) {
        warn_of_found_rename(rename, printer);
    }
}

/// Names are paired by a usual rename.
pub fn warn_of_found_rename(rename: &str, printer: &Printer) {
    let hint = format!("--rename '{}' does the same without this warning", rename.replace('\'', r"'\''"));
    printer.warning(&format!("nothing pairs by its own name; names are renamed by {rename}"), Some(&hint));
}

/// Names the stacks without numbers that nobody left out on purpose. The results are partial if alphas are missing.
pub fn warn_of_left_out(report: &Report, printer: &Printer) -> Ending {
    let Some(allocation) = report.allocation.as_ref().map(|row| &row.allocation) else { return Ending::Complete };
    let mut taken: Vec<&str> = allocation.rows.iter().map(|row| row.unit.stack.as_str()).collect();
    taken.dedup();
    let mut ending = Ending::Complete;
    for left_out in &allocation.left_out {
        let text = format!("no {} for {}", allocation.quantity.plural(), left_out.sentence());
        let options = stack_options(taken.iter().copied());
        match left_out.kind {
            LeftOutKind::NoAlpha => {
                printer.warning(&text, Some(&format!("{options} leaves it out without this warning")));
                ending = Ending::Partial;
            }
            LeftOutKind::MultiTokenPrediction => {
                let stack = stack_options([left_out.stack.as_str()]);
                printer.note(&format!("{text} ({options} {stack} includes it)"));
            }
            _ => {}
        }
    }
    ending
}

/// A tensor without a counterpart is missing from its layer's mean. The base may be wrong, or the adapter damaged.
fn warn_of_unpaired(report: &Report, printer: &Printer) {
    let unpaired: Vec<_> = report.skipped.iter().filter(|skipped| skipped.unpaired).collect();
    if unpaired.is_empty() {
        return;
    }
    let names: Vec<String> =
        unpaired.iter().take(NAMED).map(|skipped| format!("`{}` ({})", skipped.tensor, skipped.reason)).collect();
    let others = unpaired.len().saturating_sub(NAMED);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let tensors = count(unpaired.len(), "tensor has", "tensors have");
    let hint = "`htsr inspect PATH --by tensor`, with the same --base, lists them all";
    printer.warning(&format!("{tensors} no counterpart: {}{others}", names.join(", ")), Some(hint));
}

/// A smaller part of a layer cannot be read; if most of a layer cannot, that is a problem of the scores.
fn warn_of_unread(report: &Report, printer: &Printer) {
    let Some(unread) = report.unread.as_ref().filter(|unread| !unread.layers.iter().any(UnreadLayer::is_most)) else {
        return;
    };
    let tensors = count(unread.weights, "tensor", "tensors");
    let layers = count(unread.layers.len(), "layer", "layers");
    let hint = "`htsr inspect PATH --by tensor` lists the skipped tensors and the reasons";
    printer.warning(&format!("{tensors} with weights of {layers} are not read: {}", unread.cause()), Some(hint));
}

/// A layer with no scorable tensor gets no experts, which shifts position-based lists.
fn warn_of_gaps(report: &Report, printer: &Printer) {
    let Provenance { options, input, base, .. } = &report.provenance;
    let is_all = options.include.is_empty() && options.exclude.is_empty() && options.layers.is_none();
    if !is_all || input.adapter.is_some() || base.is_some() {
        return;
    }
    let layers: Vec<&LayerScore> = report.layers.iter().map(|row| &row.score).collect();
    for stack in layers.chunk_by(|a, b| a.stack == b.stack) {
        let numbers: HashSet<u32> = stack.iter().map(|score| score.layer).collect();
        // Multi-token-prediction layers may be numbered like further layers of the model.
        let first = if is_mtp(&stack[0].stack) { numbers.iter().copied().min().unwrap_or(0) } else { 0 };
        let all = stack.iter().map(|score| score.layer as usize + 1).max().unwrap_or(0) - first as usize;
        let missing = all - numbers.len();
        if missing == 0 {
            continue;
        }
        let absent = (first..).filter(|layer| !numbers.contains(layer)).take(missing.min(NAMED));
        let name = |layer| LayerScore { stack: stack[0].stack.clone(), layer, alpha: None, matrices: 0 }.name();
        let others = if missing > NAMED { format!(" and {} more", missing - NAMED) } else { String::new() };
        let names = absent.map(name).collect::<Vec<_>>().join(", ");
        let hint = "`htsr inspect PATH --by tensor` lists the skipped tensors and the reasons";
        printer.warning(&format!("nothing to score in {names}{others}"), Some(hint));
    }
}

/// The reference rounding may give a layer no expert.
pub fn warn_of_zeros(report: &Report, printer: &Printer) {
    let Some(experts) = report.allocation.as_ref().filter(|row| row.experts.is_some()) else { return };
    let rows = &experts.allocation.rows;
    let empty: Vec<String> = rows.iter().filter(|row| row.value.real() == 0.0).map(|row| row.unit.name()).collect();
    if empty.is_empty() {
        return;
    }
    let is_reference = experts.rounding == Some(Rounding::Reference);
    let hint = match experts.total {
        Some(total) if total < rows.len() as u64 => {
            format!("--experts {} is the least for one expert each", rows.len())
        }
        _ if is_reference => "--rounding largest-remainder gives every layer at least one expert".into(),
        _ => "--min-experts 1 gives every layer at least one expert".into(),
    };
    let others = empty.len().saturating_sub(NAMED);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    printer.warning(&format!("no expert for {}{others}", empty[..empty.len().min(NAMED)].join(", ")), Some(&hint));
}

/// Prints the failed allocations of a comparison.
pub fn report_comparison(report: &Report, printer: &Printer) -> Ending {
    let problems = report.comparison.as_ref().map(AllocationComparison::problems).unwrap_or_default();
    printer.warnings(&problems);
    if problems.is_empty() { Ending::Complete } else { Ending::Partial }
}
