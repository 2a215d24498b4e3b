//! Solves with a Cholesky factor for several right-hand sides at once, so that the factor is read from memory only once.
//!
//! One row of tiles after the other, first down and then up (Golub and Van Loan, Matrix Computations, section 3.1). Products of
//! tiles with the solution of a row are subtracted from the other rows, in parallel.
#![allow(unsafe_code)]

use pulp::Simd;

use super::super::simd::{Level, Real};
use super::super::thread_pool::Workers;
use super::kernel::{self, Rows, WithRows, add_to, product};
use super::tiles::{TILE, Tiles, offset, tile_rows, used};

/// Number of right-hand sides: one vector of the widest instruction set, several vectors of the others.
pub const COLUMNS: usize = 16;

/// Replaces X by (L L^T)^-1 X. X has n contiguous rows of [`COLUMNS`] numbers.
///
/// # Panics
///
/// If `x` has another length.
pub fn solve<T: Real>(factor: &mut Tiles<T>, x: &mut [T], level: Level, workers: &Workers) {
    let n = factor.order();
    assert_eq!(x.len(), n * COLUMNS);
    let rows = tile_rows(n);
    let mut strips = vec![T::from_f64(0.0); rows * TILE * COLUMNS];
    let stage = Stage { n, factor: factor.elements().as_ptr(), strips: strips.as_mut_ptr(), solution: x.as_mut_ptr() };
    let run = |step| level.run(Rows(Task { stage: &stage, step }));
    workers.run(rows, &|row| run(Step::Read { row }));
    for row in 0..rows {
        run(Step::Down { row });
        workers.run(rows - row - 1, &|index| run(Step::Subtract { from: row, row: row + 1 + index }));
    }
    for row in (0..rows).rev() {
        run(Step::Up { row });
        workers.run(row, &|above| run(Step::Subtract { from: row, row: above }));
    }
    workers.run(rows, &|row| run(Step::Write { row }));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Copies the right-hand sides of a row of tiles into strips.
    Read { row: usize },
    /// Divides by the tile of L on the diagonal.
    Down { row: usize },
    /// Divides by the transpose of the tile of L on the diagonal.
    Up { row: usize },
    /// Subtracts from a row the contribution of the solution of another row, above or below.
    Subtract { from: usize, row: usize },
    /// Copies the solution back.
    Write { row: usize },
}

struct Stage<T> {
    n: usize,
    /// The tiles of L. Beyond the order they are those of a unit matrix.
    factor: *const T,
    /// X, by rows of tiles, each cut into strips of the width of the kernel.
    strips: *mut T,
    solution: *mut T,
}

// SAFETY: the tasks of a step write different rows of tiles, and steps follow each other.
unsafe impl<T: Sync> Sync for Stage<T> {}

struct Task<'a, T> {
    stage: &'a Stage<T>,
    step: Step,
}

impl<T: Real> WithRows for Task<'_, T> {
    #[inline(always)]
    fn is_narrow<S: Simd>(&self) -> bool {
        kernel::width::<T, S, 2>() > COLUMNS
    }

    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Task { stage, step } = self;
        let p = kernel::width::<T, S, NV>();
        for strip in 0..COLUMNS / p {
            // SAFETY: the strips of all rows of tiles and the tiles of the lower half exist. A task writes only the strips of its
            // own row, which no other task uses. MR divides TILE.
            unsafe {
                let at = |row: usize| stage.strips.add((row * COLUMNS + strip * p) * TILE);
                let tile = |row: usize, col: usize| stage.factor.add(offset(row, col));
                match step {
                    Step::Read { row } | Step::Write { row } => {
                        for k in 0..used(stage.n, row) {
                            let x = stage.solution.add((row * TILE + k) * COLUMNS + strip * p);
                            let line = at(row).add(k * p);
                            let (source, target) =
                                if matches!(step, Step::Read { .. }) { (x, line) } else { (line, x) };
                            target.copy_from_nonoverlapping(source, p);
                        }
                    }
                    Step::Down { row } => down::<T, S, MR, NV>(simd, tile(row, row), at(row)),
                    Step::Up { row } => up::<T, S, MR, NV>(simd, tile(row, row), at(row)),
                    Step::Subtract { from, row } => {
                        let (a, line, step) =
                            if row > from { (tile(row, from), TILE, 1) } else { (tile(from, row), 1, TILE) };
                        for r in (0..TILE).step_by(MR) {
                            let a = (a.add(r * line), line, step);
                            subtract::<T, S, MR, NV>(simd, TILE, a, at(from), at(row).add(r * p));
                        }
                    }
                }
            }
        }
    }
}

/// Subtracts the [`product`] of a and b from MR rows of c.
#[inline(always)]
unsafe fn subtract<T: Real, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    a: (*const T, usize, usize),
    b: *const T,
    c: *mut T,
) {
    // SAFETY: the caller guarantees these rows.
    unsafe {
        let sums = product::<T, S, MR, NV>(simd, kernel::zero::<T, S, MR, NV>(simd), depth, a, b);
        add_to::<T, S, MR, NV>(simd, &sums, -1.0, c, kernel::width::<T, S, NV>());
    }
}

