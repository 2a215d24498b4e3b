//! The CPU: one single-threaded solve per lane.
//!
//! At the sizes of language models that beats all cores on one matrix: lanes share nothing and never wait. Each lane
//! holds a few times its largest Gram matrix, whatever the size of the checkpoint, and always computes in the same
//! order, so that the results do not depend on the number of lanes.

mod ceilings;
mod eigen;
mod gram;
mod memory;
mod qr;
mod sturm;

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::traits::RealField;
use faer::{ColMut, MatMut, Par};

use super::refine::{self, Factors, InverseGram, Triangle};
use super::{Analysis, Ceilings, Device, Failure, Lane, Method, Outcome, Precision, binary_exponent, power_of_two};
use crate::checkpoint::{Checkpoint, Element, MatrixView, Scan};
use crate::error::Result;
use crate::fit::{MIN_EIGENVALUES, fit};
use crate::matrices::WeightMatrix;
use crate::spectrum::Spectrum;

use memory::Buffer;
pub use memory::lane_bytes;
pub use sturm::eigenvalues as tridiagonal_eigenvalues;

/// The CPU as a device.
#[derive(Debug)]
pub struct Cpu {
    method: Method,
    threads: Option<usize>,
}

impl Cpu {
    /// A CPU with `threads` lanes, or one per core as far as their memory is free.
    pub fn new(method: Method, threads: Option<usize>) -> Cpu {
        Cpu { method, threads }
    }
}

impl Device for Cpu {
    fn name(&self) -> String {
        format!("cpu ({}{})", std::env::consts::ARCH, simd())
    }

    fn solver(&self) -> String {
        "faer+sturm".into()
    }

    fn lanes(&self, matrices: &[WeightMatrix]) -> usize {
        let affordable = || {
            let largest = matrices.iter().map(|matrix| lane_bytes(matrix.rows, matrix.cols, &self.method)).max()?;
            // A fifth is left to others, the page cache among them.
            Some((crate::memory::available_bytes()? / 5 * 4 / largest.max(1)) as usize)
        };
        let lanes = self.threads.unwrap_or_else(|| affordable().map_or_else(cores, |lanes| lanes.min(cores())));
        lanes.min(matrices.len()).max(1)
    }

    fn batch_size(&self, _matrix: &WeightMatrix) -> usize {
        1
    }

    fn lane<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
        _matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>> {
        Ok(Some(Box::new(CpuLane {
            method: self.method,
            checkpoint,
            double: Workspace::default(),
            single: Workspace::default(),
        })))
    }

    fn ceilings(&self) -> Result<Ceilings> {
        ceilings::measure(self.threads.unwrap_or_else(cores).min(cores()))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// The Gram matrix of W on its smaller side: the lower half of a symmetric n x n matrix in column-major order, n being
/// [`MatrixView::short`]. What lies above the diagonal of `gram` is left as it is.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
///
/// # Panics
///
/// If `gram` has not exactly n^2 elements.
pub fn gram_matrix<T: RealField + Element>(view: &MatrixView, gram: &mut [T]) -> Result<(), Failure> {
    let n = view.short();
    gram::lower(view, 1.0, MatMut::from_column_major_slice_mut(gram, n, n), &mut Buffer::default())
}

/// All eigenvalues, ascending, of a symmetric n x n matrix in column-major order, n >= 1, given its lower half. The content
/// of `matrix` is destroyed.
///
/// # Errors
///
/// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
///
/// # Panics
///
/// If the length of `matrix` is no square, or zero.
pub fn symmetric_eigenvalues<T: RealField>(matrix: &mut [T]) -> Result<Vec<f64>, Failure>
where
    f64: From<T>,
{
    let n = matrix.len().isqrt();
    assert!(n > 0);
    eigen::eigenvalues(MatMut::from_column_major_slice_mut(matrix, n, n))
}

/// The instruction set that the solver will pick, because the last digits of its results depend on it.
fn simd() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return ", avx512";
    } else if is_x86_feature_detected!("avx2") {
        return ", avx2";
    }
    ""
}

/// The buffers of a lane in one precision, grown to the largest matrix seen.
#[derive(Debug, Default)]
struct Workspace<T> {
    /// The Gram matrix, or the triangle R of a QR factorisation.
    square: Buffer<T>,
    /// A block of rows of W in its tall form.
    block: Buffer<T>,
}

struct CpuLane<'a> {
    method: Method,
    checkpoint: &'a Checkpoint,
    double: Workspace<f64>,
    single: Workspace<f32>,
}

