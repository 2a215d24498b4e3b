//! Where the elements of a matrix come from, and how a device gets at them.
//!
//! The elements lie in a mapped file, or they are computed from what lies there, for one matrix at a time. A device need not
//! know which: it [loads](WeightMatrix::load) a matrix, reads its [view](Loaded::view), and [finishes](Loaded::finish) with
//! it. Whatever is computed is held by [`Loaded`] alone and is gone with it, so that memory is bounded by the matrices that
//! are under way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::low_rank::LowRank;
use super::scaled::{self, Scaled};
use super::{WeightMatrix, Window, difference, shuffle, whole};
use crate::checkpoint::{Cast, Checkpoint, Dtype, FloatType, MatrixView, Residence, TensorInfo};

/// A tensor of a checkpoint that holds a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where its elements lie; it has two dimensions.
    pub tensor: TensorInfo,
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// Type of the elements that are read: that of the tensor, or F32 for those of 8 bits.
    pub dtype: FloatType,
    /// How those of 8 bits are read.
    pub scaled: Option<Scaled>,
}

/// What the elements of a matrix are.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Those of a tensor.
    Stored(Stored),
    /// Some of those of another matrix.
    Window {
        /// That matrix.
        of: Arc<WeightMatrix>,
        /// Which of its elements.
        window: Window,
    },
    /// Those of another matrix, in random order (see [`WeightMatrix::randomized`]).
    Shuffled {
        /// That matrix.
        of: Arc<WeightMatrix>,
        /// What the order is drawn from, with the name of the matrix.
        seed: u64,
    },
    /// Those of a tensor less those of another: see [`Checkpoint::with_base`].
    Difference {
        /// The tensor.
        weights: Stored,
        /// What is subtracted: a tensor of the same shape in [`Checkpoint::base`].
        base: Stored,
    },
    /// Those of a small matrix with the singular values of an adapter's update.
    LowRank(LowRank),
}

/// What a matrix updates, if it is not a weight matrix itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Update {
    /// W - W_base, subtracted in f64.
    Difference {
        /// Element type of W_base in its file.
        base_dtype: Dtype,
    },
    /// The update s B A of an adapter.
    LowRank {
        /// Its rank r: the number of columns of B and of rows of A.
        rank: usize,
        /// The factor s.
        scale: f64,
    },
}

/// Why a matrix cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// A file cannot be mapped into memory.
    NotMapped(String),
    /// A file could not be read, or changed while it was read.
    Unreadable(String),
    /// There is no memory for what has to be computed.
    OutOfMemory {
        /// Size of the buffer that was refused.
        bytes: u64,
    },
    /// What it is computed from is not finite.
    NonFinite(String),
    /// What is computed leaves the range of f64.
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

impl Stored {
    /// Rows and columns. Every [`Stored`] is made of a tensor with two dimensions that this machine can address.
    pub fn shape(&self) -> [usize; 2] {
        [0, 1].map(|dimension| self.tensor.shape[dimension] as usize)
    }

    /// Bytes in files.
    fn bytes(&self) -> u64 {
        let factors = self.scaled.as_ref().and_then(|scaled| scaled.factors.as_ref());
        self.tensor.bytes + factors.map_or(0, |factors| factors.stored.tensor.bytes)
    }

    /// Bytes of memory that reading it takes.
    fn computed_bytes(&self) -> u64 {
        self.scaled.as_ref().map_or(0, |_| scaled::bytes(self))
    }
}

/// The bytes of a tensor, where they lie in a file.
#[derive(Debug)]
pub(super) struct Mapped<'a> {
    bytes: &'a [u8],
    tensor: &'a TensorInfo,
    shard: usize,
    checkpoint: &'a Checkpoint,
    residence: Residence,
}

impl<'a> Mapped<'a> {
    /// Asks for them. `keep`: leaves them in the system's page cache, because they are going to be read again.
    ///
    /// # Errors
    ///
    /// If the file cannot be mapped.
    pub fn new(
        tensor: &'a TensorInfo,
        shard: usize,
        checkpoint: &'a Checkpoint,
        keep: bool,
    ) -> Result<Mapped<'a>, Unavailable> {
        let found = checkpoint.prefetch(shard, tensor);
        let residence = if keep { Residence::Kept } else { found };
        let bytes = checkpoint.bytes_of(shard, tensor).map_err(Unavailable::NotMapped)?;
        Ok(Mapped { bytes, tensor, shard, checkpoint, residence })
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Lets them go: see [`Loaded::finish`].
    pub fn finish(self) -> Result<(), Unavailable> {
        self.checkpoint.release(self.shard, self.tensor, self.residence);
        self.checkpoint.verify(self.shard).map_err(Unavailable::Unreadable)
    }
}

