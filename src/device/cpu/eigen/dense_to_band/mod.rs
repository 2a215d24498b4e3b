//! First stage: reduces a dense symmetric matrix to a band, by orthogonal transformations.
//!
//! For each panel of b columns, the QR factorization below the band gives Q = I - V T V^T, and the trailing matrix A becomes
//! Q^T A Q = A - V Z^T - Z V^T with Z = W T - V (T^T V^T W T) / 2 and W = A V (Bischof, Lang and Sun, ACM Trans. Math. Softw.
//! 26, 2000). All of it is backward stable. Of the 4/3 n^3 operations half compute W and half update A, and both read the whole
//! trailing matrix. So the update stays pending until the next panel is factorized, which needs only its own columns. Then
//! one [pass](tile_pass) over the tiles applies it and, while a tile is in the cache, multiplies it by the next V.
#![allow(unsafe_code)]

mod reflectors;
mod tile_pass;

use pulp::Simd;

use super::super::buffer::Buffer;
use super::super::simd::{Level, Real};
use super::super::thread_pool::Workers;
use super::band::Band;
use super::kernel::{self, MAX_ROWS, Rows, WithRows};
use super::panel::{MAX_STRIP, Panel};
use super::tiles::{TILE, Tiles, tile_rows, used};
use crate::device::Failure;

/// Elements after each panel, for rows beyond its end that the kernel processes.
const SLACK: usize = MAX_ROWS * MAX_STRIP;

/// Number of independent sums of W = A V. As many threads can work on it, and the result does not depend on how many do.
fn groups(n: usize) -> usize {
    (n / 256).min(4).max(n / 512).clamp(1, 16)
}

/// Elements of workspace that [`reduce`] needs in addition to the tiles.
pub fn workspace_elements<T>(n: usize, bandwidth: usize) -> u64 {
    let (rows, b) = ((tile_rows(n) * TILE) as u64, bandwidth as u64);
    let panel = rows * b + SLACK as u64;
    let doubles = (2 * tile_rows(n) + 4) as u64 * b * b * (size_of::<f64>() / size_of::<T>()) as u64;
    (5 + groups(n) as u64) * panel + doubles + 3 * b * b + 3 * (MAX_STRIP * MAX_STRIP) as u64
}

/// Reduces a matrix, whose largest element must be of order 1, to a band, which must be zero. Overwrites the tiles.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
pub fn reduce<T: Real>(
    matrix: &mut Tiles<T>,
    band: &mut Band<T>,
    workspace: &mut Buffer<T>,
    level: Level,
    workers: &Workers,
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
    // Every part is a multiple of 16 elements, so the doubles are aligned, too.
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
        stage.run(level, workers, first / TILE..tile_rows(n), Phase::Panel { first, pending });
        let below = first + b;
        stage.run(level, workers, 0..1, Phase::Factorize { first });
        if below >= n {
            return Ok(());
        }
        let active = tile_rows(n) - below / TILE;
        let groups = groups(n).min(active * (active + 1) / 2);
        stage.run(level, workers, 0..groups, Phase::Tiles { first: below, pending, groups });
        stage.run(level, workers, below / TILE..tile_rows(n), Phase::Sum { groups });
        stage.run(level, workers, 0..1, Phase::Factors { first: below });
        stage.run(level, workers, below / TILE..tile_rows(n), Phase::Update { first: below });
        std::mem::swap(&mut stage.v, &mut stage.next);
        (first, pending) = (below, true);
    }
}

/// What the phases share. Panels have all rows of the matrix; V and Z are zero above the rows of the trailing matrix.
///
/// The contract of its unsafe methods: all buffers have the sizes that [`workspace_elements`] and the tiles give them, and tasks
/// of one phase write to different rows, tiles or sums.
#[derive(Debug, Clone, Copy)]
struct Stage<T> {
    n: usize,
    /// n, rounded up to whole tiles.
    rows: usize,
    b: usize,
    tiles: *mut T,
    /// V of the pending update.
    v: *mut T,
    /// V of the next update.
    next: *mut T,
    /// Z of the pending update.
    z: *mut T,
    /// The columns of Z and then those of V, transposed for the kernel: 2 b rows for each group of columns of the matrix as wide
    /// as the kernel.
    q: *mut T,
    /// W, as several sums.
    w: *mut T,
    w_stride: usize,
    /// V^T V and V^T W for each row of tiles. In f64, like everything computed from them: if entries repeat, sums of their
    /// products are the largest source of error.
    products: *mut f64,
    /// T^T; then, in strips for the kernel, T, V^T W T and -T^T V^T W T / 2.
    triangles: *mut f64,
    /// The taus; then, in strips for the kernel, T and -T^T V^T W T / 2.
    factors: *mut T,
    small: *mut T,
    band: *mut T,
    band_stride: usize,
}

// SAFETY: the tasks of a phase write disjoint parts, and phases follow each other.
unsafe impl<T: Send> Send for Stage<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stage<T> {}

/// A phase of the reduction, and the columns that it works on.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Applies the pending update to the columns of the next panel, and copies their rows below the band. One task per tile row.
    Panel { first: usize, pending: bool },
    /// Factorizes the panel, and moves its columns into the band. One task.
    Factorize { first: usize },
    /// Applies the pending update to the trailing matrix and multiplies it by the new V. One task per group of tiles.
    Tiles { first: usize, pending: bool, groups: usize },
    /// Adds up W, V^T V and V^T W. One task per tile row.
    Sum { groups: usize },
    /// Computes T, and the factor of V in Z. One task.
    Factors { first: usize },
    /// Computes Z, and the transposes for the kernel. One task per tile row.
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
        // SAFETY: `reduce` sizes all buffers as the contract of `Stage` asks, and tasks of one phase have different indices.
        unsafe {
            match self.phase {
                Phase::Panel { first, pending } => stage.panel::<S, MR, NV>(simd, first, pending, index),
                Phase::Factorize { first } => stage.factorize::<S, MR, NV>(simd, first),
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

impl<T: Real> Stage<T> {
    fn run(&self, level: Level, workers: &Workers, tasks: std::ops::Range<usize>, phase: Phase) {
        let first = tasks.start;
        workers.run(tasks.len(), &|task| level.run(Rows(Task { stage: self, phase, index: first + task })));
    }

    fn panel_of(&self, elements: *mut T) -> Panel<T> {
        Panel { elements, rows: self.rows, strips: 0 }
    }

    /// The end of the rows of a tile row, rounded up to a multiple of `unit`.
    fn end(&self, tile_row: usize, unit: usize) -> usize {
        used(self.n, tile_row).next_multiple_of(unit)
    }
}
