//! First stage: a dense symmetric matrix to a band, by orthogonal transformations.
//!
//! For each panel of b columns: its QR factorisation below the band gives Q = I - V T V^T, and the trailing matrix A becomes
//! Q^T A Q = A - V Z^T - Z V^T with Z = W T - V (T^T V^T W T) / 2 and W = A V (Bischof, Lang and Sun, ACM Trans. Math. Softw.
//! 26, 2000). All of it is backward stable. The 4/3 n^3 operations are half in W, half in the update, and each reads the whole
//! trailing matrix. So the update is left pending until the next panel is factorised, which needs its own columns only; then
//! one pass over the tiles applies it and, while a tile is in the cache, multiplies it by the next V.
#![allow(unsafe_code)]

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::{Level, Real};
use super::super::team::Team;
use super::band::Band;
use super::kernel::{self, MAX_ROWS, Rows, WithRows, add_to, product, product_with, write_to};
use super::panel::{self, MAX_STRIP, Panel, transposed_product, triangular_factor};
use super::tiles::{TILE, Tiles, offset, tile_rows, used};
use crate::device::Failure;

/// Rows whose products are added up in the precision of the matrix, before they go on in f64.
const SHORT: usize = 24;
/// Elements behind each panel, for rows that the kernel takes along.
const SLACK: usize = MAX_ROWS * MAX_STRIP;

/// Independent sums of W = A V, so that so many threads can work on it and the result does not depend on how many do.
fn groups(n: usize) -> usize {
    (n / 256).min(4).max(n / 512).clamp(1, 16)
}

/// Elements of workspace that [`reduce`] takes beside the tiles.
pub fn workspace_elements<T>(n: usize, bandwidth: usize) -> u64 {
    let (rows, b) = ((tile_rows(n) * TILE) as u64, bandwidth as u64);
    let panel = rows * b + SLACK as u64;
    let doubles = (2 * tile_rows(n) + 4) as u64 * b * b * (size_of::<f64>() / size_of::<T>()) as u64;
    (5 + groups(n) as u64) * panel + doubles + 3 * b * b + 3 * (MAX_STRIP * MAX_STRIP) as u64
}

/// Reduces a matrix whose largest element is of order 1 to a band, which must be zero. The tiles are destroyed.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
pub fn reduce<T: Real>(
    matrix: &mut Tiles<T>,
    band: &mut Band<T>,
    workspace: &mut Buffer<T>,
    level: Level,
    team: &Team,
) -> Result<(), Failure> {
    let (n, b) = (matrix.order(), band.bandwidth());
    let rows = tile_rows(n) * TILE;
    let workspace = workspace.get(workspace_elements::<T>(n, b))?;
    workspace.fill(T::from_f64(0.0));
    let mut rest = workspace;
    let mut take = |elements: usize| {
        let (taken, others) = std::mem::take(&mut rest).split_at_mut(elements);
        rest = others;
        taken.as_mut_ptr()
    };
    let panel = rows * b + SLACK;
    // Every part is a multiple of 16 elements, so that these are aligned, too.
    let doubles = size_of::<f64>() / size_of::<T>();
    let mut stage = Stage {
        n,
        rows,
        b,
        tiles: matrix.elements().as_mut_ptr(),
        v: take(panel),
        next: take(panel),
        z: take(panel),
        q: take(2 * panel),
        w: take(groups(n) * panel),
        w_stride: panel,
        products: take(2 * tile_rows(n) * b * b * doubles).cast(),
        triangles: take(4 * b * b * doubles).cast(),
        factors: take(3 * b * b),
        small: take(3 * MAX_STRIP * MAX_STRIP),
        band: band.columns(),
        band_stride: band.stride(),
    };
    let mut first = 0;
    let mut pending = false;
    loop {
        stage.run(level, team, first / TILE..tile_rows(n), Phase::Panel { first, pending });
        let below = first + b;
        stage.run(level, team, 0..1, Phase::Factorise { first });
        if below >= n {
            return Ok(());
        }
        let active = tile_rows(n) - below / TILE;
        let groups = groups(n).min(active * (active + 1) / 2);
        stage.run(level, team, 0..groups, Phase::Tiles { first: below, pending, groups });
        stage.run(level, team, below / TILE..tile_rows(n), Phase::Sum { groups });
        stage.run(level, team, 0..1, Phase::Factors { first: below });
        stage.run(level, team, below / TILE..tile_rows(n), Phase::Update { first: below });
        std::mem::swap(&mut stage.v, &mut stage.next);
        (first, pending) = (below, true);
    }
}

/// What the phases share. Panels have all rows of the matrix; V is zero above the rows that it works on, and Z too.
#[derive(Debug, Clone, Copy)]
struct Stage<T> {
    n: usize,
    /// n, rounded up to whole tiles.
    rows: usize,
    b: usize,
    tiles: *mut T,
    /// V of the pending update.
    v: *mut T,
    /// V of the next one.
    next: *mut T,
    /// Z of the pending update.
    z: *mut T,
    /// The columns of Z and then those of V, transposed for the kernel: for as many columns of the matrix as it is wide,
    /// 2 b rows.
    q: *mut T,
    /// W, in several sums.
    w: *mut T,
    w_stride: usize,
    /// For each row of tiles V^T V and V^T W. In f64, like all that is made of them: where entries are alike, sums of their
    /// products lose more than anything else.
    products: *mut f64,
    /// T^T, and in strips for the kernel T, V^T W T and -T^T V^T W T / 2.
    triangles: *mut f64,
    /// The taus; T and -T^T V^T W T / 2, in strips for the kernel.
    factors: *mut T,
    small: *mut T,
    band: *mut T,
    band_stride: usize,
}

