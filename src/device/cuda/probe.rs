//! Which CUDA libraries and GPUs this machine has, for `htsr doctor`.

use std::path::PathBuf;

use super::kernels::compile;
use super::sys::context::{self, Context};
use super::sys::error::CallError;
use super::sys::library::{self, Component};
use super::sys::nvrtc;
use super::sys::solver::{self, SolverPath};

/// A library, and whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub component: String,
    /// Its version, if it answers.
    pub version: Option<String>,
    /// Its file, if the system reports it.
    pub path: Option<PathBuf>,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// What to do about that.
    pub remedy: Option<String>,
}

/// A GPU, and whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuFinding {
    /// Its number.
    pub ordinal: usize,
    /// What it is, or the error of the driver.
    pub about: Result<AboutGpu, String>,
}

/// What a GPU is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutGpu {
    /// Its name.
    pub name: String,
    /// Compute capability: 90 for 9.0.
    pub capability: u32,
    /// Number of multiprocessors.
    pub processors: u32,
    /// Memory that is free now.
    pub free_bytes: u64,
    /// All its memory.
    pub total_bytes: u64,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The libraries.
    pub findings: Vec<Finding>,
    /// The GPUs.
    pub gpus: Vec<GpuFinding>,
    /// What `--solver` can be, the default first; empty without cuSOLVER.
    pub solvers: Vec<&'static str>,
    /// Whether this program was built with compiled kernels, so that NVRTC is not needed.
    pub precompiled: bool,
}

/// Looks for everything that the engine needs.
pub fn survey() -> Survey {
    let mut findings: Vec<Finding> = Component::ALL.into_iter().map(find).collect();
    let present = |component: Component| library::load(component).is_ok();
    let mut gpus = Vec::new();
    if present(Component::Driver) {
        match context::initialize().and_then(|()| context::device_count()) {
            Ok(0) => findings[0].set_problem("it shows no GPU", "is it hidden by CUDA_VISIBLE_DEVICES?"),
            Ok(count) => gpus.extend(
                (0..count)
                    .map(|ordinal| GpuFinding { ordinal, about: about(ordinal).map_err(|error| error.to_string()) }),
            ),
            Err(error) => findings[0].set_problem(&error.to_string(), "does `nvidia-smi` list a GPU?"),
        }
    }
    let solvers = match present(Component::Cusolver).then(solver::version) {
        Some(Ok(version)) => {
            let all = [
                ("two-stage", SolverPath::TwoStage),
                ("batched", SolverPath::Batched),
                ("sytrd", SolverPath::Sytrd),
                ("syevd", SolverPath::Syevd),
                ("syevd-two-stage", SolverPath::SyevdTwoStage),
            ];
            all.into_iter().filter(|&(_, path)| path.is_available(version)).map(|(name, _)| name).collect()
        }
        _ => Vec::new(),
    };
    Survey { findings, gpus, solvers, precompiled: compile::is_precompiled() }
}

fn find(component: Component) -> Finding {
    let mut finding =
        Finding { component: component.to_string(), version: None, path: None, problem: None, remedy: None };
    match library::load(component) {
        Err(problem) => finding.set_problem(&problem, component.remedy()),
        Ok(loaded) => {
            finding.path = loaded.path;
            match version(component) {
                Ok(version) => finding.version = version,
                Err(error) => finding.set_problem(&error.to_string(), component.remedy()),
            }
        }
    }
    finding
}

impl Finding {
    fn set_problem(&mut self, problem: &str, remedy: &str) {
        self.problem = Some(problem.to_owned());
        self.remedy = Some(remedy.to_owned());
    }
}

fn version(component: Component) -> Result<Option<String>, CallError> {
    Ok(match component {
        Component::Driver => Some(format!("CUDA {}", compile::version_text(context::version()?))),
        // cuBLAS reports its version only if there is a GPU.
        Component::Cublas => None,
        Component::Cusolver => Some(solver::version_text(solver::version()?)),
        Component::Nvrtc => Some(compile::version_text(nvrtc::version()?)),
    })
}

fn about(ordinal: usize) -> Result<AboutGpu, CallError> {
    let context = Context::open(ordinal)?;
    let (free_bytes, total_bytes) = context.memory()?;
    let (name, capability, processors) = (context.name()?, context.capability()?, context.processors()?);
    Ok(AboutGpu { name, capability, processors, free_bytes, total_bytes })
}
