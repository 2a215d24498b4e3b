//! `htsr score`: a checkpoint to a table.

use htsr::checkpoint::Checkpoint;
use htsr::device::cpu::Cpu;
use htsr::error::{Error, Result};
use htsr::pipeline::{self, Request, Scored};
use htsr::report::Report;

use super::Ending;
use super::args::{ScoreArgs, ScoreRow};
use super::output::Output;
use super::printer::Printer;
use super::progress::Progress;

pub fn run(args: ScoreArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let request = Request {
        selection: args.selection.selection(),
        method: args.method.method(),
        budget: args.budget.budget(160),
    };
    let checkpoint = Checkpoint::open(&args.path)?;
    let Scored { report, problems } = score(&checkpoint, &request, args.threads.count(), printer)?;
    let document = match args.by {
        ScoreRow::Layer => report.by_layer(),
        ScoreRow::Matrix => report.by_matrix(),
    };
    output.write(&document, printer)?;
    Ok(tell(&report, &problems, printer))
}

/// Scores `checkpoint` with progress on stderr.
pub fn score(checkpoint: &Checkpoint, request: &Request, threads: Option<usize>, printer: &Printer) -> Result<Scored> {
    let device = Cpu::new(request.method, threads);
    let progress = Progress::new(printer);
    let scored = pipeline::score(checkpoint, request, &device, &progress)?;
    let (seconds, lanes) = (progress.elapsed().as_secs_f64(), progress.lanes());
    drop(progress);
    let (matrices, layers) = (scored.report.matrices.len(), scored.report.layers.len());
    let s = if lanes == 1 { "" } else { "s" };
    printer.note(&format!("{matrices} matrices in {layers} layers scored in {seconds:.2} s ({lanes} thread{s})"));
    for skipped in &scored.report.skipped {
        printer.detail(&format!("skipped {}: {}", skipped.tensor, skipped.reason));
    }
    Ok(scored)
}

/// Reports what is missing from the results, and what to know before using them.
pub fn tell(report: &Report, problems: &[Error], printer: &Printer) -> Ending {
    printer.warnings(problems);
    warn_of_zeros(report, printer);
    let noted = report.matrices.iter().filter_map(|matrix| Some((matrix, matrix.note.as_ref()?)));
    let noted: Vec<_> = noted.collect();
    if let Some((matrix, note)) = noted.first() {
        let others = if noted.len() > 1 { format!(" (and {} more)", noted.len() - 1) } else { String::new() };
        let hint = "--precision f64 resolves it, unless it is nearly zero; --rule median and ks do not depend on it";
        printer.warning(&format!("tensor `{}`{others}: {note}", matrix.tensor), Some(hint));
    }
    if problems.is_empty() { Ending::Complete } else { Ending::Partial }
}

/// Layers without experts are what the reference rounding may give, and hardly what anybody wants.
pub fn warn_of_zeros(report: &Report, printer: &Printer) {
    let empty = report.layers.iter().filter(|layer| layer.experts == Some(0));
    let empty: Vec<String> = empty.map(|layer| layer.score.layer.to_string()).collect();
    if !empty.is_empty() {
        let hint = "--rounding largest-remainder gives every layer at least --min-experts (1)";
        printer.warning(&format!("no expert for layer {}", empty.join(", ")), Some(hint));
    }
}
