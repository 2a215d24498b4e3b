//! Streams, which run enqueued work in order, and events, which mark a place in it.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::driver::sys;

use super::context::Context;
use super::error::{CallError, Result, cu};
use super::memory::{DeviceSlice, PinnedMemory};
use super::module::Function;
use super::scalar::Plain;

/// A queue of work.
#[derive(Debug)]
pub struct Stream {
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

    /// Waits until all enqueued work is done.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the stream exists as long as `self`.
        unsafe { cu!(cuStreamSynchronize(self.raw)) }?;
        self.sources.borrow_mut().clear();
        Ok(())
    }

    /// Copies as many bytes as `target` has from page-locked memory. The source must not change before the copy is done; an
    /// event recorded afterwards marks that.
    pub fn copy_from_pinned(&self, target: DeviceSlice<u8>, source: &PinnedMemory) -> Result<()> {
        assert!(target.bytes() <= source.bytes());
        // SAFETY: both ranges are inside their allocations, which outlive the copy: a lane synchronizes its stream before it
        // frees anything.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(target.address(), source.address().cast(), target.bytes(), self.raw)) }
    }

    /// Copies numbers to the start of `target`. The source may change as soon as this returns.
    ///
    /// Drivers may read pageable memory at the call or later, so the stream keeps a copy until it has been waited for.
    pub fn upload<T: Plain>(&self, target: DeviceSlice<T>, source: &[T]) -> Result<()> {
        assert!(source.len() <= target.len());
        if source.is_empty() {
            return Ok(());
        }
        let bytes = size_of_val(source);
        let source: Box<[T]> = source.into();
        let address = source.as_ptr();
        self.sources.borrow_mut().push(Box::new(source));
        // SAFETY: both ranges are valid, and the source stays until the stream has been waited for.
        unsafe { cu!(cuMemcpyHtoDAsync_v2(target.address(), address.cast(), bytes, self.raw)) }
    }

    /// Waits for all enqueued work, and returns the numbers of `source`.
    pub fn download<T: Plain>(&self, source: DeviceSlice<T>) -> Result<Vec<T>> {
        let mut target = vec![T::default(); source.len()];
        if !target.is_empty() {
            // SAFETY: both ranges are valid, every bit pattern is a valid T, and the target is not touched before the
            // stream has been synchronized.
            let copied = unsafe {
                cu!(cuMemcpyDtoHAsync_v2(target.as_mut_ptr().cast(), source.address(), source.bytes(), self.raw))
            };
            copied.and(self.synchronize())?;
        }
        Ok(target)
    }

    /// Sets every byte to zero.
    pub fn clear<T: Plain>(&self, target: DeviceSlice<T>) -> Result<()> {
        // SAFETY: a slice is inside its allocation, and zero is a valid T.
        unsafe { cu!(cuMemsetD8Async(target.address(), 0, target.bytes(), self.raw)) }
    }

    /// Enqueues a kernel.
    ///
    /// # Safety
    ///
    /// `parameters` points to the kernel's parameters, in order and of the right types, and every address among them is valid
    /// for what the kernel does, until it is done.
    pub unsafe fn launch(&self, function: Function, shape: LaunchShape, parameters: &mut [*mut c_void]) -> Result<()> {
        let LaunchShape { grid: [x, y, z], threads, shared_bytes } = shape;
        let launched = unsafe {
            let parameters = parameters.as_mut_ptr();
            cu!(cuLaunchKernel(function.raw, x, y, z, threads, 1, 1, shared_bytes, self.raw, parameters, null_mut()))
        };
        launched.map_err(|error| CallError { call: function.name, ..error })
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

/// The blocks of a launch, the threads of a block, and the shared memory of a block.
#[derive(Debug, Clone, Copy)]
pub struct LaunchShape {
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared_bytes: u32,
}

/// A mark in a stream.
#[derive(Debug)]
pub struct Event {
    context: Arc<Context>,
    raw: sys::CUevent,
}

// SAFETY: any thread whose context is the event's may use it.
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

    /// Marks the work that has been enqueued so far.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both exist.
        unsafe { cu!(cuEventRecord(self.raw, stream.raw)) }
    }

    /// Waits until the work that was marked last is done.
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
