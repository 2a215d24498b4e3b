//! The CPU: one single-threaded solve per lane, and helpers where there are fewer matrices than cores.
//!
//! At the sizes of language models a solve per core beats all cores on one matrix: lanes share nothing and never wait. Each
//! lane holds a few times its largest Gram matrix, whatever the size of the checkpoint, and what it computes does not depend
//! on who helps, so that the results do not depend on the number of threads.

mod ceilings;
mod eigen;
mod gram;
mod library;
mod memory;
mod qr;
mod simd;
mod sturm;
mod survey;
mod team;

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{ColMut, MatMut, Par};

use super::refine::{self, Factors, InverseGram, Triangle};
use super::{
    AUTO_TOLERANCE, Analysis, Ceilings, Device, Failure, Lane, Method, Outcome, Precision, binary_exponent,
    power_of_two,
};
use crate::checkpoint::{Checkpoint, FloatType, MatrixView, Scan};
use crate::error::Result;
use crate::fit::{MIN_EIGENVALUES, Rule, fit, is_certain};
use crate::matrices::WeightMatrix;
use crate::spectrum::Spectrum;

use eigen::Tiles;
use memory::Buffer;
pub use memory::lane_bytes;
pub use simd::{Level, Real};
pub use sturm::eigenvalues as tridiagonal_eigenvalues;
use survey::{Survey, survey};
use team::{Crew, Seat, Team};

/// How much longer than wide a matrix is, for which f32 is tried under the ks rule: it loses the smallest eigenvalues of
/// others, and they may begin the tail.
const OBLONG: f64 = 1.25;

/// The CPU as a device.
#[derive(Debug)]
pub struct Cpu {
    method: Method,
    threads: Option<usize>,
    solver: Solver,
    level: Level,
    crew: Crew,
}

/// A way to the eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Solver {
    /// [`eigen`].
    TwoStage,
    /// [`library`], the oracle.
    Faer,
}

impl Cpu {
    /// A CPU with `threads` threads, or one per core as far as their memory is free, and its widest instruction set.
    pub fn new(method: Method, threads: Option<usize>) -> Cpu {
        let crew = Crew::new(threads.unwrap_or_else(cores));
        Cpu { method, threads, solver: Solver::TwoStage, level: Level::widest(), crew }
    }

    /// The same with another instruction set.
    pub fn with_level(self, level: Level) -> Cpu {
        Cpu { level, ..self }
    }

    /// The same with the eigensolver of the `faer` library and bisection, one thread for each matrix.
    pub fn with_faer(self) -> Cpu {
        Cpu { solver: Solver::Faer, ..self }
    }
}

impl Device for Cpu {
    fn name(&self) -> String {
        format!("cpu ({}, {})", std::env::consts::ARCH, self.level)
    }

