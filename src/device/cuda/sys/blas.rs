//! cuBLAS: products for the Gram matrix, and triangular solves.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{from_ref, null_mut};

use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasDiagType_t as Diagonal, cublasFillMode_t as Fill,
    cublasGemmAlgo_t as Algorithm, cublasOperation_t as Operation, cublasStatus_t as Status, cudaDataType as DataType,
};

use super::error::{CallError, Result};
use super::matrix::Matrix;
use super::memory::{DeviceMemory, DeviceSlice};
use super::scalar::{Real, Scalar};
use super::stream::Stream;

/// Workspace of a cuBLAS handle in bytes, so that cuBLAS allocates nothing itself and lanes do not disturb each other's
/// results. NVIDIA recommends this much for Hopper.
pub const WORKSPACE_BYTES: u64 = 32 << 20;

fn check(call: &'static str, status: Status) -> Result<()> {
    if status == Status::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::CUBLAS_STATUS_ALLOC_FAILED).then_some(0);
    Err(CallError { call, status: format!("{status:?}"), out_of_memory })
}

macro_rules! cublas {
    ($name:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($name), sys::$name($($argument),*))
    };
}

/// The types of a product: elements of the factors, elements of the result, and the arithmetic in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
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
    /// The product whose factors and result have this type.
    pub fn of<T: Scalar>() -> Product {
        match T::REAL {
            Real::F32 => Product::F32,
            Real::F64 => Product::F64,
        }
    }

    /// The most products that are added up in one call. Tensor cores truncate: on an H200, eigenvalues are off by 11 epsilon of
    /// the largest after sums of 1024, and by 5 after sums of 512.
    fn depth(self) -> usize {
        match self {
            Product::Bf16 | Product::F16 => 512,
            Product::F32 | Product::F64 => usize::MAX,
        }
    }

    /// Bytes of an element of the factors.
    pub fn factor_bytes(self) -> usize {
        match self {
            Product::Bf16 | Product::F16 => 2,
            Product::F32 => 4,
            Product::F64 => 8,
        }
    }

    /// The type of the result.
    fn result(self) -> Real {
        match self {
            Product::Bf16 | Product::F16 | Product::F32 => Real::F32,
            Product::F64 => Real::F64,
        }
    }

    /// The type of the factors, and how products are added up, as cuBLAS names them.
    fn types(self) -> (DataType, Compute) {
        match self {
            Product::Bf16 => (DataType::CUDA_R_16BF, Compute::CUBLAS_COMPUTE_32F),
            Product::F16 => (DataType::CUDA_R_16F, Compute::CUBLAS_COMPUTE_32F),
            Product::F32 => (f32::BLAS_TYPE, f32::COMPUTE),
            Product::F64 => (f64::BLAS_TYPE, f64::COMPUTE),
        }
    }
}

/// Whether Gram matrices of order n are computed in strips of columns, from the diagonal on, which saves nearly half of the
/// operations. Smaller products do not fill a GPU.
pub fn has_strips(n: usize) -> bool {
    n > 1024
}

/// Columns of a strip of a Gram matrix of order n.
fn strip_width(n: usize) -> usize {
    if has_strips(n) { n.div_ceil(8).next_multiple_of(128) } else { n }
}

/// The order of the elements of a block of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row after row.
    Rows,
    /// Column after column.
    Columns,
}

/// A block A of `rows` x `columns` elements at the start of `data`, in the type of the product's factors.
#[derive(Debug, Clone, Copy)]
pub struct GramBlock<'m> {
    pub product: Product,
    pub layout: Layout,
    pub rows: usize,
    pub columns: usize,
    pub data: DeviceSlice<'m, u8>,
}

/// A cuBLAS handle, bound to a stream.
#[derive(Debug)]
pub struct Blas {
    raw: sys::cublasHandle_t,
    workspace: DeviceMemory,
}

impl Blas {
    pub fn new(stream: &Stream) -> Result<Blas> {
        let workspace = DeviceMemory::new(stream.context(), WORKSPACE_BYTES)?;
        let mut raw = null_mut();
        // SAFETY: writes one handle; the stream's context is current on this thread.
        unsafe { cublas!(cublasCreate_v2(&mut raw)) }.map_err(|error| stream.context().handle_error(error))?;
        let blas = Blas { raw, workspace };
        let workspace = blas.workspace.all::<u8>();
        // SAFETY: handle and stream exist, and the lane that owns both drops the handle first. The workspace is set after
        // the stream, which resets it.
        unsafe {
            cublas!(cublasSetStream_v2(blas.raw, stream.raw().cast()))?;
            cublas!(cublasSetWorkspace_v2(blas.raw, workspace.pointer().cast(), workspace.bytes()))?;
        }
        Ok(blas)
    }

