//! Peak rates of hardware, for comparison with what an eigensolver reaches.

use serde::Serialize;

/// Measured peak rates of a device: the best of several runs each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ceilings {
    /// The hardware that was measured: `2 threads`, `1 GPU`.
    pub measured_with: String,
    /// The copy that was measured: memory to memory, or page-locked memory to a GPU.
    pub copy: &'static str,
    /// Copied bytes per second, in 10^9; each byte counts once, not as a read and a write.
    pub copy_gb_per_s: f64,
    /// Floating-point operations per second of a square matrix product in f32, in 10^9.
    pub gemm_f32_gflops: f64,
    /// The same in f64.
    pub gemm_f64_gflops: f64,
    /// The same for bf16 factors with sums in f32; `None` where it is not measured.
    pub gemm_bf16_gflops: Option<f64>,
}

/// Floating-point operations of the product of two n x n matrices.
pub(super) fn product_flops(n: usize) -> f64 {
    2.0 * (n as f64).powi(3)
}
