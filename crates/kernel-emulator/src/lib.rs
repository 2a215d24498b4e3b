//! Runs the kernels of `kernels/` on a CPU, every CUDA thread a fiber.
//!
//! The same source that a GPU runs is compiled as C++ against a small header that replaces CUDA: barriers, shuffles, shared
//! memory (poisoned before every block), integer atomics. Threads run one at a time, in an order that the caller chooses; a
//! kernel whose result depends on it has a race. This proves logic. It says nothing about speed, nor about the rounding of a
//! GPU's own mathematical functions.
//!
//! Linux only, and only if a C++ compiler is found: see [`AVAILABLE`].

use std::ffi::{CStr, CString, c_char, c_void};

/// Constants and structs that kernels and host share: `kernels/abi.cuh` in Rust.
#[allow(missing_docs)]
pub mod abi {
    include!(concat!(env!("OUT_DIR"), "/abi.rs"));
}

/// Whether the kernels could be compiled on this machine.
pub const AVAILABLE: bool = cfg!(emulated);

/// The order in which threads run between two points at which they wait.
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

/// A type of a kernel's parameter.
pub trait Parameter {
    /// Its code, as in [`signature`].
    fn code() -> String;
}

/// A type that a parameter may point to.
pub trait Pointee {
    /// Its code: a number by its mangled name in C++, anything else by its size.
    fn code() -> String;
}

macro_rules! number {
    ($($type:ty = $code:literal),*) => {$(
        impl Parameter for $type {
            fn code() -> String {
                $code.into()
            }
        }
        impl Pointee for $type {
            fn code() -> String {
                $code.into()
            }
        }
    )*};
}
number!(u32 = "j", u64 = "y", f32 = "f", f64 = "d");

macro_rules! structure {
    ($($type:ty),*) => {$(
        impl Pointee for $type {
            fn code() -> String {
                size_of::<$type>().to_string()
            }
        }
    )*};
}
structure!(abi::DeviceAccuracy, abi::Candidates, abi::DeviceFit, abi::Interval, abi::GramSums, abi::ElementScan);
structure!(abi::CompensatedSum);

/// Memory whose type is known at run time only: such a pointer is taken for any other.
pub enum Untyped {}

impl Pointee for Untyped {
    fn code() -> String {
        ANY.into()
    }
}

const ANY: &str = "?";

impl<T: Pointee> Parameter for *const T {
    fn code() -> String {
        format!("P{}", T::code())
    }
}

impl<T: Pointee> Parameter for *mut T {
    fn code() -> String {
        format!("P{}", T::code())
    }
}

/// An argument: a value, and the code of its type.
pub struct Argument<'a> {
    value: *mut c_void,
    code: String,
    _value: std::marker::PhantomData<&'a ()>,
}

impl<'a> Argument<'a> {
    /// The argument with this value.
    pub fn new<T: Parameter>(value: &'a T) -> Argument<'a> {
        let pointer = std::ptr::from_ref(value).cast_mut().cast();
        Argument { value: pointer, code: T::code(), _value: std::marker::PhantomData }
    }
}

/// The codes of a kernel's parameters in order; `None` if there is no such kernel.
pub fn signature(kernel: &str) -> Option<Vec<String>> {
    let name = CString::new(kernel).ok()?;
    // SAFETY: the name ends with a zero, and so does the text, which is never freed.
    let text = unsafe {
        let text = emulated_signature(name.as_ptr());
        if text.is_null() { None } else { Some(CStr::from_ptr(text)) }
    };
    Some(text?.to_str().ok()?.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Whether parameters of these types can be given to a kernel with that signature. A struct agrees with a number of its size.
pub fn agrees(signature: &[String], codes: &[String]) -> bool {
    let same = |(one, other): (&String, &String)| match (one.strip_prefix('P'), other.strip_prefix('P')) {
        (Some(one), Some(other)) => {
            let is_struct = |code: &str| code.starts_with(|c: char| c.is_ascii_digit());
            other == ANY || one == other || (is_struct(one) || is_struct(other)) && size(one) == size(other)
        }
        _ => one == other,
    };
    signature.len() == codes.len() && signature.iter().zip(codes).all(same)
}

/// The size of what a pointer points to, by its code.
fn size(code: &str) -> Option<usize> {
    match code {
        "j" | "f" => Some(4),
        "y" | "d" => Some(8),
        size => size.parse().ok(),
    }
}

/// Runs a kernel to its end.
///
/// # Errors
///
/// A sentence, if there is no such kernel, the arguments do not have its types, the configuration is impossible, or threads
/// wait for each other forever.
///
/// # Safety
///
/// Every pointer among the arguments must be valid for everything that the kernel reads and writes.
pub unsafe fn launch(kernel: &str, launch: &Launch, arguments: &[Argument]) -> Result<(), String> {
    let name = CString::new(kernel).map_err(|error| error.to_string())?;
    let signature = signature(kernel).ok_or_else(|| format!("there is no kernel `{kernel}`"))?;
    let codes: Vec<String> = arguments.iter().map(|argument| argument.code.clone()).collect();
    if !agrees(&signature, &codes) {
        return Err(format!("`{kernel}` takes {signature:?}, not {codes:?}"));
    }
    let mut values: Vec<*mut c_void> = arguments.iter().map(|argument| argument.value).collect();
    let (order, seed) = match launch.order {
        Order::Forward => (0, 0),
        Order::Reverse => (1, 0),
        Order::Shuffled(seed) => (2, seed),
    };
    // One launch at a time: the emulator's state is global, as a device's is.
    static LAUNCHING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LAUNCHING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: grid and block have the three elements that the function reads, the name ends with a zero, the arguments have
    // the kernel's types, and the caller guarantees their pointers.
    let outcome = unsafe {
        emulate_kernel(
            name.as_ptr(),
            launch.grid.as_ptr(),
            launch.block.as_ptr(),
            launch.shared_bytes,
            values.as_mut_ptr(),
            order,
            seed,
        )
    };
    match outcome {
        0 => Ok(()),
        1 => Err(format!("there is no kernel `{kernel}`")),
        2 => Err(format!("`{kernel}` cannot be launched with {launch:?}")),
        _ => Err(format!("`{kernel}`: threads wait for each other forever")),
    }
}

#[cfg(emulated)]
unsafe extern "C" {
    fn emulated_signature(name: *const c_char) -> *const c_char;

    fn emulate_kernel(
        name: *const c_char,
        grid: *const u32,
        block: *const u32,
        shared: usize,
        arguments: *mut *mut c_void,
        order: u32,
        seed: u64,
    ) -> i32;
}

#[cfg(not(emulated))]
unsafe fn emulated_signature(_name: *const c_char) -> *const c_char {
    std::ptr::null()
}

#[cfg(not(emulated))]
unsafe fn emulate_kernel(
    _name: *const c_char,
    _grid: *const u32,
    _block: *const u32,
    _shared: usize,
    _arguments: *mut *mut c_void,
    _order: u32,
    _seed: u64,
) -> i32 {
    1
}
