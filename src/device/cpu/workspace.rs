//! The buffers of a lane in one precision, and the Gram matrix and eigenvalues that are computed in them.

use faer::MatMut;

use super::block_iteration::{self, SingleCholesky};
use super::buffer::{Buffer, stride};
use super::eigen::{self, Tiles, cholesky};
use super::precision::needs_gram_copy;
use super::scaled_matrix::ScaledMatrix;
use super::simd::Real;
use super::{Solver, faer_gram, faer_solver};
use crate::device::Failure;
use crate::device::smallest_eigenvalue::CertifiedEigenvalue;
use crate::fit::Rule;
use crate::spectrum::Spectrum;

/// Buffers that grow with the matrices and are reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Workspace<T> {
    /// The Gram matrix, or the triangle R of a QR factorization.
    pub square: Buffer<T>,
    /// A block of rows of W in its tall form, or the panels of the reduction to a band.
    pub block: Buffer<T>,
    /// The band between the stages of the solver.
    band: Buffer<T>,
    /// A copy of the Gram matrix, for its Cholesky factorization.
    pub gram_copy: Buffer<T>,
    /// Whether the copy is of the current matrix. A factorization overwrites it.
    pub has_gram_copy: bool,
}

impl<T: Real> Workspace<T> {
    /// The spectrum of the scaled matrix, from its Gram matrix.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`], or [`Failure::Solver`].
    pub fn gram_spectrum(&mut self, matrix: &ScaledMatrix) -> Result<Spectrum, Failure> {
        let trace = self.form_gram(matrix)?;
        self.solve(matrix, trace)
    }

    /// Forms the Gram matrix of the scaled matrix, and returns its trace.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
    pub fn form_gram(&mut self, matrix: &ScaledMatrix) -> Result<f64, Failure> {
        let (view, n, scale) = (matrix.view, matrix.view.short(), matrix.scale());
        self.has_gram_copy = false;
        match matrix.cpu.solver {
            Solver::TwoStage => {
                let mut gram = Tiles::zeros(n, &mut self.square)?;
                let (level, workers) = (matrix.cpu.level, matrix.workers);
                eigen::gram(view, scale, matrix.column_order, &mut gram, &mut self.block, level, workers)?;
                Ok(gram.diagonal().map(Into::<f64>::into).sum())
            }
            Solver::Faer => {
                let mut gram = square(n, &mut self.square)?;
                faer_gram::lower(view, scale, gram.as_mut(), &mut self.block)?;
                Ok((0..n).map(|i| -> f64 { gram[(i, i)].into() }).sum())
            }
        }
    }

    /// The spread of the eigenvalues of the Gram matrix in tiles: their mean square over the square of their mean.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
    pub fn spread(&mut self, matrix: &ScaledMatrix, trace: f64) -> Result<f64, Failure> {
        let n = matrix.view.short();
        let gram = Tiles::of(n, self.square.get(eigen::tile_elements(n))?);
        Ok(n as f64 * gram.squared_norm(matrix.cpu.level, matrix.workers) / (trace * trace))
    }

    /// The spectrum of the Gram matrix with this trace, which is overwritten. Copies it first if refinement may need it.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`], or [`Failure::Solver`].
    pub fn solve(&mut self, matrix: &ScaledMatrix, trace: f64) -> Result<Spectrum, Failure> {
        let (n, level, workers) = (matrix.view.short(), matrix.cpu.level, matrix.workers);
        let values = match matrix.cpu.solver {
            Solver::TwoStage => {
                let elements = eigen::tile_elements(n);
                let mut gram = Tiles::of(n, self.square.get(elements)?);
                if needs_gram_copy::<T>(matrix.view.long(), n, &matrix.method) {
                    gram.copy_to(self.gram_copy.get(elements)?, workers);
                    self.has_gram_copy = true;
                }
                eigen::eigenvalues(&mut gram, &mut self.band, &mut self.block, level, workers)?
            }
            Solver::Faer => faer_solver::eigenvalues(square(n, &mut self.square)?)?,
        };
        Ok(Spectrum::from_gram(values, trace, T::EPSILON)?)
    }
}

impl Workspace<f32> {
    /// The smallest eigenvalue of the scaled matrix, which has this spectrum in f32. `None` if the Gram matrix was not copied,
    /// or the eigenvalue cannot be certified as precisely as the peak rule needs it.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
    pub fn smallest_eigenvalue(
        &mut self,
        matrix: &ScaledMatrix,
        spectrum: &Spectrum,
    ) -> Result<Option<CertifiedEigenvalue>, Failure> {
        if !std::mem::take(&mut self.has_gram_copy) {
            return Ok(None);
        }
        let (n, level, workers) = (matrix.view.short(), matrix.cpu.level, matrix.workers);
        let mut factor = Tiles::of(n, self.gram_copy.get(eigen::tile_elements(n))?);
        factor.shift(block_iteration::shift(spectrum) as f32);
        if !cholesky::factorize(&mut factor, self.block.get(cholesky::workspace_elements(n))?, level, workers) {
            return Ok(None);
        }
        let mut factor = SingleCholesky { factor, level, workers };
        let smallest = block_iteration::smallest_eigenvalue(spectrum, &mut factor, &matrix.products());
        Ok(smallest.filter(|smallest| smallest.relative_error <= Rule::PEAK_TOLERANCE))
    }
}

/// A square matrix for the reference solver, in a buffer whose old contents remain.
fn square<T: Real>(n: usize, buffer: &mut Buffer<T>) -> Result<MatMut<'_, T>, Failure> {
    let stride = stride(n);
    let elements = buffer.get(stride as u64 * n as u64)?;
    Ok(MatMut::from_column_major_slice_with_stride_mut(elements, n, n, stride))
}
