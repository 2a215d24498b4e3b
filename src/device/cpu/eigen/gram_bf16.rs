//! Products of bf16 weights by the instruction for them. It adds two products at a time, twice as many as instructions for f32.
//!
//! Two rows of A are packed as one row of pairs of bf16, each as wide as an f32. A product of two bf16 is exact in f32, and sums
//! are rounded after each, as accurately as in multiply-adds of f32. Subnormal numbers count as zero; with the largest weight
//! between 1 and 2, they are far below rounding errors.
#![allow(unsafe_code)]

use std::any::TypeId;

use pulp::Simd;

use super::super::simd::{Level, Real};
use super::kernel::{self, Sums};
use crate::checkpoint::{Cast, FloatType, MatrixView};

/// Rows of A in a row of pairs.
pub const ROWS: usize = 2;

/// Whether the Gram matrix of these weights in T is formed by these products.
pub fn applies<T: Real>(view: &MatrixView, level: Level) -> bool {
    let is_bf16 = view.cast() == Cast::Bf16 || (view.cast() == Cast::None && view.dtype() == FloatType::BF16);
    level.multiplies_bf16() && is_bf16 && TypeId::of::<T>() == TypeId::of::<f32>()
}

/// Packs two f32 that are exact in bf16 into one word.
#[inline(always)]
pub fn pair(first: f32, second: f32) -> u32 {
    (first.to_bits() >> 16) | (second.to_bits() & 0xffff_0000)
}

/// The [`product`](kernel::product) of `depth` rows of MR pairs at `a` and as many of [`width`](kernel::width) pairs at `b`.
///
/// # Safety
///
/// Both can be read, and [`applies`] returned true for T and for the level at which this runs.
#[inline(always)]
pub unsafe fn product<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    a: *const T,
    b: *const T,
) -> Sums<T, S, MR, NV> {
    let mut sums = kernel::zero::<T, S, MR, NV>(simd);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise; T is f32 and S has AVX-512, so the sums are MR times NV vectors of 16.
    unsafe {
        x86::sum::<MR, NV>(depth, a.cast(), b.cast(), (&raw mut sums).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (depth, a, b, &mut sums);
        unreachable!("no level of this architecture multiplies bf16");
    }
    sums
}

/// Pairs in a partial sum.
///
/// Squares of bf16 have few digits, so the exact sum is often half-way between two f32 numbers. It is rounded to the even one,
/// and in a long sum that is always the lower. The mean error of a sum of 512 squares is -8 epsilon, of 64 squares -0.3.
#[cfg(target_arch = "x86_64")]
const CHUNK: usize = 32;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CHUNK;
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };
    use std::mem::transmute;

    /// # Safety
    ///
    /// `depth` rows of MR pairs can be read at `a`, as many of NV vectors of pairs at `b`, and MR rows of NV vectors written at
    /// `result`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub unsafe fn sum<const MR: usize, const NV: usize>(
        depth: usize,
        a: *const i32,
        b: *const __m512i,
        result: *mut f32,
    ) {
        let mut totals = [[_mm512_setzero_ps(); NV]; MR];
        // SAFETY: the caller's promise; vectors of bf16 are plain bits, and no load or store here requires alignment.
        unsafe {
            for start in (0..depth).step_by(CHUNK) {
                let mut sums = [[_mm512_setzero_ps(); NV]; MR];
                for k in start..depth.min(start + CHUNK) {
                    let mut bs = [transmute::<__m512i, __m512bh>(_mm512_set1_epi32(0)); NV];
                    for (j, b_vector) in bs.iter_mut().enumerate() {
                        *b_vector = transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.add(k * NV + j)));
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let factor = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*a.add(k * MR + i)));
                        for (sum, &b) in sums.iter_mut().zip(&bs) {
                            *sum = _mm512_dpbf16_ps(*sum, factor, b);
                        }
                    }
                }
                for (total, sum) in totals.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                    *total = _mm512_add_ps(*total, *sum);
                }
            }
            for (index, &sum) in totals.as_flattened().iter().enumerate() {
                _mm512_storeu_ps(result.add(index * 16), sum);
            }
        }
    }
}
