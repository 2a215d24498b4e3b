//! Matrices through a device in parallel lanes, the costly ones first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::lock::lock;
use super::observer::Observer;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Failure, Method, Outcome};
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;

/// The most bytes of elements in a batch that are computed, not mapped, and are therefore held while the batch is analyzed.
const COMPUTED_BYTES: u64 = 256 << 20;

/// Analyzes all `matrices` by `method` on `device`; the outcomes are in the order of `matrices`.
///
/// # Errors
///
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) if the observer cancels, or the device's own error. Failures of
/// single matrices are in the outcomes.
pub fn analyze(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: Method,
    device: &dyn Device,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>> {
    analyze_and(checkpoint, matrices, method, device, observer, |_, outcome| Ok(outcome))
}

/// The same, and turns each outcome, given the index of its matrix, into what is kept of it, on the thread that computed it.
///
/// # Errors
///
/// As [`analyze`], or the first error of `keep`, which ends the run.
pub(super) fn analyze_and<T: Send>(
    checkpoint: &Checkpoint,
    matrices: &[WeightMatrix],
    method: Method,
    device: &dyn Device,
    observer: &dyn Observer,
    keep: impl Fn(usize, Outcome) -> Result<T> + Sync,
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
            if observer.canceled() {
                return Err(Error::interrupted());
            }
            let members: Vec<&WeightMatrix> = batch.iter().map(|&index| &matrices[index]).collect();
            members.iter().for_each(|matrix| observer.started(matrix));
            for (&index, outcome) in batch.iter().zip(lane.analyze(&members)?) {
                observer.finished(&matrices[index], &outcome);
                let result = keep(index, outcome)?;
                lock(&kept)[index] = Some(result);
            }
        }
        Ok(())
    };
    in_lanes(lanes, &stop, || work().inspect_err(|_| stop.store(true, Ordering::Relaxed)))?;
    if observer.canceled() {
        return Err(Error::interrupted());
    }
    let kept = kept.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let results = kept.into_iter().enumerate();
    results.map(|(index, result)| result.map_or_else(|| keep(index, unanswered()), Ok)).collect()
}

/// Runs `work` on one thread per lane. If a thread cannot be started, sets `stop` to end the others.
fn in_lanes(lanes: usize, stop: &AtomicBool, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work);
        let threads = (0..lanes).map(spawn).collect::<std::io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| {
            stop.store(true, Ordering::Relaxed);
            Error::device(format!("a thread cannot be started: {error}")).hint("use fewer §threads")
        })?;
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })
}

/// The outcome of a matrix for which the device returned none.
pub(super) fn unanswered() -> Outcome {
    Err(Failure::Solver("the device returned no result".into()))
}

/// Indices of matrices of one shape, at most as many as the device takes at once, by falling cost.
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
