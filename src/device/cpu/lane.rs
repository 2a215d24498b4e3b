//! A lane of the CPU: one matrix after the other, in the precision that it takes.

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{ColMut, MatMut, Par};

use super::eigen::{self, Tiles, cholesky};
use super::low_end::{self, SingleCholesky};
use super::memory::{self, Buffer};
use super::products::WeightProducts;
use super::simd::{Level, Real};
use super::survey::{Survey, survey};
use super::team::{Seat, Team};
use super::{Cpu, Solver, gram, library, qr};
use crate::checkpoint::{Checkpoint, FloatType, MatrixView, Scan};
use crate::device::operators::{Factorizations, InverseGram, Triangle};
use crate::device::refine;
use crate::device::smallest_eigenvalue::CertifiedEigenvalue;
use crate::device::{
    AUTO_TOLERANCE, Analysis, Arithmetic, Failure, Lane, Method, Outcome, Precision, binary_exponent, power_of_two,
};
use crate::error::Result;
use crate::fit::{MIN_EIGENVALUES, Rule, fit, is_certain};
use crate::matrices::WeightMatrix;
use crate::spectrum::Spectrum;

/// How much longer than wide a matrix is, of which f32 keeps all eigenvalues, and f64 keeps the smallest well enough for the
/// peak rule.
pub(super) const OBLONG: f64 = 1.25;
/// The least order of a square matrix for which f32 is tried where its smallest eigenvalue must then be found apart: below, that
/// takes as long as f64 does.
const WORTH_TRYING: usize = 512;
/// The most spread eigenvalues, by the ratio of their mean square to the square of their mean, for which f32 is tried under rules
/// that look at the bulk: the errors are proportional to the largest. On random and real weights it was enough for nearly all
/// below 6, and for none above 8.
const SPREAD: f64 = 6.0;
/// The least, by that of random weights of equal variance, for which f32 is tried under the ks rule: like theirs, the spectrum has
/// many starts with nearly the same D. It was enough for a third of random matrices, and for nearly all above.
const RANDOM: f64 = 1.1;

/// Buffers that grow with the matrices and are kept from one to the next.
#[derive(Debug, Default)]
struct Workspace<T> {
    /// The Gram matrix, or the triangle R of a QR factorisation.
    square: Buffer<T>,
    /// A block of rows of W in its tall form, or the panels of the reduction to a band.
    block: Buffer<T>,
    /// The band between the stages of the solver.
    band: Buffer<T>,
    /// A Gram matrix, kept for its Cholesky factorisation.
    kept: Buffer<T>,
    /// Whether that is of the matrix at hand.
    is_kept: bool,
}

pub(super) struct CpuLane<'a> {
    cpu: &'a Cpu,
    method: Method,
    _seat: Seat<'a>,
    checkpoint: &'a Checkpoint,
    double: Workspace<f64>,
    single: Workspace<f32>,
}

impl Lane for CpuLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        Ok(batch.iter().map(|matrix| self.analyze_one(matrix)).collect())
    }
}

