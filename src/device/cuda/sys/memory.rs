//! Memory of a GPU, and page-locked memory of the host.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{from_ref, null_mut};
use std::sync::Arc;

use cudarc::driver::sys;

use super::context::Context;
use super::error::{Result, cu};

/// Memory of a GPU.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<Context>,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
    /// Allocates at least one byte. The content is unspecified.
    pub fn new(context: &Arc<Context>, bytes: u64) -> Result<DeviceMemory> {
        let count = usize::try_from(bytes.max(1)).unwrap_or(usize::MAX);
        let mut address = 0;
        context.bind()?;
        // SAFETY: writes one address; a context is current.
        unsafe { cu!(cuMemAlloc_v2(&mut address, count)) }.map_err(|error| error.for_bytes(bytes))?;
        Ok(DeviceMemory { context: Arc::clone(context), address, bytes: count })
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers of type T from the start of the memory.
    ///
    /// # Panics
    ///
    /// If the memory is smaller.
    pub fn first<T>(&self, count: usize) -> DeviceSlice<'_, T> {
        let bytes = count.checked_mul(size_of::<T>());
        assert!(bytes.is_some_and(|bytes| bytes <= self.bytes), "{count} elements in {} bytes", self.bytes);
        DeviceSlice { address: self.address, len: count, memory: PhantomData }
    }

    /// All of the memory, as numbers of type T.
    pub fn all<T>(&self) -> DeviceSlice<'_, T> {
        self.first(self.bytes / size_of::<T>())
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: allocated by `new`, freed once; the driver waits for work that uses it.
        let _ = unsafe { cu!(cuMemFree_v2(self.address)) };
    }
}

/// Numbers of type T, one after the other, inside one allocation of a GPU's memory.
#[derive(Debug)]
pub struct DeviceSlice<'m, T> {
    address: sys::CUdeviceptr,
    len: usize,
    memory: PhantomData<(&'m DeviceMemory, *mut T)>,
}

impl<T> Clone for DeviceSlice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DeviceSlice<'_, T> {}

impl<'m, T> DeviceSlice<'m, T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Some of the numbers.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn part(self, range: Range<usize>) -> DeviceSlice<'m, T> {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        let address = self.address + (range.start * size_of::<T>()) as u64;
        DeviceSlice { address, len: range.len(), memory: PhantomData }
    }

    /// Part number `index` of parts of `size` numbers each.
    pub fn chunk(self, index: usize, size: usize) -> DeviceSlice<'m, T> {
        self.part(index * size..(index + 1) * size)
    }

    /// The address, for a library that reads and writes no more than these numbers.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The same as a pointer, which the host must not follow.
    pub fn pointer(&self) -> *mut T {
        self.address as *mut T
    }

    /// Where the address itself is stored, for a launch that passes it to a kernel.
    pub fn pointer_field(&self) -> *mut c_void {
        from_ref(&self.address).cast_mut().cast()
    }

    /// The same memory as numbers of another type.
    ///
    /// # Panics
    ///
    /// If they would not be aligned.
    pub fn cast<U>(self) -> DeviceSlice<'m, U> {
        assert!(self.address.is_multiple_of(align_of::<U>() as u64));
        DeviceSlice { address: self.address, len: self.bytes() / size_of::<U>(), memory: PhantomData }
    }
}

/// Page-locked memory of the host: a GPU copies from it while the host goes on.
#[derive(Debug)]
pub struct PinnedMemory {
    context: Arc<Context>,
    address: *mut u8,
    bytes: usize,
}

// SAFETY: an exclusively owned block of bytes.
unsafe impl Send for PinnedMemory {}

impl PinnedMemory {
    /// The function that allocates it.
    pub const CALL: &str = "cuMemHostAlloc";

    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<PinnedMemory> {
        let mut address = null_mut();
        context.bind()?;
        // Portable: usable with every GPU.
        // SAFETY: writes one address; a context is current.
        unsafe { cu!(cuMemHostAlloc(&mut address, bytes, sys::CU_MEMHOSTALLOC_PORTABLE)) }
            .map_err(|error| error.for_bytes(bytes as u64))?;
        // SAFETY: just allocated, with that many bytes; after this they are initialized.
        unsafe { std::ptr::write_bytes(address.cast::<u8>(), 0, bytes) };
        Ok(PinnedMemory { context: Arc::clone(context), address: address.cast(), bytes })
    }

    /// The bytes, for writing. No copy from them may be under way.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: allocated with that many bytes, initialized, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.address, self.bytes) }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of the first byte, for the driver.
    pub fn address(&self) -> *const u8 {
        self.address
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: allocated by `new`, freed once.
        let _ = unsafe { cu!(cuMemFreeHost(self.address.cast())) };
    }
}
