//! The stages in order, and matrices through a device in parallel lanes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::allocate::Budget;
use crate::checkpoint::Checkpoint;
use crate::device::{Analysis, Device, Failure, Method, Outcome};
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::matrices::{Catalog, Selection, Skipped, WeightMatrix, summarize};
use crate::metrics::{self, Subject};
use crate::report::{Esd, Input, Options, Provenance, Report};
use crate::score::{self, LayerScore, MatrixScore};
use crate::tails::{self, Alternative, Comparison};

/// What is asked of a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which matrices.
    pub selection: Selection,
    /// How they are fitted.
    pub method: Method,
    /// What else is measured of them.
    pub metrics: metrics::Plan,
    /// What is shared out among the layers.
    pub budget: Budget,
}

/// Results, and what is missing from them.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The results.
    pub report: Report,
    /// One for each matrix without an alpha, and one if there is no allocation.
    pub problems: Vec<Error>,
}

/// Watches a run, from several threads. `()` watches nothing.
pub trait Observer: Sync {
    /// These matrices are going to be analysed, in this many lanes.
    fn planned(&self, matrices: &[WeightMatrix], lanes: usize) {
        let _ = (matrices, lanes);
    }

    /// Work on `matrix` begins.
    fn started(&self, matrix: &WeightMatrix) {
        let _ = matrix;
    }

    /// Work on `matrix` has ended.
    fn finished(&self, matrix: &WeightMatrix, outcome: &Outcome) {
        let _ = (matrix, outcome);
    }

    /// Asked before each batch and at the end: true ends the run.
    fn cancelled(&self) -> bool {
        false
    }
}

impl Observer for () {}

/// Scores a checkpoint on `device`, which must have been set up with the request's method, and allocates the budget.
///
/// # Errors
///
/// If there is nothing to score, the budget cannot be met whatever the alphas, the device fails, or the observer cancels.
/// Problems with single matrices are in the result.
pub fn score(
    checkpoint: &Checkpoint,
    request: &Request,
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Scored> {
    let Catalog { matrices, skipped } = Catalog::new(checkpoint, &request.selection);
    if matrices.is_empty() {
        return Err(nothing_to_score(checkpoint, &skipped));
    }
    request.budget.check(matrices.chunk_by(WeightMatrix::same_layer).count())?;
    let examine = |matrix: &WeightMatrix, outcome: Outcome| examine(checkpoint, request, matrix, &outcome);
    let (rows, problems): (Vec<MatrixScore>, Vec<Option<Error>>) =
        analyze_and(checkpoint, &matrices, device, observer, examine)?.into_iter().unzip();
    let layers = score::layers(&rows);
    let mut problems: Vec<Error> = problems.into_iter().flatten().collect();
    let allocation = allocate(&layers, &request.budget).map_err(|error| problems.push(error)).ok();
    let provenance = Provenance::of_scores(device, &request.method, options(request), Input::of(checkpoint));
    Ok(Scored { report: Report::new(provenance, rows, layers, allocation, skipped), problems })
}

/// The row of a matrix with its metrics, and what is wrong with it.
///
/// This is done on the thread that has computed the spectrum, right after it; the spectrum is dropped then.
fn examine(
    checkpoint: &Checkpoint,
    request: &Request,
    matrix: &WeightMatrix,
    outcome: &Outcome,
) -> (MatrixScore, Option<Error>) {
    let mut row = MatrixScore::new(matrix, &request.method, outcome);
    row.measured = metrics::measure(&request.metrics, &Subject::new(matrix, request.method.rule, outcome));
    let problem = problem(checkpoint, matrix, outcome, &row);
    (row, problem)
}

/// Shares `budget` out among scored layers.
///
/// # Errors
///
/// If a layer has no alpha (a table without it would not fit the model), or as [`Budget::allocate`].
pub fn allocate(layers: &[LayerScore], budget: &Budget) -> Result<crate::allocate::Allocation> {
    let alphas = layers.iter().map(|layer| {
        layer.alpha.ok_or_else(|| {
            let cause = format!("no allocation: {} has no alpha", layer.name());
            Error::usage(cause).hint("leave the layer out with --layers, or try another --rule")
        })
    });
    budget.allocate(&alphas.collect::<Result<Vec<f64>>>()?)
}

/// One matrix in depth.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Its numbers.
    pub esd: Esd,
    /// Its spectrum and fit.
    pub analysis: Analysis,
    /// The other tails, as far as they can be compared.
    pub comparisons: Vec<Comparison>,
    /// If it has no alpha, why.
    pub problem: Option<Error>,
}

