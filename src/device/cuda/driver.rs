//! The CUDA driver: contexts, streams, events and memory that are given back when they go out of scope.
//!
//! A layer as thin as it can be over `cudarc::driver::sys`: the safe layer of that crate panics in destructors and leaks
//! when an allocation fails halfway, and here every call may fail. Streams are explicit; one lane uses one stream, so that
//! what it enqueues happens in that order.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};

/// A call into a CUDA library that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The function.
    pub call: &'static str,
    /// What it returned, by name.
    pub status: String,
    /// Bytes that could not be had, if that was the reason.
    pub out_of_memory: Option<u64>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned {}", self.call, self.status)?;
        match self.out_of_memory {
            Some(bytes) if bytes > 0 => write!(f, " (for {bytes} bytes)"),
            _ => Ok(()),
        }
    }
}

impl Fault {
    /// Of the creation of a handle: where there is next to no memory left, libraries say anything but that.
    pub fn of_handle(self, context: &Context) -> Fault {
        let is_full = || context.memory().is_ok_and(|(free, _)| free < HANDLE_BYTES);
        if self.out_of_memory.is_none() && is_full() { Fault { out_of_memory: Some(0), ..self } } else { self }
    }
}

/// What cuBLAS, cuSOLVER and the driver take for themselves when a handle is created, generously.
const HANDLE_BYTES: u64 = 256 << 20;

pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

fn check(call: &'static str, status: CUresult) -> Result<()> {
    if status == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == CUresult::CUDA_ERROR_OUT_OF_MEMORY).then_some(0);
    Err(Fault { call, status: format!("{status:?}"), out_of_memory })
}

/// Calls a driver function by its name.
macro_rules! cu {
    ($name:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($name), sys::$name($($argument),*))
    };
}

/// Initialises the driver.
pub(super) fn initialize() -> Result<()> {
    // SAFETY: cuInit has no precondition.
    unsafe { cu!(cuInit(0)) }
}

/// The CUDA version that the driver supports, as 1000 major + 10 minor.
pub(super) fn version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { cu!(cuDriverGetVersion(&mut version)) }?;
    Ok(version)
}

