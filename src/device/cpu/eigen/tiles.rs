//! A symmetric matrix as square tiles of its lower half.
//!
//! Tile (I, J), J <= I, holds the rows from I * TILE and the columns from J * TILE on, row after row; tiles follow each other
//! row by row. So a tile is one run of memory, which a core keeps in its second-level cache whatever the order of the
//! matrix, and the whole takes little more than half of n^2. Tiles on the diagonal hold both halves. What lies beyond the
//! order is zero.

use super::super::memory::Buffer;
use crate::device::Failure;

/// Rows and columns of a tile: a multiple of all heights and widths of the [`kernel`](super::kernel)'s results, and of all
/// bandwidths.
pub const TILE: usize = 192;

/// Number of rows of tiles.
pub fn tile_rows(n: usize) -> usize {
    n.div_ceil(TILE)
}

/// Elements of all tiles of a matrix of order n.
pub fn elements(n: usize) -> u64 {
    let rows = tile_rows(n) as u64;
    rows * (rows + 1) / 2 * (TILE * TILE) as u64
}

/// Where tile (row, col) begins.
pub fn offset(row: usize, col: usize) -> usize {
    debug_assert!(col <= row);
    (row * (row + 1) / 2 + col) * TILE * TILE
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

    /// Rows and columns.
    pub fn order(&self) -> usize {
        self.n
    }

    /// The tiles, one after the other.
    pub fn elements(&mut self) -> &mut [T] {
        self.elements
    }

    /// The element in this row and column, which is not greater.
    pub fn get(&self, row: usize, col: usize) -> T {
        self.elements[offset(row / TILE, col / TILE) + row % TILE * TILE + col % TILE]
    }

    /// Sets the element in this row and column, which is not greater, and where it is stored twice, its mirror image.
    pub fn set(&mut self, row: usize, col: usize, value: T) {
        let tile = offset(row / TILE, col / TILE);
        self.elements[tile + row % TILE * TILE + col % TILE] = value;
        if row / TILE == col / TILE {
            self.elements[tile + col % TILE * TILE + row % TILE] = value;
        }
    }

    /// The diagonal.
    pub fn diagonal(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.n).map(|i| self.elements[offset(i / TILE, i / TILE) + i % TILE * (TILE + 1)])
    }
}
