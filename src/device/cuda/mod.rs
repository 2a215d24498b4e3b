//! NVIDIA GPUs: weights are streamed to the device, Gram matrices are computed on tensor cores, cuSOLVER and our own kernels
//! compute eigenvalues and fits.
//!
//! Nothing of CUDA is linked: its libraries are opened when a GPU is asked for. Each lane is a stream with everything that
//! it needs; several lanes of a GPU overlap copies, products and solves, and lanes are distributed over several GPUs in turn.

mod blocks;
mod ceilings;
mod eigenvalues;
mod errors;
mod factorizations;
mod fits;
mod gpu;
mod gram;
mod job;
mod kernels;
mod lane;
mod memory_plan;
mod pinned_ring;
mod precision;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the command `doctor` probes"))]
mod probe;
mod products;
mod strategy;
mod sys;
mod tridiagonal;
mod workspace;

use std::sync::{Mutex, MutexGuard};

use super::{Ceilings, Device, Gpus, Lane, Method, Outcome, SolverChoice};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;

use errors::device_error;
use gpu::Gpu;
pub(super) use gpu::has_driver;
use lane::CudaLane;
use memory_plan::default_lanes;
#[cfg(feature = "cli")]
pub use probe::survey;
use strategy::{PathPolicy, Strategy};
use sys::error::CallError;
use sys::solver::{self, SolverPath, version_text};

/// One or several GPUs as a device.
#[derive(Debug)]
pub struct Cuda {
    paths: PathPolicy,
    /// Whether all GPUs are nearly as fast in f64 as in f32.
    fast_f64: bool,
    gpus: Vec<Gpu>,
    /// Lanes of each GPU that the user chose.
    lanes: Option<usize>,
    /// Lanes of each GPU.
    lane_counts: Mutex<Vec<LaneCount>>,
}

/// Lanes of a GPU.
#[derive(Debug, Clone, Copy)]
struct LaneCount {
    /// How many there should be, by the last call of [`Device::lanes`].
    planned: usize,
    /// How many exist.
    existing: usize,
}

impl Cuda {
    /// Opens GPUs, with that many lanes each if a number is given.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if a library is missing or a GPU fails,
    /// [`Kind::Usage`](crate::error::Kind::Usage) if no GPU has that number or the library does not have the solver.
    pub fn open(gpus: Gpus, choice: SolverChoice, lanes: Option<usize>) -> Result<Cuda> {
        let choice = solver_path(choice)?;
        let count = gpu::connect()?;
        let ordinals = match gpus {
            Gpus::All => 0..count,
            Gpus::One(ordinal) if ordinal < count => ordinal..ordinal + 1,
            Gpus::One(ordinal) => {
                let cause = format!("there is no GPU number {ordinal}: the driver shows {count}, counted from 0");
                return Err(Error::usage(cause).hint("is it hidden by CUDA_VISIBLE_DEVICES? §(doctor) lists them"));
            }
        };
        let cusolver = solver::version().map_err(|error| device_error(&error))?;
        if choice.is_some_and(|path| !path.is_available(cusolver)) {
            let cause = format!("cuSOLVER {} does not have this solver", version_text(cusolver));
            return Err(Error::usage(cause)
                .hint("two-stage and sytrd work with every version; §(doctor) lists the available solvers"));
        }
        let paths = PathPolicy { choice, batched: SolverPath::Batched.is_available(cusolver) };
        let gpus = ordinals.map(|ordinal| Gpu::open(ordinal, cusolver)).collect::<Result<Vec<_>>>()?;
        let lane_counts = Mutex::new(vec![LaneCount { planned: lanes.unwrap_or(1), existing: 0 }; gpus.len()]);
        let fast_f64 = gpus.iter().all(|gpu| gpu.fast_f64);
        Ok(Cuda { paths, fast_f64, gpus, lanes, lane_counts })
    }

    fn strategy(&self, method: Method) -> Strategy {
        Strategy { method, paths: self.paths, fast_f64: self.fast_f64 }
    }

    /// Lanes that fit into the memory of a GPU.
    fn fitting_lanes(&self, gpu: &Gpu, method: Method, matrices: &[WeightMatrix]) -> Result<usize, CallError> {
        let lane_bytes = gpu.lane_bytes(&self.strategy(method), matrices)?;
        let (free, _) = gpu.context.memory()?;
        Ok(default_lanes(free, lane_bytes))
    }
}

