//! The stages in order, and matrices through a device in parallel lanes.

mod parts;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::allocate::{AllocationPlan, units};
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Analysis, Device, Failure, Method, Outcome};
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::matrices::{Catalog, Selection, Skipped, WeightMatrix, summarize};
use crate::metrics::{self, AnalyzedMatrix};
use crate::report::{Esd, Options, Provenance, Report};
use crate::score::{self, MatrixScore, WindowSet};
use crate::sensitivity::SensitivityAnalysis;
use crate::tails::{self, Alternative, TailComparison};
use crate::uncertainty::{self, PositionsCache};
use parts::Parts;
pub use parts::Sampling;

/// Most bytes of elements of a batch that are computed, not mapped, and so are held while the batch is under way.
const COMPUTED_BYTES: u64 = 256 << 20;

/// What is asked of a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which matrices.
    pub selection: Selection,
    /// What of them.
    pub sampling: Sampling,
    /// How they are fitted; windows by [`Sampling::method`] of it.
    pub method: Method,
    /// What else is measured of them.
    pub metrics: metrics::MetricSelection,
    /// What is allocated to layers, matrices or roles.
    pub plan: AllocationPlan,
    /// What is asked of the allocation.
    pub sensitivity: SensitivityAnalysis,
}

impl Request {
    /// The same with the method by which its sampling is computed.
    fn settled(&self) -> Request {
        Request { method: self.sampling.method(self.method), ..self.clone() }
    }
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

    /// A matrix has its row: its metrics are measured. `outcome` is that of the matrix, or of all its windows together.
    fn scored(&self, row: &MatrixScore, outcome: &Outcome) {
        let _ = (row, outcome);
    }

    /// Asked before each batch and at the end: true ends the run.
    fn cancelled(&self) -> bool {
        false
    }
}

impl Observer for () {}