impl<'a> CpuLane<'a> {
    pub fn new(cpu: &'a Cpu, method: Method, checkpoint: &'a Checkpoint) -> CpuLane<'a> {
        let (single, double) = (Workspace::default(), Workspace::default());
        CpuLane { cpu, method, _seat: cpu.crew.seat(), checkpoint, double, single }
    }

    fn analyze_one(&mut self, matrix: &WeightMatrix) -> Outcome {
        let team = self.cpu.crew.begin();
        let elements = matrix.load(self.checkpoint, self.method.cast)?;
        let analysis = self.analyze_view(&elements.view(), &team);
        elements.finish()?;
        analysis
    }

    fn analyze_view(&mut self, view: &MatrixView, team: &Team) -> Outcome {
        if view.short() < MIN_EIGENVALUES {
            return Err(Failure::TooFewEigenvalues(view.short()));
        }
        let Survey { largest, order } = survey(view, self.cpu.level, team);
        if !largest.is_finite()
            && let Scan::NonFinite { row, col } = view.scan()
        {
            return Err(Failure::NonFinite { row, col, cast: self.method.cast });
        }
        if largest == 0.0 {
            return Err(Failure::AllZero);
        }
        let exponent = binary_exponent(largest);
        let job = Job { view, exponent, order: &order, cpu: self.cpu, method: self.method, team };
        let rule = self.method.rule;
        match self.method.precision {
            Precision::F32 => {
                let spectrum = self.single.gram_spectrum(&job)?;
                if let Some(known) = self.single.smallest_eigenvalue(&job, &spectrum)? {
                    return job.analysis(known.replace_smallest(spectrum), Arithmetic::F32Cholesky);
                }
                let (spectrum, precision) = refine::in_f32(rule, spectrum, &mut job.factors(&mut self.double))?;
                job.analysis(spectrum, precision)
            }
            Precision::F64 => {
                let spectrum = self.double.gram_spectrum(&job)?;
                let (spectrum, precision) = refine::in_f64(rule, spectrum, &mut job.factors(&mut self.double))?;
                job.analysis(spectrum, precision)
            }
            Precision::Auto => self.analyze_as_needed(&job),
        }
    }

    /// In f32 if that is certain to give alpha within what `--precision auto` promises, else in f64, by W itself if need be.
    fn analyze_as_needed(&mut self, job: &Job) -> Outcome {
        let rule = self.method.rule;
        let is_enough = |outcome: &Outcome| {
            outcome.as_ref().is_ok_and(|analysis| is_certain(&analysis.spectrum, rule, &analysis.fit, AUTO_TOLERANCE))
        };
        let mut smallest = None;
        if let Some(spectrum) = self.promising_in_f32(job)? {
            let outcome = job.analysis(spectrum.clone(), Arithmetic::F32);
            if is_enough(&outcome) {
                return outcome;
            }
            if spectrum.first_known() > 0 || refine::needs_smallest(rule, &spectrum) {
                smallest = self.single.smallest_eigenvalue(job, &spectrum)?;
            }
            if let Some(known) = smallest {
                let outcome = job.analysis(known.replace_smallest(spectrum), Arithmetic::F32Cholesky);
                if is_enough(&outcome) {
                    return outcome;
                }
            }
        }
        let spectrum = self.double.gram_spectrum(job)?;
        let (spectrum, precision) = match smallest {
            Some(known) => (known.replace_smallest(spectrum), Arithmetic::F64Cholesky),
            None => (spectrum, Arithmetic::F64),
        };
        let outcome = job.analysis(spectrum.clone(), precision);
        if is_enough(&outcome) {
            return outcome;
        }
        let (spectrum, refined) = refine::in_f64(rule, spectrum, &mut job.factors(&mut self.double))?;
        job.analysis(spectrum, precision.max(refined))
    }

    /// The spectrum in f32, if that has a fair chance of being enough.
    fn promising_in_f32(&mut self, job: &Job) -> Result<Option<Spectrum>, Failure> {
        if !job.begins_in_f32() {
            return Ok(None);
        }
        let trace = self.single.form_gram(job)?;
        if self.cpu.solver == Solver::TwoStage && self.method.rule != Rule::Median {
            let spread = self.single.spread(job, trace)?;
            // That of random weights (Marchenko and Pastur, Math. USSR Sb. 1, 1967).
            let random = 1.0 + job.view.short() as f64 / job.view.long() as f64;
            if spread > SPREAD || (self.method.rule == Rule::Ks && spread < RANDOM * random) {
                return Ok(None);
            }
        }
        match self.single.solve(job, trace) {
            Ok(spectrum) => Ok(Some(spectrum)),
            // f32 may fail where f64 does not.
            Err(Failure::Solver(_) | Failure::OutOfRange) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// A matrix, and how it is computed.
struct Job<'a, 'v> {
    view: &'a MatrixView<'v>,
    /// W times 2^-exponent has a largest element between 1 and 2.
    exponent: i32,
    order: &'a [usize],
    cpu: &'a Cpu,
    method: Method,
    team: &'a Team<'a>,
}

impl<'v> Job<'_, 'v> {
    fn scale(&self) -> f64 {
        power_of_two(-self.exponent)
    }

    /// Whether the Gram matrix in f32 is worth a look.
    fn begins_in_f32(&self) -> bool {
        let view = self.view;
        // The library's solver keeps no Gram matrix from which to find the smallest eigenvalue.
        let is_large = view.short() >= WORTH_TRYING && self.cpu.solver == Solver::TwoStage;
        view.dtype() != FloatType::F64
            && match self.method.rule {
                Rule::Median => true,
                Rule::Ks | Rule::Peak => is_large || view.long() as f64 >= OBLONG * view.short() as f64,
                // Its density has nearly equal peaks far apart: 27 of 36 matrices of MiniLM were redone.
                Rule::PeakRobust => false,
            }
    }

    fn products(&self) -> WeightProducts<'_, 'v> {
        let Job { view, order, team, .. } = self;
        WeightProducts { view, scale: self.scale(), order, level: self.cpu.level, team }
    }

    fn factors<'w>(&'w self, workspace: &'w mut Workspace<f64>) -> CpuFactors<'w, 'v> {
        CpuFactors { products: self.products(), workspace }
    }

    /// The analysis of W, given the spectrum of W times [`Job::scale`].
    fn analysis(&self, spectrum: Spectrum, precision: Arithmetic) -> Outcome {
        let spectrum = spectrum.scaled(self.exponent);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange);
        }
        Ok(Analysis { fit: fit(&spectrum, self.method.rule), spectrum, precision })
    }
}