/// The path that the user chose, if any.
fn solver_path(choice: SolverChoice) -> Result<Option<SolverPath>> {
    match choice {
        SolverChoice::Auto => Ok(None),
        SolverChoice::Syevd => Ok(Some(SolverPath::Syevd)),
        SolverChoice::TwoStage => Ok(Some(SolverPath::TwoStage)),
        SolverChoice::SyevdTwoStage => Ok(Some(SolverPath::SyevdTwoStage)),
        SolverChoice::Sytrd => Ok(Some(SolverPath::Sytrd)),
        SolverChoice::Batched => Ok(Some(SolverPath::Batched)),
        SolverChoice::Faer => {
            let error = Error::usage("this solver is the CPU's, and the device is a GPU");
            Err(error.hint("use §device=cpu, or another solver"))
        }
    }
}

impl Device for Cuda {
    fn name(&self) -> String {
        let mut names: Vec<&str> = self.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
        names.dedup();
        names.join(" + ")
    }

    fn solver(&self) -> String {
        let version = version_text(self.gpus.first().map_or(0, |gpu| gpu.cusolver));
        match self.paths.choice {
            None if self.paths.batched => format!("two-stage, cusolver {version} batched"),
            None | Some(SolverPath::TwoStage) => "two-stage".into(),
            Some(SolverPath::Sytrd) => format!("cusolver {version} sytrd+sturm"),
            Some(SolverPath::Syevd) => format!("cusolver {version} syevd"),
            Some(SolverPath::SyevdTwoStage) => format!("cusolver {version} syevd two-stage"),
            Some(SolverPath::Batched) => format!("cusolver {version} batched"),
        }
    }

    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize {
        let mut counts = lock(&self.lane_counts);
        for (count, gpu) in counts.iter_mut().zip(&self.gpus) {
            // What fails here fails again, with its message, when the lane is created.
            count.planned = self.lanes.unwrap_or_else(|| self.fitting_lanes(gpu, method, matrices).unwrap_or(1));
        }
        counts.iter().map(|count| count.planned).sum()
    }

    fn batch_size(&self, matrix: &WeightMatrix) -> usize {
        self.paths.batch(matrix.eigenvalues())
    }

    fn lane<'a>(
        &'a self,
        method: Method,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>> {
        let strategy = self.strategy(method);
        // One after the other, so that it is known whether another lane exists.
        let mut counts = lock(&self.lane_counts);
        let has_room = |gpu: &usize| counts[*gpu].existing < counts[*gpu].planned;
        let mut order: Vec<usize> = (0..counts.len()).filter(has_room).collect();
        order.sort_by_key(|&gpu| counts[gpu].existing);
        let mut refused = None;
        for index in order {
            let gpu = &self.gpus[index];
            match CudaLane::new(gpu, strategy, checkpoint, matrices) {
                Ok(lane) => {
                    counts[index].existing += 1;
                    let _count = Counted { counts: &self.lane_counts, gpu: index };
                    return Ok(Some(Box::new(CountedLane { lane, _count })));
                }
                Err(error) if error.out_of_memory.is_some() => refused = refused.or(Some((gpu, error))),
                Err(error) => return Err(device_error(&error)),
            }
        }
        match refused {
            Some((gpu, error)) if counts.iter().all(|count| count.existing == 0) => {
                Err(gpu.too_small(&strategy, matrices, &error))
            }
            _ => Ok(None),
        }
    }

    fn ceilings(&self) -> Result<Ceilings> {
        ceilings::measure(self.gpus.iter().map(|gpu| &gpu.context)).map_err(|error| device_error(&error))
    }
}

/// A lane that is counted until all its memory has been freed.
struct CountedLane<'a> {
    lane: CudaLane<'a>,
    // Fields are dropped in this order.
    _count: Counted<'a>,
}

impl Lane for CountedLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        self.lane.analyze(batch)
    }
}

/// One of the lanes of a GPU.
struct Counted<'a> {
    counts: &'a Mutex<Vec<LaneCount>>,
    gpu: usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        lock(self.counts)[self.gpu].existing -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
