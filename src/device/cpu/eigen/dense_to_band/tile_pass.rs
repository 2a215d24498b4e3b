//! The pass over the tiles: applies the pending update, and multiplies by the next V.
#![allow(unsafe_code)]

use pulp::Simd;

use super::Stage;
use crate::device::cpu::eigen::kernel::{self, add_to, product, product_with};
use crate::device::cpu::eigen::tiles::{TILE, offset, tile_rows};
use crate::device::cpu::simd::Real;

/// A part of a tile.
#[derive(Debug, Clone, Copy)]
struct Block {
    tile_row: usize,
    tile_col: usize,
    rows: (usize, usize),
    cols: (usize, usize),
    /// Whether it is on the diagonal, and so its own transpose.
    symmetric: bool,
}

impl<T: Real> Stage<T> {
    /// Runs a task of [`Phase::Panel`](super::Phase::Panel).
    #[inline(always)]
    pub(super) unsafe fn panel<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        first: usize,
        pending: bool,
        tile_row: usize,
    ) {
        let p = kernel::width::<T, S, NV>();
        let (b, below) = (self.b, first + self.b);
        let tile_col = first / TILE;
        let cols = (first % TILE, first % TILE + b);
        // SAFETY: the contract of `Stage`.
        unsafe {
            if pending {
                let top = first.saturating_sub(tile_row * TILE) / MR * MR;
                let rows = (top, self.end(tile_row, MR));
                self.apply::<S, MR, NV>(simd, &Block { tile_row, tile_col, rows, cols, symmetric: false });
            }
            let tile = self.tiles.add(offset(tile_row, tile_col));
            let next = self.panel_of(self.next);
            for r in 0..TILE {
                let row = tile_row * TILE + r;
                for strip in 0..b / p {
                    let target = next.at::<S, NV>(strip, row);
                    if row < below {
                        target.write_bytes(0, p);
                    } else {
                        target.copy_from_nonoverlapping(tile.add(r * TILE + cols.0 + strip * p), p);
                    }
                }
            }
        }
    }

    /// Runs a task of [`Phase::Tiles`](super::Phase::Tiles).
    #[inline(always)]
    pub(super) unsafe fn tiles<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        first: usize,
        pending: bool,
        groups: usize,
        group: usize,
    ) {
        let p = kernel::width::<T, S, NV>();
        let top = first / TILE;
        let active = tile_rows(self.n) - top;
        let tiles = active * (active + 1) / 2;
        let (start, end) = (group * tiles / groups, (group + 1) * tiles / groups);
        // SAFETY: the contract of `Stage`.
        unsafe {
            let w = self.w.add(group * self.w_stride);
            for strip in 0..self.b / p {
                let rows = self.panel_of(w).at::<S, NV>(strip, top * TILE);
                rows.write_bytes(0, (self.rows - top * TILE) * p);
            }
            let tiles = (top..tile_rows(self.n)).flat_map(|row| (top..=row).map(move |col| (row, col)));
            let mut tiles = tiles.skip(start).take(end - start).peekable();
            while let Some((tile_row, tile_col)) = tiles.next() {
                let next = tiles.peek().map(|&(row, col)| self.tiles.add(offset(row, col)).cast_const());
                self.tile::<S, MR, NV>(simd, first, pending, (tile_row, tile_col), next, w);
            }
        }
    }

    /// Applies the pending update to one tile, and multiplies it by the new V.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        first: usize,
        pending: bool,
        (tile_row, tile_col): (usize, usize),
        next: Option<*const T>,
        w: *mut T,
    ) {
        let p = kernel::width::<T, S, NV>();
        let rows = (first.saturating_sub(tile_row * TILE) / MR * MR, self.end(tile_row, MR));
        let cols = (first.saturating_sub(tile_col * TILE), self.end(tile_col, p));
        let half = TILE / 2;
        let blocks = if tile_row == tile_col {
            // The lower left quarter also acts as its mirror image; the other two are symmetric.
            [
                (((rows.0, rows.1.min(half)), (cols.0, cols.1.min(half))), true),
                (((rows.0.max(half), rows.1), (cols.0, cols.1.min(half))), false),
                (((rows.0.max(half), rows.1), (cols.0.max(half), cols.1)), true),
            ]
        } else {
            [((rows, cols), false), (((0, 0), (0, 0)), false), (((0, 0), (0, 0)), false)]
        };
        for ((rows, cols), symmetric) in blocks {
            if rows.0 >= rows.1 || cols.0 >= cols.1 {
                continue;
            }
            let block = Block { tile_row, tile_col, rows, cols, symmetric };
            // SAFETY: the contract of `Stage`.
            unsafe {
                if pending {
                    self.apply::<S, MR, NV>(simd, &block);
                }
                self.multiply::<S, MR, NV>(simd, &block, next, w);
            }
        }
    }

    /// Subtracts V Z^T + Z V^T.
    #[inline(always)]
    unsafe fn apply<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, block: &Block) {
        let p = kernel::width::<T, S, NV>();
        let b = self.b;
        // SAFETY: the contract of `Stage`.
        unsafe {
            let tile = self.tiles.add(offset(block.tile_row, block.tile_col));
            for col in (block.cols.0..block.cols.1).step_by(p) {
                let q = self.q.add((block.tile_col * TILE + col) * 2 * b);
                for row in (block.rows.0..block.rows.1).step_by(MR) {
                    let mut sums = kernel::zero::<T, S, MR, NV>(simd);
                    for (half, elements) in [self.v, self.z].into_iter().enumerate() {
                        for strip in 0..b / p {
                            let a = self.panel_of(elements).at::<S, NV>(strip, block.tile_row * TILE + row);
                            let q = q.add((half * b + strip * p) * p);
                            sums = product::<T, S, MR, NV>(simd, sums, p, (a, p, 1), q);
                        }
                    }
                    add_to::<T, S, MR, NV>(simd, &sums, -1.0, tile.add(row * TILE + col), TILE);
                }
            }
        }
    }

    /// Adds to W what a block contributes to A V.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        block: &Block,
        next: Option<*const T>,
        w: *mut T,
    ) {
        let p = kernel::width::<T, S, NV>();
        let (top, left) = (block.tile_row * TILE, block.tile_col * TILE);
        // SAFETY: the contract of `Stage`.
        unsafe {
            let tile = self.tiles.add(offset(block.tile_row, block.tile_col));
            for strip in 0..self.b / p {
                let v = self.panel_of(self.next).at::<S, NV>(strip, 0);
                let w = self.panel_of(w).at::<S, NV>(strip, 0);
                for row in (block.rows.0..block.rows.1).step_by(MR) {
                    let a = tile.add(row * TILE + block.cols.0);
                    let depth = block.cols.1 - block.cols.0;
                    let v = v.add((left + block.cols.0) * p);
                    let zero = kernel::zero::<T, S, MR, NV>(simd);
                    // All blocks of rows together prefetch the next tile.
                    let ahead = next.filter(|_| strip == 0).map(|next| next.wrapping_add(row * TILE));
                    let sums = product_with::<T, S, MR, NV>(simd, zero, depth, (a, TILE, 1), v, ahead);
                    add_to::<T, S, MR, NV>(simd, &sums, 1.0, w.add((top + row) * p), p);
                }
                if block.symmetric {
                    continue;
                }
                for col in (block.cols.0 / MR * MR..block.cols.1).step_by(MR) {
                    let a = tile.add(block.rows.0 * TILE + col);
                    let depth = block.rows.1 - block.rows.0;
                    let v = v.add((top + block.rows.0) * p);
                    let sums =
                        product::<T, S, MR, NV>(simd, kernel::zero::<T, S, MR, NV>(simd), depth, (a, 1, TILE), v);
                    add_to::<T, S, MR, NV>(simd, &sums, 1.0, w.add((left + col) * p), p);
                }
            }
        }
    }
}