/// Scores a checkpoint on `device`, and allocates by the request's plan.
///
/// # Errors
///
/// If there is nothing to score, the plan cannot be met whatever the alphas, the device fails, or the observer cancels.
/// Problems with single matrices are in the result.
pub fn score(
    checkpoint: &Checkpoint,
    request: &Request,
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Scored> {
    let request = &request.settled();
    let Catalog { matrices, skipped } = Catalog::new(checkpoint, &request.selection);
    if matrices.is_empty() {
        return Err(nothing_to_score(checkpoint, &skipped));
    }
    check(checkpoint, &matrices, request)?;
    let parts = Parts::new(&matrices, request.sampling);
    let positions = PositionsCache::new(request.metrics.simulations());
    let keep = |part: usize, outcome: Outcome| {
        let (matrix, outcomes) = parts.collect(part, outcome)?;
        let (row, outcome) = examine(checkpoint, request, &positions, &matrices[matrix], outcomes);
        observer.scored(&row, &outcome);
        let problem = problem(checkpoint, &matrices[matrix], &outcome, &row);
        Some((row, problem))
    };
    let examined = analyze_and(checkpoint, parts.matrices(), request.method, device, observer, keep)?;
    let (rows, problems): (Vec<MatrixScore>, Vec<Option<Error>>) = examined.into_iter().flatten().unzip();
    let layers = score::layers(&rows);
    let mut problems: Vec<Error> = problems.into_iter().flatten().collect();
    let provenance = Provenance::of_scores(device, &request.method, options(request), checkpoint);
    let mut report = Report::new(provenance, rows, layers, skipped);
    problems.extend(report.allocate(&request.plan, &request.sensitivity, &[]).err());
    Ok(Scored { report, problems })
}

/// The row of a matrix with its metrics, and the outcome that they were measured of.
///
/// This is done on the thread that has computed the last of its spectra, right after it.
fn examine(
    checkpoint: &Checkpoint,
    request: &Request,
    positions: &PositionsCache,
    matrix: &WeightMatrix,
    outcomes: Vec<Outcome>,
) -> (MatrixScore, Outcome) {
    let rule = request.method.rule;
    let windows = match request.sampling {
        Sampling::Windows(farms) => Some(farms.windows(matrix.rows, matrix.cols)),
        Sampling::Whole | Sampling::Randomized(_) => None,
    };
    let (outcome, twin) = match &windows {
        Some(windows) => (parts::pooled(rule, windows, outcomes), None),
        None => {
            let mut outcomes = outcomes.into_iter();
            (outcomes.next().unwrap_or_else(unanswered), outcomes.next())
        }
    };
    let mut row = MatrixScore::new(matrix, &request.method, &outcome);
    row.windows =
        windows.map(|windows| WindowSet { count: windows.len(), rows: windows[0].rows, cols: windows[0].cols });
    let analyzed = match row.windows {
        Some(set) => AnalyzedMatrix::of_windows(set.count, (set.rows, set.cols), rule, &outcome),
        None => AnalyzedMatrix::new(matrix, rule, &outcome),
    };
    row.eigenvalues = row.windows.map_or(row.eigenvalues, |windows| windows.eigenvalues());
    row.measured = metrics::measure(&request.metrics, &analyzed);
    let elements = || check_elements(checkpoint, matrix, request.method.cast, &outcome);
    metrics::simulate(positions, matrix.name(), &analyzed, elements, &mut row.measured);
    if let Some(twin) = twin {
        for (name, measurement) in metrics::compare(&analyzed, &AnalyzedMatrix::new(matrix, rule, &twin)) {
            row.measured.insert(name, measurement);
        }
    }
    (row, outcome)
}

/// Confirms that no elements of a matrix stand out, or says why that is not so or not known.
fn check_elements(checkpoint: &Checkpoint, matrix: &WeightMatrix, cast: Cast, outcome: &Outcome) -> Result<(), String> {
    if checkpoint.adapter().is_some() {
        return Err("it takes the elements of a matrix, and an adapter's update is never formed".into());
    }
    let trace = outcome.as_ref().map_err(ToString::to_string)?.spectrum.trace();
    let loaded = matrix.load(checkpoint, cast).map_err(|unavailable| Failure::from(unavailable).to_string())?;
    let checked = uncertainty::check_elements(&loaded.view(), trace / (matrix.rows as f64 * matrix.cols as f64));
    loaded.finish().map_err(|unavailable| Failure::from(unavailable).to_string())?;
    checked
}

/// Checks the plan of `request` before the long work, as far as it does not depend on the alphas.
fn check(checkpoint: &Checkpoint, matrices: &[WeightMatrix], request: &Request) -> Result<()> {
    check_sampling(checkpoint, request)?;
    request.sensitivity.check(&request.plan)?;
    let unscored = || Err(Failure::Solver(String::new()));
    let rows = matrices.iter().map(|matrix| MatrixScore::new(matrix, &request.method, &unscored()));
    let AllocationPlan { group, aggregate, .. } = request.plan;
    request.plan.check(&units(&rows.collect::<Vec<_>>(), &[], group, aggregate)?)
}

/// Checks that what `request` takes of matrices can be taken of those of `checkpoint`.
fn check_sampling(checkpoint: &Checkpoint, request: &Request) -> Result<()> {
    if checkpoint.adapter().is_some() && request.sampling != Sampling::Whole {
        let cause = "--farms and --randomize take the elements of a matrix, and an adapter's update is never formed";
        let hint = "merge the adapter into its model, and score that with --base";
        return Err(Error::usage(cause).file(checkpoint.path()).hint(hint));
    }
    Ok(())
}

/// One matrix in depth.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Its numbers.
    pub esd: Esd,
    /// Its spectrum and fit.
    pub analysis: Analysis,
    /// The other tails, as far as they can be compared.
    pub comparisons: Vec<TailComparison>,
    /// If it has no alpha, why.
    pub problem: Option<Error>,
}

