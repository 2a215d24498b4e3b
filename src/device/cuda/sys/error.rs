//! A call into a CUDA library that failed.

use std::fmt;

use cudarc::driver::sys::CUresult;

/// A call into a CUDA library that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The function.
    pub call: &'static str,
    /// The name of the status that it returned.
    pub status: String,
    /// Bytes that could not be allocated, if that was the reason; 0 if the number is unknown.
    pub out_of_memory: Option<u64>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned {}", self.call, self.status)?;
        match self.out_of_memory {
            Some(bytes) if bytes > 0 => write!(f, " (for {bytes} bytes)"),
            _ => Ok(()),
        }
    }
}

impl CallError {
    /// The same error, for an allocation of that many bytes.
    pub fn for_bytes(self, bytes: u64) -> CallError {
        CallError { out_of_memory: self.out_of_memory.map(|_| bytes), ..self }
    }
}

pub type Result<T, E = CallError> = std::result::Result<T, E>;

/// Turns the status of a driver function into a result.
pub fn check_driver(call: &'static str, status: CUresult) -> Result<()> {
    if status == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == CUresult::CUDA_ERROR_OUT_OF_MEMORY).then_some(0);
    Err(CallError { call, status: format!("{status:?}"), out_of_memory })
}

/// Calls a driver function by its name.
macro_rules! cu {
    ($name:ident($($argument:expr),* $(,)?)) => {
        $crate::device::cuda::sys::error::check_driver(stringify!($name), cudarc::driver::sys::$name($($argument),*))
    };
}
pub(super) use cu;
