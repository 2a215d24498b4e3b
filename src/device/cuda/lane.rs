//! A lane: one stream of a GPU, with all that a batch of matrices needs from their bytes to their fits.
//!
//! Everything is enqueued in one stream and so happens in order; while one lane waits for a solver, others copy. Buffers are
//! allocated once, for the largest matrices.

use std::ops::Range;
use std::rc::Rc;

use super::blas::{self, Blas, Layout, Product};
use super::driver::{DeviceMemory, Fault, Stream};
use super::factors::CudaFactors;
use super::kernels::{FitBuffers, KernelRule, Runs, SUM_BLOCKS, Strides};
use super::plan::{self, Engine, Plan};
use super::products::ProductBuffers;
use super::solver::{Path, Real, Solver};
use super::two_stage;
use super::upload::{Block, Ring};
use super::{Gpu, device_error};
use crate::checkpoint::{Cast, Checkpoint, FloatType, MatrixView};
use crate::device::refine;
use crate::device::{
    AUTO_TOLERANCE, Analysis, Arithmetic, Failure, Lane, Outcome, Precision, binary_exponent, power_of_two,
};
use crate::error::Result;
use crate::fit::{Fit, MIN_EIGENVALUES, fit};
use crate::matrices::{Loaded, Unavailable, WeightMatrix};
use crate::spectrum::{Accuracy, Spectrum};

/// Exponents of the largest weight, in powers of two, with whose squares f32 has no trouble.
const F32_EXPONENTS: Range<i32> = -40..40;
/// The same for f64.
const F64_EXPONENTS: Range<i32> = -400..400;

/// What can go wrong with a matrix, or with the GPU.
pub(super) enum Trouble {
    Matrix(Failure),
    Gpu(Fault),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Matrix(failure)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Gpu(fault)
    }
}

/// The matrix's own failure as a value, the GPU's as an error.
fn settle<T>(outcome: Result<T, Trouble>) -> Result<Result<T, Failure>, Fault> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Trouble::Matrix(failure)) => Ok(Err(failure)),
        Err(Trouble::Gpu(fault)) => Err(fault),
    }
}

/// A matrix of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'v> {
    pub view: MatrixView<'v>,
    /// It is computed as 2^-exponent W.
    pub exponent: i32,
}

/// A job of a batch by its number, and its eigenvalues.
type Eigenvalues = (usize, Result<Vec<f64>, Failure>);

/// A job of a batch by its number, and its outcome, unless it needs f64.
type Answer<'v> = (usize, Job<'v>, Option<Outcome>);

/// How a job ended, or how it has to be done again.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// There is nothing more to do.
    Settled(Outcome),
    /// It has to be computed as 2^-exponent W.
    NeedsScaling(i32),
    /// f32 is not enough.
    NeedsF64,
}

/// What a pass over the elements of a matrix found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Index of the first element that is not finite.
    first_bad: Option<u64>,
    /// The largest absolute value.
    largest: f64,
    /// Of the Gram matrix.
    trace: f64,
    /// Sum of the squares of its elements.
    squares: f64,
}

/// The device interface's lane on a GPU.
#[derive(Debug)]
pub(super) struct CudaLane<'a> {
    engine: Engine,
    pub gpu: &'a Gpu,
    checkpoint: &'a Checkpoint,
    // Handles first: they are destroyed before the memory that they use, and the stream goes last.
    pub solver: Solver,
    pub blas: Blas,
    pub ring: Ring,
    pub raw: DeviceMemory,
    pub wide: DeviceMemory,
    pub gram: DeviceMemory,
    pub stack: DeviceMemory,
    diagonal: DeviceMemory,
    subdiagonal: DeviceMemory,
    reduction: two_stage::Workspace,
    pub scratch: DeviceMemory,
    intervals: DeviceMemory,
    pub scans: DeviceMemory,
    sums: DeviceMemory,
    pub info: DeviceMemory,
    fits: FitBuffers,
    pub products: ProductBuffers,
    pub stream: Rc<Stream>,
}

impl Drop for CudaLane<'_> {
    fn drop(&mut self) {
        // Nothing may be under way when buffers go.
        let _ = self.stream.synchronize();
    }
}

