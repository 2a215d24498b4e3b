//! cuSOLVER: eigenvalues of symmetric matrices, and the factorizations from which single eigenvalues are refined.
//!
//! Values only, no vectors.
#![allow(unsafe_code)]

mod call;
mod eigenvalues;
mod factorizations;
mod path;
mod workspace;

use std::ptr::null_mut;
use std::rc::Rc;

use cudarc::cusolver::sys::{
    self, cublasFillMode_t as Fill, cusolverAlgMode_t as Algorithm, cusolverDeterministicMode_t as Deterministic,
    cusolverDnFunction_t as Tuned,
};

use super::error::Result;
use super::library::{self, Component};
use super::memory::DeviceMemory;
use super::stream::Stream;
use call::cusolver;
pub use path::SolverPath;
pub use workspace::SolverWorkspace;

/// The version of the library: 1000 major + 100 minor + patch.
pub fn version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { cusolver!(cusolverGetVersion(&mut version)) }?;
    Ok(version)
}

/// A version as people write it.
pub fn version_text(version: i32) -> String {
    format!("{}.{}.{}", version / 1000, version % 1000 / 100, version % 100)
}

/// Options of a solver; freed with it.
#[derive(Debug)]
struct Options(sys::cusolverDnParams_t);

impl Options {
    fn new() -> Result<Options> {
        let mut raw = null_mut();
        // SAFETY: writes one handle.
        unsafe { cusolver!(cusolverDnCreateParams(&mut raw)) }?;
        Ok(Options(raw))
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cusolver!(cusolverDnDestroyParams(self.0)) };
    }
}

/// A cuSOLVER handle with its workspace, bound to a stream.
#[derive(Debug)]
pub struct Solver {
    raw: sys::cusolverDnHandle_t,
    one_stage: Option<Options>,
    two_stage: Option<Options>,
    device: Option<DeviceMemory>,
    host: Vec<u8>,
    stream: Rc<Stream>,
}

impl Solver {
    /// The half of symmetric matrices that is read. Gram matrices are full, so either would do.
    const HALF: Fill = Fill::CUBLAS_FILL_MODE_LOWER;

    pub fn new(stream: &Rc<Stream>, version: i32) -> Result<Solver> {
        let mut raw = null_mut();
        // SAFETY: writes one handle; the stream's context is current on this thread.
        unsafe { cusolver!(cusolverDnCreate(&mut raw)) }.map_err(|error| stream.context().handle_error(error))?;
        let mut solver =
            Solver { raw, one_stage: None, two_stage: None, device: None, host: Vec::new(), stream: Rc::clone(stream) };
        // SAFETY: both exist, and the solver keeps the stream.
        unsafe { cusolver!(cusolverDnSetStream(raw, stream.raw().cast())) }?;
        if library::has(Component::Cusolver, "cusolverDnSetDeterministicMode") {
            // SAFETY: the handle exists.
            unsafe { cusolver!(cusolverDnSetDeterministicMode(raw, Deterministic::CUSOLVER_DETERMINISTIC_RESULTS)) }?;
        }
        solver.one_stage = Some(Options::new()?);
        if SolverPath::SyevdTwoStage.is_available(version) {
            let options = Options::new()?;
            // SAFETY: the options exist.
            unsafe {
                cusolver!(cusolverDnSetAdvOptions(options.0, Tuned::CUSOLVERDN_SYEVD, Algorithm::CUSOLVER_ALG_2))
            }?;
            solver.two_stage = Some(options);
        }
        Ok(solver)
    }

    fn options(&self, path: SolverPath) -> sys::cusolverDnParams_t {
        let options = if path == SolverPath::SyevdTwoStage { &self.two_stage } else { &self.one_stage };
        options.as_ref().map_or(null_mut(), |options| options.0)
    }

    /// Allocates at least this much workspace.
    pub fn reserve(&mut self, workspace: SolverWorkspace) -> Result<()> {
        if self.device.as_ref().is_none_or(|memory| memory.bytes() < workspace.device) {
            self.device = None;
            self.device = Some(DeviceMemory::new(self.stream.context(), workspace.device as u64)?);
        }
        if self.host.len() < workspace.host {
            self.host = vec![0; workspace.host];
        }
        Ok(())
    }

    /// Allocates at least this much workspace, and returns the first bytes of the device's.
    fn reserved<T>(&mut self, workspace: SolverWorkspace) -> Result<(*mut T, usize)> {
        self.reserve(workspace)?;
        let pointer = self.device.as_ref().map_or(null_mut(), |memory| memory.first::<u8>(workspace.device).pointer());
        Ok((pointer.cast(), workspace.device))
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once, before the workspace is freed.
        let _ = unsafe { cusolver!(cusolverDnDestroy(self.raw)) };
    }
}
