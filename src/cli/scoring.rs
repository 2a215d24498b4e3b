//! Scores a checkpoint with progress on stderr.

use crate::checkpoint::Checkpoint;
use crate::device::{Device, Outcome};
use crate::error::Result;
use crate::matrices::WeightMatrix;
use crate::pipeline::{Observer, Scored, Scorer, Sink};

use super::printer::Printer;
use super::progress::Progress;
use super::words::count;

/// Scores `checkpoint` with progress on stderr and `observer` watching; `sinks` get each result as soon as it is ready.
pub fn score(
    checkpoint: &Checkpoint,
    scorer: &Scorer,
    device: &dyn Device,
    observer: &dyn Observer,
    sinks: &[&dyn Sink],
    printer: &Printer,
) -> Result<Scored> {
    let progress = Progress::new(printer);
    let scored = scorer.score_on(checkpoint, device, &Both { progress: &progress, observer }, sinks)?;
    let (seconds, lanes) = (progress.elapsed().as_secs_f64(), progress.lanes());
    drop(progress);
    let matrices = count(scored.report.matrices.len(), "matrix", "matrices");
    let layers = count(scored.report.layers.len(), "layer", "layers");
    let lanes = count(lanes, "lane", "lanes");
    printer.note(&format!("{matrices} in {layers} scored in {seconds:.2} s ({lanes} on {})", device.name()));
    printer.skipped(&scored.report.skipped);
    Ok(scored)
}

/// Progress, which may end the run, and an observer, which may not.
struct Both<'a> {
    progress: &'a Progress<'a>,
    observer: &'a dyn Observer,
}

impl Observer for Both<'_> {
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        self.progress.planned(matrices, lanes);
        self.observer.planned(matrices, lanes);
    }

    fn started(&self, matrix: &WeightMatrix) {
        self.progress.started(matrix);
        self.observer.started(matrix);
    }

    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        // First, so that it does not see the time of printing.
        self.observer.finished(matrix, outcome);
        self.progress.finished(matrix, outcome);
    }

    fn canceled(&self) -> bool {
        self.progress.canceled()
    }
}
