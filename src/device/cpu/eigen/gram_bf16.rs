//! Products of bf16 weights by the instruction for them, which adds up two at a time, and so twice as many as f32 can.
//!
//! Two rows of A are packed as one of pairs of bf16, each as wide as an f32. A product of two bf16 is exact in f32, and sums are
//! rounded after each: as accurate as multiply-adds of f32. Numbers too small for normal f32 count as zero. With the largest
//! weight between 1 and 2, they are far below what rounding loses.
#![allow(unsafe_code)]

use std::any::TypeId;

use pulp::Simd;

use super::super::simd::{Level, Real};
use super::kernel::{self, Sums};
use crate::checkpoint::{Cast, FloatType, MatrixView};

/// Rows of A that a pair stands for.
pub const ROWS: usize = 2;

/// Whether the Gram matrix of these weights in T is made of such products.
pub fn applies<T: Real>(view: &MatrixView, level: Level) -> bool {
    let is_bf16 = view.cast() == Cast::Bf16 || (view.cast() == Cast::None && view.dtype() == FloatType::BF16);
    level.multiplies_bf16() && is_bf16 && TypeId::of::<T>() == TypeId::of::<f32>()
}

/// Two numbers that are bf16 in one word.
#[inline(always)]
pub fn pair(first: f32, second: f32) -> u32 {
    (first.to_bits() >> 16) | (second.to_bits() & 0xffff_0000)
}

/// The [`product`](kernel::product) of `depth` rows of MR pairs at `a` and as many of [`width`](kernel::width) pairs at `b`.
///
/// # Safety
///
/// Those can be read, [`applies`] said so for T, and this runs at the level that it said so for.
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

/// Pairs that are added up before their sum is added to that of others.
///
/// Squares of bf16 have few digits, and so many of them lie half-way between two sums in f32, and are rounded to the even one, which
/// then is the last as well: all of those are rounded down. The mean error of a sum of 512 is -8 epsilon, of 64 it is -0.3.
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
        // SAFETY: the caller's promise; vectors of bf16 are plain bits, and nothing need be aligned to vectors.
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
