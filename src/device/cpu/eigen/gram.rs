//! The Gram matrix, in tiles, straight from the bytes of W.
//!
//! A few hundred rows of the tall form A at a time are decoded and packed in the order in which the kernel reads them, once as
//! its left factor and once as its right. Their product is added to the tiles of the lower half. W is never resident in the
//! precision of the computation.
#![allow(unsafe_code)]

use pulp::Simd;

use super::super::buffer::Buffer;
use super::super::simd::{Level, Real};
use super::super::thread_pool::Workers;
use super::gram_bf16;
use super::kernel::{self, Rows, WithRows, add_to, prefetch_rows, product};
use super::tiles::{TILE, Tiles, offset, tile_rows, used};
use crate::checkpoint::{Element, MatrixView};
use crate::device::Failure;

/// Bytes of a packed column, small enough that the operands of a core stay in its second-level cache.
const COLUMN_BYTES: usize = 1024;
/// Packed rows that one task makes.
const STRIP: usize = 16;

/// Packed rows that are multiplied at once, out of `rows`.
fn depth<T>(rows: usize) -> usize {
    (COLUMN_BYTES / size_of::<T>()).min(rows.next_multiple_of(STRIP))
}

/// Elements of workspace that [`lower`] needs in addition to the tiles.
pub fn workspace_elements<T>(long: usize, n: usize) -> u64 {
    2 * (tile_rows(n) * TILE * depth::<T>(long)) as u64
}

/// Computes A^T A, where A is the tall form of W times `scale` with its columns in `column_order`. The tiles must be zero.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
pub fn lower<T: Real>(
    view: &MatrixView,
    scale: f64,
    column_order: &[usize],
    tiles: &mut Tiles<T>,
    workspace: &mut Buffer<T>,
    level: Level,
    workers: &Workers,
) -> Result<(), Failure> {
    let n = view.short();
    let unit = if gram_bf16::applies::<T>(view, level) { gram_bf16::ROWS } else { 1 };
    let depth = depth::<T>(view.long().div_ceil(unit));
    let rows = tile_rows(n);
    let packed = workspace.get(workspace_elements::<T>(view.long(), n))?;
    packed.fill(T::from_f64(0.0));
    let (left, right) = packed.split_at_mut(rows * TILE * depth);
    let product = Product {
        view,
        scale,
        column_order,
        unit,
        depth,
        left: left.as_mut_ptr(),
        right: right.as_mut_ptr(),
        tiles: tiles.elements().as_mut_ptr(),
    };
    let tasks = if view.is_tall() { depth.div_ceil(STRIP) } else { rows };
    let pairs: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..=row).map(move |col| (row, col))).collect();
    for start in (0..view.long()).step_by(depth * unit) {
        workers.run(tasks, &|index| level.run(Rows(Task { product: &product, phase: Phase::Pack { start }, index })));
        workers.run(pairs.len(), &|index| {
            let (row, col) = pairs[index];
            level.run(Rows(Task { product: &product, phase: Phase::Multiply { row, col }, index }));
        });
    }
    tiles.mirror();
    Ok(())
}

struct Product<'a, 'v, T> {
    view: &'a MatrixView<'v>,
    scale: f64,
    column_order: &'a [usize],
    /// Rows of A per packed row.
    unit: usize,
    /// Packed rows.
    depth: usize,
    /// Left factor: `depth` packed rows of the first MR columns of A, MR being the height of the kernel, then of the next.
    left: *mut T,
    /// Right factor: the same for as many columns as the kernel is wide.
    right: *mut T,
    tiles: *mut T,
}

// SAFETY: the tasks of a phase write disjoint parts, and phases follow each other.
unsafe impl<T: Send> Sync for Product<'_, '_, T> {}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Decodes and packs rows of A from `start` on, by rows if W is tall, else by columns.
    Pack { start: usize },
    /// Adds the product to a tile.
    Multiply { row: usize, col: usize },
}