// SAFETY: the tasks of a phase write disjoint parts, and phases follow each other.
unsafe impl<T: Send> Send for Stage<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stage<T> {}

/// What is done, and to which part.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Applies the pending update to the columns of the next panel, and copies what is below the band. By tile row.
    Panel { first: usize, pending: bool },
    /// Factorises the panel, and moves its columns into the band. One task.
    Factorise { first: usize },
    /// Applies the pending update to the trailing matrix and multiplies it by the new V. By group of tiles.
    Tiles { first: usize, pending: bool, groups: usize },
    /// Adds up W, V^T V and V^T W. By tile row.
    Sum { groups: usize },
    /// T, and the factor of V in Z. One task.
    Factors { first: usize },
    /// Z, and the transposes. By tile row.
    Update { first: usize },
}

struct Task<'a, T> {
    stage: &'a Stage<T>,
    phase: Phase,
    index: usize,
}

impl<T: Real> WithRows for Task<'_, T> {
    #[inline(always)]
    fn is_narrow<S: Simd>(&self) -> bool {
        self.stage.b < kernel::width::<T, S, 2>()
    }

    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let (stage, index) = (self.stage, self.index);
        // SAFETY: all buffers have the sizes that `workspace_elements` and `tiles` give, and tasks of one phase write to
        // different rows, tiles or sums.
        unsafe {
            match self.phase {
                Phase::Panel { first, pending } => stage.panel::<S, MR, NV>(simd, first, pending, index),
                Phase::Factorise { first } => stage.factorise::<S, MR, NV>(simd, first),
                Phase::Tiles { first, pending, groups } => {
                    stage.tiles::<S, MR, NV>(simd, first, pending, groups, index)
                }
                Phase::Sum { groups } => stage.sum::<S, MR, NV>(simd, groups, index),
                Phase::Factors { first } => stage.factors::<S, MR, NV>(simd, first),
                Phase::Update { first } => stage.update::<S, MR, NV>(simd, first, index),
            }
        }
    }
}

/// Part of a tile.
#[derive(Debug, Clone, Copy)]
struct Block {
    tile_row: usize,
    tile_col: usize,
    rows: (usize, usize),
    cols: (usize, usize),
    /// It lies on the diagonal: its own transpose.
    symmetric: bool,
}

impl<T: Real> Stage<T> {
    fn run(&self, level: Level, team: &Team, tasks: std::ops::Range<usize>, phase: Phase) {
        let first = tasks.start;
        team.run(tasks.len(), &|task| level.run(Rows(Task { stage: self, phase, index: first + task })));
    }

    fn panel_of(&self, elements: *mut T) -> Panel<T> {
        Panel { elements, rows: self.rows, strips: 0 }
    }

    /// The end of the rows of a tile row, rounded up to a multiple of `unit`.
    fn end(&self, tile_row: usize, unit: usize) -> usize {
        used(self.n, tile_row).next_multiple_of(unit)
    }

    #[inline(always)]
    unsafe fn panel<S: Simd, const MR: usize, const NV: usize>(
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
        // SAFETY: `perform`.
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

    #[inline(always)]
    unsafe fn factorise<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, first: usize) {
        let (n, b) = (self.n, self.b);
        let p = kernel::width::<T, S, NV>();
        // SAFETY: `perform`; band entries lie within 2 b of the diagonal.
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
            panel::factorise::<T, S, MR, NV>(simd, panel, first + b, n, taus, small, &mut into_band);
        }
    }

    #[inline(always)]
    unsafe fn tiles<S: Simd, const MR: usize, const NV: usize>(
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
        // SAFETY: `perform`.
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
            // Only the lower left quarter is taken without its mirror image.
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
            // SAFETY: `perform`.
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
        // SAFETY: `perform`.
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
        // SAFETY: `perform`.
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
                    // All blocks of rows together cover the next tile.
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

    #[inline(always)]
    unsafe fn sum<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, groups: usize, tile_row: usize) {
        let p = kernel::width::<T, S, NV>();
        let (b, lanes) = (self.b, T::lanes::<S>());
        let top = tile_row * TILE;
        // SAFETY: `perform`.
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

    #[inline(always)]
    unsafe fn factors<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, first: usize) {
        let p = kernel::width::<T, S, NV>();
        let b = self.b;
        let size = b * b;
        // SAFETY: `perform`; this is the only task.
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

    #[inline(always)]
    unsafe fn update<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, first: usize, tile_row: usize) {
        let p = kernel::width::<T, S, NV>();
        let b = self.b;
        let top = tile_row * TILE;
        // SAFETY: `perform`.
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

/// Writes `factor` times A B, for b x b matrices, A row after row, B and the result in strips. b is at least MR.
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
            // The last block begins earlier, and gives some rows again.
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
