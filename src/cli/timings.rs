//! `htsr score --timings`: how long each matrix took, as JSON lines. Reports have no timings, so that the same input gives
//! the same bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::device::Outcome;
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;
use crate::pipeline::{Observer, Sink};
use crate::report::Report;
use crate::score::MatrixScore;

use super::output::{self, Destination};
use super::printer::Printer;

/// What a run took so far, and the file for it.
pub struct Timings<'a> {
    printer: &'a Printer,
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: Option<Instant>,
    /// From the beginning to the last matrix.
    elapsed: Duration,
    lanes: HashMap<ThreadId, Lane>,
    /// By name of the tensor.
    matrices: HashMap<String, Taken>,
}

/// A thread that analyzes batches of matrices and then measures them one by one.
struct Lane {
    number: usize,
    /// Matrices of the batch.
    batch: usize,
    /// When the batch began.
    begun: Instant,
    /// Seconds of the batch divided by its matrices, once it is analyzed.
    share: Option<f64>,
    /// When the last matrix was analyzed.
    analyzed: Instant,
}

/// What a matrix took.
#[derive(Default)]
struct Taken {
    seconds: f64,
    metrics_seconds: f64,
    lane: usize,
    batch: usize,
    parts: usize,
}

/// A line of the file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Matrix {
        tensor: &'a str,
        rows: usize,
        cols: usize,
        /// Wall-clock time of reading it, its spectrum and its fit; in a batch, that of the batch divided by its matrices.
        seconds: f64,
        /// Wall-clock time of its metrics, error bars included.
        metrics_seconds: f64,
        lane: usize,
        /// Matrices that the lane analyzed together with this one.
        batch: usize,
        /// The number of analyses: the number of windows, 2 for a matrix and its randomized copy, else 1.
        parts: usize,
    },
    Total {
        seconds: f64,
        matrices: usize,
        lanes: usize,
        device: Option<&'a str>,
    },
}

impl<'a> Timings<'a> {
    /// Timings for `file`, which must not be that of the results.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or is one of `inputs` or `results`.
    pub fn new<'b>(
        file: PathBuf,
        inputs: impl Iterator<Item = &'b Path>,
        results: Option<&Path>,
        printer: &'a Printer,
    ) -> Result<Timings<'a>> {
        if output::is_stdout(&file) {
            return match results {
                Some(_) => Ok(Timings { printer, file, state: Mutex::default() }),
                None => {
                    let error = Error::usage("the results and the timings would both go to stdout");
                    Err(error.hint("add --output FILE for the results, or use a file for --timings"))
                }
            };
        }
        output::check(&file)?;
        output::refuse_overwrite(&file, inputs, output::CHECKPOINT)?;
        if results.is_some_and(|results| output::is_same(results, &file)) {
            let error = Error::usage("--output and --timings are the same file").file(&file);
            return Err(error.hint("use another name for --timings"));
        }
        Ok(Timings { printer, file, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    /// Counts a matrix into the batch of this thread.
    fn started(&mut self, thread: ThreadId, now: Instant) {
        let number = self.lanes.len();
        let fresh = Lane { number, batch: 0, begun: now, share: None, analyzed: now };
        let lane = self.lanes.entry(thread).or_insert(fresh);
        if lane.share.take().is_some() {
            lane.batch = 0;
            lane.begun = now;
        }
        lane.batch += 1;
    }

    /// Adds the share of a matrix, or of a part of it.
    fn finished(&mut self, thread: ThreadId, tensor: &str, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&thread) else { return };
        let batch = now.duration_since(lane.begun).as_secs_f64() / lane.batch as f64;
        let share = *lane.share.get_or_insert(batch);
        lane.analyzed = now;
        let taken = self.matrices.entry(tensor.to_owned()).or_default();
        taken.seconds += share;
        taken.parts += 1;
        (taken.lane, taken.batch) = (lane.number, lane.batch);
    }

    /// Sets the time of the metrics of a matrix.
    fn measured(&mut self, thread: ThreadId, tensor: &str, now: Instant) {
        if let (Some(lane), Some(taken)) = (self.lanes.get(&thread), self.matrices.get_mut(tensor)) {
            taken.metrics_seconds = now.duration_since(lane.analyzed).as_secs_f64();
        }
        self.elapsed = self.begun.map_or(Duration::ZERO, |begun| now.duration_since(begun));
    }

    /// One line per matrix in the order of `report`, and the total.
    fn lines<'a>(&self, report: &'a Report) -> Vec<Line<'a>> {
        let line = |row: &'a MatrixScore| {
            let Taken { seconds, metrics_seconds, lane, batch, parts } = *self.matrices.get(&row.tensor)?;
            let MatrixScore { tensor, rows, cols, .. } = row;
            Some(Line::Matrix { tensor, rows: *rows, cols: *cols, seconds, metrics_seconds, lane, batch, parts })
        };
        let total = Line::Total {
            seconds: self.elapsed.as_secs_f64(),
            matrices: report.matrices.len(),
            lanes: self.lanes.len(),
            device: report.provenance.device.as_deref(),
        };
        report.matrices.iter().filter_map(line).chain([total]).collect()
    }
}