struct Task<'a, 'v, T> {
    product: &'a Product<'a, 'v, T>,
    phase: Phase,
    index: usize,
}

impl<T: Real> WithRows for Task<'_, '_, T> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Task { product, phase, index } = self;
        // SAFETY: the buffers have the sizes that `lower` gives them; tasks write different rows, columns or tiles.
        unsafe {
            match phase {
                Phase::Pack { start } => match (product.view.is_tall(), product.unit) {
                    (true, 1) => product.pack_rows::<S, MR, NV>(start, index * STRIP),
                    (true, _) => product.pack_row_pairs::<S, MR, NV>(start, index * STRIP),
                    (false, 1) => product.pack_columns::<S, MR, NV>(start, index * TILE),
                    (false, _) => product.pack_column_pairs::<S, MR, NV>(start, index * TILE),
                },
                Phase::Multiply { row, col } => product.multiply::<S, MR, NV>(simd, row, col),
            }
        }
    }
}

impl<T: Real> Product<'_, '_, T> {
    /// Packs rows of a tall W: the packed rows `first` to `first` + [`STRIP`] of those that begin at row `start`. Zeros follow the
    /// last row.
    #[inline(always)]
    unsafe fn pack_rows<S: Simd, const MR: usize, const NV: usize>(&self, start: usize, first: usize) {
        let n = self.view.short();
        let zero = T::from_f64(0.0);
        let mut line = vec![zero; n];
        let mut sorted = vec![zero; n.next_multiple_of(TILE)];
        for k in first..self.depth.min(first + STRIP) {
            self.read_row(start + k, &mut line);
            for (target, &source) in sorted.iter_mut().zip(self.column_order) {
                *target = line[source];
            }
            // SAFETY: `perform`; `sorted` holds whole tiles.
            unsafe { self.put_row::<T, S, MR, NV>(k, &sorted) };
        }
    }

    /// The same as [`Product::pack_rows`], for pairs of bf16.
    #[inline(always)]
    unsafe fn pack_row_pairs<S: Simd, const MR: usize, const NV: usize>(&self, start: usize, first: usize) {
        let n = self.view.short();
        let (mut upper, mut lower) = (vec![0.0_f32; n], vec![0.0_f32; n]);
        let (mut pairs, mut sorted) = (vec![0; n], vec![0; n.next_multiple_of(TILE)]);
        for k in first..self.depth.min(first + STRIP) {
            let row = start + k * gram_bf16::ROWS;
            self.read_row(row, &mut upper);
            self.read_row(row + 1, &mut lower);
            for ((pair, &upper), &lower) in pairs.iter_mut().zip(&upper).zip(&lower) {
                *pair = gram_bf16::pair(upper, lower);
            }
            for (target, &source) in sorted.iter_mut().zip(self.column_order) {
                *target = pairs[source];
            }
            // SAFETY: `perform`; `sorted` holds whole tiles, and pairs are as wide as T, which is f32.
            unsafe { self.put_row::<u32, S, MR, NV>(k, &sorted) };
        }
    }

    /// Reads a row of a tall W; zeros follow the last row.
    #[inline(always)]
    fn read_row<E: Element>(&self, row: usize, line: &mut [E]) {
        if row < self.view.long() {
            self.view.read_segment(row, 0..line.len(), self.scale, line);
        } else {
            line.fill(E::from_f64(0.0));
        }
    }

    /// Writes a packed row, for whole tiles of columns, to both factors. E is as wide as T.
    #[inline(always)]
    unsafe fn put_row<E: Copy, S: Simd, const MR: usize, const NV: usize>(&self, k: usize, row: &[E]) {
        let p = kernel::width::<T, S, NV>();
        // SAFETY: the caller's promise; both widths divide tiles.
        unsafe {
            for (block, columns) in row.chunks_exact(MR).enumerate() {
                let target = self.left.cast::<E>().add((block * self.depth + k) * MR);
                target.copy_from_nonoverlapping(columns.as_ptr(), MR);
            }
            for (block, columns) in row.chunks_exact(p).enumerate() {
                let target = self.right.cast::<E>().add((block * self.depth + k) * p);
                target.copy_from_nonoverlapping(columns.as_ptr(), p);
            }
        }
    }

