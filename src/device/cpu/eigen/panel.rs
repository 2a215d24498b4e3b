//! Householder QR of a panel of columns, in vectors along its rows.
//!
//! A panel is stored as strips of [`kernel::width`] columns, each strip row after row. Reflectors stay unnormalized,
//! H = I - tau v v^T with v = x - beta e, which saves a second pass to scale them.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // several arrays share an index that the compiler unrolls

use pulp::Simd;

use super::super::simd::Real;
use super::kernel::{self, add_to, product, write_to};

/// The most columns of a strip: two vectors of 16.
pub const MAX_STRIP: usize = 32;

/// A panel: `strips` strips of all `rows` rows.
#[derive(Debug, Clone, Copy)]
pub struct Panel<T> {
    pub elements: *mut T,
    pub rows: usize,
    pub strips: usize,
}

impl<T: Real> Panel<T> {
    /// A pointer to a row of a strip.
    ///
    /// # Safety
    ///
    /// The row and the strip exist.
    #[inline(always)]
    pub unsafe fn at<S: Simd, const NV: usize>(self, strip: usize, row: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.elements.add((strip * self.rows + row) * kernel::width::<T, S, NV>()) }
    }
}

/// Receives the entries of R: column k of the panel, from its first row to the row of its pivot.
pub trait TakeR<T> {
    /// Receives R[i, k], i <= k.
    fn take(&mut self, i: usize, k: usize, value: T);
}

impl<T, F: FnMut(usize, usize, T)> TakeR<T> for F {
    fn take(&mut self, i: usize, k: usize, value: T) {
        self(i, k, value);
    }
}

/// Factorizes the rows `first..n` of `panel`. Reflectors replace the columns, with zeros above their first elements; their
/// factors go to `taus`, and R to `take_r`.
///
/// `small` holds 3 [`MAX_STRIP`]^2 elements.
///
/// # Safety
///
/// The panel and MR more rows can be read and written, and no other thread uses them. `first` <= n <= rows.
#[inline(always)]
pub unsafe fn factorize<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    panel: Panel<T>,
    first: usize,
    n: usize,
    taus: &mut [T],
    small: &mut [T],
    take_r: &mut impl TakeR<T>,
) {
    let p = kernel::width::<T, S, NV>();
    let zero = T::from_f64(0.0);
    for strip in 0..panel.strips {
        let top = first + strip * p;
        let taus = &mut taus[strip * p..][..p];
        // SAFETY: rows and strips exist.
        unsafe {
            let x = panel.at::<S, NV>(strip, 0);
            reflectors::<T, S, NV>(simd, x, top, n, taus, &mut |c, beta| {
                take_r.take(strip * p + c, strip * p + c, beta);
            });
            // Elements above the pivots belong to R.
            for c in 0..p {
                for i in (0..strip * p + c).take_while(|i| first + i < n) {
                    let element = x.add((first + i) * p + c);
                    take_r.take(i, strip * p + c, *element);
                    *element = zero;
                }
            }
            if strip + 1 < panel.strips && top < n {
                apply_to_next::<T, S, MR, NV>(simd, panel, strip, top, n, taus, small);
            }
        }
    }
}

/// Factorizes one strip, column by column. Each pass applies a reflector, and computes with the column that it has just updated
/// the products that the next reflector needs.
///
/// # Safety
///
/// As for [`factorize`], for the strip at `x`.
#[inline(always)]
unsafe fn reflectors<T: Real, S: Simd, const NV: usize>(
    simd: S,
    x: *mut T,
    top: usize,
    n: usize,
    taus: &mut [T],
    take_beta: &mut impl FnMut(usize, T),
) {
    let p = kernel::width::<T, S, NV>();
    let zero = T::from_f64(0.0);
    let mut dots = [zero; MAX_STRIP];
    // SAFETY: rows below n exist, and vectors are within rows.
    unsafe {
        pass::<T, S, NV, false>(simd, x, top..n, None, 0, &mut dots);
        for c in 0..p {
            let pivot = top + c;
            if pivot >= n {
                taus[c] = zero;
                continue;
            }
            let row = x.add(pivot * p);
            let alpha = *row.add(c);
            let Reflector { beta, head, tau } = Reflector::new(alpha, dots[c]);
            taus[c] = tau;
            take_beta(c, beta);
            let mut factors = [zero; MAX_STRIP];
            if tau == zero {
                // The column counts as zero below its pivot.
                for r in pivot + 1..n {
                    *x.add(r * p + c) = zero;
                }
            } else {
                for other in c + 1..p {
                    let factor = tau * (head * *row.add(other) + dots[other]);
                    factors[other] = factor;
                    *row.add(other) = *row.add(other) - head * factor;
                }
            }
            *row.add(c) = head;
            if c + 1 < p {
                let minus = factors.map(|factor| zero - factor);
                pass::<T, S, NV, true>(simd, x, pivot + 1..n, Some((c, &minus)), c + 1, &mut dots);
            }
        }
    }
}