impl Observer for Timings<'_> {
    fn planned(&self, _: &[WeightMatrix], _: usize) {
        self.state().begun = Some(Instant::now());
    }

    fn started(&self, _: &WeightMatrix) {
        self.state().started(thread::current().id(), Instant::now());
    }

    fn finished(&self, matrix: &WeightMatrix, _: &Outcome) {
        let now = Instant::now();
        self.state().finished(thread::current().id(), matrix.name(), now);
    }
}

impl Sink for Timings<'_> {
    fn matrix(&self, row: &MatrixScore, _: &Outcome) -> Result<()> {
        let now = Instant::now();
        self.state().measured(thread::current().id(), &row.tensor, now);
        Ok(())
    }

    /// Writes the file, which appears complete or not at all.
    fn finish(&self, report: &Report) -> Result<()> {
        let state = self.state();
        let mut text = String::new();
        for line in state.lines(report) {
            let line =
                serde_json::to_string(&line).map_err(|error| Error::usage(error.to_string()).file(&self.file))?;
            text += &line;
            text.push('\n');
        }
        Destination::new(Some(self.file.clone()))?.write(text.as_bytes(), self.printer)?;
        let time = |taken: &Taken| taken.seconds + taken.metrics_seconds;
        let slowest = state.matrices.iter().max_by(|(_, a), (_, b)| time(a).total_cmp(&time(b)));
        let slowest =
            slowest.map_or(String::new(), |(tensor, taken)| format!("; slowest: {tensor}, {:.2} s", time(taken)));
        self.printer.note(&format!("wrote timings to {}{slowest}", self.file.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_a_batch_share_its_time() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let thread = thread::current().id();
        let mut state = State { begun: Some(start), ..State::default() };
        state.started(thread, at(0));
        state.started(thread, at(0));
        state.finished(thread, "a", at(6));
        state.measured(thread, "a", at(7));
        // Its time has passed while the first was measured.
        state.finished(thread, "b", at(7));
        state.measured(thread, "b", at(9));
        // Two windows of a third, one after the other.
        for (begin, end) in [(9, 10), (10, 14)] {
            state.started(thread, at(begin));
            state.finished(thread, "c", at(end));
        }
        state.measured(thread, "c", at(14));
        let taken = |tensor: &str| {
            let Taken { seconds, metrics_seconds, batch, parts, .. } = state.matrices[tensor];
            (seconds, metrics_seconds, batch, parts)
        };
        assert_eq!(taken("a"), (3.0, 1.0, 2, 1));
        assert_eq!(taken("b"), (3.0, 2.0, 2, 1));
        assert_eq!(taken("c"), (5.0, 0.0, 1, 2));
        assert_eq!((state.elapsed, state.lanes.len()), (Duration::from_secs(14), 1));
    }
}