impl<'a> CudaLane<'a> {
    /// Allocates a lane on this thread.
    pub fn new(
        gpu: &'a Gpu,
        engine: Engine,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Self, Fault> {
        let context = &gpu.context;
        let stream = Rc::new(Stream::new(context)?);
        let mut solver = Solver::new(&stream, gpu.cusolver)?;
        let plan = Plan::new(&engine, matrices, &solver)?;
        solver.reserve(plan.workspace)?;
        let memory = |bytes: usize| DeviceMemory::new(context, bytes as u64);
        Ok(CudaLane {
            engine,
            gpu,
            checkpoint,
            solver,
            blas: Blas::new(&stream)?,
            ring: Ring::new(context, plan.raw.max(1))?,
            raw: memory(plan.raw)?,
            wide: memory(plan.wide)?,
            gram: memory(plan.gram)?,
            stack: memory(plan.stack)?,
            diagonal: memory(plan.values * 8)?,
            subdiagonal: memory(plan.values * 8)?,
            reduction: two_stage::Workspace::new(context, plan.reduced)?,
            scratch: memory(plan.order * 8)?,
            intervals: memory(plan.batch * 24)?,
            scans: memory(plan.batch * 16)?,
            sums: memory(plan.batch * SUM_BLOCKS as usize * 16)?,
            info: memory(plan.batch * 4)?,
            fits: FitBuffers::new(context, plan.batch, plan.values)?,
            products: ProductBuffers::new(context, plan.long, plan.order)?,
            stream,
        })
    }
}

impl Lane for CudaLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        let cast = self.engine.method.cast;
        let elements: Vec<Result<Loaded, Unavailable>> =
            batch.iter().map(|matrix| matrix.load(self.checkpoint, cast)).collect();
        let outcomes = self.batch(batch, &elements).map_err(|fault| device_error(&fault))?;
        let finish = |(elements, outcome): (Result<Loaded, Unavailable>, Outcome)| {
            elements?.finish()?;
            outcome
        };
        Ok(elements.into_iter().zip(outcomes).map(finish).collect())
    }
}

