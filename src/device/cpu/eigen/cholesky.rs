//! Cholesky factorization of a symmetric matrix in tiles, in place, and solving with the factor.
//!
//! A = L L^T, one column of tiles after the other (Golub and Van Loan, Matrix Computations, section 4.2). The tile on the
//! diagonal is factorized and its factor inverted. The tiles below it are multiplied by the transpose of that inverse, and their
//! products are subtracted from the tiles to their right. Both of these steps are products of tiles, and run in parallel.
//!
//! Division by a triangle through its inverse loses a factor of the triangle's condition in the worst case (Du Croz and
//! Higham, IMA J. Numer. Anal. 12, 1992). That is precise enough here: the factor only preconditions an iteration that
//! certifies its own result.
#![allow(unsafe_code)]

use pulp::Simd;

use super::super::simd::{Level, Real, dot};
use super::super::thread_pool::Workers;
use super::kernel::{self, MAX_ROWS, Rows, WithRows, add_to, prefetch_rows, product, write_to};
use super::tiles::{TILE, Tiles, offset, tile_rows};

/// Elements of workspace that [`factorize`] needs in addition to the tiles.
pub fn workspace_elements(n: usize) -> u64 {
    ((tile_rows(n) + 1) * TILE * TILE) as u64
}

/// Replaces the lower half of a matrix by L. Returns false if the matrix is not numerically positive definite; its content is
/// then lost.
///
/// # Panics
///
/// If `workspace` has fewer than [`workspace_elements`].
pub fn factorize<T: Real>(matrix: &mut Tiles<T>, workspace: &mut [T], level: Level, workers: &Workers) -> bool {
    let n = matrix.order();
    let rows = tile_rows(n);
    let (inverse, right) = workspace[..workspace_elements(n) as usize].split_at_mut(TILE * TILE);
    let elements = matrix.elements();
    // Pads with a unit matrix beyond the order, so that all tiles are whole.
    let last = offset(rows - 1, rows - 1);
    for i in n - (rows - 1) * TILE..TILE {
        elements[last + i * TILE + i] = T::from_f64(1.0);
    }
    for column in 0..rows {
        let diagonal = &mut elements[offset(column, column)..][..TILE * TILE];
        let mut triangle = Triangle { diagonal, inverse, is_definite: true };
        level.run(Rows(&mut triangle));
        if !triangle.is_definite {
            return false;
        }
        let stage =
            Stage { tiles: elements.as_mut_ptr(), inverse: inverse.as_ptr(), right: right.as_mut_ptr(), column };
        let below = rows - column - 1;
        workers.run(below, &|index| {
            level.run(Rows(Task { stage: &stage, step: Step::Divide { row: column + 1 + index } }))
        });
        let pairs: Vec<_> = (column + 1..rows).flat_map(|row| (column + 1..=row).map(move |col| (row, col))).collect();
        workers.run(pairs.len(), &|index| {
            let (row, col) = pairs[index];
            level.run(Rows(Task { stage: &stage, step: Step::Subtract { row, col } }));
        });
    }
    true
}

/// Replaces x by (L L^T)^-1 x.
///
/// # Panics
///
/// If the length of `x` is not the order of L.
pub fn solve<T: Real>(factor: &mut Tiles<T>, x: &mut [T], level: Level) {
    assert_eq!(x.len(), factor.order());
    let mut padded = vec![T::from_f64(0.0); tile_rows(x.len()) * TILE];
    padded[..x.len()].copy_from_slice(x);
    level.run(Rows(Solve { factor, x: &mut padded }));
    x.copy_from_slice(&padded[..x.len()]);
}

/// A tile on the diagonal to factorize, and a buffer for the transpose of the factor's inverse, in strips for the kernel.
struct Triangle<'a, T> {
    diagonal: &'a mut [T],
    inverse: &'a mut [T],
    is_definite: bool,
}