    fn solver(&self) -> String {
        match self.solver {
            Solver::TwoStage => "two-stage".into(),
            Solver::Faer => "faer+sturm".into(),
        }
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
            cpu: self,
            _seat: self.crew.seat(),
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

/// The Gram matrix of W on its smaller side, by so many threads: the lower half of a symmetric n x n matrix in column-major
/// order, n being [`MatrixView::short`]. What lies above the diagonal of `gram` is left as it is.
///
/// # Errors
///
/// [`Failure::OutOfMemory`].
///
/// # Panics
///
/// If `gram` has not exactly n^2 elements.
pub fn gram_matrix<T: Real>(view: &MatrixView, gram: &mut [T], level: Level, threads: usize) -> Result<(), Failure> {
    let n = view.short();
    assert_eq!(gram.len(), n * n);
    let (mut buffer, mut workspace) = (Buffer::default(), Buffer::default());
    let mut tiles = Tiles::zeros(n, &mut buffer)?;
    let order: Vec<usize> = (0..n).collect();
    let crew = Crew::new(threads);
    eigen::gram(view, 1.0, &order, &mut tiles, &mut workspace, level, &crew.begin())?;
    for col in 0..n {
        for row in col..n {
            gram[col * n + row] = tiles.get(row, col);
        }
    }
    Ok(())
}

/// All eigenvalues, ascending, of a symmetric n x n matrix in column-major order, n >= 1, given its lower half, by so many
/// threads. Neither they nor what is above the diagonal have any influence on the results.
///
/// # Errors
///
/// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
///
/// # Panics
///
/// If the length of `matrix` is no square, or zero.
pub fn symmetric_eigenvalues<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<Vec<f64>, Failure> {
    let n = matrix.len().isqrt();
    assert!(n > 0 && n * n == matrix.len());
    let mut largest = 0.0_f64;
    for (col, column) in matrix.chunks_exact(n).enumerate() {
        let (mut peak, mut trace) = (T::from_f64(0.0), T::from_f64(0.0));
        for &x in &column[col..] {
            let magnitude = if x < T::from_f64(0.0) { -x } else { x };
            peak = if magnitude > peak { magnitude } else { peak };
            // Zero, or NaN if x is not finite.
            trace += x * T::from_f64(0.0);
        }
        if !trace.into().is_finite() {
            return Err(Failure::Solver("the matrix is not finite".into()));
        }
        largest = largest.max(peak.into());
    }
    if largest == 0.0 {
        return Ok(vec![0.0; n]);
    }
    let exponent = binary_exponent(largest);
    let scale = power_of_two(-exponent);
    let mut buffer = Buffer::default();
    let mut tiles = Tiles::zeros(n, &mut buffer)?;
    tiles.fill(|row, col| T::from_f64(matrix[col * n + row].into() * scale));
    let crew = Crew::new(threads);
    let mut values =
        eigen::eigenvalues(&mut tiles, &mut Buffer::default(), &mut Buffer::default(), level, &crew.begin())?;
    values.iter_mut().for_each(|x| *x *= power_of_two(exponent));
    Ok(values)
}

/// The same, by Householder tridiagonalisation as `faer` does it, in f64: an oracle, many times slower.
///
/// # Errors
///
/// As for [`symmetric_eigenvalues`].
///
/// # Panics
///
/// As for [`symmetric_eigenvalues`].
pub fn faer_eigenvalues<T: Real>(matrix: &[T]) -> Result<Vec<f64>, Failure> {
    let n = matrix.len().isqrt();
    assert!(n > 0 && n * n == matrix.len());
    let mut matrix: Vec<f64> = matrix.iter().map(|&x| x.into()).collect();
    library::eigenvalues(MatMut::from_column_major_slice_mut(&mut matrix, n, n))
}

/// Buffers that grow with the matrices and are kept from one to the next.
#[derive(Debug, Default)]
struct Workspace<T> {
    /// The Gram matrix, or the triangle R of a QR factorisation.
    square: Buffer<T>,
    /// A block of rows of W in its tall form, or the panels of the reduction to a band.
    block: Buffer<T>,
    /// The band between the stages of the solver.
    band: Buffer<T>,
}

struct CpuLane<'a> {
    cpu: &'a Cpu,
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

impl CpuLane<'_> {
    fn analyze_one(&mut self, matrix: &WeightMatrix) -> Outcome {
        let team = self.cpu.crew.begin();
        let residence = self.checkpoint.prefetch(matrix.shard, &matrix.tensor);
        let view = matrix.view(self.checkpoint, self.cpu.method.cast).map_err(Failure::NotMapped)?;
        let analysis = self.analyze_view(&view, &team);
        self.checkpoint.release(matrix.shard, &matrix.tensor, residence);
        // A file that changed meanwhile explains every failure and spoils every success.
        self.checkpoint.verify(matrix.shard).map_err(Failure::Unreadable)?;
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
            return Err(Failure::NonFinite { row, col, cast: self.cpu.method.cast });
        }
        if largest == 0.0 {
            return Err(Failure::AllZero);
        }
        let exponent = binary_exponent(largest);
        let job = Job { view, exponent, order: &order, cpu: self.cpu, team };
        let rule = self.cpu.method.rule;
        match self.cpu.method.precision {
            Precision::F32 => {
                let spectrum = self.single.gram_spectrum(&job)?;
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
        let rule = self.cpu.method.rule;
        let is_enough = |outcome: &Outcome| {
            outcome.as_ref().is_ok_and(|analysis| is_certain(&analysis.spectrum, rule, &analysis.fit, AUTO_TOLERANCE))
        };
        if job.begins_in_f32() {
            match self.single.gram_spectrum(job) {
                Ok(spectrum) => {
                    let outcome = job.analysis(spectrum, "f32");
                    if is_enough(&outcome) {
                        return outcome;
                    }
                }
                // f32 may fail where f64 does not.
                Err(Failure::Solver(_) | Failure::OutOfRange) => {}
                Err(failure) => return Err(failure),
            }
        }
        let spectrum = self.double.gram_spectrum(job)?;
        let outcome = job.analysis(spectrum.clone(), "f64");
        if is_enough(&outcome) {
            return outcome;
        }
        let (spectrum, precision) = refine::in_f64(rule, spectrum, &mut job.factors(&mut self.double))?;
        job.analysis(spectrum, precision)
    }
}

/// A matrix, and how it is computed.
struct Job<'a, 'v> {
    view: &'a MatrixView<'v>,
    /// W times 2^-exponent has a largest element between 1 and 2.
    exponent: i32,
    order: &'a [usize],
    cpu: &'a Cpu,
    team: &'a Team<'a>,
}

impl<'v> Job<'_, 'v> {
    fn scale(&self) -> f64 {
        power_of_two(-self.exponent)
    }

    /// Whether f32 has a fair chance of being enough.
    fn begins_in_f32(&self) -> bool {
        let view = self.view;
        view.dtype() != FloatType::F64
            && match self.cpu.method.rule {
                Rule::Median => true,
                Rule::Ks => view.long() as f64 >= OBLONG * view.short() as f64,
                // The bins hang on the smallest eigenvalue, and neighbouring starts with nearly the same D give alphas that
                // differ by more than the tolerance: 10 of 12 oblong and all square matrices of MiniLM were redone.
                Rule::Peak => false,
            }
    }

    fn factors<'w>(&'w self, workspace: &'w mut Workspace<f64>) -> CpuFactors<'w, 'v> {
        CpuFactors { view: self.view, scale: self.scale(), workspace }
    }

