//! NVIDIA GPUs: weights are streamed to the device, Gram matrices are formed on tensor cores, cuSOLVER and our own kernels
//! find eigenvalues and fits.
//!
//! Nothing of CUDA is linked: its libraries are opened when a GPU is asked for. Each lane is a stream with everything that
//! it needs; several lanes of a GPU overlap copies, products and solves, and lanes are dealt out over several GPUs in turn.

mod blas;
mod ceilings;
mod compile;
mod driver;
mod factors;
mod kernels;
mod lane;
mod library;
mod plan;
mod probe;
mod products;
mod solver;
mod two_stage;
mod upload;

use std::sync::{Arc, Mutex, MutexGuard};

use super::{Ceilings, Device, Gpus, Lane, Method, Outcome, SolverChoice};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;

use driver::{Context, Fault};
use kernels::Kernels;
use lane::CudaLane;
use library::Component;
use plan::{Engine, Plan};
pub use probe::survey;
use solver::{Path, Solver};

/// How many times as fast in f32 a GPU may be and still count as fast in f64.
const FAST_F64_RATIO: u32 = 4;

/// One or several GPUs as a device.
#[derive(Debug)]
pub struct Cuda {
    /// The solver path that was chosen.
    choice: Option<Path>,
    /// Whether the library has the batched solver.
    batched: bool,
    /// Whether all GPUs are nearly as fast in f64 as in f32.
    fast_f64: bool,
    gpus: Vec<Gpu>,
    lanes: Option<usize>,
    /// Of each GPU.
    places: Mutex<Vec<Places>>,
}

/// Lanes of a GPU.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// How many there should be, as [`Device::lanes`] last found.
    planned: usize,
    /// How many exist.
    taken: usize,
}

/// A GPU with our kernels on it.
#[derive(Debug)]
struct Gpu {
    kernels: Kernels,
    name: String,
    cusolver: i32,
    fast_f64: bool,
    context: Arc<Context>,
}

impl Cuda {
    /// Opens GPUs, with so many lanes each if that is said.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if a library is missing or a GPU fails,
    /// [`Kind::Usage`](crate::error::Kind::Usage) if there is no GPU of that number or the solver is not in the library.
    pub fn open(gpus: Gpus, choice: SolverChoice, lanes: Option<usize>) -> Result<Cuda> {
        let choice = match choice {
            SolverChoice::Auto => None,
            SolverChoice::Syevd => Some(Path::Syevd),
            SolverChoice::TwoStage => Some(Path::TwoStage),
            SolverChoice::SyevdTwoStage => Some(Path::SyevdTwoStage),
            SolverChoice::Sytrd => Some(Path::Sytrd),
            SolverChoice::Batched => Some(Path::Batched),
            SolverChoice::Faer => {
                let error = Error::usage("this solver is the CPU's, and the device is a GPU");
                return Err(error.hint("say --device cpu, or choose another solver"));
            }
        };
        let count = connect()?;
        let ordinals = match gpus {
            Gpus::All => 0..count,
            Gpus::One(ordinal) if ordinal < count => ordinal..ordinal + 1,
            Gpus::One(ordinal) => {
                let cause = format!("there is no GPU number {ordinal}: the driver shows {count}, counted from 0");
                return Err(Error::usage(cause).hint("is it hidden by CUDA_VISIBLE_DEVICES? `htsr doctor` lists them"));
            }
        };
        let cusolver = solver::version().map_err(|fault| device_error(&fault))?;
        let batched = solver::offers(Path::Batched, cusolver);
        if choice.is_some_and(|path| !solver::offers(path, cusolver)) {
            let cause = format!("cuSOLVER {} does not have this solver", solver_version(cusolver));
            return Err(Error::usage(cause)
                .hint("two-stage and sytrd work with every version; `htsr doctor` says what there is"));
        }
        let gpus = ordinals.map(|ordinal| Gpu::open(ordinal, cusolver)).collect::<Result<Vec<_>>>()?;
        let places = Mutex::new(vec![Places { planned: lanes.unwrap_or(1), taken: 0 }; gpus.len()]);
        let fast_f64 = gpus.iter().all(|gpu| gpu.fast_f64);
        Ok(Cuda { choice, batched, fast_f64, gpus, lanes, places })
    }

