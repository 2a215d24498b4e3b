//! A symmetric matrix as square tiles of its lower half.
//!
//! Tile (I, J), J <= I, holds the rows from I * TILE and the columns from J * TILE on, row after row; tiles follow each other
//! row by row. So a tile is contiguous, a core keeps it in its second-level cache for any order of the matrix, and all
//! tiles take little more than half of n^2 elements. Tiles on the diagonal hold both halves. Elements beyond the order are zero.

use std::sync::Mutex;

use pulp::{Simd, WithSimd};

use super::super::buffer::Buffer;
use super::super::simd::{Level, Real, dot};
use super::super::thread_pool::Workers;
use crate::device::Failure;

/// Rows and columns of a tile: a multiple of every height and width of the [`kernel`](super::kernel), and of every bandwidth.
pub const TILE: usize = 192;

/// Rows and columns of the squares that are transposed at once.
const SQUARE: usize = 32;

/// Number of rows of tiles.
pub fn tile_rows(n: usize) -> usize {
    n.div_ceil(TILE)
}

/// How many rows of this row of tiles belong to a matrix of order n; the same for columns.
pub fn used(n: usize, tile: usize) -> usize {
    (n - tile * TILE).min(TILE)
}

/// Elements of all tiles of a matrix of order n.
pub fn elements(n: usize) -> u64 {
    let rows = tile_rows(n) as u64;
    rows * (rows + 1) / 2 * (TILE * TILE) as u64
}

/// Index of the first element of tile (row, col).
pub fn offset(row: usize, col: usize) -> usize {
    debug_assert!(col <= row);
    (row * (row + 1) / 2 + col) * TILE * TILE
}

fn fill_tile<T: Copy>(
    n: usize,
    (tile_row, tile_col): (usize, usize),
    tile: &mut [T],
    element: &impl Fn(usize, usize) -> T,
) {
    let (top, left) = (tile_row * TILE, tile_col * TILE);
    let (height, width) = (used(n, tile_row), used(n, tile_col));
    // In small squares, so that both rows and columns stay in the cache.
    for (r0, c0) in (0..height).step_by(SQUARE).flat_map(|r| (0..width).step_by(SQUARE).map(move |c| (r, c))) {
        for c in c0..width.min(c0 + SQUARE) {
            let first = if tile_row == tile_col { r0.max(c) } else { r0 };
            for r in first..height.min(r0 + SQUARE) {
                let x = element(top + r, left + c);
                tile[r * TILE + c] = x;
                if tile_row == tile_col {
                    tile[c * TILE + r] = x;
                }
            }
        }
    }
}

struct SquaredNorm<'a, T>(&'a [T]);

impl<T: Real> WithSimd for SquaredNorm<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f64 {
        dot(self.0, self.0).into()
    }
}

/// The lower half of a symmetric matrix.
#[derive(Debug)]
pub struct Tiles<'a, T> {
    n: usize,
    elements: &'a mut [T],
}

impl<'a, T: Copy + Default> Tiles<'a, T> {
    /// A zero matrix of order n.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
    pub fn zeros(n: usize, buffer: &'a mut Buffer<T>) -> Result<Tiles<'a, T>, Failure> {
        let elements = buffer.get(elements(n))?;
        elements.fill(T::default());
        Ok(Tiles { n, elements })
    }

    /// A matrix of order n whose tiles are already in `elements`.
    ///
    /// # Panics
    ///
    /// If `elements` has another length than the tiles.
    pub fn of(n: usize, elements: &'a mut [T]) -> Tiles<'a, T> {
        assert_eq!(elements.len() as u64, self::elements(n));
        Tiles { n, elements }
    }

    /// Copies the tiles to `copy`, which must have the same length.
    pub fn copy_to(&self, copy: &mut [T], workers: &Workers)
    where
        T: Send + Sync,
    {
        let tiles: Vec<_> =
            self.elements.chunks(TILE * TILE).zip(copy.chunks_mut(TILE * TILE).map(Mutex::new)).collect();
        workers.run(tiles.len(), &|index| {
            let (tile, copy) = &tiles[index];
            copy.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).copy_from_slice(tile);
        });
    }

    /// The sum of the squares of all elements of the matrix, added up in T for each tile, then in f64. Elements that are stored
    /// twice must be equal.
    pub fn squared_norm(&self, level: Level, workers: &Workers) -> f64
    where
        T: Real,
    {
        let places: Vec<_> = (0..tile_rows(self.n)).flat_map(|row| (0..=row).map(move |col| (row, col))).collect();
        let sums: Vec<_> = places.iter().map(|_| Mutex::new(0.0)).collect();
        workers.run(places.len(), &|index| {
            let tile = &self.elements[index * TILE * TILE..][..TILE * TILE];
            *sums[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = level.run(SquaredNorm(tile));
        });
        let weight = |(row, col): (usize, usize)| if row == col { 1.0 } else { 2.0 };
        let sum = |sum: Mutex<f64>| sum.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        places.into_iter().zip(sums).map(|(place, part)| weight(place) * sum(part)).sum()
    }

    /// Rows and columns.
    pub fn order(&self) -> usize {
        self.n
    }

    /// The tiles, one after the other.
    pub fn elements(&mut self) -> &mut [T] {
        self.elements
    }

    /// The element in this row and column, where `col` <= `row`.
    pub fn get(&self, row: usize, col: usize) -> T {
        self.elements[offset(row / TILE, col / TILE) + row % TILE * TILE + col % TILE]
    }

    /// Sets all elements of the lower half, and their mirror images if those are stored, to `element(row, col)`, and elements
    /// beyond the order to zero.
    pub fn fill(&mut self, workers: &Workers, element: impl Fn(usize, usize) -> T + Sync)
    where
        T: Send,
    {
        let n = self.n;
        let places = (0..tile_rows(n)).flat_map(|row| (0..=row).map(move |col| (row, col)));
        let tiles: Vec<_> = places.zip(self.elements.chunks_exact_mut(TILE * TILE).map(Mutex::new)).collect();
        workers.run(tiles.len(), &|index| {
            let (place, tile) = &tiles[index];
            let mut tile = tile.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            tile.fill(T::default());
            fill_tile(n, *place, &mut tile, &element);
        });
    }

    /// Writes the lower half of each tile on the diagonal to its upper half.
    pub fn mirror(&mut self) {
        for tile in 0..tile_rows(self.n) {
            let tile = &mut self.elements[offset(tile, tile)..][..TILE * TILE];
            for (row, col) in (0..TILE).flat_map(|row| (0..row).map(move |col| (row, col))) {
                tile[col * TILE + row] = tile[row * TILE + col];
            }
        }
    }

    /// Adds a number to each element of the diagonal.
    pub fn shift(&mut self, by: T)
    where
        T: std::ops::AddAssign,
    {
        for i in 0..self.n {
            self.elements[offset(i / TILE, i / TILE) + i % TILE * (TILE + 1)] += by;
        }
    }

    /// The diagonal.
    pub fn diagonal(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.n).map(|i| self.elements[offset(i / TILE, i / TILE) + i % TILE * (TILE + 1)])
    }
}
