//! The CPU: one single-threaded solve per lane.
//!
//! At the sizes of language models that beats all cores on one matrix: lanes share nothing and never wait. Each lane
//! holds a few times its largest Gram matrix, whatever the size of the checkpoint, and always computes in the same
//! order, so that the results do not depend on the number of lanes.

mod eigen;
mod gram;
mod lanczos;
mod memory;
mod qr;
mod sturm;

use faer::MatMut;
use faer::traits::RealField;

use super::{Analysis, Device, Failure, Lane, Method, Precision};
use crate::checkpoint::{Checkpoint, Element, MatrixView, Scan};
use crate::fit::{MIN_EIGENVALUES, NoFit, Rule, fit};
use crate::matrices::WeightMatrix;
use crate::spectrum::{Inconsistent, Spectrum};

use memory::Buffer;
pub use memory::lane_bytes;
pub use sturm::eigenvalues as tridiagonal_eigenvalues;

/// Relative error of alpha, by its bound, above which a fit in f64 is redone from singular values.
const ALPHA_TOLERANCE: f64 = 1e-8;

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

    fn solver(&self) -> &'static str {
        "faer+sturm"
    }

    fn lanes(&self, matrices: &[WeightMatrix]) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let affordable = || {
            let largest = matrices.iter().map(|matrix| lane_bytes(matrix.rows, matrix.cols, &self.method)).max()?;
            // A fifth is left to others, the page cache among them.
            Some((memory::available_bytes()? / 5 * 4 / largest.max(1)) as usize)
        };
        let lanes = self.threads.unwrap_or_else(|| affordable().map_or_else(cores, |lanes| lanes.min(cores())));
        lanes.min(matrices.len()).max(1)
    }

    fn batch_size(&self, _rows: usize, _cols: usize) -> usize {
        1
    }

    fn lane<'a>(&'a self, checkpoint: &'a Checkpoint) -> crate::error::Result<Box<dyn Lane + 'a>> {
        Ok(Box::new(CpuLane {
            method: self.method,
            checkpoint,
            double: Workspace::default(),
            single: Workspace::default(),
        }))
    }
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
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Vec<Result<Analysis, Failure>> {
        batch.iter().map(|matrix| self.analyze_one(matrix)).collect()
    }
}

impl CpuLane<'_> {
    fn analyze_one(&mut self, matrix: &WeightMatrix) -> Result<Analysis, Failure> {
        let view = matrix.view(self.checkpoint, self.method.cast).map_err(Failure::NotMapped)?;
        let analysis = self.analyze_view(&view);
        self.checkpoint.release(matrix.shard, &matrix.tensor);
        // A file that changed meanwhile explains every failure and spoils every success.
        self.checkpoint.verify(matrix.shard).map_err(Failure::Unreadable)?;
        analysis
    }

    fn analyze_view(&mut self, view: &MatrixView) -> Result<Analysis, Failure> {
        if view.short() < MIN_EIGENVALUES {
            return Err(Failure::TooFewEigenvalues(view.short()));
        }
        let exponent = match view.scan() {
            Scan::NonFinite { row, col } => return Err(Failure::NonFinite { row, col, cast: self.method.cast }),
            Scan::Finite(0.0) => return Err(Failure::AllZero),
            Scan::Finite(largest) => binary_exponent(largest),
        };
        let (spectrum, precision) = match self.method.precision {
            Precision::F32 => {
                let spectrum = self.single.gram_spectrum(view, exponent, f32::EPSILON.into())?;
                self.refine_f32(view, exponent, spectrum)?
            }
            Precision::F64 => {
                let spectrum = self.double.gram_spectrum(view, exponent, f64::EPSILON)?;
                self.refine_f64(view, exponent, spectrum)?
            }
        };
        let spectrum = spectrum.scaled(exponent);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange);
        }
        Ok(Analysis { fit: fit(&spectrum, self.method.rule), spectrum, precision })
    }

    /// Computes again, from W itself, what a Gram matrix in f64 gives too coarsely for the rule.
    fn refine_f64(
        &mut self,
        view: &MatrixView,
        exponent: i32,
        spectrum: Spectrum,
    ) -> Result<(Spectrum, &'static str), Failure> {
        let needs_smallest = self.needs_smallest(&spectrum);
        if !needs_smallest && !needs_all(self.method.rule, &spectrum) {
            return Ok((spectrum, "f64"));
        }
        let r = qr::triangle(view, power_of_two(-exponent), &mut self.double.square, &mut self.double.block)?;
        if needs_smallest && let Some(singular_value) = lanczos::smallest_singular_value(r.as_ref()) {
            let refined = spectrum.clone().with_smallest(singular_value, f64::EPSILON, lanczos::RELATIVE_ERROR);
            // If even the smallest singular value is zero within rounding, no other matters to the peak rule.
            if refined.relative_error(0) >= 1.0 || !needs_all(self.method.rule, &refined) {
                return Ok((refined, "f64+qr"));
            }
        }
        let singular_values = eigen::singular_values(r)?;
        Ok((Spectrum::from_singular_values(&singular_values, spectrum.trace(), f64::EPSILON)?, "f64 svd"))
    }

    /// Gives the peak rule the smallest eigenvalue that f32 loses. With that one alone, it gave alpha to 8e-6 on 210
    /// matrices of a real model, and was wrong by up to 5 on 45 of them without it.
    fn refine_f32(
        &mut self,
        view: &MatrixView,
        exponent: i32,
        spectrum: Spectrum,
    ) -> Result<(Spectrum, &'static str), Failure> {
        if !self.needs_smallest(&spectrum) {
            return Ok((spectrum, "f32"));
        }
        let r = qr::triangle(view, power_of_two(-exponent), &mut self.double.square, &mut self.double.block)?;
        let smallest = match lanczos::smallest_singular_value(r.as_ref()) {
            Some(smallest) => smallest,
            None => eigen::singular_values(r)?.into_iter().fold(f64::INFINITY, f64::min),
        };
        Ok((spectrum.with_smallest(smallest, f64::EPSILON, lanczos::RELATIVE_ERROR), "f32+qr"))
    }

    fn needs_smallest(&self, spectrum: &Spectrum) -> bool {
        self.method.rule == Rule::Peak && spectrum.relative_error(0) > Rule::PEAK_TOLERANCE
    }
}

