//! Runs the kernels of `kernels/` on a CPU, every CUDA thread a fiber.
//!
//! The same source that a GPU runs is compiled as C++ against a small header that stands in for CUDA: barriers, shuffles,
//! shared memory (poisoned before every block), integer atomics. Threads run one at a time, in an order that the caller
//! chooses; a kernel whose result depends on it has a race. This proves logic. It says nothing about speed, nor about what
//! a GPU's own mathematical functions round to.
//!
//! Linux only, and only where a C++ compiler is found: see [`AVAILABLE`].

use std::ffi::{CString, c_void};

/// Whether the kernels could be compiled on this machine.
pub const AVAILABLE: bool = cfg!(emulated);

/// In which order threads run between two points at which they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By index.
    Forward,
    /// By falling index, and blocks too.
    Reverse,
    /// At random, differently at every point.
    Shuffled(u64),
}

/// A launch configuration.
#[derive(Debug, Clone, Copy)]
pub struct Launch {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block in bytes.
    pub shared_bytes: usize,
    /// Order of the threads.
    pub order: Order,
}

/// Runs a kernel to its end.
///
/// # Errors
///
/// A sentence, if there is no such kernel, the configuration is impossible, or threads wait for each other in vain.
///
/// # Safety
///
/// `arguments` must be what `cuLaunchKernel` takes for this kernel: a pointer to each parameter in order, of the parameter's
/// type, and every pointer among the parameters must be valid for all that the kernel reads and writes.
pub unsafe fn launch(kernel: &str, launch: &Launch, arguments: &mut [*mut c_void]) -> Result<(), String> {
    let name = CString::new(kernel).map_err(|error| error.to_string())?;
    let (order, seed) = match launch.order {
        Order::Forward => (0, 0),
        Order::Reverse => (1, 0),
        Order::Shuffled(seed) => (2, seed),
    };
    // One launch at a time: the emulator's state is global, as a device's is.
    static LAUNCHING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LAUNCHING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: grid and block have the three elements that the function reads, the name ends with a zero, and the caller
    // answers for the arguments.
    let outcome = unsafe {
        emulate_kernel(
            name.as_ptr(),
            launch.grid.as_ptr(),
            launch.block.as_ptr(),
            launch.shared_bytes,
            arguments.as_mut_ptr(),
            order,
            seed,
        )
    };
    match outcome {
        0 => Ok(()),
        1 => Err(format!("there is no kernel `{kernel}`")),
        2 => Err(format!("`{kernel}` cannot be launched with {launch:?}")),
        _ => Err(format!("`{kernel}`: threads wait for each other in vain")),
    }
}

#[cfg(emulated)]
unsafe extern "C" {
    fn emulate_kernel(
        name: *const std::ffi::c_char,
        grid: *const u32,
        block: *const u32,
        shared: usize,
        arguments: *mut *mut c_void,
        order: u32,
        seed: u64,
    ) -> i32;
}

#[cfg(not(emulated))]
unsafe fn emulate_kernel(
    _name: *const std::ffi::c_char,
    _grid: *const u32,
    _block: *const u32,
    _shared: usize,
    _arguments: *mut *mut c_void,
    _order: u32,
    _seed: u64,
) -> i32 {
    1
}