impl<T: Real> WithRows for &mut Triangle<'_, T> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let mut rows = vec![T::from_f64(0.0); TILE * TILE];
        self.is_definite = factorize_tile(simd, self.diagonal, &mut rows);
        if !self.is_definite {
            return;
        }
        // Row i of the inverse X: X_ii = 1 / L_ii, and from L X = I, X_i = -X_ii sum of L_ik X_k over k < i.
        rows.fill(T::from_f64(0.0));
        for i in 0..TILE {
            let (before, row) = rows.split_at_mut(i * TILE);
            let row = &mut row[..TILE];
            let line = &self.diagonal[i * TILE..][..TILE];
            for (k, other) in before.chunks_exact(TILE).enumerate() {
                let whole = (k + 1).next_multiple_of(T::lanes::<S>());
                subtract_multiple(simd, &mut row[..whole], line[k], &other[..whole]);
            }
            let reciprocal = T::from_f64(1.0) / line[i];
            row[..i].iter_mut().for_each(|x| *x *= reciprocal);
            row[i] = reciprocal;
        }
        let p = kernel::width::<T, S, NV>();
        for (strip, out) in self.inverse.chunks_exact_mut(TILE * p).enumerate() {
            for (k, out) in out.chunks_exact_mut(p).enumerate() {
                for (c, x) in out.iter_mut().enumerate() {
                    *x = rows[(strip * p + c) * TILE + k];
                }
            }
        }
    }
}

/// Divides one row of L^T after the other by the root of its first element, and subtracts its products from the rows below.
/// Returns false if such an element is not positive. `upper` is scratch for the rows of L^T; elements left of its diagonal are
/// computed along in whole vectors, and are meaningless.
#[inline(always)]
fn factorize_tile<T: Real, S: Simd>(simd: S, tile: &mut [T], upper: &mut [T]) -> bool {
    for (i, j) in (0..TILE).flat_map(|i| (0..=i).map(move |j| (i, j))) {
        upper[j * TILE + i] = tile[i * TILE + j];
    }
    let lanes = T::lanes::<S>();
    for k in 0..TILE {
        let (done, below) = upper.split_at_mut((k + 1) * TILE);
        let row = &mut done[k * TILE..];
        let square: f64 = row[k].into();
        // Not NaN either.
        if !(square > 0.0 && square.is_finite()) {
            return false;
        }
        let reciprocal = T::from_f64(1.0 / square.sqrt());
        row[k..].iter_mut().for_each(|x| *x *= reciprocal);
        for (i, other) in (k + 1..TILE).zip(below.chunks_exact_mut(TILE)) {
            let first = i / lanes * lanes;
            subtract_multiple(simd, &mut other[first..], row[i], &row[first..]);
        }
    }
    for (i, j) in (0..TILE).flat_map(|i| (0..=i).map(move |j| (i, j))) {
        tile[i * TILE + j] = upper[j * TILE + i];
    }
    true
}

/// What the tasks share. They read the finished column of tiles, and each writes its own tile.
struct Stage<T> {
    tiles: *mut T,
    /// The transpose of the inverse of the factor on the diagonal, in strips for the kernel.
    inverse: *const T,
    /// The transposes of the tiles below it, in strips for the kernel.
    right: *mut T,
    column: usize,
}

// SAFETY: the tasks of a step write different tiles, and steps follow each other.
unsafe impl<T: Sync> Sync for Stage<T> {}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Multiplies the tile of this row in the column by the inverse.
    Divide { row: usize },
    /// Subtracts the product of two tiles of the column from this one.
    Subtract { row: usize, col: usize },
}

struct Task<'a, T> {
    stage: &'a Stage<T>,
    step: Step,
}

impl<T: Real> WithRows for Task<'_, T> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        // SAFETY: tiles of the lower half exist, `right` has one for each row, and tasks of one step write different ones.
        unsafe {
            match self.step {
                Step::Divide { row } => self.stage.divide::<S, MR, NV>(simd, row),
                Step::Subtract { row, col } => self.stage.subtract::<S, MR, NV>(simd, row, col),
            }
        }
    }
}