#[derive(Debug)]
enum Content<'a> {
    /// Mapped, not copied.
    Mapped(Mapped<'a>),
    /// Row-major and little-endian, as a file would hold them.
    Computed(Vec<u8>),
}

impl<'a> Loaded<'a> {
    /// A matrix that lies in a file. It is read from there, and only as far as the view is, unless it has to be scaled. `keep`:
    /// leaves it in the system's page cache, because it is going to be read again.
    ///
    /// # Errors
    ///
    /// If the file cannot be mapped, or there is no memory for what is scaled.
    pub(super) fn stored(
        stored: &'a Stored,
        checkpoint: &'a Checkpoint,
        cast: Cast,
        keep: bool,
    ) -> Result<Loaded<'a>, Unavailable> {
        if let Some(scaled) = &stored.scaled {
            return scaled::load(stored, scaled, checkpoint, cast, keep);
        }
        let content = Content::Mapped(Mapped::new(&stored.tensor, stored.shard, checkpoint, keep)?);
        let [rows, cols] = stored.shape();
        Ok(Loaded { content, dtype: stored.dtype, cast, rows, cols })
    }

    /// A matrix of shape rows x cols that was computed: row-major and little-endian, with all rounding behind it. Its files
    /// must have been released and verified by then.
    ///
    /// # Panics
    ///
    /// If `bytes` has not exactly the length that the shape and type take.
    pub fn computed(bytes: Vec<u8>, dtype: FloatType, rows: usize, cols: usize) -> Loaded<'static> {
        assert_eq!(Some(bytes.len()), rows.checked_mul(cols).and_then(|n| n.checked_mul(dtype.bytes())));
        Loaded { content: Content::Computed(bytes), dtype, cast: Cast::None, rows, cols }
    }

    /// The same with a cast that is still to come.
    pub(super) fn cast_later(self, cast: Cast) -> Loaded<'a> {
        Loaded { cast, ..self }
    }

    /// A copy of the elements of `window`, and an end to what they are copied from. The cast is still to come.
    fn copy(self, window: Window) -> Result<Loaded<'static>, Unavailable> {
        let Loaded { dtype, cast, .. } = self;
        let Window { row, col, rows, cols } = window;
        let mut bytes = buffer(rows * cols * dtype.bytes())?;
        let view = self.view();
        for (index, out) in bytes.chunks_exact_mut(cols * dtype.bytes()).enumerate() {
            view.copy_segment(row + index, col..col + cols, out);
        }
        self.finish()?;
        Ok(Loaded { content: Content::Computed(bytes), dtype, cast, rows, cols })
    }

    /// The elements, which go through the cast that is still to come.
    pub fn view(&self) -> MatrixView<'_> {
        let bytes = match &self.content {
            Content::Mapped(mapped) => mapped.bytes(),
            Content::Computed(bytes) => bytes.as_slice(),
        };
        MatrixView::new(bytes, self.dtype, self.cast, self.rows, self.cols)
    }

    /// Lets the elements go, and confirms that what was read of them is what the file held when it was opened.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Unreadable`] if it is not: a file that changed meanwhile explains every failure and spoils every
    /// success.
    pub fn finish(self) -> Result<(), Unavailable> {
        match self.content {
            Content::Mapped(mapped) => mapped.finish(),
            Content::Computed(_) => Ok(()),
        }
    }
}

