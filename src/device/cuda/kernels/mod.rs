//! Our own kernels: compiled for the GPU at hand, kept for the next time, and launched with checked buffers.
//!
//! One file for each in `kernels/`. A struct has the parameters of a kernel; its `launch` derives the shape of the launch, and
//! checks that every buffer is large enough.
#![allow(unsafe_code)]

pub mod abi;
pub mod compile;
pub mod fit;
pub mod gram;
mod list;
mod parameters;
pub mod products;
mod shape;
pub mod sturm;
#[cfg(test)]
mod tests;
pub mod tridiagonal;
pub mod weights;
pub mod widen;

use std::sync::Arc;

use super::errors::device_error;
use super::sys::context::Context;
use super::sys::error::Result;
use super::sys::module::{Function, Module};
use super::sys::stream::{LaunchShape, Stream};
use crate::error::Error;
use list::SOURCES;
use parameters::Parameters;

/// Blocks that keep a multiprocessor busy, for kernels whose result does not depend on it.
const BLOCKS_PER_PROCESSOR: u32 = 8;

/// The loaded kernels of a GPU.
#[derive(Debug)]
pub struct Kernels {
    /// By their number in [`list::KernelName`].
    functions: Vec<Function>,
    /// Multiprocessors of the GPU.
    processors: u32,
    /// Functions are valid as long as these.
    _modules: Vec<Module>,
}

impl Kernels {
    /// Compiles or finds the kernels for a GPU.
    ///
    /// # Errors
    ///
    /// If they cannot be compiled, or the driver refuses them.
    pub fn load(context: &Arc<Context>) -> Result<Kernels, Error> {
        let failed = |error| device_error(&error);
        let (mut functions, mut modules) = (Vec::new(), Vec::new());
        for source in &SOURCES {
            let module = compile::module(context, source)?;
            for name in source.kernels {
                functions.push(module.function(name).map_err(failed)?);
            }
            modules.push(module);
        }
        let processors = context.processors().map_err(failed)?.max(1);
        Ok(Kernels { functions, processors, _modules: modules })
    }

    /// Blocks that keep the GPU busy.
    fn blocks(&self) -> usize {
        (BLOCKS_PER_PROCESSOR * self.processors) as usize
    }

    /// Blocks for a thread for each item, but no more than keep the GPU busy.
    fn blocks_for(&self, items: usize) -> u32 {
        items.div_ceil(abi::THREADS as usize).min(self.blocks()) as u32
    }

    /// Enqueues a kernel.
    ///
    /// # Safety
    ///
    /// Every buffer among the parameters has all that the kernel reads and writes in this shape, and lives until the stream has
    /// been waited for.
    unsafe fn launch<P: Parameters>(&self, stream: &Stream, shape: LaunchShape, parameters: &P) -> Result<()> {
        let function = self.functions[P::KERNEL as usize];
        // SAFETY: `Parameters` guarantees the types, the caller the buffers.
        parameters.with_addresses(|addresses| unsafe { stream.launch(function, shape, addresses) })
    }
}
