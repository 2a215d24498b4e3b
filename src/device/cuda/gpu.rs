//! Opening the CUDA libraries and the GPUs.

use std::rc::Rc;
use std::sync::Arc;

use super::errors::device_error;
use super::kernels::Kernels;
use super::memory_plan::MemoryPlan;
use super::strategy::Strategy;
use super::sys::context::{self, Context};
use super::sys::error::CallError;
use super::sys::library::{self, Component};
use super::sys::memory::PinnedMemory;
use super::sys::solver::Solver;
use super::sys::stream::Stream;
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;

/// A GPU counts as fast in f64 if it is at most this many times as fast in f32.
const FAST_F64_RATIO: u32 = 4;

/// A GPU with our kernels on it.
#[derive(Debug)]
pub struct Gpu {
    pub kernels: Kernels,
    pub name: String,
    /// The version of cuSOLVER.
    pub cusolver: i32,
    pub fast_f64: bool,
    pub context: Arc<Context>,
}

impl Gpu {
    /// Opens GPU number `ordinal`, and loads the kernels.
    pub fn open(ordinal: usize, cusolver: i32) -> Result<Gpu> {
        let about = || -> Result<(Arc<Context>, String, bool), CallError> {
            let context = Context::open(ordinal)?;
            let (name, capability) = (context.name()?, context.capability()?);
            let fast_f64 = context.double_ratio()? <= FAST_F64_RATIO;
            Ok((context, format!("{name} (cuda, sm_{capability})"), fast_f64))
        };
        let (context, name, fast_f64) = about().map_err(|error| device_error(&error))?;
        let kernels = Kernels::load(&context)?;
        Ok(Gpu { kernels, name, cusolver, fast_f64, context })
    }

    /// GPU memory of a lane for these matrices, in bytes.
    pub fn lane_bytes(&self, strategy: &Strategy, matrices: &[WeightMatrix]) -> Result<u64, CallError> {
        let stream = Rc::new(Stream::new(&self.context)?);
        Ok(MemoryPlan::new(strategy, matrices, &Solver::new(&stream, self.cusolver)?)?.device_bytes())
    }

    /// The error of a run for which not even one lane could be allocated.
    pub fn too_small(&self, strategy: &Strategy, matrices: &[WeightMatrix], error: &CallError) -> Error {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        if error.call == PinnedMemory::CALL {
            let bytes = gib(error.out_of_memory.unwrap_or(0));
            let cause = format!("the system refuses {bytes:.2} GiB of page-locked memory, from which a GPU copies");
            return Error::device(cause)
                .hint("is it limited, by `ulimit -l`, a container or WSL? §device=cpu needs none");
        }
        let sizes = self.lane_bytes(strategy, matrices).and_then(|needed| Ok((needed, self.context.memory()?.0)));
        let cause = match sizes {
            Ok((needed, free)) => format!(
                "the largest matrices take {:.2} GiB of GPU memory, and {:.2} GiB are free on {}",
                gib(needed),
                gib(free),
                self.name
            ),
            Err(_) => format!("not enough GPU memory: {error}"),
        };
        Error::device(cause).hint(
            "close other programs on this GPU, score the large matrices separately (§include), or use §device=cpu",
        )
    }
}

/// True if NVIDIA's driver is installed, whether or not it works.
pub fn has_driver() -> bool {
    library::load(Component::Driver).is_ok()
}

/// Loads the libraries and initializes the driver. Returns the number of GPUs, at least one.
pub fn connect() -> Result<usize> {
    for component in [Component::Driver, Component::Cublas, Component::Cusolver] {
        library::load(component).map_err(|cause| Error::device(cause).hint(hint_for(component)))?;
    }
    let count = context::initialize().and_then(|()| context::device_count());
    let count = count.map_err(|error| {
        let cause = format!("the NVIDIA driver cannot be used: {error}");
        Error::device(cause)
            .hint("does `nvidia-smi` list a GPU? §(doctor) prints what was found; §device=cpu needs none")
    })?;
    match count {
        0 => Err(Error::device("the NVIDIA driver shows no GPU").hint("is it hidden by CUDA_VISIBLE_DEVICES?")),
        count => Ok(count),
    }
}

fn hint_for(component: Component) -> String {
    format!("{}; §(doctor) prints what was found; §device=cpu needs no CUDA", component.remedy())
}