/// The factorisations of `scale` W.
struct CpuFactors<'a, 'v> {
    products: WeightProducts<'a, 'v>,
    workspace: &'a mut Workspace<f64>,
}

impl<'a, 'v> Factorizations for CpuFactors<'a, 'v> {
    type Error = Failure;
    type Cholesky<'t>
        = CpuCholesky<'t>
    where
        Self: 't;
    type Triangle<'t>
        = CpuTriangle<'t>
    where
        Self: 't;
    type Products<'t>
        = WeightProducts<'a, 'v>
    where
        Self: 't;

    fn cholesky(&mut self) -> Result<Option<(CpuCholesky<'_>, WeightProducts<'a, 'v>)>, Failure> {
        let Workspace { kept, block, is_kept, .. } = &mut *self.workspace;
        if !std::mem::take(is_kept) {
            return Ok(None);
        }
        let WeightProducts { view, level, team, .. } = self.products;
        let n = view.short();
        let mut factor = Tiles::of(n, kept.get(eigen::tile_elements(n))?);
        let workspace = block.get(cholesky::workspace_elements(n))?;
        let is_positive = cholesky::factorise(&mut factor, workspace, level, team);
        Ok(is_positive.then_some((CpuCholesky { factor, level }, self.products)))
    }

    fn qr(&mut self) -> Result<CpuTriangle<'_>, Failure> {
        let Workspace { square, block, .. } = &mut *self.workspace;
        Ok(CpuTriangle(qr::triangle(self.products.view, self.products.scale, square, block)?))
    }
}

/// L with L L^T = W^T W.
struct CpuCholesky<'a> {
    factor: Tiles<'a, f64>,
    level: Level,
}

impl InverseGram for CpuCholesky<'_> {
    type Error = Failure;

    fn order(&self) -> usize {
        self.factor.order()
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Failure> {
        cholesky::solve(&mut self.factor, x, self.level);
        Ok(())
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
        library::singular_values(self.0)
    }
}