impl CudaLane<'_> {
    /// Analyses a batch: in f32 what may be done so, then in f64 what must be.
    fn batch(
        &mut self,
        batch: &[&WeightMatrix],
        elements: &[Result<Loaded, Unavailable>],
    ) -> Result<Vec<Outcome>, Fault> {
        self.gpu.context.bind()?;
        let method = self.engine.method;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let mut in_f32: Vec<(usize, Job)> = Vec::new();
        let mut in_f64: Vec<(usize, Job)> = Vec::new();
        for (index, (matrix, elements)) in batch.iter().zip(elements).enumerate() {
            if matrix.eigenvalues() < MIN_EIGENVALUES {
                outcomes[index] = Some(Err(Failure::TooFewEigenvalues(matrix.eigenvalues())));
                continue;
            }
            match elements {
                Err(unavailable) => outcomes[index] = Some(Err(unavailable.clone().into())),
                Ok(elements) => {
                    let single = self.engine.begins_in_f32(matrix);
                    let jobs = if single { &mut in_f32 } else { &mut in_f64 };
                    jobs.push((index, Job { view: elements.view(), exponent: 0 }));
                }
            }
        }
        for (index, job, answer) in self.pass(Real::F32, in_f32)? {
            let certain = |outcome: &Outcome| match outcome {
                Ok(analysis) => is_certain(analysis, &self.engine),
                // f32 may fail where f64 does not.
                Err(failure) => !matches!(failure, Failure::Solver(_) | Failure::OutOfRange),
            };
            match answer {
                Some(outcome) if method.precision == Precision::F32 || certain(&outcome) => {
                    outcomes[index] = Some(outcome);
                }
                _ => in_f64.push((index, job)),
            }
        }
        for (index, _, answer) in self.pass(Real::F64, in_f64)? {
            outcomes[index] = answer;
        }
        let unanswered = || Err(Failure::Solver("the lane gave no answer".into()));
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect())
    }

    /// Analyses jobs in one arithmetic; those whose elements are too large or too small for it once more, scaled. No outcome
    /// means that f64 is needed.
    fn pass<'v>(&mut self, real: Real, jobs: Vec<(usize, Job<'v>)>) -> Result<Vec<Answer<'v>>, Fault> {
        let mut answers = Vec::new();
        let mut todo = jobs;
        while !todo.is_empty() {
            let jobs: Vec<Job> = todo.iter().map(|&(_, job)| job).collect();
            let mut again = Vec::new();
            for ((index, mut job), verdict) in todo.into_iter().zip(self.spectra_and_fits(real, &jobs)?) {
                match verdict {
                    Verdict::Settled(outcome) => answers.push((index, job, Some(outcome))),
                    Verdict::NeedsF64 => answers.push((index, job, None)),
                    Verdict::NeedsScaling(exponent) => {
                        job.exponent = exponent;
                        again.push((index, job));
                    }
                }
            }
            todo = again;
        }
        Ok(answers)
    }

    /// The spectrum and fit of each job, or what has to be done differently.
    fn spectra_and_fits(&mut self, real: Real, jobs: &[Job]) -> Result<Vec<Verdict>, Fault> {
        let looks = self.gram_matrices(real, jobs, false)?;
        let engine = self.engine;
        let mut verdicts: Vec<Option<Verdict>> =
            jobs.iter().zip(&looks).map(|(job, look)| verdict(&engine, real, job, look)).collect();
        let solvable: Vec<bool> = verdicts.iter().map(Option::is_none).collect();
        let values = self.eigenvalues(real, jobs[0].view.short(), &looks, &solvable)?;
        let mut spectra = Vec::new();
        for (index, values) in values {
            let largest = values.as_ref().ok().and_then(|values| values.last()).copied().unwrap_or(0.0);
            if is_hopeless(&engine, real, jobs[index].view.short(), largest, looks[index].trace) {
                verdicts[index] = Some(Verdict::NeedsF64);
                continue;
            }
            let found = values
                .map_err(Trouble::from)
                .and_then(|values| self.spectrum(real, &jobs[index], &looks[index], values));
            match settle(found)? {
                Ok((spectrum, precision)) => spectra.push((index, spectrum, precision)),
                Err(failure) => verdicts[index] = Some(Verdict::Settled(Err(failure))),
            }
        }
        let fits = self.fit(spectra.iter().map(|(_, spectrum, _)| spectrum).collect())?;
        for ((index, spectrum, precision), fit) in spectra.into_iter().zip(fits) {
            verdicts[index] = Some(Verdict::Settled(Ok(Analysis { spectrum, fit, precision })));
        }
        let unanswered = || Verdict::Settled(Err(Failure::Solver("the lane gave no answer".into())));
        Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(unanswered)).collect())
    }

    /// The spectrum of W from the eigenvalues of a Gram matrix, checked, and refined where the rule needs that.
    fn spectrum(
        &mut self,
        real: Real,
        job: &Job,
        look: &Look,
        values: Vec<f64>,
    ) -> Result<(Spectrum, Arithmetic), Trouble> {
        let n = job.view.short();
        let epsilon = unit_roundoff(real) * self.engine.path(n).loss(n);
        let spectrum = Spectrum::from_gram(values, look.trace, epsilon).map_err(Failure::from)?;
        spectrum.check_squares(look.squares, epsilon).map_err(Failure::from)?;
        let rule = self.engine.method.rule;
        let mut factors = CudaFactors { lane: self, job };
        let (spectrum, precision) = match real {
            Real::F32 => refine::in_f32(rule, spectrum, &mut factors)?,
            Real::F64 => refine::in_f64(rule, spectrum, &mut factors)?,
        };
        let spectrum = spectrum.scaled(job.exponent);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange.into());
        }
        Ok((spectrum, precision))
    }

    /// The Gram matrices of 2^-exponent W, one after the other in `gram`, and what was seen on the way. If `keep`, the weights
    /// of a single job stay in `stack`, as they lie in the file.
    pub fn gram_matrices(&mut self, real: Real, jobs: &[Job], keep: bool) -> Result<Vec<Look>, Fault> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let n = first.view.short();
        let (gpu, stream, blas) = (self.gpu, &self.stream, &self.blas);
        let (raw, wide, gram, stack, scans) = (&self.raw, &self.wide, &self.gram, &self.stack, &self.scans);
        stream.upload(scans, &vec![[u64::MAX, 0]; jobs.len()])?;
        let blocks: Vec<Block> = jobs.iter().enumerate().flat_map(|(index, job)| blocks(index, &job.view)).collect();
        self.ring.feed(stream, &blocks, |block, pinned| {
            let (view, job) = (block.view, &jobs[block.job]);
            stream.copy_from_pinned((raw, 0), pinned, block.bytes())?;
            if keep {
                stream.copy_from_pinned((stack, block.offset()), pinned, block.bytes())?;
            }
            let (runs, layout) = (runs(view, &block.rows), layout(view));
            let (count, scan) = (block.rows.len(), (scans, block.job));
            let (offset, accumulate) = (block.job * n * n * real.bytes(), block.rows.start > 0);
            if let Some(product) = native_product(real, job) {
                gpu.kernels.scan(stream, view.dtype(), runs, raw, scan)?;
                return blas.add_gram(product, layout, [count, n], raw, gram, offset, accumulate);
            }
            let strides = Strides { offset: 0, major: runs.minors, minor: 1 };
            let rounding = (view.cast(), power_of_two(-job.exponent));
            gpu.kernels.widen(stream, view.dtype(), rounding, runs, raw, real, wide, strides, scan)?;
            let product = if real == Real::F64 { Product::F64 } else { Product::F32 };
            blas.add_gram(product, layout, [count, n], wide, gram, offset, accumulate)
        })?;
        if blas::has_strips(n) {
            gpu.kernels.mirror(stream, real, n, jobs.len(), gram)?;
        }
        gpu.kernels.gram_sums(stream, real, n, jobs.len(), gram, &self.sums)?;
        let scans: Vec<[u64; 2]> = stream.download(scans, jobs.len())?;
        let sums: Vec<[f64; 2]> = stream.download(&self.sums, jobs.len() * SUM_BLOCKS as usize)?;
        let look = |([first_bad, largest], sums): (&[u64; 2], &[[f64; 2]])| Look {
            first_bad: (*first_bad != u64::MAX).then_some(*first_bad),
            largest: f64::from_bits(*largest),
            trace: sums.iter().map(|[trace, _]| trace).sum(),
            squares: sums.iter().map(|[_, squares]| squares).sum(),
        };
        Ok(scans.iter().zip(sums.chunks(SUM_BLOCKS as usize)).map(look).collect())
    }

    /// Makes zeros of Gram matrix number `index`.
    fn erase(&self, real: Real, n: usize, index: usize) -> Result<(), Fault> {
        let bytes = n * n * real.bytes();
        self.stream.fill(&self.gram, index * bytes, 0, bytes)
    }

    /// The eigenvalues of the Gram matrices, which are destroyed, of those jobs that are `solvable`, with the numbers of these.
    fn eigenvalues(
        &mut self,
        real: Real,
        n: usize,
        looks: &[Look],
        solvable: &[bool],
    ) -> Result<Vec<Eigenvalues>, Fault> {
        if !solvable.contains(&true) {
            return Ok(Vec::new());
        }
        let path = self.engine.path(n);
        let count = solvable.len();
        let of_type = n * real.bytes();
        let each = || (0..count).filter(|&index| solvable[index]);
        for index in (0..count).filter(|&index| !solvable[index]) {
            // It may hold infinities, which make cuSOLVER fail for the whole batch.
            self.erase(real, n, index)?;
        }
        self.stream.fill(&self.info, 0, 0, count * 4)?;
        match path {
            Path::Batched => {
                self.solver.syev_batched(real, n, count, &self.gram, &self.fits.values, &self.info)?;
            }
            Path::Syevd | Path::SyevdTwoStage => {
                for index in each() {
                    let matrix = (&self.gram, index * n * of_type);
                    let values = (&self.fits.values, index * of_type);
                    self.solver.syevd(path, real, n, matrix, values, (&self.info, index * 4))?;
                }
            }
            Path::Sytrd | Path::TwoStage => {
                for vector in [&self.diagonal, &self.subdiagonal] {
                    // Of matrices that are left out.
                    self.stream.fill(vector, 0, 0, count * of_type)?;
                }
                for index in each() {
                    let matrix = (&self.gram, index * n * of_type);
                    let diagonal = (&self.diagonal, index * of_type);
                    let subdiagonal = (&self.subdiagonal, index * of_type);
                    if path == Path::Sytrd {
                        let (solver, info) = (&mut self.solver, (&self.info, index * 4));
                        solver.sytrd(real, n, matrix, diagonal, subdiagonal, &self.scratch, info)?;
                    } else {
                        // No element of a Gram matrix is larger than its trace.
                        let exponent = binary_exponent(looks[index].trace);
                        let (stream, blas, work) = (&self.stream, &self.blas, &self.reduction);
                        let reduction = &self.gpu.kernels.reduction;
                        reduction.tridiagonal(stream, blas, real, n, exponent, matrix, work, diagonal, subdiagonal)?;
                    }
                }
                self.stream.upload(&self.fits.offsets, &offsets(n, count))?;
                let tridiagonal = (&self.diagonal, &self.subdiagonal);
                self.gpu.kernels.sturm(&self.stream, real, [n, count], tridiagonal, &self.intervals, &self.fits)?;
            }
        }
        let values: Vec<f64> = match (path, real) {
            (Path::Sytrd | Path::TwoStage, _) | (_, Real::F64) => self.stream.download(&self.fits.values, n * count)?,
            (_, Real::F32) => {
                let values: Vec<f32> = self.stream.download(&self.fits.values, n * count)?;
                values.into_iter().map(f64::from).collect()
            }
        };
        let status: Vec<i32> = self.stream.download(&self.info, count)?;
        let answer = |(values, &info): (&[f64], &i32)| match info {
            0 => Ok(values.to_vec()),
            _ => Err(Failure::Solver(format!("cuSOLVER reports {info} eigenvalues that did not converge"))),
        };
        let answers = values.chunks(n).zip(&status).map(answer).enumerate();
        Ok(answers.filter(|&(index, _)| solvable[index]).collect())
    }

    /// Fits a power law to each spectrum; all have the same length.
    fn fit(&self, spectra: Vec<&Spectrum>) -> Result<Vec<Result<Fit, crate::fit::NoFit>>, Fault> {
        let Some(first) = spectra.first() else { return Ok(Vec::new()) };
        let (n, count, rule) = (first.len(), spectra.len(), self.engine.method.rule);
        // The spectra are on the host, and peak-robust has a narrow window: its fit costs less there than its way back.
        let Some(kernel_rule) = KernelRule::of(rule) else {
            return Ok(spectra.into_iter().map(|spectrum| fit(spectrum, rule)).collect());
        };
        let values: Vec<f64> = spectra.iter().flat_map(|spectrum| spectrum.values().iter().copied()).collect();
        let accuracy = |spectrum: &&Spectrum| {
            let Accuracy { eta, delta, smallest } = spectrum.accuracy();
            [eta, delta, smallest.unwrap_or(-1.0)]
        };
        let accuracies: Vec<[f64; 3]> = spectra.iter().map(accuracy).collect();
        self.stream.upload(&self.fits.values, &values)?;
        self.stream.upload(&self.fits.accuracies, &accuracies)?;
        self.stream.upload(&self.fits.offsets, &offsets(n, count))?;
        self.gpu.kernels.fit(&self.stream, kernel_rule, [n, count], &self.fits)?;
        let fits: Vec<[u64; 3]> = self.stream.download(&self.fits.fits, count)?;
        let answer = |(spectrum, [alpha, distance, place]): (&&Spectrum, [u64; 3])| {
            let (start, status) = ((place & 0xffff_ffff) as usize, place >> 32);
            if status != 0 {
                // The host knows the reasons.
                return fit(spectrum, rule);
            }
            let (alpha, ks_distance) = (f64::from_bits(alpha), f64::from_bits(distance));
            let fit = Fit { alpha, ks_distance, start, xmin: spectrum.values()[start], tail: n - start };
            fit.unless_degenerate(spectrum)
        };
        Ok(spectra.iter().zip(fits).map(answer).collect())
    }
}

