//! Scores a checkpoint with progress on stderr.

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::Result;
use crate::pipeline::{Scored, Scorer, Sink};

use super::printer::Printer;
use super::progress::Progress;
use super::words::count;

/// Scores `checkpoint` with progress on stderr; `sinks` get each result as soon as it is ready.
pub fn score(
    checkpoint: &Checkpoint,
    scorer: &Scorer,
    device: &dyn Device,
    sinks: &[&dyn Sink],
    printer: &Printer,
) -> Result<Scored> {
    let progress = Progress::new(printer);
    let scored = scorer.score_on(checkpoint, device, &progress, sinks)?;
    let (seconds, lanes) = (progress.elapsed().as_secs_f64(), progress.lanes());
    drop(progress);
    let matrices = count(scored.report.matrices.len(), "matrix", "matrices");
    let layers = count(scored.report.layers.len(), "layer", "layers");
    let lanes = count(lanes, "lane", "lanes");
    printer.note(&format!("{matrices} in {layers} scored in {seconds:.2} s ({lanes} on {})", device.name()));
    printer.skipped(&scored.report.skipped);
    Ok(scored)
}
