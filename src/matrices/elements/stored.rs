//! A tensor of a checkpoint that holds a matrix.

use crate::checkpoint::TensorInfo;

/// A tensor of a checkpoint that holds a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its place in the file; it has two dimensions.
    pub tensor: TensorInfo,
    /// Index into [`Checkpoint::shards`](crate::checkpoint::Checkpoint::shards).
    pub shard: usize,
}

impl Stored {
    /// A non-empty tensor of two dimensions, or why `tensor` is not a matrix that this machine can address.
    pub(crate) fn matrix(tensor: TensorInfo, shard: usize) -> Result<Stored, String> {
        let &[rows, cols] = tensor.shape.as_slice() else {
            return Err(format!("{}-dimensional, not a matrix", tensor.shape.len()));
        };
        if usize::try_from(rows).is_err() || usize::try_from(cols).is_err() {
            return Err(format!("shape {:?} is beyond this machine's address space", tensor.shape));
        }
        if rows == 0 || cols == 0 {
            return Err(format!("empty (shape {:?})", tensor.shape));
        }
        Ok(Stored { tensor, shard })
    }

    /// Rows and columns. [`Stored::matrix`] has checked that there are two dimensions and that they fit.
    pub fn shape(&self) -> [usize; 2] {
        [0, 1].map(|dimension| self.tensor.shape[dimension] as usize)
    }
}