/// Whether the error bounds leave alpha within what `--precision auto` promises.
fn is_certain(analysis: &Analysis, engine: &Engine) -> bool {
    crate::fit::is_certain(&analysis.spectrum, engine.method.rule, &analysis.fit, AUTO_TOLERANCE)
}

fn unit_roundoff(real: Real) -> f64 {
    match real {
        Real::F32 => f32::EPSILON.into(),
        Real::F64 => f64::EPSILON,
    }
}

/// What is known of a job before its eigenvalues; nothing, if they are wanted.
fn verdict(engine: &Engine, real: Real, job: &Job, look: &Look) -> Option<Verdict> {
    if let Some(index) = look.first_bad {
        let (row, col) = (index as usize / job.view.cols(), index as usize % job.view.cols());
        return Some(Verdict::Settled(Err(Failure::NonFinite { row, col, cast: engine.method.cast })));
    }
    if look.largest == 0.0 {
        return Some(Verdict::Settled(Err(Failure::AllZero)));
    }
    let exponent = binary_exponent(look.largest);
    let comfortable = match real {
        Real::F32 => F32_EXPONENTS,
        Real::F64 => F64_EXPONENTS,
    };
    if job.exponent == 0 && !comfortable.contains(&exponent) {
        return Some(Verdict::NeedsScaling(exponent));
    }
    // The sum of squares over the sum is at most the largest eigenvalue.
    is_hopeless(engine, real, job.view.short(), look.squares / look.trace, look.trace).then_some(Verdict::NeedsF64)
}

