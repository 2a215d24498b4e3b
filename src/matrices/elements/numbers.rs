//! A small or auxiliary tensor that is read as numbers: a mask, norms, a singular vector.

use super::loaded::{Mapped, Unavailable};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, Dtype, FloatType, MatrixView, TensorInfo};

/// A tensor of numbers as a matrix.
#[derive(Debug)]
pub(crate) struct Numbers {
    stored: Stored,
    format: Format,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Float(FloatType),
    /// One byte without a sign, or a boolean.
    Byte,
}

impl Numbers {
    /// `tensor` as a matrix of this shape, which has as many elements; or why it cannot be read as numbers.
    pub fn new(tensor: &TensorInfo, shard: usize, shape: [u64; 2]) -> Result<Numbers, String> {
        let format = match &tensor.dtype {
            Dtype::Float(float) => Format::Float(*float),
            Dtype::Integer(name) if matches!(name.as_str(), "BOOL" | "U8") => Format::Byte,
            other => return Err(format!("`{}` has the type {other}, which is not supported here", tensor.name)),
        };
        if tensor.shape.iter().product::<u64>() != shape.iter().product::<u64>() {
            return Err(format!("`{}` has the shape {:?}, which does not fit", tensor.name, tensor.shape));
        }
        let tensor = TensorInfo { shape: shape.to_vec(), ..tensor.clone() };
        Ok(Numbers { stored: Stored::matrix(tensor, shard)?, format })
    }

    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Calls `each` with the numbers of one row after the other.
    pub fn rows(
        &self,
        checkpoint: &Checkpoint,
        keep: bool,
        mut each: impl FnMut(usize, &[f64]),
    ) -> Result<(), Unavailable> {
        let [rows, cols] = self.stored.shape();
        let mapped = Mapped::new(&self.stored, checkpoint, keep)?;
        let mut line = vec![0.0_f64; cols];
        for row in 0..rows {
            match self.format {
                Format::Float(dtype) => {
                    MatrixView::new(mapped.bytes(), dtype, Cast::None, rows, cols).read_segment(
                        row,
                        0..cols,
                        1.0,
                        &mut line,
                    );
                }
                Format::Byte => {
                    let bytes = &mapped.bytes()[row * cols..][..cols];
                    line.iter_mut().zip(bytes).for_each(|(number, byte)| *number = (*byte).into());
                }
            }
            each(row, &line);
        }
        mapped.finish()
    }

    /// All numbers, row by row.
    pub fn read(&self, checkpoint: &Checkpoint, keep: bool) -> Result<Vec<f64>, Unavailable> {
        let [rows, cols] = self.stored.shape();
        let mut all = Vec::with_capacity(rows * cols);
        self.rows(checkpoint, keep, |_, line| all.extend_from_slice(line))?;
        Ok(all)
    }
}