/// Applies a reflector, given by its column and its factors for the other columns, to the rows `rows`. Then computes the products
/// of column `next` with all columns over all of these rows but the first.
///
/// # Safety
///
/// The rows exist and no other thread uses them.
#[inline(always)]
unsafe fn pass<T: Real, S: Simd, const NV: usize, const APPLY: bool>(
    simd: S,
    x: *mut T,
    rows: std::ops::Range<usize>,
    reflector: Option<(usize, &[T; MAX_STRIP])>,
    next: usize,
    dots: &mut [T; MAX_STRIP],
) {
    let (p, lanes) = (kernel::width::<T, S, NV>(), T::lanes::<S>());
    let zero = T::splat(simd, T::from_f64(0.0));
    if rows.is_empty() {
        return;
    }
    // SAFETY: the caller's promise; `dots` and the factors have room for NV vectors.
    unsafe {
        let mut column = 0;
        let mut factors = [zero; NV];
        if let Some((col, elements)) = reflector {
            column = col;
            for (j, factor) in factors.iter_mut().enumerate() {
                *factor = T::load::<S>(elements.as_ptr().add(j * lanes));
            }
        }
        let mut sums = [[zero; NV]; 4];
        update::<T, S, NV, APPLY>(simd, x.add(rows.start * p), column, &factors);
        let mut r = rows.start + 1;
        while r + 4 <= rows.end {
            for (i, sums) in sums.iter_mut().enumerate() {
                let row = x.add((r + i) * p);
                let a = update::<T, S, NV, APPLY>(simd, row, column, &factors);
                let v = T::splat(simd, *row.add(next));
                for (sum, &a) in sums.iter_mut().zip(&a) {
                    *sum = T::mul_add(simd, v, a, *sum);
                }
            }
            r += 4;
        }
        while r < rows.end {
            let row = x.add(r * p);
            let a = update::<T, S, NV, APPLY>(simd, row, column, &factors);
            let v = T::splat(simd, *row.add(next));
            for (sum, &a) in sums[0].iter_mut().zip(&a) {
                *sum = T::mul_add(simd, v, a, *sum);
            }
            r += 1;
        }
        for j in 0..NV {
            let sum = T::plus(simd, T::plus(simd, sums[0][j], sums[1][j]), T::plus(simd, sums[2][j], sums[3][j]));
            T::store::<S>(dots.as_mut_ptr().add(j * lanes), sum);
        }
    }
}

/// Reads a row, after applying the reflector of a column to it if `APPLY`.
///
/// # Safety
///
/// NV vectors at `row` can be read and written.
#[inline(always)]
unsafe fn update<T: Real, S: Simd, const NV: usize, const APPLY: bool>(
    simd: S,
    row: *mut T,
    column: usize,
    factors: &[T::Vector<S>; NV],
) -> [T::Vector<S>; NV] {
    let lanes = T::lanes::<S>();
    let mut a = [T::splat(simd, T::from_f64(0.0)); NV];
    // SAFETY: the caller's promise; the column is within the row.
    unsafe {
        for (j, a) in a.iter_mut().enumerate() {
            *a = T::load::<S>(row.add(j * lanes));
        }
        if APPLY {
            let v = T::splat(simd, *row.add(column));
            for (j, a) in a.iter_mut().enumerate() {
                *a = T::mul_add(simd, v, factors[j], *a);
                T::store::<S>(row.add(j * lanes), *a);
            }
        }
    }
    a
}

/// H = I - tau v v^T, v = (head, x), takes (alpha, x) to (beta, 0).
#[derive(Debug, Clone, Copy)]
pub struct Reflector<T> {
    pub beta: T,
    pub head: T,
    pub tau: T,
}

