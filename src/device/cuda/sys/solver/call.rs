//! Calls into cuSOLVER, whose status becomes a result.

use cudarc::cusolver::sys::cusolverStatus_t as Status;

use crate::device::cuda::sys::error::{CallError, Result};

pub fn check(call: &'static str, status: Status) -> Result<()> {
    if status == Status::CUSOLVER_STATUS_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::CUSOLVER_STATUS_ALLOC_FAILED).then_some(0);
    Err(CallError { call, status: format!("{status:?}"), out_of_memory })
}

/// Calls a function of cuSOLVER by its name.
macro_rules! cusolver {
    ($name:ident($($argument:expr),* $(,)?)) => {
        $crate::device::cuda::sys::solver::call::check(
            stringify!($name),
            cudarc::cusolver::sys::$name($($argument),*),
        )
    };
}
pub(super) use cusolver;
