//! Factorizes a panel into reflectors I - V T V^T, and computes the Z of their update.
#![allow(unsafe_code)]

use pulp::Simd;

use super::Stage;
use crate::device::cpu::eigen::kernel::{self, product, write_to};
use crate::device::cpu::eigen::panel::{self, MAX_STRIP, Panel, transposed_product, triangular_factor};
use crate::device::cpu::eigen::tiles::{TILE, offset, tile_rows};
use crate::device::cpu::simd::Real;

/// Rows whose products are added up in the precision of the matrix, before the sums go on in f64.
const SHORT: usize = 24;

impl<T: Real> Stage<T> {
    /// Runs [`Phase::Factorize`](super::Phase::Factorize).
    #[inline(always)]
    pub(super) unsafe fn factorize<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, first: usize) {
        let (n, b) = (self.n, self.b);
        let p = kernel::width::<T, S, NV>();
        // SAFETY: the contract of `Stage`; band entries are within 2 b of the diagonal.
        unsafe {
            let tile = self.tiles.add(offset(first / TILE, first / TILE));
            for col in first..n.min(first + b) {
                for row in col..n.min(first + b) {
                    *self.band.add(col * self.band_stride + row - col) = *tile.add(row % TILE * TILE + col % TILE);
                }
            }
            if first + b >= n {
                return;
            }
            let taus = std::slice::from_raw_parts_mut(self.factors, b);
            let small = std::slice::from_raw_parts_mut(self.small, 3 * MAX_STRIP * MAX_STRIP);
            let mut into_band = |i: usize, k: usize, value: T| {
                *self.band.add((first + k) * self.band_stride + b + i - k) = value;
            };
            let panel = Panel { strips: b / p, ..self.panel_of(self.next) };
            panel::factorize::<T, S, MR, NV>(simd, panel, first + b, n, taus, small, &mut into_band);
        }
    }

    /// Runs a task of [`Phase::Sum`](super::Phase::Sum).
    #[inline(always)]
    pub(super) unsafe fn sum<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        groups: usize,
        tile_row: usize,
    ) {
        let p = kernel::width::<T, S, NV>();
        let (b, lanes) = (self.b, T::lanes::<S>());
        let top = tile_row * TILE;
        // SAFETY: the contract of `Stage`.
        unsafe {
            let products = self.products.add(2 * tile_row * b * b);
            for strip in 0..b / p {
                let total = self.panel_of(self.w).at::<S, NV>(strip, top);
                for i in (0..TILE * p).step_by(lanes) {
                    let mut sum = T::load::<S>(total.add(i));
                    for group in 1..groups {
                        sum = T::plus(simd, sum, T::load::<S>(total.add(group * self.w_stride + i)));
                    }
                    T::store::<S>(total.add(i), sum);
                }
            }
            let small = &mut [T::from_f64(0.0); MAX_STRIP * MAX_STRIP];
            for (half, other) in [self.next, self.w].into_iter().enumerate() {
                for (i, j) in (0..b / p).flat_map(|i| (0..b / p).map(move |j| (i, j))) {
                    let out = products.add(half * b * b + i * p * b + j * p);
                    for row in 0..p {
                        out.add(row * b).write_bytes(0, p);
                    }
                    for start in (top..top + TILE).step_by(SHORT) {
                        let v = self.panel_of(self.next).at::<S, NV>(i, start);
                        let x = self.panel_of(other).at::<S, NV>(j, start);
                        transposed_product::<T, S, MR, NV>(simd, SHORT, v, x, small.as_mut_ptr(), p);
                        for row in 0..p {
                            for col in 0..p {
                                *out.add(row * b + col) += small[row * p + col].into();
                            }
                        }
                    }
                }
            }
        }
    }

    /// Runs [`Phase::Factors`](super::Phase::Factors).
    #[inline(always)]
    pub(super) unsafe fn factors<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, first: usize) {
        let p = kernel::width::<T, S, NV>();
        let b = self.b;
        let size = b * b;
        // SAFETY: the contract of `Stage`; the phase has only this task.
        let (products, triangles, factors) = unsafe {
            let products = std::slice::from_raw_parts_mut(self.products, 2 * tile_rows(self.n) * size);
            let triangles = std::slice::from_raw_parts_mut(self.triangles, 4 * size);
            (products, triangles, std::slice::from_raw_parts_mut(self.factors, 3 * size))
        };
        let mut by_row = products[2 * (first / TILE) * size..].chunks_exact_mut(2 * size);
        let sums = by_row.next().expect("there is a tile row");
        for products in by_row {
            sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += *product);
        }
        let (vv, vw) = sums.split_at(size);

        let (transposed, rest) = triangles.split_at_mut(size);
        let (t, rest) = rest.split_at_mut(size);
        let (u, m) = rest.split_at_mut(size);
        triangular_factor(b, vv, &factors[..b], transposed);
        let double = kernel::width::<f64, S, NV>();
        for (strip, out) in t.chunks_exact_mut(b * double).enumerate() {
            for (k, row) in out.chunks_exact_mut(double).enumerate() {
                for (c, t) in row.iter_mut().enumerate() {
                    *t = transposed[(strip * double + c) * b + k];
                }
            }
        }
        // U = V^T W T, M = -T^T U / 2.
        small_product::<S, MR, NV>(simd, b, 1.0, vw, t, u);
        small_product::<S, MR, NV>(simd, b, -0.5, transposed, u, m);
        for (out, matrix) in factors[size..].chunks_exact_mut(size).zip([t, m]) {
            for (index, x) in out.iter_mut().enumerate() {
                let (strip, k, c) = (index / (b * p), index / p % b, index % p);
                let col = strip * p + c;
                *x = T::from_f64(matrix[(col / double * b + k) * double + col % double]);
            }
        }
    }

    /// Runs a task of [`Phase::Update`](super::Phase::Update).
    #[inline(always)]
    pub(super) unsafe fn update<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        first: usize,
        tile_row: usize,
    ) {
        let p = kernel::width::<T, S, NV>();
        let b = self.b;
        let top = tile_row * TILE;
        // SAFETY: the contract of `Stage`.
        unsafe {
            let (t, m) = (self.factors.add(b * b), self.factors.add(2 * b * b));
            for strip in 0..b / p {
                let z = self.panel_of(self.z).at::<S, NV>(strip, 0);
                for row in (top..top + TILE).step_by(MR) {
                    let mut sums = kernel::zero::<T, S, MR, NV>(simd);
                    for (elements, factor) in [(self.w, t), (self.next, m)] {
                        for inner in 0..b / p {
                            let a = self.panel_of(elements).at::<S, NV>(inner, row);
                            let factor = factor.add((strip * b + inner * p) * p);
                            sums = product::<T, S, MR, NV>(simd, sums, p, (a, p, 1), factor);
                        }
                    }
                    write_to::<T, S, MR, NV>(&sums, MR, z.add(row * p), p);
                }
                if first > top {
                    z.add(top * p).write_bytes(0, (first - top) * p);
                }
            }
            for col in (top..top + TILE).step_by(p) {
                let q = self.q.add(col * 2 * b);
                for (half, elements) in [self.z, self.next].into_iter().enumerate() {
                    for strip in 0..b / p {
                        let source = self.panel_of(elements).at::<S, NV>(strip, col);
                        let target = q.add((half * b + strip * p) * p);
                        for k in 0..p {
                            for c in 0..p {
                                *target.add(k * p + c) = *source.add(c * p + k);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Computes `factor` times A B for b x b matrices, A row after row, B and the result in strips. b is at least MR.
#[inline(always)]
fn small_product<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    b: usize,
    factor: f64,
    a: &[f64],
    strips: &[f64],
    out: &mut [f64],
) {
    let p = kernel::width::<f64, S, NV>();
    assert!(b >= MR && a.len() == b * b);
    for (strip, out) in strips.chunks_exact(b * p).zip(out.chunks_exact_mut(b * p)) {
        for row in (0..b).step_by(MR) {
            // The last block starts earlier, and computes some rows again.
            let row = row.min(b - MR);
            // SAFETY: rows from `row` to `row + MR` exist, in A and in the result; a strip has b rows.
            unsafe {
                let zero = kernel::zero::<f64, S, MR, NV>(simd);
                let a = (a.as_ptr().add(row * b), b, 1);
                let sums = product::<f64, S, MR, NV>(simd, zero, b, a, strip.as_ptr());
                write_to::<f64, S, MR, NV>(&sums, MR, out.as_mut_ptr().add(row * p), p);
            }
        }
        out.iter_mut().for_each(|x| *x *= factor);
    }
}