/// Whether `--precision auto` need not go on in f32: the tail is so small beside the largest eigenvalue that alpha cannot be
/// kept to [`AUTO_TOLERANCE`]. The error of alpha = 3 is estimated for a tail that begins at the mean; most begin below.
fn is_hopeless(engine: &Engine, real: Real, n: usize, largest: f64, trace: f64) -> bool {
    let epsilon = unit_roundoff(real) * engine.path(n).loss(n);
    engine.method.precision == Precision::Auto
        && real == Real::F32
        && 4.0 * Spectrum::gram_error(epsilon) * largest * n as f64 > AUTO_TOLERANCE * trace
}

/// The product for weights that can be multiplied as they are, if these can.
fn native_product(real: Real, job: &Job) -> Option<Product> {
    let as_they_are = real == Real::F32 && job.exponent == 0 && job.view.cast() == Cast::None;
    match job.view.dtype() {
        FloatType::BF16 if as_they_are => Some(Product::Bf16),
        FloatType::F16 if as_they_are => Some(Product::F16),
        _ => None,
    }
}

/// The blocks of a matrix, in order.
pub(super) fn blocks<'v, 'a>(job: usize, view: &'v MatrixView<'a>) -> impl Iterator<Item = Block<'v, 'a>> {
    let long = view.long();
    let rows = plan::block_rows(long, view.short(), view.dtype().bytes());
    (0..long).step_by(rows).map(move |start| Block { job, view, rows: start..long.min(start + rows) })
}

/// How a block lies in memory.
pub(super) fn layout(view: &MatrixView) -> Layout {
    if view.is_tall() { Layout::Rows } else { Layout::Columns }
}

/// The elements of a block of rows of the tall form.
pub(super) fn runs(view: &MatrixView, rows: &Range<usize>) -> Runs {
    let (count, n, pitch) = (rows.len(), view.short(), view.cols());
    match layout(view) {
        Layout::Rows => Runs { majors: count, minors: n, first: rows.start * pitch, pitch },
        Layout::Columns => Runs { majors: n, minors: count, first: rows.start, pitch },
    }
}

/// Where each of `count` spectra of n values begins, and where the last ends.
fn offsets(n: usize, count: usize) -> Vec<u64> {
    (0..=count).map(|index| (index * n) as u64).collect()
}
