//! `htsr score`: a checkpoint to a table.

use htsr::checkpoint::Checkpoint;
use htsr::device::Device;
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
    let rows = args.by.unwrap_or(if args.metrics.is_some() { ScoreRow::Matrix } else { ScoreRow::Layer });
    let request = Request {
        selection: args.selection.selection(),
        method: args.method.method(),
        metrics: args.metrics.unwrap_or_default(),
        budget: args.budget.budget(160),
    };
    let checkpoint = Checkpoint::open(&args.path)?;
    output.spare(checkpoint.files())?;
    let device = args.device.open(request.method, printer)?;
    let Scored { report, problems } = score(&checkpoint, &request, &*device, printer)?;
    let written = output.write(&rows.of(&report), printer);
    let ending = tell(&report, &problems, printer);
    written.map(|()| ending)
}

/// Scores `checkpoint` with progress on stderr.
pub fn score(checkpoint: &Checkpoint, request: &Request, device: &dyn Device, printer: &Printer) -> Result<Scored> {
    let progress = Progress::new(printer);
    let scored = pipeline::score(checkpoint, request, device, &progress)?;
    let (seconds, lanes) = (progress.elapsed().as_secs_f64(), progress.lanes());
    drop(progress);
    let matrices = count(scored.report.matrices.len(), "matrix", "matrices");
    let layers = count(scored.report.layers.len(), "layer", "layers");
    let lanes = count(lanes, "lane", "lanes");
    printer.note(&format!("{matrices} in {layers} scored in {seconds:.2} s ({lanes} on {})", device.name()));
    for skipped in &scored.report.skipped {
        printer.detail(&format!("skipped {}: {}", skipped.tensor, skipped.reason));
    }
    Ok(scored)
}

/// `1 layer`, `2 layers`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reports what is missing from the results, and what to know before using them.
pub fn tell(report: &Report, problems: &[Error], printer: &Printer) -> Ending {
    printer.warnings(problems);
    warn_of_zeros(report, printer);
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
    if problems.is_empty() { Ending::Complete } else { Ending::Partial }
}

/// Layers without experts are what the reference rounding may give, and hardly what anybody wants.
pub fn warn_of_zeros(report: &Report, printer: &Printer) {
    let empty = report.layers.iter().filter(|layer| layer.experts == Some(0));
    let empty: Vec<String> = empty.map(|layer| layer.score.name()).collect();
    if !empty.is_empty() {
        let hint = "--rounding largest-remainder gives every layer at least --min-experts (1)";
        printer.warning(&format!("no expert for {}", empty.join(", ")), Some(hint));
    }
}
