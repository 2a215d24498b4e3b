//! The product of two narrow matrices: the kernel of everything that multiplies matrices here.
#![allow(unsafe_code)]

use pulp::{Simd, WithSimd};

use super::super::simd::Real;

/// MR rows of NV vectors each: sums that stay in registers.
pub type Sums<T, S, const MR: usize, const NV: usize> = [[<T as Real>::Vector<S>; NV]; MR];

/// The most rows of [`Sums`].
pub const MAX_ROWS: usize = 16;

/// Work that uses the kernel: NV vectors wide, and MR rows high, as many as the registers allow.
pub trait WithRows {
    /// Whether strips of two vectors are too wide for this work.
    #[inline(always)]
    fn is_narrow<S: Simd>(&self) -> bool {
        false
    }

    /// Does the work.
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S);
}

/// [`WithRows`] as a [`WithSimd`].
pub struct Rows<W>(pub W);

impl<W: WithRows> WithSimd for Rows<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Work is narrow only for vectors of 16 elements, and a processor that has those has 32 registers.
        if self.0.is_narrow::<S>() {
            self.0.perform::<S, 16, 1>(simd);
        } else if S::REGISTER_COUNT >= 32 {
            self.0.perform::<S, 12, 2>(simd);
        } else {
            self.0.perform::<S, 6, 2>(simd);
        }
    }
}

/// Elements of a row of [`Sums`], and of a strip.
#[inline(always)]
pub fn width<T: Real, S: Simd, const NV: usize>() -> usize {
    NV * T::lanes::<S>()
}

/// Zeros.
#[inline(always)]
pub fn zero<T: Real, S: Simd, const MR: usize, const NV: usize>(simd: S) -> Sums<T, S, MR, NV> {
    [[T::splat(simd, T::from_f64(0.0)); NV]; MR]
}

/// Adds to row i of `sums` a[i, k] b[k, ..] for all k below `depth`.
///
/// a[i, k] is at `a + i * row + k * step`; the rows of b follow each other. Twelve rows of two vectors (six on processors with
/// 16 registers) hide the latency of the multiply-adds and leave the load units half idle. Sixteen rows of one vector hide it,
/// too, and fit the square products of strips without waste, but take one load for each multiply-add.
///
/// # Safety
///
/// `depth` rows of [`width`] elements can be read at `b`, and a[i, k] for all i below MR and k below `depth`.
#[inline(always)]
pub unsafe fn product<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sums: Sums<T, S, MR, NV>,
    depth: usize,
    a: (*const T, usize, usize),
    b: *const T,
) -> Sums<T, S, MR, NV> {
    // SAFETY: the caller's promise.
    unsafe { product_with::<T, S, MR, NV>(simd, sums, depth, a, b, None) }
}

/// The same as [`product`]. Also prefetches elements from `ahead` on into the second-level cache, as many as it reads of a.
///
/// # Safety
///
/// As for [`product`]; nothing is required of `ahead`.
#[inline(always)]
pub unsafe fn product_with<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut sums: Sums<T, S, MR, NV>,
    depth: usize,
    (a, row, step): (*const T, usize, usize),
    b: *const T,
    ahead: Option<*const T>,
) -> Sums<T, S, MR, NV> {
    let lanes = T::lanes::<S>();
    for k in 0..depth {
        if let Some(ahead) = ahead {
            for line in (0..MR * size_of::<T>()).step_by(CACHE_LINE) {
                prefetch(ahead.wrapping_add(k * MR).wrapping_byte_add(line));
            }
        }
        // SAFETY: the caller's promise.
        unsafe {
            let mut bs = [T::splat(simd, T::from_f64(0.0)); NV];
            for (j, b_vector) in bs.iter_mut().enumerate() {
                *b_vector = T::load::<S>(b.add((k * NV + j) * lanes));
            }
            let a = a.add(k * step);
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = T::splat(simd, *a.add(i * row));
                for (sum, &b) in sums.iter_mut().zip(&bs) {
                    *sum = T::mul_add(simd, factor, b, *sum);
                }
            }
        }
    }
    sums
}

/// Prefetches [`width`] elements of MR rows of c, which are `stride` apart.
#[inline(always)]
pub fn prefetch_rows<T: Real, S: Simd, const MR: usize, const NV: usize>(c: *const T, stride: usize) {
    for row in 0..MR {
        let c = c.wrapping_add(row * stride).cast::<u8>();
        for line in (0..width::<T, S, NV>() * size_of::<T>()).step_by(CACHE_LINE) {
            prefetch(c.wrapping_add(line));
        }
    }
}

/// Bytes of a cache line.
pub const CACHE_LINE: usize = 64;

/// Prefetches a cache line; any address is allowed.
#[inline(always)]
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch affects only caches, and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Adds `sums` times `sign` to MR rows of c, which are `stride` apart.
///
/// # Safety
///
/// [`width`] elements of each row can be read and written.
#[inline(always)]
pub unsafe fn add_to<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sums: &Sums<T, S, MR, NV>,
    sign: f64,
    c: *mut T,
    stride: usize,
) {
    let lanes = T::lanes::<S>();
    let sign = T::splat(simd, T::from_f64(sign));
    for (i, row) in sums.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let c = c.add(i * stride + j * lanes);
                T::store::<S>(c, T::mul_add(simd, sign, sum, T::load::<S>(c)));
            }
        }
    }
}

/// Writes the first `count` rows of `sums` to rows of c, which are `stride` apart.
///
/// # Safety
///
/// [`width`] elements of each row can be written.
#[inline(always)]
pub unsafe fn write_to<T: Real, S: Simd, const MR: usize, const NV: usize>(
    sums: &Sums<T, S, MR, NV>,
    count: usize,
    c: *mut T,
    stride: usize,
) {
    let lanes = T::lanes::<S>();
    for (i, row) in sums.iter().enumerate().take(count) {
        for (j, &sum) in row.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { T::store::<S>(c.add(i * stride + j * lanes), sum) };
        }
    }
}