    /// G = A^T A, or G += A^T A if `accumulate`, for the n x n matrix G at the start of `gram`, n being the columns of A. The
    /// upper half of G is unspecified if it is computed in strips ([`has_strips`]).
    pub fn add_gram<T: Scalar>(&self, block: GramBlock, gram: DeviceSlice<T>, accumulate: bool) -> Result<()> {
        let GramBlock { product, rows: count, columns: n, .. } = block;
        let (depth, width) = (product.depth().min(count), strip_width(n));
        for row in (0..count).step_by(depth) {
            let rows = row..count.min(row + depth);
            for first in (0..n).step_by(width) {
                let strip = first..n.min(first + width);
                self.add_gram_strip(block, rows.clone(), strip, gram, accumulate || row > 0)?;
            }
        }
        Ok(())
    }

    /// The same for some rows of A, and the columns `strip` of G, from the diagonal of the first of them on.
    pub fn add_gram_strip<T: Scalar>(
        &self,
        block: GramBlock,
        rows: Range<usize>,
        strip: Range<usize>,
        gram: DeviceSlice<T>,
        accumulate: bool,
    ) -> Result<()> {
        let GramBlock { product, layout, rows: count, columns: n, data } = block;
        assert_eq!(product.result(), T::REAL);
        let first = strip.start;
        let gram = gram.part(first * (n + 1)..(first + strip.len() - 1) * n + n);
        // cuBLAS thinks in columns: rows one after the other are the columns of A^T.
        let (left, right, stride, skipped) = match layout {
            Layout::Rows => (Operation::CUBLAS_OP_N, Operation::CUBLAS_OP_T, n, rows.start * n + first),
            Layout::Columns => (Operation::CUBLAS_OP_T, Operation::CUBLAS_OP_N, count, first * count + rows.start),
        };
        let bytes = product.factor_bytes();
        let data = data.part(skipped * bytes..count * n * bytes).pointer().cast_const().cast::<c_void>();
        let (factor, compute) = product.types();
        let (alpha, beta) = (T::nearest(1.0), T::nearest(if accumulate { 1.0 } else { 0.0 }));
        let (below, columns) = ((n - first) as i32, strip.len() as i32);
        let (order, depth, stride) = (n as i32, rows.len() as i32, stride as i32);
        // SAFETY: the ranges were checked; the scalars are read before the call returns (pointer mode host, the default).
        unsafe {
            cublas!(cublasGemmEx(
                self.raw,
                left,
                right,
                below,
                columns,
                depth,
                from_ref(&alpha).cast(),
                data,
                factor,
                stride,
                data,
                factor,
                stride,
                from_ref(&beta).cast(),
                gram.pointer().cast(),
                T::BLAS_TYPE,
                order,
                compute,
                Algorithm::CUBLAS_GEMM_DEFAULT,
            ))
        }
    }

    /// C = alpha A B + beta C for A of m x k and B of k x n elements; C is not transposed, and does not overlap A and B.
    pub fn multiply<T: Scalar>(
        &self,
        [m, n, k]: [usize; 3],
        (alpha, a, b): (f64, Matrix<T>, Matrix<T>),
        (beta, c): (f64, Matrix<T>),
    ) -> Result<()> {
        assert!(!c.is_transposed());
        let (left, right, result) = (a.elements(m, k), b.elements(k, n), c.elements(m, n));
        let (alpha, beta) = (T::nearest(alpha), T::nearest(beta));
        // SAFETY: the ranges were checked; the scalars are read before the call returns (pointer mode host, the default).
        unsafe {
            cublas!(cublasGemmEx(
                self.raw,
                operation(a.is_transposed()),
                operation(b.is_transposed()),
                m as i32,
                n as i32,
                k as i32,
                from_ref(&alpha).cast(),
                left.pointer().cast_const().cast(),
                T::BLAS_TYPE,
                a.lead() as i32,
                right.pointer().cast_const().cast(),
                T::BLAS_TYPE,
                b.lead() as i32,
                from_ref(&beta).cast(),
                result.pointer().cast(),
                T::BLAS_TYPE,
                c.lead() as i32,
                T::COMPUTE,
                Algorithm::CUBLAS_GEMM_DEFAULT,
            ))
        }
    }

    /// Replaces x by T^-1 x for the triangle T at the start of `triangle`, or its transpose, whose order is the length of x.
    /// `upper` says in which half of the memory the triangle is.
    pub fn solve_triangle(&self, upper: bool, triangle: Matrix<f64>, x: DeviceSlice<f64>) -> Result<()> {
        let fill = if upper { Fill::CUBLAS_FILL_MODE_UPPER } else { Fill::CUBLAS_FILL_MODE_LOWER };
        let operation = operation(triangle.is_transposed());
        let diagonal = Diagonal::CUBLAS_DIAG_NON_UNIT;
        let elements = triangle.elements(x.len(), x.len()).pointer();
        let (n, stride) = (x.len() as i32, triangle.lead() as i32);
        // SAFETY: the ranges were checked.
        unsafe { cublas!(cublasDtrsv_v2(self.raw, fill, operation, diagonal, n, elements, stride, x.pointer(), 1)) }
    }
}

fn operation(transposed: bool) -> Operation {
    if transposed { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cublas!(cublasDestroy_v2(self.raw)) };
    }
}