impl Workspace<f32> {
    /// The smallest eigenvalue of the matrix of this spectrum, if its Gram matrix was kept, and tells it as well as the peak
    /// rule needs it.
    fn smallest_eigenvalue(&mut self, job: &Job, spectrum: &Spectrum) -> Result<Option<CertifiedEigenvalue>, Failure> {
        if !std::mem::take(&mut self.is_kept) {
            return Ok(None);
        }
        let (n, level, team) = (job.view.short(), job.cpu.level, job.team);
        let mut factor = Tiles::of(n, self.kept.get(eigen::tile_elements(n))?);
        factor.shift(low_end::shift(spectrum) as f32);
        if !cholesky::factorise(&mut factor, self.block.get(cholesky::workspace_elements(n))?, level, team) {
            return Ok(None);
        }
        let mut factor = SingleCholesky { factor, level, team };
        let known = low_end::smallest_eigenvalue(spectrum, &mut factor, &job.products());
        Ok(known.filter(|known| known.relative_error <= Rule::PEAK_TOLERANCE))
    }
}

impl<T: Real> Workspace<T> {
    /// The spectrum of W, scaled, from its Gram matrix.
    fn gram_spectrum(&mut self, job: &Job) -> Result<Spectrum, Failure> {
        let trace = self.form_gram(job)?;
        self.solve(job, trace)
    }

    /// Forms the Gram matrix of W, scaled, and returns its trace.
    fn form_gram(&mut self, job: &Job) -> Result<f64, Failure> {
        let (n, level, team) = (job.view.short(), job.cpu.level, job.team);
        self.is_kept = false;
        match job.cpu.solver {
            Solver::TwoStage => {
                let mut gram = Tiles::zeros(n, &mut self.square)?;
                eigen::gram(job.view, job.scale(), job.order, &mut gram, &mut self.block, level, team)?;
                Ok(gram.diagonal().map(Into::<f64>::into).sum())
            }
            Solver::Faer => {
                let mut gram = square(n, &mut self.square)?;
                gram::lower(job.view, job.scale(), gram.as_mut(), &mut self.block)?;
                Ok((0..n).map(|i| -> f64 { gram[(i, i)].into() }).sum())
            }
        }
    }

    /// How far the eigenvalues of the Gram matrix in tiles are spread: their mean square over the square of their mean.
    fn spread(&mut self, job: &Job, trace: f64) -> Result<f64, Failure> {
        let n = job.view.short();
        let gram = Tiles::of(n, self.square.get(eigen::tile_elements(n))?);
        Ok(n as f64 * gram.squared_norm(job.cpu.level, job.team) / (trace * trace))
    }

    /// The spectrum of the Gram matrix, whose trace is given, and which is lost, unless it must be kept.
    fn solve(&mut self, job: &Job, trace: f64) -> Result<Spectrum, Failure> {
        let (n, level, team) = (job.view.short(), job.cpu.level, job.team);
        let values = match job.cpu.solver {
            Solver::TwoStage => {
                let elements = eigen::tile_elements(n);
                let mut gram = Tiles::of(n, self.square.get(elements)?);
                if memory::keeps_gram::<T>(job.view.long(), n, &job.method) {
                    gram.copy_to(self.kept.get(elements)?, team);
                    self.is_kept = true;
                }
                eigen::eigenvalues(&mut gram, &mut self.band, &mut self.block, level, team)?
            }
            Solver::Faer => library::eigenvalues(square(n, &mut self.square)?)?,
        };
        Ok(Spectrum::from_gram(values, trace, T::EPSILON)?)
    }
}

/// A square matrix for the library's solver, with what the buffer holds.
fn square<T: Real>(n: usize, buffer: &mut Buffer<T>) -> Result<MatMut<'_, T>, Failure> {
    let stride = memory::stride(n);
    let elements = buffer.get(stride as u64 * n as u64)?;
    Ok(MatMut::from_column_major_slice_with_stride_mut(elements, n, n, stride))
}