impl<T: Real> Reflector<T> {
    /// The reflector for a column with the first element `alpha`; `square` is the sum of the squares of the others. If that is
    /// negligible, tau and head are zero.
    #[inline(always)]
    pub fn new(alpha: T, square: T) -> Reflector<T> {
        let (a, square) = (alpha.into(), square.into());
        if square <= T::NEGLIGIBLE_SQUARE {
            return Reflector { beta: alpha, head: T::from_f64(0.0), tau: T::from_f64(0.0) };
        }
        let a: f64 = a;
        let norm = (a * a + square).sqrt();
        let beta = if a < 0.0 { norm } else { -norm };
        // tau is computed from the rounded head, so that H stays orthogonal.
        let head = T::from_f64(a - beta);
        let rounded: f64 = head.into();
        Reflector { beta: T::from_f64(beta), head, tau: T::from_f64(2.0 / (rounded * rounded + square)) }
    }
}

/// Applies the reflectors of a strip to the strips after it: X <- X - V T^T (V^T X).
///
/// # Safety
///
/// As for [`factorize`].
#[inline(always)]
unsafe fn apply_to_next<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    panel: Panel<T>,
    strip: usize,
    top: usize,
    n: usize,
    taus: &[T],
    small: &mut [T],
) {
    let p = kernel::width::<T, S, NV>();
    let (gram, rest) = small.split_at_mut(MAX_STRIP * MAX_STRIP);
    let (t, products) = rest.split_at_mut(MAX_STRIP * MAX_STRIP);
    // SAFETY: rows from top to n exist; rows beyond n that the last block reads and writes are zero and stay zero.
    unsafe {
        let v = panel.at::<S, NV>(strip, top);
        transposed_product::<T, S, MR, NV>(simd, n - top, v, v, gram.as_mut_ptr(), p);
        triangular_factor(p, gram, taus, t);
        for next in strip + 1..panel.strips {
            let x = panel.at::<S, NV>(next, top);
            transposed_product::<T, S, MR, NV>(simd, n - top, v, x, products.as_mut_ptr(), p);
            // T^T times the products, from the last row up, in place.
            for i in (0..p).rev() {
                let (before, row) = products.split_at_mut(i * p);
                let row = &mut row[..p];
                row.iter_mut().for_each(|x| *x *= t[i * p + i]);
                for (k, other) in before.chunks_exact(p).enumerate() {
                    row.iter_mut().zip(other).for_each(|(x, y)| *x += t[i * p + k] * *y);
                }
            }
            for row in (0..n - top).step_by(MR) {
                let sums = product::<T, S, MR, NV>(
                    simd,
                    kernel::zero::<T, S, MR, NV>(simd),
                    p,
                    (v.add(row * p), p, 1),
                    products.as_ptr(),
                );
                add_to::<T, S, MR, NV>(simd, &sums, -1.0, x.add(row * p), p);
            }
        }
    }
}

/// The p x p matrix V^T X, row after row `stride` apart, of two strips of `depth` rows.
///
/// # Safety
///
/// Both strips and MR elements after them can be read; p rows of `out` can be written.
#[inline(always)]
pub unsafe fn transposed_product<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    v: *const T,
    x: *const T,
    out: *mut T,
    stride: usize,
) {
    let p = kernel::width::<T, S, NV>();
    for i in (0..p).step_by(MR) {
        // SAFETY: the caller's promise.
        unsafe {
            let sums = product::<T, S, MR, NV>(simd, kernel::zero::<T, S, MR, NV>(simd), depth, (v.add(i), 1, p), x);
            write_to::<T, S, MR, NV>(&sums, MR.min(p - i), out.add(i * stride), stride);
        }
    }
}

/// T^T, T being the upper triangle for which H_0 H_1 ... = I - V T V^T, from V^T V (Schreiber and Van Loan, SIAM J. Sci. Stat.
/// Comput. 10, 1989). All are of order `order`, row after row.
#[inline(always)]
pub fn triangular_factor<T: Real, U: Real>(order: usize, gram: &[U], taus: &[T], transposed: &mut [U]) {
    transposed[..order * order].fill(U::from_f64(0.0));
    for (k, &tau) in taus.iter().enumerate().take(order) {
        let tau = U::from_f64(tau.into());
        let (before, row) = transposed.split_at_mut(k * order);
        for (l, column) in before.chunks_exact(order).enumerate() {
            let factor = U::from_f64(0.0) - tau * gram[k * order + l];
            row[..=l].iter_mut().zip(column).for_each(|(t, x)| *t += factor * *x);
        }
        row[k] = tau;
    }
}
