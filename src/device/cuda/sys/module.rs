//! Compiled kernels on a GPU.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::driver::sys;

use super::context::Context;
use super::error::{Result, cu};

/// Compiled code on a GPU.
#[derive(Debug)]
pub struct Module {
    context: Arc<Context>,
    raw: sys::CUmodule,
}

// SAFETY: any thread whose context is the module's may use it.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// Loads a cubin or PTX image, which must end with a zero byte.
    pub fn load(context: &Arc<Context>, image: &[u8]) -> Result<Module> {
        assert_eq!(image.last(), Some(&0));
        context.bind()?;
        let mut raw = null_mut();
        // SAFETY: a cubin states its own size, and anything else is read up to the zero byte.
        unsafe { cu!(cuModuleLoadData(&mut raw, image.as_ptr().cast())) }?;
        Ok(Module { context: Arc::clone(context), raw })
    }

    /// The kernel of that name.
    pub fn function(&self, name: &'static CStr) -> Result<Function> {
        let mut raw = null_mut();
        self.context.bind()?;
        // SAFETY: writes one handle; the name ends with a zero.
        unsafe { cu!(cuModuleGetFunction(&mut raw, self.raw, name.as_ptr())) }?;
        Ok(Function { raw, name: name.to_str().unwrap_or("kernel") })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: loaded by `load`, unloaded once.
        let _ = unsafe { cu!(cuModuleUnload(self.raw)) };
    }
}

/// A kernel; valid as long as its module.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    pub(super) raw: sys::CUfunction,
    pub(super) name: &'static str,
}

// SAFETY: as for modules.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}