/// A strip of X becomes L^-1 X, for one tile L.
#[inline(always)]
unsafe fn down<T: Real, S: Simd, const MR: usize, const NV: usize>(simd: S, l: *const T, x: *mut T) {
    let p = kernel::width::<T, S, NV>();
    for r in (0..TILE).step_by(MR) {
        // SAFETY: the tile and the strip have TILE rows, which MR divides.
        unsafe {
            subtract::<T, S, MR, NV>(simd, r, (l.add(r * TILE), TILE, 1), x, x.add(r * p));
            for i in r..r + MR {
                for k in r..i {
                    subtract_row(x.add(i * p), *l.add(i * TILE + k), x.add(k * p), p);
                }
                divide_row(x.add(i * p), *l.add(i * (TILE + 1)), p);
            }
        }
    }
}

/// A strip of X becomes L^-T X, for one tile L.
#[inline(always)]
unsafe fn up<T: Real, S: Simd, const MR: usize, const NV: usize>(simd: S, l: *const T, x: *mut T) {
    let p = kernel::width::<T, S, NV>();
    for r in (0..TILE).step_by(MR).rev() {
        let end = r + MR;
        // SAFETY: as in `down`.
        unsafe {
            if end < TILE {
                let below = (l.add(end * TILE + r), 1, TILE);
                subtract::<T, S, MR, NV>(simd, TILE - end, below, x.add(end * p), x.add(r * p));
            }
            for i in (r..end).rev() {
                for k in i + 1..end {
                    subtract_row(x.add(i * p), *l.add(k * TILE + i), x.add(k * p), p);
                }
                divide_row(x.add(i * p), *l.add(i * (TILE + 1)), p);
            }
        }
    }
}

/// x <- x - factor y, for p elements.
#[inline(always)]
unsafe fn subtract_row<T: Real>(x: *mut T, factor: T, y: *const T, p: usize) {
    for c in 0..p {
        // SAFETY: the caller guarantees p elements.
        unsafe { *x.add(c) -= factor * *y.add(c) };
    }
}

/// x <- x / divisor, for p elements.
#[inline(always)]
unsafe fn divide_row<T: Real>(x: *mut T, divisor: T, p: usize) {
    let factor = T::from_f64(1.0) / divisor;
    for c in 0..p {
        // SAFETY: the caller guarantees p elements.
        unsafe { *x.add(c) *= factor };
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::buffer::Buffer;
    use super::super::super::thread_pool::ThreadPool;
    use super::super::cholesky;
    use super::*;

    /// The solutions of a system with a positive definite matrix, for right-hand sides in which row i of column c is i + c.
    fn solved<T: Real>(n: usize, level: Level, threads: usize) -> Vec<f64> {
        let pool = ThreadPool::new(threads);
        let workers = pool.start_solve();
        let mut buffer = Buffer::default();
        let mut tiles = Tiles::zeros(n, &mut buffer).unwrap();
        tiles.fill(&workers, |i, j| T::from_f64(element(i, j)));
        let mut workspace = vec![T::from_f64(0.0); cholesky::workspace_elements(n) as usize];
        assert!(cholesky::factorize(&mut tiles, &mut workspace, level, &workers));
        let mut x: Vec<T> = (0..n * COLUMNS).map(|k| T::from_f64((k / COLUMNS + k % COLUMNS) as f64)).collect();
        solve(&mut tiles, &mut x, level, &workers);
        x.into_iter().map(Into::into).collect()
    }

    /// An element of a matrix that is dominated by its diagonal.
    fn element(i: usize, j: usize) -> f64 {
        if i == j { 2.0 } else { ((i * j) as f64).sin() / (1.0 + i.abs_diff(j) as f64).powi(2) }
    }

    fn agrees<T: Real>(n: usize, level: Level) {
        let x = solved::<T>(n, level, 2);
        for (i, c) in (0..n).flat_map(|i| [0, 7, COLUMNS - 1].map(|c| (i, c))) {
            let sum: f64 = (0..n).map(|j| element(i, j) * x[j * COLUMNS + c]).sum();
            let error = (sum - (i + c) as f64).abs();
            assert!(error < 100.0 * T::EPSILON * (n + c) as f64, "n = {n}, {level}, row {i}, column {c}: {error:e}");
        }
    }

    #[test]
    fn solves_for_every_right_hand_side_on_every_level() {
        for n in [1, 2, 15, 16, 17, 191, 192, 193, 400] {
            for level in Level::all() {
                agrees::<f32>(n, level);
                agrees::<f64>(n, level);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let bits =
            |threads| solved::<f32>(600, Level::widest(), threads).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert!((2..=4).all(|threads| bits(threads) == bits(1)));
    }

    /// Small enough for Miri (`scripts/miri`).
    #[test]
    fn miri_follows_a_block_of_right_hand_sides() {
        let pool = ThreadPool::new(2);
        let workers = pool.start_solve();
        let mut buffer = Buffer::default();
        let mut tiles = Tiles::zeros(3, &mut buffer).unwrap();
        // L = (2 0 0, 1 2 0, 0 1 2), and a unit matrix beyond it.
        for i in 0..TILE {
            tiles.elements()[i * (TILE + 1)] = if i < 3 { 2.0 } else { 1.0 };
        }
        for i in 1..3 {
            tiles.elements()[i * TILE + i - 1] = 1.0;
        }
        // L L^T times (1, 2, 3), in every column.
        let mut x: Vec<f64> = [8.0, 18.0, 19.0].into_iter().flat_map(|b| [b; COLUMNS]).collect();
        solve(&mut tiles, &mut x, Level::Scalar, &workers);
        for (i, row) in x.chunks_exact(COLUMNS).enumerate() {
            assert!(row.iter().all(|x| (x - (i + 1) as f64).abs() < 1e-14), "{row:?}");
        }
    }
}