impl WeightMatrix {
    /// Makes the elements readable, rounded by `cast`: asks for those that lie in a file, and computes the others.
    ///
    /// # Errors
    ///
    /// If a file cannot be mapped, or there is no memory for what is computed.
    pub fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<Loaded<'a>, Unavailable> {
        self.read(checkpoint, cast, false)
    }

    /// The same; `again`: what is read is going to be read again.
    fn read<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, again: bool) -> Result<Loaded<'a>, Unavailable> {
        match &self.elements {
            Elements::Stored(stored) => Loaded::stored(stored, checkpoint, cast, again),
            Elements::Window { of, window } => of.read(checkpoint, cast, true)?.copy(*window),
            Elements::Shuffled { of, seed } => {
                let mut copy = of.read(checkpoint, cast, again)?.copy(of.as_window())?;
                if let Content::Computed(bytes) = &mut copy.content {
                    shuffle::shuffle(bytes, copy.dtype.bytes(), *seed, of.name());
                }
                Ok(copy)
            }
            Elements::Difference { weights, base } => difference::load([weights, base], checkpoint, cast, again),
            Elements::LowRank(update) => update.load(checkpoint, cast),
        }
    }

    /// The matrix that this one is a part or a rearrangement of, or it itself.
    pub fn origin(&self) -> &WeightMatrix {
        match &self.elements {
            Elements::Window { of, .. } | Elements::Shuffled { of, .. } => of.origin(),
            Elements::Stored(_) | Elements::Difference { .. } | Elements::LowRank(_) => self,
        }
    }

    /// The tensor that the matrix is made of, or the first of them.
    pub fn stored(&self) -> &Stored {
        match &self.elements {
            Elements::Stored(stored) | Elements::Difference { weights: stored, .. } => stored,
            Elements::LowRank(update) => &update.down,
            Elements::Window { of, .. } | Elements::Shuffled { of, .. } => of.stored(),
        }
    }

    /// Name of the tensor with the scale factors of weights of 8 bits.
    pub(super) fn scale_factors(&self) -> Option<&str> {
        let factors = self.stored().scaled.as_ref()?.factors.as_ref()?;
        Some(whole(&factors.stored.tensor.name))
    }

    /// Bytes of the tensors that the elements come from.
    pub fn stored_bytes(&self) -> u64 {
        match &self.elements {
            Elements::Stored(stored) => stored.bytes(),
            Elements::Difference { weights, base } => weights.bytes() + base.bytes(),
            Elements::LowRank(update) => update.down.bytes() + update.up.bytes(),
            Elements::Window { of, .. } | Elements::Shuffled { of, .. } => of.stored_bytes(),
        }
    }

    /// What the matrix updates, if it is not a weight matrix itself.
    pub fn update(&self) -> Option<Update> {
        match &self.elements {
            Elements::Stored(_) => None,
            Elements::Difference { base, .. } => Some(Update::Difference { base_dtype: base.tensor.dtype.clone() }),
            Elements::LowRank(update) => Some(Update::LowRank { rank: update.rank(), scale: update.scale }),
            Elements::Window { of, .. } | Elements::Shuffled { of, .. } => of.update(),
        }
    }

    /// Rows and columns of the weight matrix or of its update as a whole, which a device may read in a smaller form.
    pub fn whole_shape(&self) -> [usize; 2] {
        match &self.elements {
            Elements::LowRank(update) => update.shape(),
            _ => [self.rows, self.cols],
        }
    }

    /// Bytes of memory of its own that the matrix takes from [`WeightMatrix::load`] to [`Loaded::finish`], at most.
    pub fn computed_bytes(&self) -> u64 {
        match &self.elements {
            Elements::Stored(stored) => stored.computed_bytes(),
            Elements::Window { of, .. } | Elements::Shuffled { of, .. } => {
                (self.rows * self.cols * self.dtype.bytes()) as u64 + of.computed_bytes()
            }
            Elements::Difference { weights, base } => {
                difference::bytes(weights) + weights.computed_bytes() + base.computed_bytes()
            }
            Elements::LowRank(update) => update.bytes(),
        }
    }

    /// One matrix for every window, in the order of [`Farms::windows`](super::Farms::windows), under the name of this one.
    pub fn windows(&self, windows: &[Window]) -> Vec<WeightMatrix> {
        let of = Arc::new(self.clone());
        let part = |&window: &Window| WeightMatrix {
            elements: Elements::Window { of: Arc::clone(&of), window },
            rows: window.rows,
            cols: window.cols,
            ..self.clone()
        };
        windows.iter().map(part).collect()
    }

    /// The matrix with its elements in a random order, as `seed` and its name determine it on every machine.
    ///
    /// What correlates them is lost: its spectrum is that of a random matrix whose elements have the same distribution
    /// (Martin and Mahoney, arXiv 1810.01075, section 5.1).
    #[must_use]
    pub fn randomized(&self, seed: u64) -> WeightMatrix {
        WeightMatrix { elements: Elements::Shuffled { of: Arc::new(self.clone()), seed }, ..self.clone() }
    }

    fn as_window(&self) -> Window {
        Window { row: 0, col: 0, rows: self.rows, cols: self.cols }
    }
}

/// A buffer that may be refused.
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
        let loaded = Loaded::computed(bytes, FloatType::F64, 2, 3);
        let mut row = [0.0_f64; 3];
        loaded.view().read_segment(1, 0..3, 1.0, &mut row);
        assert_eq!(row, values[3..]);
        assert_eq!((loaded.view().dtype(), loaded.view().cast()), (FloatType::F64, Cast::None));
        assert_eq!(loaded.finish(), Ok(()));
    }

    #[test]
    #[should_panic = "left == right"]
    fn computed_elements_fill_the_shape() {
        Loaded::computed(vec![0; 47], FloatType::F64, 2, 3);
    }
}
