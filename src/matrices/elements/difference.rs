//! The change made by fine-tuning: W - W_base.
//!
//! Elements are subtracted and stored in f64, whatever the two types are. For 16-bit weights this is exact unless one element is
//! more than 2^40 times the other, and otherwise rounded once. (Subtraction in the type of the weights would be exact only for
//! elements within a factor of two of each other.) A cast rounds both weights before they are subtracted.

use std::sync::Arc;

use super::loaded::{Loaded, Unavailable, matrix_bytes};
use super::rounding::{Grid, Part, Rounding, UpdateSums};
use super::source::{ElementSource, Update};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType};

/// Elements that are subtracted at once.
const SEGMENT: usize = 1 << 14;

/// The difference of two matrices of one shape.
#[derive(Debug)]
pub(crate) struct Difference {
    /// W, in the checkpoint itself.
    pub weights: Arc<dyn ElementSource>,
    /// W_base, in [`Checkpoint::base`].
    pub base: Arc<dyn ElementSource>,
}

impl Difference {
    fn bytes(&self) -> u64 {
        matrix_bytes(self.shape(), FloatType::F64)
    }
}

impl ElementSource for Difference {
    fn shape(&self) -> [usize; 2] {
        self.weights.shape()
    }

    fn dtype(&self) -> FloatType {
        FloatType::F64
    }

    fn stored(&self) -> &Stored {
        self.weights.stored()
    }

    fn companions(&self) -> Vec<&Stored> {
        self.weights.companions()
    }

    fn stored_bytes(&self) -> u64 {
        self.weights.stored_bytes() + self.base.stored_bytes()
    }

    fn computed_bytes(&self) -> u64 {
        self.bytes() + self.weights.computed_bytes() + self.base.computed_bytes()
    }

    fn update(&self) -> Option<Update> {
        Some(Update::Difference { base_dtype: self.base.stored().tensor.dtype.clone() })
    }

    fn form(&self) -> Option<&'static str> {
        self.weights.form()
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let [rows, cols] = self.shape();
        let bytes = self.bytes();
        let mut difference: Vec<u8> = Vec::new();
        let length = usize::try_from(bytes).map_err(|_| Unavailable::OutOfMemory { bytes })?;
        difference.try_reserve_exact(length).map_err(|_| Unavailable::OutOfMemory { bytes })?;

        let other = checkpoint.base().ok_or_else(|| Unavailable::NotMapped("the base is not open".into()))?;
        let weights = self.weights.load(checkpoint, cast, keep)?;
        let base = self.base.load(other, cast, keep)?;
        let (minuend, subtrahend) = (weights.view(), base.view());
        let mut segments = [vec![0.0_f64; cols.min(SEGMENT)], vec![0.0_f64; cols.min(SEGMENT)]];
        for row in 0..rows {
            for start in (0..cols).step_by(SEGMENT) {
                let end = cols.min(start + SEGMENT);
                let [x, y] = &mut segments;
                minuend.read_segment(row, start..end, 1.0, &mut x[..end - start]);
                subtrahend.read_segment(row, start..end, 1.0, &mut y[..end - start]);
                difference.extend(x[..end - start].iter().zip(&*y).flat_map(|(x, y)| (x - y).to_le_bytes()));
            }
        }
        // Finishes both, even if the first fails.
        let outcomes = [weights.finish(), base.finish()];
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(Loaded::computed(difference, FloatType::F64, [rows, cols]))
    }

    /// The update was added to W_base as it is stored, and the sum was rounded: one error, that of W. Only a cast that rounds
    /// W_base, too, adds a second.
    fn rounding(&self, checkpoint: &Checkpoint, cast: Cast, part: &Part) -> Result<Option<Rounding>, Unavailable> {
        let other = checkpoint.base().ok_or_else(|| Unavailable::NotMapped("the base is not open".into()))?;
        let Some(grid) = self.weights.grid(checkpoint, cast)? else { return Ok(None) };
        let base_grid = self.grid_of_cast_base(other, cast)?;
        let weights = self.weights.load(checkpoint, cast, false)?;
        let base = self.base.load(other, cast, false)?;
        let mut sums = UpdateSums::new(part);
        let mut line = [vec![0.0; part.cols.len()], vec![0.0; part.cols.len()], vec![0.0; part.cols.len()]];
        for row in part.rows.clone() {
            let [updated, before, squares] = &mut line;
            weights.view().read_segment(row, part.cols.clone(), 1.0, updated);
            base.view().read_segment(row, part.cols.clone(), 1.0, before);
            squares.copy_from_slice(updated);
            grid.square_spacings(row, part.cols.clone(), squares);
            sums.add(updated, before, squares);
            if let Some(grid) = &base_grid {
                grid.square_spacings(row, part.cols.clone(), before);
                sums.add_to_last(before);
            }
        }
        let outcomes = [weights.finish(), base.finish(), grid.finish()];
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(Some(sums.finish()))
    }
}

impl Difference {
    /// The grid to which `cast` rounds W_base, if W_base is finer.
    fn grid_of_cast_base<'a>(&'a self, other: &'a Checkpoint, cast: Cast) -> Result<Option<Grid<'a>>, Unavailable> {
        if cast == Cast::None {
            return Ok(None);
        }
        let grids = (self.base.grid(other, cast)?, self.base.grid(other, Cast::None)?);
        Ok(match grids {
            (Some(rounded), Some(stored)) if rounded.is_coarser_than(&stored) => Some(rounded),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;
    use crate::matrices::{Catalog, Selection};

    #[test]
    fn rows_longer_than_a_segment_of_two_types() {
        let folder = tempfile::tempdir().unwrap();
        let [rows, cols] = [2, 2 * SEGMENT + 3];
        let save = |file: &str, dtype: Dtype, bytes: Vec<u8>| {
            let view = TensorView::new(dtype, vec![rows, cols], &bytes).unwrap();
            let bytes = safetensors::serialize([("model.layers.0.self_attn.q_proj.weight", view)], None).unwrap();
            std::fs::write(folder.path().join(file), bytes).unwrap();
            Checkpoint::open(folder.path().join(file)).unwrap()
        };
        let w = |at: usize| 1.0 + at as f32 / 3.0;
        let base = |at: usize| half::bf16::from_f32(at as f32 / 7.0);
        let all = 0..rows * cols;
        let tuned = save("tuned.safetensors", Dtype::F32, all.clone().flat_map(|at| w(at).to_le_bytes()).collect());
        let other = save("base.safetensors", Dtype::BF16, all.clone().flat_map(|at| base(at).to_le_bytes()).collect());
        let tuned = tuned.with_base(other);
        let matrix = &Catalog::new(&tuned, &Selection::default()).matrices[0];
        assert_eq!(matrix.computed_bytes(), (8 * rows * cols) as u64);
        let loaded = matrix.load(&tuned, Cast::None).unwrap();
        let mut values = vec![0.0_f64; rows * cols];
        for (row, line) in values.chunks_exact_mut(cols).enumerate() {
            loaded.view().read_segment(row, 0..cols, 1.0, line);
        }
        assert!(all.into_iter().all(|at| values[at] == f64::from(w(at)) - base(at).to_f64()));
        assert_eq!(loaded.finish(), Ok(()));
    }
}