/// Number of GPUs.
pub(super) fn device_count() -> Result<usize> {
    let mut count = 0;
    // SAFETY: writes one integer.
    unsafe { cu!(cuDeviceGetCount(&mut count)) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The primary context of a GPU.
#[derive(Debug)]
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: contexts may be used by any number of threads; the handle is only an address for the driver.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Opens GPU number `ordinal`, for this thread too.
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

    /// How many times as fast it is in f32 as in f64: 2 for those made for computing, 32 or 64 for others.
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
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`, released once here; all that uses it holds an Arc.
        let _ = unsafe { cu!(cuDevicePrimaryCtxRelease_v2(self.device)) };
    }
}

/// A queue of work.
#[derive(Debug)]
pub(super) struct Stream {
    context: Arc<Context>,
    raw: sys::CUstream,
    /// Sources of copies that may be under way.
    sources: RefCell<Vec<Box<dyn Any>>>,
}

impl Stream {
    pub fn new(context: &Arc<Context>) -> Result<Stream> {
        context.bind()?;
        let mut raw = null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes one handle; a context is current.
        unsafe { cu!(cuStreamCreate(&mut raw, flags)) }?;
        Ok(Stream { context: Arc::clone(context), raw, sources: RefCell::default() })
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn raw(&self) -> sys::CUstream {
        self.raw
    }

    /// Waits until all is done.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the stream exists as long as `self`.
        unsafe { cu!(cuStreamSynchronize(self.raw)) }?;
        self.sources.borrow_mut().clear();
        Ok(())
    }

    /// Copies `bytes` bytes from page-locked memory to so many bytes into `target`. The source must stay as it is until the
    /// copy is done, which an event recorded afterwards tells.
    pub fn copy_from_pinned(&self, target: (&DeviceMemory, usize), source: &Pinned, bytes: usize) -> Result<()> {
        assert!(bytes <= source.bytes);
        let address = target.0.range(target.1, bytes);
        // SAFETY: both ranges lie within their allocations, which outlive the copy: a lane synchronises its stream before
        // it frees anything.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(address, source.address.cast(), bytes, self.raw)) }
    }

    /// Copies plain numbers to the start of `target`. The source may change as soon as this returns.
    ///
    /// Drivers read pageable memory at the call or later, as they like, so the stream keeps a copy until it is waited for.
    pub fn upload<T: Plain + 'static>(&self, target: &DeviceMemory, source: &[T]) -> Result<()> {
        let bytes = size_of_val(source);
        assert!(bytes <= target.bytes);
        if bytes == 0 {
            return Ok(());
        }
        let source: Box<[T]> = source.into();
        let address = source.as_ptr();
        self.sources.borrow_mut().push(Box::new(source));
        // SAFETY: both ranges are valid, and the source stays until the stream has been waited for.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(target.address, address.cast(), bytes, self.raw)) }
    }

    /// Waits for all that is enqueued, and copies plain numbers from the start of `source`.
    pub fn download<T: Plain>(&self, source: &DeviceMemory, count: usize) -> Result<Vec<T>> {
        let mut target = vec![T::default(); count];
        let bytes = size_of_val(target.as_slice());
        assert!(bytes <= source.bytes);
        if bytes > 0 {
            // SAFETY: both ranges are valid, every bit pattern is a valid T, and the target is not touched before the
            // stream has been synchronised.
            let copied =
                unsafe { cu!(cuMemcpyDtoHAsync_v2(target.as_mut_ptr().cast(), source.address, bytes, self.raw)) };
            copied.and(self.synchronize())?;
        }
        Ok(target)
    }

    /// Fills `bytes` bytes from `offset` on with a value.
    pub fn fill(&self, target: &DeviceMemory, offset: usize, value: u8, bytes: usize) -> Result<()> {
        // SAFETY: the range was checked.
        unsafe { cu!(cuMemsetD8Async(target.range(offset, bytes), value, bytes, self.raw)) }
    }

    /// Enqueues a kernel.
    ///
    /// # Safety
    ///
    /// `parameters` points to the kernel's parameters, in order and of the right types, and every address among them is valid
    /// for what the kernel does, until it is done.
    pub unsafe fn launch(&self, function: &Function, shape: Shape, parameters: &mut [*mut c_void]) -> Result<()> {
        let Shape { grid: [x, y, z], threads, shared_bytes } = shape;
        let launched = unsafe {
            let parameters = parameters.as_mut_ptr();
            cu!(cuLaunchKernel(function.raw, x, y, z, threads, 1, 1, shared_bytes, self.raw, parameters, null_mut()))
        };
        launched.map_err(|fault| Fault { call: function.name, ..fault })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.bind();
        if !self.sources.get_mut().is_empty() {
            let _ = self.synchronize();
        }
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cu!(cuStreamDestroy_v2(self.raw)) };
    }
}

/// Numbers that may be copied to and from a GPU byte by byte.
///
/// # Safety
///
/// Every bit pattern is valid and there is no padding.
pub(super) unsafe trait Plain: Copy + Default {}
// SAFETY: plain numbers.
unsafe impl Plain for i32 {}
// SAFETY: plain numbers.
unsafe impl Plain for u64 {}
// SAFETY: plain numbers.
unsafe impl Plain for f32 {}
// SAFETY: plain numbers.
unsafe impl Plain for f64 {}
// SAFETY: plain numbers.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] where [T; N]: Default {}

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared_bytes: u32,
}

/// A mark in a stream.
#[derive(Debug)]
pub(super) struct Event {
    context: Arc<Context>,
    raw: sys::CUevent,
}

// SAFETY: events may be used by any thread whose context is the event's.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    pub fn new(context: &Arc<Context>) -> Result<Event> {
        let mut raw = null_mut();
        // Waiting threads sleep: there are fewer cores than lanes and readers.
        let flags =
            sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32 | sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        context.bind()?;
        // SAFETY: writes one handle; a context is current.
        unsafe { cu!(cuEventCreate(&mut raw, flags)) }?;
        Ok(Event { context: Arc::clone(context), raw })
    }

    /// Marks what is enqueued so far.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both exist.
        unsafe { cu!(cuEventRecord(self.raw, stream.raw)) }
    }

    /// Waits until what was marked last is done.
    pub fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the event exists.
        unsafe { cu!(cuEventSynchronize(self.raw)) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cu!(cuEventDestroy_v2(self.raw)) };
    }
}

/// Memory of a GPU.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    context: Arc<Context>,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
    /// Allocates at least one byte. The content is unspecified.
    pub fn new(context: &Arc<Context>, bytes: u64) -> Result<DeviceMemory> {
        let refused = |fault: Fault| Fault { out_of_memory: fault.out_of_memory.map(|_| bytes), ..fault };
        let bytes = usize::try_from(bytes.max(1)).unwrap_or(usize::MAX);
        let mut address = 0;
        context.bind()?;
        // SAFETY: writes one address; a context is current.
        unsafe { cu!(cuMemAlloc_v2(&mut address, bytes)) }.map_err(refused)?;
        Ok(DeviceMemory { context: Arc::clone(context), address, bytes })
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of `bytes` bytes from `offset` on, for a library or a kernel that uses no more than that.
    ///
    /// # Panics
    ///
    /// If they are not all inside.
    pub fn range(&self, offset: usize, bytes: usize) -> u64 {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "{offset} + {bytes} of {}", self.bytes);
        self.address + offset as u64
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: allocated by `new`, freed once; the driver waits for work that uses it.
        let _ = unsafe { cu!(cuMemFree_v2(self.address)) };
    }
}

/// Page-locked memory of the host, which a GPU can copy from while the host goes on.
#[derive(Debug)]
pub(super) struct Pinned {
    context: Arc<Context>,
    address: *mut u8,
    bytes: usize,
}

// SAFETY: an exclusively owned block of bytes.
unsafe impl Send for Pinned {}

impl Pinned {
    /// What allocates it.
    pub const CALL: &str = "cuMemHostAlloc";

    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Pinned> {
        let mut address = null_mut();
        context.bind()?;
        let refused = |fault: Fault| Fault { out_of_memory: fault.out_of_memory.map(|_| bytes as u64), ..fault };
        // Portable: usable with every GPU.
        // SAFETY: writes one address; a context is current.
        unsafe { cu!(cuMemHostAlloc(&mut address, bytes, sys::CU_MEMHOSTALLOC_PORTABLE)) }.map_err(refused)?;
        // SAFETY: just allocated, with that many bytes; after this they are initialised.
        unsafe { std::ptr::write_bytes(address.cast::<u8>(), 0, bytes) };
        Ok(Pinned { context: Arc::clone(context), address: address.cast(), bytes })
    }

    /// The bytes, for writing. No copy from them may be under way.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: allocated with that many bytes, initialised, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.address, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: allocated by `new`, freed once.
        let _ = unsafe { cu!(cuMemFreeHost(self.address.cast())) };
    }
}

/// Compiled code on a GPU.
#[derive(Debug)]
pub(super) struct Module {
    context: Arc<Context>,
    raw: sys::CUmodule,
}

// SAFETY: modules may be used by any thread whose context is the module's.
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
pub(super) struct Function {
    raw: sys::CUfunction,
    name: &'static str,
}

// SAFETY: as for modules.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}
