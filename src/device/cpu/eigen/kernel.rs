//! The product of two narrow matrices, from which the whole first stage is built.
#![allow(unsafe_code)]

use pulp::{Simd, WithSimd};

use super::super::simd::Real;

/// MR rows of two vectors each: sums in registers.
pub type Sums<T, S, const MR: usize> = [[<T as Real>::Vector<S>; 2]; MR];

/// Work with the kernel, whose height MR follows from the number of registers.
pub trait WithRows {
    /// Does it.
    fn perform<S: Simd, const MR: usize>(self, simd: S);
}

/// [`WithRows`] as a [`WithSimd`].
pub struct Rows<W>(pub W);

impl<W: WithRows> WithSimd for Rows<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.0.perform::<S, 12>(simd) } else { self.0.perform::<S, 6>(simd) }
    }
}

/// Elements of a row of [`Sums`].
#[inline(always)]
pub fn width<T: Real, S: Simd>() -> usize {
    2 * T::lanes::<S>()
}

/// Sums of nothing.
#[inline(always)]
pub fn zero<T: Real, S: Simd, const MR: usize>(simd: S) -> Sums<T, S, MR> {
    [[T::splat(simd, T::from_f64(0.0)); 2]; MR]
}

/// Adds to row i of `sums` a[i, k] b[k, ..] for all k below `depth`.
///
/// a[i, k] lies at `a + i * row + k * step`; the rows of b follow each other. Twelve rows (six, where there are 16
/// registers) of two vectors hide the latency of the multiply-adds and leave the load units half idle.
///
/// # Safety
///
/// `depth` rows of [`width`] elements can be read at `b`, and a[i, k] for all i below MR and k below `depth`.
#[inline(always)]
pub unsafe fn product<T: Real, S: Simd, const MR: usize>(
    simd: S,
    sums: Sums<T, S, MR>,
    depth: usize,
    a: (*const T, usize, usize),
    b: *const T,
) -> Sums<T, S, MR> {
    // SAFETY: the caller's promise.
    unsafe { product_with::<T, S, MR>(simd, sums, depth, a, b, None) }
}

/// The same, and meanwhile `depth` cache lines from `ahead` on are fetched into the second-level cache.
///
/// # Safety
///
/// As for [`product`]; nothing is required of `ahead`.
#[inline(always)]
pub unsafe fn product_with<T: Real, S: Simd, const MR: usize>(
    simd: S,
    mut sums: Sums<T, S, MR>,
    depth: usize,
    (a, row, step): (*const T, usize, usize),
    b: *const T,
    ahead: Option<*const T>,
) -> Sums<T, S, MR> {
    let lanes = T::lanes::<S>();
    for k in 0..depth {
        if let Some(ahead) = ahead {
            prefetch(ahead.wrapping_byte_add(k * CACHE_LINE));
        }
        // SAFETY: the caller's promise.
        unsafe {
            let b0 = T::load::<S>(b.add(k * 2 * lanes));
            let b1 = T::load::<S>(b.add(k * 2 * lanes + lanes));
            let a = a.add(k * step);
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = T::splat(simd, *a.add(i * row));
                sums[0] = T::mul_add(simd, factor, b0, sums[0]);
                sums[1] = T::mul_add(simd, factor, b1, sums[1]);
            }
        }
    }
    sums
}

/// Asks for MR rows of c, which are `stride` apart, [`width`] elements of each.
#[inline(always)]
pub fn prefetch_rows<T: Real, S: Simd, const MR: usize>(c: *const T, stride: usize) {
    for row in 0..MR {
        let c = c.wrapping_add(row * stride).cast::<u8>();
        for line in (0..width::<T, S>() * size_of::<T>()).step_by(CACHE_LINE) {
            prefetch(c.wrapping_add(line));
        }
    }
}

/// Bytes of a cache line.
pub const CACHE_LINE: usize = 64;

/// Asks for a cache line; any address will do.
#[inline(always)]
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch has no effect but on caches, whatever the address.
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
pub unsafe fn add_to<T: Real, S: Simd, const MR: usize>(
    simd: S,
    sums: &Sums<T, S, MR>,
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
pub unsafe fn write_to<T: Real, S: Simd, const MR: usize>(
    sums: &Sums<T, S, MR>,
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
