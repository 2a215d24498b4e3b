//! The interface of all sources of elements.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::loaded::{Loaded, Unavailable};
use super::rounding::{Grid, Part, Rounding};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, Dtype, FloatType};

/// What a matrix updates, if it is not a weight matrix itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Update {
    /// W - W_base, subtracted in f64.
    #[non_exhaustive]
    Difference {
        /// Element type of W_base in its file.
        base_dtype: Dtype,
    },
    /// The update s B A of an adapter.
    #[non_exhaustive]
    LowRank {
        /// Its rank r: the number of columns of B and of rows of A.
        rank: usize,
        /// The factor s.
        scale: f64,
    },
}

/// Provides the elements of one matrix.
pub(crate) trait ElementSource: fmt::Debug + Send + Sync {
    /// Rows and columns of the matrix that a device reads.
    fn shape(&self) -> [usize; 2];

    /// Type of the elements that a device reads.
    fn dtype(&self) -> FloatType;

    /// The tensor that holds the elements; the main one if there are several.
    fn stored(&self) -> &Stored;

    /// The other tensors of the same checkpoint from which the elements are computed.
    fn companions(&self) -> Vec<&Stored> {
        Vec::new()
    }

    /// Bytes in files of all tensors that are read.
    fn stored_bytes(&self) -> u64 {
        self.stored().tensor.bytes + self.companions().iter().map(|stored| stored.tensor.bytes).sum::<u64>()
    }

    /// Upper bound on the bytes of memory allocated from [`ElementSource::load`] to [`Loaded::finish`]; mapped files do not
    /// count.
    fn computed_bytes(&self) -> u64;

    /// What the matrix updates, if it is not a weight matrix itself.
    fn update(&self) -> Option<Update> {
        None
    }

    /// How the weights are stored, if not as they are: `pruned`, for example.
    fn form(&self) -> Option<&'static str> {
        None
    }

    /// Rows and columns of the whole weight matrix or update. A device may read a smaller equivalent.
    fn whole_shape(&self) -> [usize; 2] {
        self.shape()
    }

    /// True for a part or a rearrangement of another matrix.
    fn is_sample(&self) -> bool {
        false
    }

    /// Makes the elements readable, rounded by `cast`. `keep`: leave what is read in the page cache, because it will be read
    /// again.
    ///
    /// # Errors
    ///
    /// If a file cannot be mapped or read or has changed, memory runs out, or a computed element is not finite.
    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable>;

    /// What the elements were rounded to where they are stored, or by `cast`. `None` if they are computed from others, or the
    /// format is not known.
    ///
    /// # Errors
    ///
    /// As for [`ElementSource::load`].
    fn grid<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<Option<Grid<'a>>, Unavailable> {
        let _ = (checkpoint, cast);
        Ok(None)
    }

    /// The errors that this rounding left in `part` of the matrix, if they are known.
    ///
    /// # Errors
    ///
    /// As for [`ElementSource::load`].
    fn rounding(&self, checkpoint: &Checkpoint, cast: Cast, part: &Part) -> Result<Option<Rounding>, Unavailable> {
        let Some(grid) = self.grid(checkpoint, cast)? else { return Ok(None) };
        let loaded = self.load(checkpoint, cast, false)?;
        let rounding = Rounding::sum(&grid, &loaded.view(), part);
        let outcomes = [loaded.finish(), grid.finish()];
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(Some(rounding))
    }
}