impl<T: Real> Stage<T> {
    #[inline(always)]
    unsafe fn divide<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, row: usize) {
        let p = kernel::width::<T, S, NV>();
        let mut block = [T::from_f64(0.0); MAX_ROWS * TILE];
        // SAFETY: `perform`; MR divides TILE and is at most MAX_ROWS.
        unsafe {
            let tile = self.tiles.add(offset(row, self.column));
            let right = self.right.add(row * TILE * TILE);
            for r in (0..TILE).step_by(MR) {
                for strip in 0..TILE / p {
                    // The inverse is a triangle: row k of its transpose is zero in the strips before k.
                    let depth = (strip + 1) * p;
                    let b = self.inverse.add(strip * TILE * p);
                    let zero = kernel::zero::<T, S, MR, NV>(simd);
                    let sums = product::<T, S, MR, NV>(simd, zero, depth, (tile.add(r * TILE), TILE, 1), b);
                    write_to::<T, S, MR, NV>(&sums, MR, block.as_mut_ptr().add(strip * p), TILE);
                }
                tile.add(r * TILE).copy_from_nonoverlapping(block.as_ptr(), MR * TILE);
                for (i, row) in block.chunks_exact(TILE).enumerate().take(MR) {
                    let (strip, c) = ((r + i) / p, (r + i) % p);
                    for (k, &x) in row.iter().enumerate() {
                        *right.add((strip * TILE + k) * p + c) = x;
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn subtract<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, row: usize, col: usize) {
        let p = kernel::width::<T, S, NV>();
        // SAFETY: `perform`.
        unsafe {
            let left = self.tiles.add(offset(row, self.column)).cast_const();
            let tile = self.tiles.add(offset(row, col));
            for c in (0..TILE).step_by(p) {
                let b = self.right.add((col * TILE + c) * TILE);
                let top = if row == col { c / MR * MR } else { 0 };
                for r in (top..TILE).step_by(MR) {
                    prefetch_rows::<T, S, MR, NV>(tile.wrapping_add((r + MR) * TILE + c), TILE);
                    let zero = kernel::zero::<T, S, MR, NV>(simd);
                    let sums = product::<T, S, MR, NV>(simd, zero, TILE, (left.add(r * TILE), TILE, 1), b);
                    add_to::<T, S, MR, NV>(simd, &sums, -1.0, tile.add(r * TILE + c), TILE);
                }
            }
        }
    }
}

struct Solve<'a, 'b, 'c, T> {
    factor: &'a mut Tiles<'b, T>,
    x: &'c mut [T],
}

impl<T: Real> WithRows for Solve<'_, '_, '_, T> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let rows = tile_rows(self.factor.order());
        let elements = &*self.factor.elements();
        let tile = |row: usize, col: usize| elements[offset(row, col)..][..TILE * TILE].chunks_exact(TILE);
        for row in 0..rows {
            let (before, x) = self.x.split_at_mut(row * TILE);
            let x = &mut x[..TILE];
            for (col, y) in before.chunks_exact(TILE).enumerate() {
                for (x, line) in x.iter_mut().zip(tile(row, col)) {
                    *x -= dot(line, y);
                }
            }
            for (i, line) in tile(row, row).enumerate() {
                x[i] = (x[i] - dot(&line[..i], &x[..i])) / line[i];
            }
        }
        for row in (0..rows).rev() {
            let (before, x) = self.x.split_at_mut(row * TILE);
            let x = &mut x[..TILE];
            for (i, line) in tile(row, row).enumerate().rev() {
                x[i] /= line[i];
                let factor = x[i];
                subtract_multiple(simd, &mut x[..i], factor, &line[..i]);
            }
            for (col, y) in before.chunks_exact_mut(TILE).enumerate() {
                for (&x, line) in x.iter().zip(tile(row, col)) {
                    subtract_multiple(simd, y, x, line);
                }
            }
        }
    }
}

