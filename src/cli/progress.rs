//! Progress on stderr: a bar on a terminal, weighted by cost, or a line per matrix with `--verbose`.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::device::Outcome;
use crate::error::printable;
use crate::matrices::WeightMatrix;
use crate::pipeline::Observer;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::interrupt;
use super::printer::Printer;

/// FLOPs per step of the bar: fine enough for a toy, coarse enough for 64 bits.
const FLOPS_PER_STEP: f64 = 1e4;

/// Shows how far a run has come.
pub struct Progress<'a> {
    printer: &'a Printer,
    bar: ProgressBar,
    started: Instant,
    lanes: AtomicUsize,
    matrices: AtomicUsize,
    done: AtomicUsize,
}

impl<'a> Progress<'a> {
    pub fn new(printer: &'a Printer) -> Progress<'a> {
        let bar = if printer.shows_progress() {
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:24} {prefix}  {left}{wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        bar.set_style(style.with_key("left", time_left));
        Progress { printer, bar, started: Instant::now(), lanes: 0.into(), matrices: 0.into(), done: 0.into() }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Number of lanes at work.
    pub fn lanes(&self) -> usize {
        self.lanes.load(Ordering::Relaxed)
    }

    fn show_count(&self) {
        let (done, all) = (self.done.load(Ordering::Relaxed), self.matrices.load(Ordering::Relaxed));
        self.bar.set_prefix(format!("{done}/{all}"));
    }
}

impl Observer for Progress<'_> {
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        self.lanes.store(lanes, Ordering::Relaxed);
        self.matrices.store(matrices.len(), Ordering::Relaxed);
        self.bar.set_length(matrices.iter().map(steps).sum());
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.show_count();
    }

    fn started(&self, matrix: &WeightMatrix) {
        self.bar.set_message(printable(matrix.name()).into_owned());
    }

    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.bar.inc(steps(matrix));
        self.show_count();
        // A window or a shuffled copy is not a result by itself.
        if self.printer.verbose() && !matrix.is_sample() {
            self.bar.suspend(|| self.printer.detail(&line(matrix, outcome)));
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::requested()
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Nothing until there is something to extrapolate from.
fn time_left(state: &ProgressState, text: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        // A display that cannot be written to is not worth an error.
        let _ = write!(text, "{:#} left  ", HumanDuration(state.eta()));
    }
}

fn steps(matrix: &WeightMatrix) -> u64 {
    (matrix.flops() / FLOPS_PER_STEP) as u64 + 1
}

fn line(matrix: &WeightMatrix, outcome: &Outcome) -> String {
    let result = match outcome {
        Ok(analysis) => match &analysis.fit {
            Ok(fit) => format!("alpha {:.4}, D {:.4}, tail {}", fit.alpha, fit.ks_distance, fit.tail),
            Err(reason) => reason.to_string(),
        },
        Err(failure) => failure.to_string(),
    };
    format!("{} {:?}: {result}", matrix.name(), matrix.whole_shape())
}
