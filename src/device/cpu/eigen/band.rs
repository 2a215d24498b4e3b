//! A symmetric band matrix: the columns of its lower half, with room for the bulge that is chased along it.

use super::super::buffer::Buffer;
use crate::device::Failure;

/// Column j holds the elements (j + i, j): the band for i up to the bandwidth b, the bulge for i below 2 b, and zeros up to
/// the stride 3 b. With those zeros a block on the diagonal can be read as a square: elements above its diagonal coincide with
/// them. 2 b zero columns follow the last.
#[derive(Debug)]
pub struct Band<'a, T> {
    n: usize,
    bandwidth: usize,
    elements: &'a mut [T],
}

/// Elements of a band matrix of order n.
pub fn elements(n: usize, bandwidth: usize) -> u64 {
    (n + 2 * bandwidth) as u64 * 3 * bandwidth as u64
}

impl<'a, T: Copy + Default> Band<'a, T> {
    /// A zero matrix of order n.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
    pub fn zeros(n: usize, bandwidth: usize, buffer: &'a mut Buffer<T>) -> Result<Band<'a, T>, Failure> {
        let elements = buffer.get(elements(n, bandwidth))?;
        elements.fill(T::default());
        Ok(Band { n, bandwidth, elements })
    }

    /// Rows and columns.
    pub fn order(&self) -> usize {
        self.n
    }

    /// Nonzero diagonals below the main one.
    pub fn bandwidth(&self) -> usize {
        self.bandwidth
    }

    /// Elements from one column to the next.
    pub fn stride(&self) -> usize {
        Self::stride_of(self.bandwidth)
    }

    /// Elements from one column to the next for a bandwidth.
    pub const fn stride_of(bandwidth: usize) -> usize {
        3 * bandwidth
    }

    /// A pointer to column 0; the other columns follow.
    pub fn columns(&mut self) -> *mut T {
        self.elements.as_mut_ptr()
    }

    /// The element in row `col` + `below`, where `below` is at most the bandwidth.
    pub fn get(&self, below: usize, col: usize) -> T {
        self.elements[col * self.stride() + below]
    }
}
