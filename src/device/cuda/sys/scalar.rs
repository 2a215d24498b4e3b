//! The two types of numbers that matrices are computed in.
#![allow(unsafe_code)]

use std::fmt;

use cudarc::cublas::sys::{cublasComputeType_t as Compute, cudaDataType as BlasType};
use cudarc::cusolver::sys::cudaDataType as SolverType;

/// Numbers that may be copied to and from a GPU byte by byte.
///
/// # Safety
///
/// Every bit pattern is valid and there is no padding.
pub unsafe trait Plain: Copy + Default + 'static {}
// SAFETY: plain numbers.
unsafe impl Plain for u8 {}
// SAFETY: plain numbers.
unsafe impl Plain for i32 {}
// SAFETY: plain numbers.
unsafe impl Plain for u32 {}
// SAFETY: plain numbers.
unsafe impl Plain for u64 {}
// SAFETY: plain numbers.
unsafe impl Plain for f32 {}
// SAFETY: plain numbers.
unsafe impl Plain for f64 {}

/// f32 or f64.
pub trait Scalar: Plain + Into<f64> + fmt::Debug {
    /// Which of the two, for what is chosen at run time.
    const REAL: Real;
    /// The distance from 1 to the next number.
    const EPSILON: f64;
    const BLAS_TYPE: BlasType;
    const SOLVER_TYPE: SolverType;
    /// How cuBLAS adds up products: in this type throughout, never TF32.
    const COMPUTE: Compute;

    /// The nearest number.
    fn nearest(value: f64) -> Self;
}

/// The type of a [`Scalar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Real {
    F32,
    F64,
}

impl Scalar for f32 {
    const REAL: Real = Real::F32;
    const EPSILON: f64 = f32::EPSILON as f64;
    const BLAS_TYPE: BlasType = BlasType::CUDA_R_32F;
    const SOLVER_TYPE: SolverType = SolverType::CUDA_R_32F;
    const COMPUTE: Compute = Compute::CUBLAS_COMPUTE_32F_PEDANTIC;

    fn nearest(value: f64) -> f32 {
        value as f32
    }
}

impl Scalar for f64 {
    const REAL: Real = Real::F64;
    const EPSILON: f64 = f64::EPSILON;
    const BLAS_TYPE: BlasType = BlasType::CUDA_R_64F;
    const SOLVER_TYPE: SolverType = SolverType::CUDA_R_64F;
    const COMPUTE: Compute = Compute::CUBLAS_COMPUTE_64F;

    fn nearest(value: f64) -> f64 {
        value
    }
}
