//! cuBLAS: products for the Gram matrix, and triangular solves.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::null_mut;

use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasDiagType_t as Diagonal, cublasFillMode_t as Fill,
    cublasGemmAlgo_t as Algorithm, cublasOperation_t as Operation, cublasStatus_t as Status, cudaDataType as DataType,
};

use super::driver::{DeviceMemory, Fault, Result, Stream};
use super::solver::Real;

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
    /// Most products that are added up in one go. Tensor cores truncate: on an H200, eigenvalues are off by 11 epsilon of the
    /// largest after sums of 1024, and by 5 after sums of 512.
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
}

/// Whether Gram matrices of order n are made in strips of columns, from the diagonal on: nearly half of the operations would go
/// into the other half. Smaller products do not fill a GPU.
pub(super) fn has_strips(n: usize) -> bool {
    n > 1024
}

/// Columns of a strip of a Gram matrix of order n.
fn strip_width(n: usize) -> usize {
    if has_strips(n) { n.div_ceil(8).next_multiple_of(128) } else { n }
}

/// A block of rows of the tall form A of W, as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Row after row.
    Rows,
    /// Column after column.
    Columns,
}

/// A matrix in columns, `lead` apart, from `offset` bytes on in `memory`; or its transpose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor<'m> {
    pub memory: &'m DeviceMemory,
    pub offset: usize,
    pub lead: usize,
    pub transposed: bool,
}

impl Factor<'_> {
    pub fn transpose(self) -> Self {
        Factor { transposed: !self.transposed, ..self }
    }

    /// The same without its first columns, elements being of that many bytes.
    pub fn columns_after(self, count: usize, bytes: usize) -> Self {
        Factor { offset: self.offset + count * self.lead * bytes, ..self }
    }

    /// The address, for a matrix of that many rows and columns once it is transposed or not.
    fn address(&self, rows: usize, columns: usize, bytes: usize) -> u64 {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        self.memory.range(self.offset, ((columns - 1) * self.lead + rows) * bytes)
    }

    fn operation(&self) -> Operation {
        if self.transposed { Operation::CUBLAS_OP_T } else { Operation::CUBLAS_OP_N }
    }
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
        unsafe { cublas!(cublasCreate_v2(&mut raw)) }.map_err(|fault| fault.of_handle(stream.context()))?;
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

    /// G = A^T A, or G += A^T A, for a block A of `count` x n elements at the start of `block`; G is n x n, and lies `offset`
    /// bytes into `gram`. What is above its diagonal is unspecified if it is made in strips ([`has_strips`]).
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
        let (depth, width) = (product.depth().min(count), strip_width(n));
        for row in (0..count).step_by(depth) {
            let rows = row..count.min(row + depth);
            for first in (0..n).step_by(width) {
                let (strip, accumulate) = (first..n.min(first + width), accumulate || row > 0);
                self.add_gram_strip(product, layout, [count, n], rows.clone(), block, gram, offset, accumulate, strip)?;
            }
        }
        Ok(())
    }

    /// The same for some rows of A, and the columns `strip` of G, from the diagonal of the first of them on.
    #[allow(clippy::too_many_arguments)] // as many as a product has
    pub fn add_gram_strip(
        &self,
        product: Product,
        layout: Layout,
        [count, n]: [usize; 2],
        rows: Range<usize>,
        block: &DeviceMemory,
        gram: &DeviceMemory,
        offset: usize,
        accumulate: bool,
        strip: Range<usize>,
    ) -> Result<()> {
        let result_bytes = if product == Product::F64 { 8 } else { 4 };
        let first = strip.start;
        let gram_offset = offset + first * (n + 1) * result_bytes;
        let gram = gram.range(gram_offset, ((strip.len() - 1) * n + n - first) * result_bytes) as *mut std::ffi::c_void;
        // cuBLAS thinks in columns: rows one after the other are the columns of A^T.
        let (left, right, stride, skipped) = match layout {
            Layout::Rows => (Operation::CUBLAS_OP_N, Operation::CUBLAS_OP_T, n, rows.start * n + first),
            Layout::Columns => (Operation::CUBLAS_OP_T, Operation::CUBLAS_OP_N, count, first * count + rows.start),
        };
        let bytes = product.factor_bytes();
        let block = block.range(skipped * bytes, (count * n - skipped) * bytes) as *const std::ffi::c_void;
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
                order,
                compute,
                Algorithm::CUBLAS_GEMM_DEFAULT,
            ))
        }
    }

    /// C = alpha A B + beta C for A of m x k and B of k x n elements, all of one type; C is not transposed, and does not
    /// overlap A and B.
    #[allow(clippy::too_many_arguments)] // as many as a product has
    pub fn multiply(
        &self,
        real: Real,
        [m, n, k]: [usize; 3],
        alpha: f64,
        a: Factor,
        b: Factor,
        beta: f64,
        c: Factor,
    ) -> Result<()> {
        assert!(!c.transposed);
        let bytes = real.bytes();
        let left = a.address(m, k, bytes) as *const std::ffi::c_void;
        let right = b.address(k, n, bytes) as *const std::ffi::c_void;
        let result = c.address(m, n, bytes) as *mut std::ffi::c_void;
        let (kind, compute) = match real {
            Real::F32 => (DataType::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F_PEDANTIC),
            Real::F64 => (DataType::CUDA_R_64F, Compute::CUBLAS_COMPUTE_64F),
        };
        let double = [alpha, beta];
        let single = double.map(|factor| factor as f32);
        let [alpha, beta]: [*const std::ffi::c_void; 2] = match real {
            Real::F32 => single.each_ref().map(|factor| std::ptr::from_ref(factor).cast()),
            Real::F64 => double.each_ref().map(|factor| std::ptr::from_ref(factor).cast()),
        };
        // SAFETY: the ranges were checked; the scalars are read before the call returns (pointer mode host, the default).
        unsafe {
            cublas!(cublasGemmEx(
                self.raw,
                a.operation(),
                b.operation(),
                m as i32,
                n as i32,
                k as i32,
                alpha,
                left,
                kind,
                a.lead as i32,
                right,
                kind,
                b.lead as i32,
                beta,
                result,
                kind,
                c.lead as i32,
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
