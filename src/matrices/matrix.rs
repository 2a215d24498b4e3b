//! A weight matrix: its name, its place in the model, and the source of its elements.

use std::sync::Arc;

use super::elements::{ElementSource, Loaded, Part, Rounding, Shuffled, Stored, Unavailable, Update, Window, WindowOf};
use super::place::Place;
use crate::checkpoint::{Cast, Checkpoint, FloatType};

/// A projection matrix of a layer, or the update of one. Cheap to clone: names and elements are shared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WeightMatrix {
    /// Full name of the tensor, or of the tensor that is updated.
    pub name: Arc<str>,
    /// The module path above the layers (`model`, `encoder`, `model.decoder` ...), which separates layers of the same number.
    pub stack: Arc<str>,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer, without expert numbers: `self_attn.q_proj`, `mlp.experts.up_proj` ...
    pub role: Arc<str>,
    /// Type of the elements that a device reads.
    pub dtype: FloatType,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
    elements: Arc<dyn ElementSource>,
}

impl WeightMatrix {
    /// The matrix with these elements.
    pub(crate) fn new(name: &str, place: Place, elements: impl ElementSource + 'static) -> WeightMatrix {
        let Place { stack, layer, role } = place;
        let ([rows, cols], dtype) = (elements.shape(), elements.dtype());
        let elements = Arc::new(elements);
        WeightMatrix { name: name.into(), stack: stack.into(), layer, role: role.into(), dtype, rows, cols, elements }
    }

    /// The same place in the model with other elements.
    pub(super) fn with_elements(&self, elements: impl ElementSource + 'static) -> WeightMatrix {
        let ([rows, cols], dtype) = (elements.shape(), elements.dtype());
        WeightMatrix { rows, cols, dtype, elements: Arc::new(elements), ..self.clone() }
    }

    /// The source of the elements, to compute others from.
    pub(super) fn elements(&self) -> Arc<dyn ElementSource> {
        Arc::clone(&self.elements)
    }

    /// Full name of the tensor, or of the tensor that is updated.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of eigenvalues, M = min(rows, cols).
    pub fn eigenvalues(&self) -> usize {
        self.rows.min(self.cols)
    }

    /// The larger dimension.
    pub fn long(&self) -> usize {
        self.rows.max(self.cols)
    }

    /// True if both belong to the same layer of the same stack.
    pub fn same_layer(&self, other: &WeightMatrix) -> bool {
        self.stack == other.stack && self.layer == other.layer
    }

    /// Floating-point operations of one spectrum: the lower half of the Gram matrix (Q M^3), and its tridiagonalization
    /// (4/3 M^3).
    ///
    /// This cost orders the matrices and weights the progress.
    pub fn flops(&self) -> f64 {
        let (long, short) = (self.long() as f64, self.eigenvalues() as f64);
        long * short * short + 4.0 / 3.0 * short * short * short
    }

    /// True for a part or a rearrangement of another matrix: see [`WeightMatrix::windows`] and [`WeightMatrix::randomized`].
    pub fn is_sample(&self) -> bool {
        self.elements.is_sample()
    }

    /// The tensor that holds the elements; the main one if there are several.
    pub(crate) fn stored(&self) -> &Stored {
        self.elements.stored()
    }

