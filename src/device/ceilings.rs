//! What hardware can do at best, to see how much of it an eigensolver uses.

use serde::Serialize;

/// Peak rates of a device, measured, not looked up: the best of several runs each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ceilings {
    /// What they were measured with: `2 threads`, `1 GPU`.
    pub measured_with: String,
    /// What was copied: from memory to memory, or from page-locked memory to a GPU.
    pub copy: &'static str,
    /// Copied bytes (not read plus written ones) per second, in 10^9.
    pub copy_gb_per_s: f64,
    /// 10^9 floating-point operations per second of a square product in f32.
    pub gemm_f32_gflops: f64,
    /// The same in f64.
    pub gemm_f64_gflops: f64,
    /// The same of bf16 factors, added up in f32; none where that is not measured.
    pub gemm_bf16_gflops: Option<f64>,
}

/// Floating-point operations of a product of two n x n matrices.
pub(super) fn product_flops(n: usize) -> f64 {
    2.0 * (n as f64).powi(3)
}
