//! A matrix whose elements can be read, and why it may be unavailable.

use std::ops::Range;

use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType, MatrixView, Residence};

/// Why a matrix cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// A file cannot be mapped into memory.
    NotMapped(String),
    /// A file could not be read, or changed while it was read.
    Unreadable(String),
    /// Not enough memory for the computed elements.
    OutOfMemory {
        /// Size of the buffer that could not be allocated.
        bytes: u64,
    },
    /// The tensors from which the matrix is computed contain NaN or infinity.
    NonFinite(String),
    /// The tensors from which the matrix is computed contradict each other.
    Contradictory(String),
    /// A computed element is outside the range of f64.
    OutOfRange,
}

/// A matrix whose elements can be read.
#[derive(Debug)]
pub struct Loaded<'a> {
    content: Content<'a>,
    dtype: FloatType,
    cast: Cast,
    rows: usize,
    cols: usize,
}

#[derive(Debug)]
enum Content<'a> {
    /// In the mapped file, not copied.
    Mapped(Mapped<'a>),
    /// Row-major and little-endian, as in a file.
    Computed(Vec<u8>),
}

/// The bytes of a tensor in the mapped file.
#[derive(Debug)]
pub(super) struct Mapped<'a> {
    bytes: &'a [u8],
    stored: &'a Stored,
    checkpoint: &'a Checkpoint,
    residence: Residence,
}

impl<'a> Mapped<'a> {
    /// Maps a tensor. `keep`: leave it in the page cache, because it will be read again.
    ///
    /// # Errors
    ///
    /// If the file cannot be mapped.
    pub fn new(stored: &'a Stored, checkpoint: &'a Checkpoint, keep: bool) -> Result<Mapped<'a>, Unavailable> {
        let Stored { tensor, shard } = stored;
        let found = checkpoint.prefetch(*shard, tensor);
        let residence = if keep { Residence::Kept } else { found };
        let bytes = checkpoint.bytes_of(*shard, tensor).map_err(Unavailable::NotMapped)?;
        Ok(Mapped { bytes, stored, checkpoint, residence })
    }

    /// Maps a tensor of which usually only the beginning is read.
    ///
    /// # Errors
    ///
    /// If the file cannot be mapped.
    pub fn without_prefetch(stored: &'a Stored, checkpoint: &'a Checkpoint) -> Result<Mapped<'a>, Unavailable> {
        let Stored { tensor, shard } = stored;
        let bytes = checkpoint.bytes_of(*shard, tensor).map_err(Unavailable::NotMapped)?;
        Ok(Mapped { bytes, stored, checkpoint, residence: Residence::Kept })
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Releases the bytes: see [`Loaded::finish`].
    pub fn finish(self) -> Result<(), Unavailable> {
        let Stored { tensor, shard } = self.stored;
        self.checkpoint.release(*shard, tensor, self.residence);
        self.checkpoint.verify(*shard).map_err(Unavailable::Unreadable)
    }
}

impl<'a> Loaded<'a> {
    /// A matrix in a memory-mapped file. Only the parts that are viewed are read.
    pub(super) fn mapped(mapped: Mapped<'a>, dtype: FloatType, shape: [usize; 2]) -> Loaded<'a> {
        let [rows, cols] = shape;
        Loaded { content: Content::Mapped(mapped), dtype, cast: Cast::None, rows, cols }
    }

    /// A computed matrix, row-major and little-endian. The files that it was computed from must have been finished.
    ///
    /// # Panics
    ///
    /// If the length of `bytes` does not match shape and type.
    pub(super) fn computed(bytes: Vec<u8>, dtype: FloatType, shape: [usize; 2]) -> Loaded<'static> {
        let [rows, cols] = shape;
        assert_eq!(Some(bytes.len()), rows.checked_mul(cols).and_then(|n| n.checked_mul(dtype.bytes())));
        Loaded { content: Content::Computed(bytes), dtype, cast: Cast::None, rows, cols }
    }

    /// The same matrix, whose elements are rounded by `cast` as they are viewed.
    pub(super) fn with_cast(self, cast: Cast) -> Loaded<'a> {
        Loaded { cast, ..self }
    }

    /// Copies a sub-matrix before any cast, and finishes with the source.
    pub(super) fn copy(self, rows: Range<usize>, cols: Range<usize>) -> Result<Vec<u8>, Unavailable> {
        let row_bytes = cols.len() * self.dtype.bytes();
        let mut bytes = buffer(rows.len() * row_bytes)?;
        let view = self.view();
        for (row, out) in rows.zip(bytes.chunks_exact_mut(row_bytes)) {
            view.copy_segment(row, cols.clone(), out);
        }
        self.finish()?;
        Ok(bytes)
    }

    /// The elements, rounded by the cast as they are read.
    pub fn view(&self) -> MatrixView<'_> {
        let bytes = match &self.content {
            Content::Mapped(mapped) => mapped.bytes(),
            Content::Computed(bytes) => bytes.as_slice(),
        };
        MatrixView::new(bytes, self.dtype, self.cast, self.rows, self.cols)
    }

    /// Releases the elements, and confirms that the file still has the content with which it was opened.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Unreadable`] if the file has changed. Then neither a result nor an earlier failure counts.
    pub fn finish(self) -> Result<(), Unavailable> {
        match self.content {
            Content::Mapped(mapped) => mapped.finish(),
            Content::Computed(_) => Ok(()),
        }
    }
}

/// Bytes of a computed matrix, saturating.
pub(super) fn matrix_bytes([rows, cols]: [usize; 2], dtype: FloatType) -> u64 {
    (rows as u64).saturating_mul(cols as u64).saturating_mul(dtype.bytes() as u64)
}

/// Returns a zeroed buffer. Returns [`Unavailable::OutOfMemory`] instead of aborting if there is not enough memory.
pub(super) fn buffer(bytes: usize) -> Result<Vec<u8>, Unavailable> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| Unavailable::OutOfMemory { bytes: bytes as u64 })?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_elements_are_read_as_those_of_a_file() {
        let values: [f64; 6] = [1.0, -2.0, 3.0, 1e300, -1e-300, 0.1];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let loaded = Loaded::computed(bytes, FloatType::F64, [2, 3]);
        let mut row = [0.0_f64; 3];
        loaded.view().read_segment(1, 0..3, 1.0, &mut row);
        assert_eq!(row, values[3..]);
        assert_eq!((loaded.view().dtype(), loaded.view().cast()), (FloatType::F64, Cast::None));
        assert_eq!(loaded.finish(), Ok(()));
    }

    #[test]
    #[should_panic = "left == right"]
    fn computed_elements_fill_the_shape() {
        Loaded::computed(vec![0; 47], FloatType::F64, [2, 3]);
    }
}