    fn engine(&self, method: Method) -> Engine {
        let Cuda { choice, batched, fast_f64, .. } = *self;
        Engine { method, choice, batched, fast_f64 }
    }

    /// Lanes that fit into the memory of a GPU.
    fn lanes_of(&self, gpu: &Gpu, method: Method, matrices: &[WeightMatrix]) -> Result<usize, Fault> {
        let plan = gpu.plan(&self.engine(method), matrices)?;
        let (free, _) = gpu.context.memory()?;
        Ok(plan::lanes(free, plan.device_bytes()))
    }
}

impl Gpu {
    fn open(ordinal: usize, cusolver: i32) -> Result<Gpu> {
        let about = || -> Result<(Arc<Context>, String, bool), Fault> {
            let context = Context::open(ordinal)?;
            let (name, capability) = (context.name()?, context.capability()?);
            let fast_f64 = context.double_ratio()? <= FAST_F64_RATIO;
            Ok((context, format!("{name} (cuda, sm_{capability})"), fast_f64))
        };
        let (context, name, fast_f64) = about().map_err(|fault| device_error(&fault))?;
        let kernels = Kernels::load(&context)?;
        Ok(Gpu { kernels, name, cusolver, fast_f64, context })
    }

    fn plan(&self, engine: &Engine, matrices: &[WeightMatrix]) -> Result<Plan, Fault> {
        let stream = std::rc::Rc::new(driver::Stream::new(&self.context)?);
        Plan::new(engine, matrices, &Solver::new(&stream, self.cusolver)?)
    }
}

impl Device for Cuda {
    fn name(&self) -> String {
        let mut names: Vec<&str> = self.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
        names.dedup();
        names.join(" + ")
    }

    fn solver(&self) -> String {
        let version = solver_version(self.gpus.first().map_or(0, |gpu| gpu.cusolver));
        match self.choice {
            None if self.batched => format!("two-stage, cusolver {version} batched"),
            None | Some(Path::TwoStage) => "two-stage".into(),
            Some(Path::Sytrd) => format!("cusolver {version} sytrd+sturm"),
            Some(Path::Syevd) => format!("cusolver {version} syevd"),
            Some(Path::SyevdTwoStage) => format!("cusolver {version} syevd two-stage"),
            Some(Path::Batched) => format!("cusolver {version} batched"),
        }
    }

    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize {
        let mut places = lock(&self.places);
        for (places, gpu) in places.iter_mut().zip(&self.gpus) {
            // What fails here fails again, with its message, when the lane is set up.
            places.planned = self.lanes.unwrap_or_else(|| self.lanes_of(gpu, method, matrices).unwrap_or(1));
        }
        places.iter().map(|places| places.planned).sum()
    }

    fn batch_size(&self, matrix: &WeightMatrix) -> usize {
        let n = matrix.eigenvalues();
        plan::batch(plan::path(self.choice, n, self.batched), n)
    }

    fn lane<'a>(
        &'a self,
        method: Method,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>> {
        let engine = self.engine(method);
        // One after the other, so that it is known whether another one exists.
        let mut places = lock(&self.places);
        let mut order: Vec<usize> = (0..places.len()).filter(|&gpu| places[gpu].taken < places[gpu].planned).collect();
        order.sort_by_key(|&gpu| places[gpu].taken);
        let mut refused = None;
        for place in order {
            let gpu = &self.gpus[place];
            match CudaLane::new(gpu, engine, checkpoint, matrices) {
                Ok(lane) => {
                    places[place].taken += 1;
                    return Ok(Some(Box::new(Placed { lane, _place: Place { places: &self.places, gpu: place } })));
                }
                Err(fault) if fault.out_of_memory.is_some() => refused = refused.or(Some((gpu, fault))),
                Err(fault) => return Err(device_error(&fault)),
            }
        }
        match refused {
            Some((gpu, fault)) if places.iter().all(|places| places.taken == 0) => {
                Err(no_room(gpu, &engine, matrices, &fault))
            }
            _ => Ok(None),
        }
    }