    /// All tensors of the checkpoint that are read for this matrix.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Stored> {
        std::iter::once(self.stored()).chain(self.elements.companions())
    }

    /// Bytes in files of all tensors that are read.
    pub fn stored_bytes(&self) -> u64 {
        self.elements.stored_bytes()
    }

    /// What the matrix updates, if it is not a weight matrix itself.
    pub fn update(&self) -> Option<Update> {
        self.elements.update()
    }

    /// How the weights are stored, if not as they are: `pruned`, `weight norm`, `spectral norm` or `sparse bitmask`.
    pub fn form(&self) -> Option<&'static str> {
        self.elements.form()
    }

    /// Rows and columns of the whole weight matrix or update. A device may read a smaller equivalent.
    pub fn whole_shape(&self) -> [usize; 2] {
        self.elements.whole_shape()
    }

    /// Upper bound on the bytes of memory allocated while the matrix is loaded.
    pub fn computed_bytes(&self) -> u64 {
        self.elements.computed_bytes()
    }

    /// Makes the elements readable, rounded by `cast`: maps those in a file, and computes all others.
    ///
    /// # Errors
    ///
    /// If a file cannot be mapped or read or has changed, memory runs out, or a computed element is not finite.
    pub(crate) fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<Loaded<'a>, Unavailable> {
        self.elements.load(checkpoint, cast, false)
    }

    /// The errors that rounding to the stored format, or by `cast`, left in the elements. `None` if they are not known: elements that
    /// are computed from others, such as the update of an adapter.
    ///
    /// # Errors
    ///
    /// As for [`WeightMatrix::load`].
    pub(crate) fn rounding(&self, checkpoint: &Checkpoint, cast: Cast) -> Result<Option<Rounding>, Unavailable> {
        self.elements.rounding(checkpoint, cast, &Part { rows: 0..self.rows, cols: 0..self.cols })
    }

    /// A bound for the sum of the variances of these errors, for elements whose squares add up to `trace`. Usually reads only the
    /// first elements.
    ///
    /// # Errors
    ///
    /// As for [`WeightMatrix::load`].
    pub(crate) fn most_rounding(
        &self,
        checkpoint: &Checkpoint,
        cast: Cast,
        trace: f64,
    ) -> Result<Option<f64>, Unavailable> {
        let Some(grid) = self.elements.grid(checkpoint, cast)? else { return Ok(None) };
        let most = grid.most_variance(trace, [self.rows, self.cols]);
        grid.finish()?;
        Ok(most)
    }

    /// One matrix for each window, in the order of [`Farms::windows`](super::Farms::windows), under the name of this one.
    pub fn windows(&self, windows: &[Window]) -> Vec<WeightMatrix> {
        let part = |&window: &Window| self.with_elements(WindowOf { whole: self.elements(), window });
        windows.iter().map(part).collect()
    }

    /// The matrix with its elements in a random order, which `seed` and its name determine on every machine.
    ///
    /// The order destroys correlations: the spectrum is that of a random matrix whose elements have the same distribution
    /// (Martin and Mahoney, arXiv 1810.01075, section 5.1).
    #[must_use]
    pub fn randomized(&self, seed: u64) -> WeightMatrix {
        self.with_elements(Shuffled { ordered: self.elements(), seed, name: Arc::clone(&self.name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, TensorInfo};
    use crate::matrices::elements::Floats;

    #[test]
    fn samples_share_names_and_elements() {
        let dtype = Dtype::Float(FloatType::BF16);
        let tensor = TensorInfo { name: "w".into(), dtype, shape: vec![30, 20], offset: 8, bytes: 1200 };
        let place = Place { stack: "model".into(), layer: 3, role: "up_proj".into() };
        let matrix = WeightMatrix::new("w", place, Floats::new(tensor, 1).unwrap());
        let windows = matrix.windows(&[0, 10].map(|row| Window { row, col: 5, rows: 8, cols: 12 }));
        let randomized = matrix.randomized(7);
        for (sample, shape) in windows.iter().map(|window| (window, [8, 12])).chain([(&randomized, [30, 20])]) {
            assert!(Arc::ptr_eq(&sample.name, &matrix.name) && Arc::ptr_eq(&sample.role, &matrix.role));
            assert!(std::ptr::eq(sample.stored(), matrix.stored()));
            assert_eq!(([sample.rows, sample.cols], sample.whole_shape()), (shape, shape));
            assert_eq!((sample.computed_bytes(), sample.stored_bytes()), (2 * (shape[0] * shape[1]) as u64, 1200));
            assert!(sample.is_sample() && sample.same_layer(&matrix) && !matrix.is_sample());
        }
    }
}
