//! Progress on stderr: a bar on a terminal, weighted by cost; elsewhere a line now and then. With `--verbose`, also a line per
//! matrix.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::device::Outcome;
use crate::error::printable;
use crate::matrices::WeightMatrix;
use crate::pipeline::Observer;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::heartbeat::Heartbeat;
use super::interrupt::{self, Reaction};
use super::printer::Printer;

/// FLOPs per step of the bar: fine enough for a toy, coarse enough for 64 bits.
const FLOPS_PER_STEP: f64 = 1e4;

/// Time between two lines without a terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far a run has come.
pub struct Progress<'a> {
    printer: &'a Printer,
    /// Counts steps, visible or hidden.
    bar: ProgressBar,
    counts: Arc<Counts>,
    started: Instant,
    lanes: AtomicUsize,
    /// Clears the bar at a signal: the run ends only after the matrices at work.
    _reaction: Option<Reaction>,
    _lines: Option<Heartbeat>,
}

/// Matrices, or parts of them.
#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    done: AtomicUsize,
    /// True for windows or shuffled copies.
    parts: AtomicBool,
}

impl<'a> Progress<'a> {
    pub fn new(printer: &'a Printer) -> Progress<'a> {
        let target = if printer.shows_bar() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{bar:24} {prefix}  {left}{wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        bar.set_style(style.with_key("left", time_left));
        let counts = Arc::new(Counts::default());
        let _reaction = printer.shows_bar().then(|| {
            let bar = bar.clone();
            interrupt::react_with(move || bar.finish_and_clear())
        });
        let _lines = if printer.shows_progress_lines() { lines(printer.clone(), &bar, &counts) } else { None };
        Progress { printer, bar, counts, started: Instant::now(), lanes: 0.into(), _reaction, _lines }
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
        self.bar.set_prefix(self.counts.to_string());
    }
}

impl Observer for Progress<'_> {
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        self.lanes.store(lanes, Ordering::Relaxed);
        self.counts.parts.store(matrices.iter().any(WeightMatrix::is_sample), Ordering::Relaxed);
        self.counts.all.store(matrices.len(), Ordering::Relaxed);
        self.bar.set_length(matrices.iter().map(steps).sum());
        if self.printer.shows_bar() {
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.show_count();
    }

    fn started(&self, matrix: &WeightMatrix) {
        self.bar.set_message(printable(matrix.name()).into_owned());
    }

    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        self.counts.done.fetch_add(1, Ordering::Relaxed);
        self.bar.inc(steps(matrix));
        self.show_count();
        // A window or a shuffled copy is not a result by itself.
        if self.printer.verbose() && !matrix.is_sample() {
            self.bar.suspend(|| self.printer.detail(&line(matrix, outcome)));
        }
    }

    fn canceled(&self) -> bool {
        interrupt::requested()
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `12/224`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed))
    }
}

/// Prints a line now and then, from the first plan to the first signal.
fn lines(printer: Printer, bar: &ProgressBar, counts: &Arc<Counts>) -> Option<Heartbeat> {
    let (bar, counts) = (bar.clone(), Arc::clone(counts));
    Heartbeat::start(BETWEEN_LINES, move || {
        let (done, all) = (bar.position(), bar.length().unwrap_or(0));
        if all > 0 && !interrupt::requested() {
            let things = if counts.parts.load(Ordering::Relaxed) { "parts of matrices" } else { "matrices" };
            printer.note(&progress_line(&format!("{counts} {things}"), done as f64 / all as f64, bar.elapsed()));
        }
    })
}

/// `12/224 matrices, 38 %, about 2 min left`, where `share` of the work took `elapsed`.
fn progress_line(counts: &str, share: f64, elapsed: Duration) -> String {
    let percent = (share * 100.0).floor();
    if share <= 0.0 {
        return format!("{counts}, {percent} %");
    }
    let seconds = elapsed.as_secs_f64() * (1.0 - share) / share;
    let left = match seconds {
        ..90.0 => format!("{:.0} s", seconds.ceil()),
        ..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    };
    format!("{counts}, {percent} %, about {left} left")
}

/// Prints nothing before the first result.
fn time_left(state: &ProgressState, text: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        // A failure here costs only the display.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_counts_share_and_time_left() {
        let line = |share, seconds| progress_line("12/224 matrices", share, Duration::from_secs(seconds));
        assert_eq!(line(0.0, 10), "12/224 matrices, 0 %");
        assert_eq!(line(0.389, 76), "12/224 matrices, 38 %, about 2 min left");
        assert_eq!(line(0.5, 30), "12/224 matrices, 50 %, about 30 s left");
        assert_eq!(line(0.1, 1200), "12/224 matrices, 10 %, about 3.0 h left");
    }
}