/// Whether the rule needs more than the smallest eigenvalue better than a Gram matrix in f64 gives it.
fn needs_all(rule: Rule, spectrum: &Spectrum) -> bool {
    // Starts that rounding hides cannot be candidates, and the best may be among them. Only the ks rule looks that far
    // down, and the peak rule at no more than the smallest.
    let hidden = match rule {
        Rule::Peak => spectrum.first_known() > 1 && spectrum.relative_error(0) < 1.0,
        Rule::Median => false,
        Rule::Ks => spectrum.first_known() > 0,
    };
    hidden
        || match fit(spectrum, rule) {
            Ok(fit) => fit.alpha_error(spectrum) > ALPHA_TOLERANCE * fit.alpha,
            Err(NoFit::Unresolved) => true,
            Err(NoFit::RankDeficient { .. }) => rule != Rule::Peak,
            Err(_) => false,
        }
}

/// The e for which 2^-e `largest` lies in [1, 2), within the range in which 2^e and 2^-e are normal numbers.
///
/// Scaling by a power of two is exact, and keeps squares of tiny and huge weights in range.
fn binary_exponent(largest: f64) -> i32 {
    (largest.log2().floor() as i32).clamp(-1000, 1000)
}

fn power_of_two(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}

impl From<Inconsistent> for Failure {
    fn from(Inconsistent { sum, trace }: Inconsistent) -> Failure {
        Failure::Solver(format!("the eigenvalues add up to {sum:e}, the squared elements to {trace:e}"))
    }
}

impl<T: RealField + Element> Workspace<T> {
    /// The spectrum of 2^-exponent W from its Gram matrix.
    fn gram_spectrum(&mut self, view: &MatrixView, exponent: i32, epsilon: f64) -> Result<Spectrum, Failure>
    where
        f64: From<T>,
    {
        let n = view.short();
        let stride = memory::stride(n);
        let square = self.square.get(stride as u64 * n as u64)?;
        let mut gram = MatMut::from_column_major_slice_with_stride_mut(square, n, n, stride);
        gram::lower(view, power_of_two(-exponent), gram.as_mut(), &mut self.block)?;
        let trace = (0..n).map(|i| f64::from(gram[(i, i)])).sum();
        let values = eigen::eigenvalues(gram)?;
        Ok(Spectrum::from_gram(values, trace, epsilon)?)
    }
}