    fn ceilings(&self) -> Result<Ceilings> {
        ceilings::measure(self.gpus.iter().map(|gpu| &gpu.context)).map_err(|fault| device_error(&fault))
    }
}

/// A lane, which gives up its place when all its memory has been freed.
struct Placed<'a> {
    lane: CudaLane<'a>,
    // Fields go in this order.
    _place: Place<'a>,
}

impl Lane for Placed<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        self.lane.analyze(batch)
    }
}

/// One of the places of a GPU.
struct Place<'a> {
    places: &'a Mutex<Vec<Places>>,
    gpu: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.places)[self.gpu].taken -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// True if NVIDIA's driver is installed, whether or not it works.
pub(super) fn has_driver() -> bool {
    library::load(Component::Driver).is_ok()
}

/// Loads the libraries and initialises the driver; the number of GPUs, at least one.
fn connect() -> Result<usize> {
    for component in [Component::Driver, Component::Cublas, Component::Cusolver] {
        library::load(component).map_err(|cause| Error::device(cause).hint(hint_for(component)))?;
    }
    let count = driver::initialize().and_then(|()| driver::device_count());
    let count = count.map_err(|fault| {
        let cause = format!("the NVIDIA driver cannot be used: {fault}");
        Error::device(cause)
            .hint("does `nvidia-smi` list a GPU? `htsr doctor` says what was found; --device cpu needs none")
    })?;
    match count {
        0 => Err(Error::device("the NVIDIA driver shows no GPU").hint("is it hidden by CUDA_VISIBLE_DEVICES?")),
        count => Ok(count),
    }
}

fn hint_for(component: Component) -> String {
    format!("{}; `htsr doctor` says what was looked for; --device cpu needs none of it", component.remedy())
}

fn device_error(fault: &Fault) -> Error {
    let error = Error::device(format!("the GPU failed: {fault}"));
    error.hint(match fault.out_of_memory {
        Some(_) => "another program may be using its memory: try --threads 1",
        None => {
            "run it again; if that does not help, `htsr doctor` checks the installation, and --device cpu needs no GPU"
        }
    })
}

fn no_room(gpu: &Gpu, engine: &Engine, matrices: &[WeightMatrix], fault: &Fault) -> Error {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    if fault.call == driver::Pinned::CALL {
        let bytes = gib(fault.out_of_memory.unwrap_or(0));
        return Error::device(format!(
            "the system refuses {bytes:.2} GiB of page-locked memory, from which a GPU copies"
        ))
        .hint("is it limited, by `ulimit -l`, a container or WSL? --device cpu needs none");
    }
    let sizes = gpu.plan(engine, matrices).and_then(|plan| Ok((plan.device_bytes(), gpu.context.memory()?.0)));
    let cause = match sizes {
        Ok((needed, free)) => format!(
            "the largest matrices take {:.2} GiB of GPU memory, and {:.2} GiB are free on {}",
            gib(needed),
            gib(free),
            gpu.name
        ),
        Err(_) => format!("the GPU has not enough memory: {fault}"),
    };
    Error::device(cause)
        .hint("close other programs on this GPU, score the large matrices apart (--include), or use --device cpu")
}

/// cuSOLVER's version as people write it.
fn solver_version(version: i32) -> String {
    format!("{}.{}.{}", version / 1000, version % 1000 / 100, version % 100)
}