/// x <- x - factor y, for vectors of equal length.
#[inline(always)]
fn subtract_multiple<T: Real, S: Simd>(simd: S, x: &mut [T], factor: T, y: &[T]) {
    let lanes = T::lanes::<S>();
    let (mut xs, mut ys) = (x.chunks_exact_mut(lanes), y.chunks_exact(lanes));
    let negative = T::splat(simd, -factor);
    for (x, y) in xs.by_ref().zip(ys.by_ref()) {
        // SAFETY: both have as many elements as a vector.
        unsafe {
            let sum = T::mul_add(simd, negative, T::load::<S>(y.as_ptr()), T::load::<S>(x.as_ptr()));
            T::store::<S>(x.as_mut_ptr(), sum);
        }
    }
    for (x, y) in xs.into_remainder().iter_mut().zip(ys.remainder()) {
        *x -= factor * *y;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::buffer::Buffer;
    use super::super::super::thread_pool::ThreadPool;
    use super::*;

    /// B B^T + I, column by column.
    fn definite(n: usize) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(n as u64);
        let b: Vec<f64> = (0..n * n).map(|_| rng.f64() - 0.5).collect();
        let element = |i: usize, j: usize| dot(&b[i * n..][..n], &b[j * n..][..n]) + f64::from(u8::from(i == j));
        (0..n * n).map(|index| element(index % n, index / n)).collect()
    }

    /// The factor of a matrix, if it has one, and the solution for the right-hand side 1, 2, 3 ...
    fn factor_and_solve(matrix: &[f64], level: Level, threads: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let n = matrix.len().isqrt();
        let pool = ThreadPool::new(threads);
        let workers = pool.start_solve();
        let mut buffer = Buffer::default();
        let mut tiles = Tiles::zeros(n, &mut buffer).unwrap();
        tiles.fill(&workers, |row, col| matrix[col * n + row]);
        let mut workspace = vec![0.0; workspace_elements(n) as usize];
        if !factorize(&mut tiles, &mut workspace, level, &workers) {
            return None;
        }
        let lower = |index: usize| if index % n < index / n { 0.0 } else { tiles.get(index % n, index / n) };
        let factor = (0..n * n).map(lower).collect();
        let mut x: Vec<f64> = (1..=n).map(|i| i as f64).collect();
        solve(&mut tiles, &mut x, level);
        Some((factor, x))
    }

    #[test]
    fn factors_multiply_to_the_matrix_and_solve_for_it() {
        for n in [1, 2, 3, 11, 12, 13, 95, 96, 97, 191, 192, 193, 300, 385] {
            let matrix = definite(n);
            for level in Level::all() {
                let (factor, x) = factor_and_solve(&matrix, level, 2).unwrap();
                let scale = matrix.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
                for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                    let sum: f64 = (0..=j).map(|k| factor[k * n + i] * factor[k * n + j]).sum();
                    assert!((sum - matrix[j * n + i]).abs() < 1e-13 * n as f64 * scale, "{n}, {level}: {i}, {j}");
                }
                for i in 0..n {
                    let sum: f64 = (0..n).map(|j| matrix[j * n + i] * x[j]).sum();
                    assert!((sum - (i + 1) as f64).abs() < 1e-9 * n as f64, "{n}, {level}, row {i}: {sum}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let matrix = definite(500);
        let bits = |threads| {
            let (factor, x) = factor_and_solve(&matrix, Level::widest(), threads).unwrap();
            factor.into_iter().chain(x).map(f64::to_bits).collect::<Vec<_>>()
        };
        assert!((2..=4).all(|threads| bits(threads) == bits(1)));
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        for bad in [0.0, -1.0, f64::NAN] {
            for place in [0, 5, 195] {
                let mut matrix = definite(200);
                matrix[place * 201] = bad;
                assert!(factor_and_solve(&matrix, Level::widest(), 2).is_none(), "{bad} at {place}");
            }
        }
    }
}