    /// The analysis of W, given the spectrum of W times [`Job::scale`].
    fn analysis(&self, spectrum: Spectrum, precision: &'static str) -> Outcome {
        let spectrum = spectrum.scaled(self.exponent);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange);
        }
        Ok(Analysis { fit: fit(&spectrum, self.cpu.method.rule), spectrum, precision })
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
        let Workspace { square, block, .. } = &mut *self.workspace;
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
        library::singular_values(self.0)
    }
}

impl<T: Real> Workspace<T> {
    /// The spectrum of W, scaled, from its Gram matrix.
    fn gram_spectrum(&mut self, job: &Job) -> Result<Spectrum, Failure> {
        let (n, level, team) = (job.view.short(), job.cpu.level, job.team);
        let (values, trace) = match job.cpu.solver {
            Solver::TwoStage => {
                let mut gram = Tiles::zeros(n, &mut self.square)?;
                eigen::gram(job.view, job.scale(), job.order, &mut gram, &mut self.block, level, team)?;
                let trace = gram.diagonal().map(Into::<f64>::into).sum();
                (eigen::eigenvalues(&mut gram, &mut self.band, &mut self.block, level, team)?, trace)
            }
            Solver::Faer => {
                let stride = memory::stride(n);
                let square = self.square.get(stride as u64 * n as u64)?;
                let mut gram = MatMut::from_column_major_slice_with_stride_mut(square, n, n, stride);
                gram::lower(job.view, job.scale(), gram.as_mut(), &mut self.block)?;
                let trace = (0..n).map(|i| -> f64 { gram[(i, i)].into() }).sum();
                (library::eigenvalues(gram)?, trace)
            }
        };
        Ok(Spectrum::from_gram(values, trace, T::EPSILON)?)
    }
}