/// Examines one matrix on `device`.
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
    let request = &request.settled();
    check_sampling(checkpoint, request)?;
    let parts = Parts::new(std::slice::from_ref(matrix), request.sampling);
    let positions = PositionsCache::new(request.metrics.simulations());
    let keep = |part: usize, outcome: Outcome| {
        let (_, outcomes) = parts.collect(part, outcome)?;
        Some(examine(checkpoint, request, &positions, matrix, outcomes))
    };
    let examined = analyze_and(checkpoint, parts.matrices(), request.method, device, observer, keep)?;
    let (row, outcome) = examined.into_iter().flatten().next().expect("the last part completes the matrix");
    let problem = problem(checkpoint, matrix, &outcome, &row);
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
    let provenance = Provenance::of_scores(device, &request.method, options(request), checkpoint);
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
        farms: match request.sampling {
            Sampling::Windows(farms) => Some(farms),
            _ => None,
        },
        randomize: match request.sampling {
            Sampling::Randomized(seed) => Some(seed),
            _ => None,
        },
        metrics: request.metrics.asked().iter().map(|metric| metric.name.to_owned()).collect(),
        simulations: Some(request.metrics.simulations()).filter(|simulations| !simulations.is_none()),
        budget: None,
        plan: None,
    }
}

fn nothing_to_score(checkpoint: &Checkpoint, skipped: &[Skipped]) -> Error {
    if let Some(base) = checkpoint.base()
        && skipped.iter().any(|skipped| skipped.unpaired)
    {
        let cause = format!("no matrix pairs with one of {}: {}", base.path().display(), summarize(skipped));
        return Error::input(checkpoint.path(), cause)
            .hint("are they of the same model? `htsr inspect --base BASE PATH --by tensor` lists what does not pair");
    }
    if checkpoint.adapter().is_some() {
        let cause =
            format!("none of its {} tensors is a factor of an update to score: {}", skipped.len(), summarize(skipped));
        return Error::input(checkpoint.path(), cause)
            .hint("`htsr inspect --by tensor` says why each tensor is skipped");
    }
    if skipped.is_empty() {
        let error = Error::input(checkpoint.path(), "it holds no tensor");
        return error.hint("is it the file that holds the weights?");
    }
    let cause =
        format!("none of its {} tensors is a projection matrix to score: {}", skipped.len(), summarize(skipped));
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
    let stored = matrix.stored();
    let cause = format!("{reason} (shape {:?}, {})", matrix.whole_shape(), stored.tensor.dtype);
    let error = Error::input(&checkpoint.shards()[stored.shard].path, cause).tensor(matrix.name());
    Some(match score::hint(matrix, outcome) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// Analyzes all `matrices` by `method` on `device`, the costly ones first; the outcomes are in the order of `matrices`.
///
/// # Errors
///
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) if the observer cancelled, or what the device failed with. What
/// concerns single matrices is in the outcomes.
pub fn analyze(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: Method,
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>> {
    analyze_and(checkpoint, matrices, method, device, observer, |_, outcome| outcome)
}

/// The same, and keeps of each outcome what `keep` makes of it and of the index of its matrix, on the thread that has
/// computed it.
///
/// # Errors
///
/// As [`analyze`].
pub fn analyze_and<T: Send>(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: Method,
    device: &dyn Device,
    observer: &dyn Observer,
    keep: impl Fn(usize, Outcome) -> T + Sync,
) -> Result<Vec<T>> {
    let batches = batches(matrices, device);
    let lanes = device.lanes(method, matrices).min(batches.len());
    observer.planned(matrices, lanes);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let kept: Mutex<Vec<Option<T>>> = Mutex::new(matrices.iter().map(|_| None).collect());
    let work = || -> Result<()> {
        let Some(mut lane) = device.lane(method, checkpoint, matrices)? else { return Ok(()) };
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
                let result = keep(index, outcome);
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
    let results = kept.into_iter().enumerate();
    Ok(results.map(|(index, result)| result.unwrap_or_else(|| keep(index, unanswered()))).collect())
}

fn unanswered() -> Outcome {
    Err(Failure::Solver("the device gave no answer".into()))
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
    let at_once = |run: &[usize]| {
        let computed = run.iter().map(|&index| matrices[index].computed_bytes()).max();
        let affordable = COMPUTED_BYTES.checked_div(computed.unwrap_or(0)).unwrap_or(u64::MAX);
        device.batch_size(&matrices[run[0]]).min(usize::try_from(affordable).unwrap_or(usize::MAX)).max(1)
    };
    runs.flat_map(|run| run.chunks(at_once(run)).map(<[usize]>::to_vec)).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
