//! Scoring a checkpoint with progress on stderr, for every command that does.

use crate::checkpoint::Checkpoint;
use crate::device::{Device, Outcome};
use crate::error::Result;
use crate::matrices::WeightMatrix;
use crate::pipeline::{self, Observer, Request, Scored};
use crate::score::MatrixScore;

use super::plots::Plots;
use super::printer::Printer;
use super::progress::Progress;
use super::words::count;

/// Scores `checkpoint` with progress on stderr.
pub fn score(checkpoint: &Checkpoint, request: &Request, device: &dyn Device, printer: &Printer) -> Result<Scored> {
    score_and_draw(checkpoint, request, device, None, printer)
}

pub fn score_and_draw(
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