/// Examines one matrix on `device`, which must have been set up with the request's method.
///
/// # Errors
///
/// If the matrix has no spectrum, the device fails, or the observer cancels.
pub fn examine_one(
    checkpoint: &Checkpoint,
    matrix: &WeightMatrix,
    request: &Request,
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Examined> {
    let keep = |matrix: &WeightMatrix, outcome: Outcome| (examine(checkpoint, request, matrix, &outcome), outcome);
    let mut kept = analyze_and(checkpoint, std::slice::from_ref(matrix), device, observer, keep)?;
    let ((row, problem), outcome) = kept.remove(0);
    let analysis = match (outcome, &problem) {
        (Ok(analysis), _) => analysis,
        (Err(_), Some(problem)) => return Err(problem.clone()),
        (Err(failure), None) => return Err(Error::input(checkpoint.path(), failure.to_string()).tensor(matrix.name())),
    };
    let compare = |fit: &Fit| {
        let each = Alternative::ALL.iter().map(|&alternative| tails::compare(&analysis.spectrum, fit, alternative));
        each.filter_map(|comparison| comparison.ok()).collect()
    };
    let comparisons = analysis.fit.as_ref().map_or(Vec::new(), compare);
    let provenance = Provenance::of_scores(device, &request.method, options(request), Input::of(checkpoint));
    Ok(Examined { esd: Esd::new(provenance, row, &analysis), analysis, comparisons, problem })
}

/// The options of a request, for the provenance.
fn options(request: &Request) -> Options {
    let patterns = |list: &[regex::Regex]| list.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    Options {
        cast: request.method.cast,
        include: patterns(&request.selection.include),
        exclude: patterns(&request.selection.exclude),
        layers: request.selection.layers.as_ref().map(ToString::to_string),
        metrics: request.metrics.asked().iter().map(|metric| metric.name.to_owned()).collect(),
        budget: request.budget,
    }
}

fn nothing_to_score(checkpoint: &Checkpoint, skipped: &[Skipped]) -> Error {
    let cause = match skipped.len() {
        0 => "it holds no tensor".to_owned(),
        count => format!("none of its {count} tensors is a projection matrix to score: {}", summarize(skipped)),
    };
    Error::input(checkpoint.path(), cause).hint("`htsr inspect --by tensor` says why each tensor is skipped")
}

/// One error for each of `matrices` without an alpha, with its reason and what to do about it.
pub fn problems(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: &Method,
    outcomes: &[Outcome],
) -> Vec<Error> {
    let problem = |(matrix, outcome)| problem(checkpoint, matrix, outcome, &MatrixScore::new(matrix, method, outcome));
    matrices.iter().zip(outcomes).filter_map(problem).collect()
}

fn problem(checkpoint: &Checkpoint, matrix: &WeightMatrix, outcome: &Outcome, row: &MatrixScore) -> Option<Error> {
    let reason = row.reason.as_ref()?;
    let cause = format!("{reason} (shape [{}, {}], {})", matrix.rows, matrix.cols, matrix.dtype);
    let error = Error::input(&checkpoint.shards()[matrix.shard].path, cause).tensor(matrix.name());
    Some(match score::hint(outcome) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Analyses all `matrices` on `device`, the costly ones first; the outcomes are in the order of `matrices`.
///
/// # Errors
///
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) if the observer cancelled, or what the device failed with. What
/// concerns single matrices is in the outcomes.
pub fn analyze(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>> {
    analyze_and(checkpoint, matrices, device, observer, |_, outcome| outcome)
}

/// The same, and keeps of each outcome what `keep` makes of it, on the thread that has computed it.
///
/// # Errors
///
/// As [`analyze`].
pub fn analyze_and<T: Send>(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    device: &dyn Device,
    observer: &dyn Observer,
    keep: impl Fn(&WeightMatrix, Outcome) -> T + Sync,
) -> Result<Vec<T>> {
    let batches = batches(matrices, device);
    let lanes = device.lanes(matrices).min(batches.len());
    observer.planned(matrices, lanes);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let kept: Mutex<Vec<Option<T>>> = Mutex::new(matrices.iter().map(|_| None).collect());
    let work = || -> Result<()> {
        let Some(mut lane) = device.lane(checkpoint, matrices)? else { return Ok(()) };
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if observer.cancelled() {
                return Err(Error::interrupted());
            }
            let members: Vec<&WeightMatrix> = batch.iter().map(|&index| &matrices[index]).collect();
            members.iter().for_each(|matrix| observer.started(matrix));
            for (&index, outcome) in batch.iter().zip(lane.analyze(&members)?) {
                observer.finished(&matrices[index], &outcome);
                let result = keep(&matrices[index], outcome);
                lock(&kept)[index] = Some(result);
            }
        }
        Ok(())
    };
    let work = || work().inspect_err(|_| stop.store(true, Ordering::Relaxed));

    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work);
        let threads = (0..lanes).map(spawn).collect::<std::io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| {
            stop.store(true, Ordering::Relaxed);
            Error::device(format!("a thread cannot be started: {error}")).hint("use fewer --threads")
        })?;
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    if observer.cancelled() {
        return Err(Error::interrupted());
    }
    let kept = kept.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let unanswered = || Err(Failure::Solver("the device gave no answer".into()));
    let results = matrices.iter().zip(kept);
    Ok(results.map(|(matrix, result)| result.unwrap_or_else(|| keep(matrix, unanswered()))).collect())
}

/// Indices of matrices of one shape, no more than the device takes at once, in order of falling cost.
fn batches(matrices: &[WeightMatrix], device: &dyn Device) -> Vec<Vec<usize>> {
    let shape = |index: usize| (matrices[index].rows, matrices[index].cols);
    let mut order: Vec<usize> = (0..matrices.len()).collect();
    order.sort_by(|&a, &b| {
        let cost = |index: usize| matrices[index].flops();
        cost(b).total_cmp(&cost(a)).then(shape(b).cmp(&shape(a))).then(a.cmp(&b))
    });
    let runs = order.chunk_by(|&a, &b| shape(a) == shape(b));
    runs.flat_map(|run| run.chunks(device.batch_size(&matrices[run[0]]).max(1)).map(<[usize]>::to_vec)).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