impl Lane for CpuLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        Ok(batch.iter().map(|matrix| self.analyze_one(matrix)).collect())
    }
}

impl CpuLane<'_> {
    fn analyze_one(&mut self, matrix: &WeightMatrix) -> Outcome {
        let residence = self.checkpoint.prefetch(matrix.shard, &matrix.tensor);
        let view = matrix.view(self.checkpoint, self.method.cast).map_err(Failure::NotMapped)?;
        let analysis = self.analyze_view(&view);
        self.checkpoint.release(matrix.shard, &matrix.tensor, residence);
        // A file that changed meanwhile explains every failure and spoils every success.
        self.checkpoint.verify(matrix.shard).map_err(Failure::Unreadable)?;
        analysis
    }

    fn analyze_view(&mut self, view: &MatrixView) -> Outcome {
        if view.short() < MIN_EIGENVALUES {
            return Err(Failure::TooFewEigenvalues(view.short()));
        }
        let exponent = match view.scan() {
            Scan::NonFinite { row, col } => return Err(Failure::NonFinite { row, col, cast: self.method.cast }),
            Scan::Finite(0.0) => return Err(Failure::AllZero),
            Scan::Finite(largest) => binary_exponent(largest),
        };
        let scale = power_of_two(-exponent);
        let (spectrum, precision) = match self.method.precision {
            Precision::F32 => {
                let spectrum = self.single.gram_spectrum(view, scale, f32::EPSILON.into())?;
                refine::in_f32(
                    self.method.rule,
                    spectrum,
                    &mut CpuFactors { view, scale, workspace: &mut self.double },
                )?
            }
            Precision::F64 | Precision::Auto => {
                let spectrum = self.double.gram_spectrum(view, scale, f64::EPSILON)?;
                refine::in_f64(
                    self.method.rule,
                    spectrum,
                    &mut CpuFactors { view, scale, workspace: &mut self.double },
                )?
            }
        };
        let spectrum = spectrum.scaled(exponent);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange);
        }
        Ok(Analysis { fit: fit(&spectrum, self.method.rule), spectrum, precision })
    }
}

/// The factorisations of `scale` W.
struct CpuFactors<'a, 'v> {
    view: &'a MatrixView<'v>,
    scale: f64,
    workspace: &'a mut Workspace<f64>,
}

impl Factors for CpuFactors<'_, '_> {
    type Error = Failure;
    type Cholesky<'t>
        = CpuTriangle<'t>
    where
        Self: 't;
    type Triangle<'t>
        = CpuTriangle<'t>
    where
        Self: 't;

    fn cholesky(&mut self) -> Result<Option<CpuTriangle<'_>>, Failure> {
        Ok(None)
    }

    fn qr(&mut self) -> Result<CpuTriangle<'_>, Failure> {
        let Workspace { square, block } = &mut *self.workspace;
        Ok(CpuTriangle(qr::triangle(self.view, self.scale, square, block)?))
    }
}

/// An upper triangle; what lies below its diagonal is ignored.
struct CpuTriangle<'a>(MatMut<'a, f64>);

impl InverseGram for CpuTriangle<'_> {
    type Error = Failure;

    fn order(&self) -> usize {
        self.0.ncols()
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Failure> {
        let mut x = ColMut::from_slice_mut(x).as_mat_mut();
        solve_lower_triangular_in_place(self.0.as_ref().transpose(), x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(self.0.as_ref(), x, Par::Seq);
        Ok(())
    }
}

impl Triangle for CpuTriangle<'_> {
    fn singular_values(self) -> Result<Vec<f64>, Failure> {
        eigen::singular_values(self.0)
    }
}

impl<T: RealField + Element> Workspace<T> {
    /// The spectrum of `scale` W from its Gram matrix.
    fn gram_spectrum(&mut self, view: &MatrixView, scale: f64, epsilon: f64) -> Result<Spectrum, Failure>
    where
        f64: From<T>,
    {
        let n = view.short();
        let stride = memory::stride(n);
        let square = self.square.get(stride as u64 * n as u64)?;
        let mut gram = MatMut::from_column_major_slice_with_stride_mut(square, n, n, stride);
        gram::lower(view, scale, gram.as_mut(), &mut self.block)?;
        let trace = (0..n).map(|i| f64::from(gram[(i, i)])).sum();
        let values = eigen::eigenvalues(gram)?;
        Ok(Spectrum::from_gram(values, trace, epsilon)?)
    }
}
