//! cuBLAS: products for the Gram matrix, and triangular solves.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasDiagType_t as Diagonal, cublasFillMode_t as Fill,
    cublasGemmAlgo_t as Algorithm, cublasOperation_t as Operation, cublasStatus_t as Status, cudaDataType as DataType,
};

use super::driver::{DeviceMemory, Fault, Result, Stream};

/// Bytes that cuBLAS is given to work in, so that it allocates nothing itself and several lanes do not disturb each other's
/// results. What NVIDIA recommends for Hopper.
pub(super) const WORKSPACE_BYTES: u64 = 32 << 20;

fn check(call: &'static str, status: Status) -> Result<()> {
    if status == Status::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::CUBLAS_STATUS_ALLOC_FAILED).then_some(0);
    Err(Fault { call, status: format!("{status:?}"), out_of_memory })
}

macro_rules! cublas {
    ($name:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($name), sys::$name($($argument),*))
    };
}

/// The types of a product: elements of the factors, of the result, and the arithmetic in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    /// bf16 times bf16, which is exact in f32, added up in f32 on tensor cores.
    Bf16,
    /// The same for fp16.
    F16,
    /// f32 throughout: never TF32.
    F32,
    /// f64 throughout.
    F64,
}

impl Product {
    /// Bytes of an element of the factors.
    pub fn factor_bytes(self) -> usize {
        match self {
            Product::Bf16 | Product::F16 => 2,
            Product::F32 => 4,
            Product::F64 => 8,
        }
    }
}

/// A block of rows of the tall form A of W, as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Row after row.
    Rows,
    /// Column after column.
    Columns,
}

/// A cuBLAS handle, bound to a stream.
#[derive(Debug)]
pub(super) struct Blas {
    raw: sys::cublasHandle_t,
    workspace: DeviceMemory,
}

impl Blas {
    pub fn new(stream: &Stream) -> Result<Blas> {
        let workspace = DeviceMemory::new(stream.context(), WORKSPACE_BYTES)?;
        let mut raw = null_mut();
        // SAFETY: writes one handle; the stream's context is current on this thread.
        unsafe { cublas!(cublasCreate_v2(&mut raw)) }?;
        let blas = Blas { raw, workspace };
        let bytes = blas.workspace.bytes();
        // SAFETY: handle and stream exist, and the lane that owns both drops the handle first. The workspace is set after
        // the stream, which resets it.
        unsafe {
            cublas!(cublasSetStream_v2(blas.raw, stream.raw().cast()))?;
            cublas!(cublasSetWorkspace_v2(blas.raw, blas.workspace.range(0, bytes) as *mut _, bytes))?;
        }
        Ok(blas)
    }

    /// G = A^T A, or G += A^T A, for a block A of `count` x n elements at the start of `block`; G is full, n x n, and lies
    /// `offset` bytes into `gram`.
    #[allow(clippy::too_many_arguments)] // as many as a product has
    pub fn add_gram(
        &self,
        product: Product,
        layout: Layout,
        [count, n]: [usize; 2],
        block: &DeviceMemory,
        gram: &DeviceMemory,
        offset: usize,
        accumulate: bool,
    ) -> Result<()> {
        let result_bytes = if product == Product::F64 { 8 } else { 4 };
        let block = block.range(0, count * n * product.factor_bytes()) as *const std::ffi::c_void;
        let gram = gram.range(offset, n * n * result_bytes) as *mut std::ffi::c_void;
        // cuBLAS thinks in columns: rows one after the other are the columns of A^T.
        let (left, right, stride) = match layout {
            Layout::Rows => (Operation::CUBLAS_OP_N, Operation::CUBLAS_OP_T, n),
            Layout::Columns => (Operation::CUBLAS_OP_T, Operation::CUBLAS_OP_N, count),
        };
        let (factor, result, compute) = match product {
            Product::Bf16 => (DataType::CUDA_R_16BF, DataType::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F),
            Product::F16 => (DataType::CUDA_R_16F, DataType::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F),
            Product::F32 => (DataType::CUDA_R_32F, DataType::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F_PEDANTIC),
            Product::F64 => (DataType::CUDA_R_64F, DataType::CUDA_R_64F, Compute::CUBLAS_COMPUTE_64F),
        };
        let single = [1.0_f32, f32::from(u8::from(accumulate))];
        let double = single.map(f64::from);
        let [alpha, beta]: [*const std::ffi::c_void; 2] = match product {
            Product::F64 => double.each_ref().map(|factor| std::ptr::from_ref(factor).cast()),
            _ => single.each_ref().map(|factor| std::ptr::from_ref(factor).cast()),
        };
        let (n, count, stride) = (n as i32, count as i32, stride as i32);
        // SAFETY: the ranges were checked; the scalars are read before the call returns (pointer mode host, the default).
        unsafe {
            cublas!(cublasGemmEx(
                self.raw,
                left,
                right,
                n,
                n,
                count,
                alpha,
                block,
                factor,
                stride,
                block,
                factor,
                stride,
                beta,
                gram,
                result,
                n,
                compute,
                Algorithm::CUBLAS_GEMM_DEFAULT,
            ))
        }
    }

    /// Replaces the n numbers at the start of `x` by the inverse of T, or of T^T, times them, for the n x n triangle T in f64,
    /// with columns `stride` apart, at the start of `triangle`.
    pub fn solve_triangle(
        &self,
        upper: bool,
        transpose: bool,
        [n, stride]: [usize; 2],
        triangle: &DeviceMemory,
        x: &DeviceMemory,
    ) -> Result<()> {
        let fill = if upper { Fill::CUBLAS_FILL_MODE_UPPER } else { Fill::CUBLAS_FILL_MODE_LOWER };
        let operation = if transpose { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N };
        let diagonal = Diagonal::CUBLAS_DIAG_NON_UNIT;
        let triangle = triangle.range(0, ((n - 1) * stride + n) * 8) as *const f64;
        let x = x.range(0, n * 8) as *mut f64;
        // SAFETY: the ranges were checked.
        unsafe { cublas!(cublasDtrsv_v2(self.raw, fill, operation, diagonal, n as i32, triangle, stride as i32, x, 1)) }
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cublas!(cublasDestroy_v2(self.raw)) };
    }
}