    /// Packs the columns of A, which are rows of a wide W, of the tile that begins at column `first`. Zeros follow the last row
    /// of A.
    #[inline(always)]
    unsafe fn pack_columns<S: Simd, const MR: usize, const NV: usize>(&self, start: usize, first: usize) {
        let rows = self.depth.min(self.view.long() - start);
        let mut line = vec![T::from_f64(0.0); self.depth];
        for c in first..self.view.short().min(first + TILE) {
            self.view.read_segment(self.column_order[c], start..start + rows, self.scale, &mut line[..rows]);
            // SAFETY: `perform`.
            unsafe { self.put_column::<T, S, MR, NV>(c, &line) };
        }
    }

    /// The same as [`Product::pack_columns`], for pairs of bf16.
    #[inline(always)]
    unsafe fn pack_column_pairs<S: Simd, const MR: usize, const NV: usize>(&self, start: usize, first: usize) {
        let rows = (self.depth * gram_bf16::ROWS).min(self.view.long() - start);
        let (mut line, mut pairs) = (vec![0.0_f32; self.depth * gram_bf16::ROWS], vec![0; self.depth]);
        for c in first..self.view.short().min(first + TILE) {
            self.view.read_segment(self.column_order[c], start..start + rows, self.scale, &mut line[..rows]);
            for (pair, rows) in pairs.iter_mut().zip(line.as_chunks::<{ gram_bf16::ROWS }>().0) {
                *pair = gram_bf16::pair(rows[0], rows[1]);
            }
            // SAFETY: `perform`; pairs are as wide as T, which is f32.
            unsafe { self.put_column::<u32, S, MR, NV>(c, &pairs) };
        }
    }

    /// Writes a column of `depth` packed rows to both factors. E is as wide as T.
    #[inline(always)]
    unsafe fn put_column<E: Copy, S: Simd, const MR: usize, const NV: usize>(&self, c: usize, column: &[E]) {
        let p = kernel::width::<T, S, NV>();
        // SAFETY: the caller's promise.
        unsafe {
            let left = self.left.cast::<E>().add(c / MR * self.depth * MR + c % MR);
            let right = self.right.cast::<E>().add(c / p * self.depth * p + c % p);
            for (k, &x) in column.iter().enumerate() {
                *left.add(k * MR) = x;
                *right.add(k * p) = x;
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, tile_row: usize, tile_col: usize) {
        let p = kernel::width::<T, S, NV>();
        let n = self.view.short();
        let end = |tile: usize, unit: usize| used(n, tile).next_multiple_of(unit);
        // SAFETY: `perform`.
        unsafe {
            let tile = self.tiles.add(offset(tile_row, tile_col));
            for col in (0..end(tile_col, p)).step_by(p) {
                let right = self.right.add((tile_col * TILE + col) * self.depth);
                // Elements above the diagonal are mirror images.
                let top = if tile_row == tile_col { col / MR * MR } else { 0 };
                for row in (top..end(tile_row, MR)).step_by(MR) {
                    let left = self.left.add((tile_row * TILE + row) * self.depth);
                    prefetch_rows::<T, S, MR, NV>(tile.wrapping_add((row + MR) * TILE + col), TILE);
                    let sums = if self.unit == 1 {
                        let zero = kernel::zero::<T, S, MR, NV>(simd);
                        product::<T, S, MR, NV>(simd, zero, self.depth, (left, 1, MR), right)
                    } else {
                        gram_bf16::product::<T, S, MR, NV>(simd, self.depth, left, right)
                    };
                    add_to::<T, S, MR, NV>(simd, &sums, 1.0, tile.add(row * TILE + col), TILE);
                }
            }
        }
    }
}
