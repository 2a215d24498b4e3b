//! Sparse weights as compressed-tensors stores them: the elements that are kept, and a mask of one bit for each element.
//!
//! Bit b of byte j of a row of the mask belongs to column 8 j + b. With `sparse-24-bitmask` every row keeps half of its elements,
//! so that they form a matrix of half the width. With `sparse-bitmask` they are one list, and a row may keep any number.

use super::loaded::{Loaded, Mapped, Unavailable, buffer, matrix_bytes};
use super::source::ElementSource;
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType};

/// A sparse matrix.
#[derive(Debug)]
pub(crate) struct Bitmask {
    /// The kept elements, row by row: a matrix of half the width, or a row of all.
    pub kept: Stored,
    /// Their type.
    pub dtype: FloatType,
    /// One bit for each element: rows x ceil(columns / 8) bytes.
    pub mask: Stored,
    /// Rows and columns of the whole matrix.
    pub shape: [usize; 2],
    /// What else describes the matrix in the file.
    pub others: Vec<Stored>,
}

impl ElementSource for Bitmask {
    fn shape(&self) -> [usize; 2] {
        self.shape
    }

    fn dtype(&self) -> FloatType {
        self.dtype
    }

    fn stored(&self) -> &Stored {
        &self.kept
    }

    fn companions(&self) -> Vec<&Stored> {
        std::iter::once(&self.mask).chain(&self.others).collect()
    }

    fn computed_bytes(&self) -> u64 {
        matrix_bytes(self.shape, self.dtype)
    }

    fn form(&self) -> Option<&'static str> {
        Some("sparse bitmask")
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let [rows, cols] = self.shape;
        let (bytes, size) = (self.computed_bytes(), self.dtype.bytes());
        let mut weights = buffer(usize::try_from(bytes).map_err(|_| Unavailable::OutOfMemory { bytes })?)?;
        let (kept, mask) = (Mapped::new(&self.kept, checkpoint, keep)?, Mapped::new(&self.mask, checkpoint, keep)?);
        let result = self.expand(kept.bytes(), mask.bytes(), weights.chunks_exact_mut(cols * size));
        // Finishes both, even if the first fails: a file that has changed explains every contradiction.
        let outcomes = [kept.finish(), mask.finish()];
        outcomes.into_iter().collect::<Result<(), _>>()?;
        result?;
        Ok(Loaded::computed(weights, self.dtype, [rows, cols]).with_cast(cast))
    }
}

impl Bitmask {
    fn expand<'w>(
        &self,
        kept: &[u8],
        mask: &[u8],
        lines: impl Iterator<Item = &'w mut [u8]>,
    ) -> Result<(), Unavailable> {
        let (cols, size) = (self.shape[1], self.dtype.bytes());
        let contradiction =
            |cause: String| Err(Unavailable::Contradictory(format!("`{}`: {cause}", self.mask.tensor.name)));
        let is_matrix = self.kept.shape()[0] == self.shape[0];
        let mut elements = kept.chunks_exact(size);
        for (row, (mask, line)) in mask.chunks_exact(cols.div_ceil(8)).zip(lines).enumerate() {
            let ones = mask.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
            let per_row = self.kept.shape()[1];
            if is_matrix && ones != per_row {
                return contradiction(format!(
                    "row {row} of the bitmask keeps {ones} elements, but {per_row} are stored"
                ));
            }
            for (col, out) in line.chunks_exact_mut(size).enumerate() {
                if mask[col / 8] >> (col % 8) & 1 == 1 {
                    let Some(element) = elements.next() else {
                        return contradiction("the bitmask keeps more elements than are stored".into());
                    };
                    out.copy_from_slice(element);
                }
            }
        }
        match elements.len() {
            0 => Ok(()),
            left => contradiction(format!("the bitmask keeps {left} elements fewer than are stored")),
        }
    }
}
