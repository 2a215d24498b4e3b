//! What can go wrong on a GPU, and what the user is told.

use super::sys::error::CallError;
use crate::device::Failure;
use crate::error::Error;

/// An error of a job: its matrix failed, or the GPU did.
pub enum JobError {
    Matrix(Failure),
    Gpu(CallError),
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> JobError {
        JobError::Matrix(failure)
    }
}

impl From<CallError> for JobError {
    fn from(error: CallError) -> JobError {
        JobError::Gpu(error)
    }
}

/// Separates matrix failures (values) from GPU failures (errors).
pub fn separate<T>(outcome: Result<T, JobError>) -> Result<Result<T, Failure>, CallError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(JobError::Matrix(failure)) => Ok(Err(failure)),
        Err(JobError::Gpu(error)) => Err(error),
    }
}

/// The error of a run whose GPU failed.
pub fn device_error(error: &CallError) -> Error {
    let hint = match error.out_of_memory {
        Some(_) => "another program may be using its memory: try §threads=1",
        None => "run it again; if that does not help, §(doctor) checks the installation, and §device=cpu needs no GPU",
    };
    Error::device(format!("the GPU failed: {error}")).hint(hint)
}
