//! Matrices in the memory of a GPU, as cuBLAS and cuSOLVER know them.

use super::memory::DeviceSlice;

/// A column-major matrix at the start of `data`, with columns `lead` apart; or its transpose.
#[derive(Debug)]
pub struct Matrix<'m, T> {
    data: DeviceSlice<'m, T>,
    lead: usize,
    transposed: bool,
}

impl<T> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Matrix<'_, T> {}

impl<'m, T> Matrix<'m, T> {
    pub fn new(data: DeviceSlice<'m, T>, lead: usize) -> Matrix<'m, T> {
        Matrix { data, lead, transposed: false }
    }

    pub fn transpose(self) -> Self {
        Matrix { transposed: !self.transposed, ..self }
    }

    pub fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Numbers from column to column.
    pub fn lead(&self) -> usize {
        self.lead
    }

    /// The matrix from a row and a column of the memory on.
    pub fn starting_at(self, row: usize, column: usize) -> Self {
        Matrix { data: self.data.part(row + column * self.lead..self.data.len()), ..self }
    }

    /// The numbers of `rows` x `columns` elements, as the matrix is used: transposed or not.
    ///
    /// # Panics
    ///
    /// If the memory is smaller.
    pub fn elements(&self, rows: usize, columns: usize) -> DeviceSlice<'m, T> {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        self.data.part(0..(columns - 1) * self.lead + rows)
    }
}
