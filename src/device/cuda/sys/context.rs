//! The driver itself, and the contexts of GPUs.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use super::error::{CallError, Result, cu};

/// What cuBLAS, cuSOLVER and the driver allocate when a handle is created, generously.
const HANDLE_BYTES: u64 = 256 << 20;

/// Initializes the driver.
pub fn initialize() -> Result<()> {
    // SAFETY: cuInit has no precondition.
    unsafe { cu!(cuInit(0)) }
}

/// The CUDA version that the driver supports, as 1000 major + 10 minor.
pub fn version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { cu!(cuDriverGetVersion(&mut version)) }?;
    Ok(version)
}

/// Number of GPUs.
pub fn device_count() -> Result<usize> {
    let mut count = 0;
    // SAFETY: writes one integer.
    unsafe { cu!(cuDeviceGetCount(&mut count)) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The primary context of a GPU.
#[derive(Debug)]
pub struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: any number of threads may use a context; the handle is only an address for the driver.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Opens GPU number `ordinal` and makes its context current on this thread.
    pub fn open(ordinal: usize) -> Result<Arc<Context>> {
        let (mut device, mut raw) = (0, null_mut());
        // SAFETY: both write one value; the device comes from the driver itself.
        unsafe {
            cu!(cuDeviceGet(&mut device, ordinal as i32))?;
            cu!(cuDevicePrimaryCtxRetain(&mut raw, device))?;
        }
        let context = Context { device, raw };
        context.bind()?;
        Ok(Arc::new(context))
    }

    /// Makes this the context of the calling thread.
    pub fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained as long as `self` lives.
        unsafe { cu!(cuCtxSetCurrent(self.raw)) }
    }

    /// The name of the GPU.
    pub fn name(&self) -> Result<String> {
        let mut name = [0_u8; 256];
        // SAFETY: the driver writes at most that many bytes, the last of them zero.
        unsafe { cu!(cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, self.device)) }?;
        Ok(CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned())
    }

    /// Compute capability: 90 for 9.0.
    pub fn capability(&self) -> Result<u32> {
        let major = self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Ok(major * 10 + minor)
    }

    /// Number of multiprocessors.
    pub fn processors(&self) -> Result<u32> {
        self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
    }

    /// How many times as fast the GPU is in f32 as in f64: 2 for data-center GPUs, 32 or 64 for others.
    pub fn double_ratio(&self) -> Result<u32> {
        self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO)
    }

    fn attribute(&self, attribute: Attribute) -> Result<u32> {
        let mut value = 0;
        // SAFETY: writes one integer.
        unsafe { cu!(cuDeviceGetAttribute(&mut value, attribute, self.device)) }?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// Free and total bytes of the GPU's memory.
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two integers.
        unsafe { cu!(cuMemGetInfo_v2(&mut free, &mut total)) }?;
        Ok((free as u64, total as u64))
    }

    /// An error from creating a handle, marked as out of memory if almost none is left: libraries report other reasons then.
    pub fn handle_error(&self, error: CallError) -> CallError {
        let is_full = || self.memory().is_ok_and(|(free, _)| free < HANDLE_BYTES);
        if error.out_of_memory.is_none() && is_full() { CallError { out_of_memory: Some(0), ..error } } else { error }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`, released once here; everything that uses it holds an Arc.
        let _ = unsafe { cu!(cuDevicePrimaryCtxRelease_v2(self.device)) };
    }
}
