//! The parameters of kernels as structs whose fields have the types and the order of the kernel's.
//!
//! A test compares each struct with the kernel itself, as the C++ compiler sees it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::from_ref;

use super::list::KernelName;
use crate::device::cuda::sys::memory::DeviceSlice;

/// A parameter of a kernel.
///
/// # Safety
///
/// The address leads to a value that has the size and the meaning of the kernel's parameter.
pub unsafe trait Parameter {
    /// Where the value is.
    fn value_address(&self) -> *mut c_void {
        from_ref(self).cast_mut().cast()
    }
}

// SAFETY: `unsigned` in CUDA.
unsafe impl Parameter for u32 {}
// SAFETY: `unsigned long long` in CUDA.
unsafe impl Parameter for u64 {}
// SAFETY: `double` in CUDA.
unsafe impl Parameter for f64 {}
// SAFETY: the address of its first element is a pointer in CUDA.
unsafe impl<T> Parameter for DeviceSlice<'_, T> {
    fn value_address(&self) -> *mut c_void {
        self.pointer_field()
    }
}

/// All parameters of a kernel.
///
/// # Safety
///
/// They have the types of the kernel's, in order.
pub unsafe trait Parameters {
    /// The kernel that takes them.
    const KERNEL: KernelName;

    /// Calls `launch` with the addresses of all parameters.
    fn with_addresses<R>(&self, launch: impl FnOnce(&mut [*mut c_void]) -> R) -> R;
}

/// Defines the parameters of a kernel, or of a kernel for each type T.
macro_rules! parameters {
    ($(#[$attribute:meta])* $name:ident<$($generic:tt),+> = $kernel:expr => {
        $($(#[$field_attribute:meta])* $field:ident: $type:ty),* $(,)?
    } $(where $($bounded:ident: $bound:path),+)?) => {
        $(#[$attribute])*
        pub struct $name<$($generic),+> { $($(#[$field_attribute])* pub $field: $type),* }

        // SAFETY: a test compares the fields with the kernel's parameters.
        unsafe impl<$($generic),+> $crate::device::cuda::kernels::parameters::Parameters for $name<$($generic),+>
        where $($($bounded: $bound),+)?
        {
            const KERNEL: $crate::device::cuda::kernels::list::KernelName = $kernel;

            fn with_addresses<R>(&self, launch: impl FnOnce(&mut [*mut std::ffi::c_void]) -> R) -> R {
                use $crate::device::cuda::kernels::parameters::Parameter;
                launch(&mut [$(self.$field.value_address()),*])
            }
        }

        #[cfg(test)]
        impl<$($generic),+> $crate::device::cuda::kernels::tests::Codes for $name<$($generic),+>
        where $($($bounded: $bound + kernel_emulator::Pointee),+)?
        {
            fn codes() -> Vec<String> {
                vec![$(<$type as kernel_emulator::Parameter>::code()),*]
            }
        }
    };
}
pub(super) use parameters;
