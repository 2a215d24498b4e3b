//! A lane: one stream of a GPU, which takes a batch of matrices from their bytes to their fits.

use std::rc::Rc;

use super::eigenvalues::eigenvalues;
use super::errors::{JobError, device_error, separate};
use super::factorizations::CudaFactorizations;
use super::fits::fits;
use super::gpu::Gpu;
use super::gram::{GramSummary, gram_matrices};
use super::job::{Job, JobResult};
use super::memory_plan::MemoryPlan;
use super::precision::{epsilon, f32_cannot_suffice, f32_suffices, result_before_solving};
use super::strategy::Strategy;
use super::sys::error::CallError;
use super::sys::scalar::{Real, Scalar};
use super::sys::solver::Solver;
use super::sys::stream::Stream;
use super::workspace::Workspace;
use crate::checkpoint::Checkpoint;
use crate::device::{Analysis, Arithmetic, Failure, Lane, Outcome, of_weights, refine};
use crate::error::Result;
use crate::fit::MIN_EIGENVALUES;
use crate::matrices::{Loaded, Unavailable, WeightMatrix};
use crate::spectrum::Spectrum;

/// A job of a batch by its number, and its outcome, unless it needs f64.
type Answer<'v> = (usize, Job<'v>, Option<Outcome>);

/// A lane on a GPU.
#[derive(Debug)]
pub struct CudaLane<'a> {
    strategy: Strategy,
    checkpoint: &'a Checkpoint,
    workspace: Workspace<'a>,
}

impl<'a> CudaLane<'a> {
    /// Allocates a lane on this thread.
    pub fn new(
        gpu: &'a Gpu,
        strategy: Strategy,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Self, CallError> {
        let stream = Rc::new(Stream::new(&gpu.context)?);
        let mut solver = Solver::new(&stream, gpu.cusolver)?;
        let plan = MemoryPlan::new(&strategy, matrices, &solver)?;
        solver.reserve(plan.solver)?;
        let workspace = Workspace::new(&gpu.kernels, stream, solver, &plan.buffers)?;
        Ok(CudaLane { strategy, checkpoint, workspace })
    }
}

impl Lane for CudaLane<'_> {
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>> {
        let cast = self.strategy.method.cast;
        let elements: Vec<Result<Loaded, Unavailable>> =
            batch.iter().map(|matrix| matrix.load(self.checkpoint, cast)).collect();
        let outcomes = self.batch(batch, &elements).map_err(|error| device_error(&error))?;
        let finish = |(elements, outcome): (Result<Loaded, Unavailable>, Outcome)| {
            elements?.finish()?;
            outcome
        };
        Ok(elements.into_iter().zip(outcomes).map(finish).collect())
    }
}

impl CudaLane<'_> {
    /// Analyzes a batch: in f32 what may be computed so, then in f64 what must be.
    fn batch(
        &mut self,
        batch: &[&WeightMatrix],
        elements: &[Result<Loaded, Unavailable>],
    ) -> Result<Vec<Outcome>, CallError> {
        self.workspace.stream.context().bind()?;
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
                    let jobs = if self.strategy.begins_in_f32(matrix) { &mut in_f32 } else { &mut in_f64 };
                    jobs.push((index, Job { view: elements.view(), exponent: 0 }));
                }
            }
        }
        for (index, job, answer) in self.pass::<f32>(in_f32)? {
            match answer {
                Some(outcome) if f32_suffices(&self.strategy, &outcome) => outcomes[index] = Some(outcome),
                _ => in_f64.push((index, job)),
            }
        }
        for (index, _, answer) in self.pass::<f64>(in_f64)? {
            outcomes[index] = answer;
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect())
    }

    /// Analyzes jobs in one arithmetic; those whose elements are too large or too small for it once more, scaled. No outcome
    /// means that f64 is needed.
    fn pass<'v, T: Scalar>(&mut self, jobs: Vec<(usize, Job<'v>)>) -> Result<Vec<Answer<'v>>, CallError> {
        let mut answers = Vec::new();
        let mut todo = jobs;
        while !todo.is_empty() {
            let jobs: Vec<Job> = todo.iter().map(|&(_, job)| job).collect();
            let mut again = Vec::new();
            for ((index, mut job), result) in todo.into_iter().zip(self.spectra_and_fits::<T>(&jobs)?) {
                match result {
                    JobResult::Done(outcome) => answers.push((index, job, Some(outcome))),
                    JobResult::NeedsF64 => answers.push((index, job, None)),
                    JobResult::NeedsScaling(exponent) => {
                        job.exponent = exponent;
                        again.push((index, job));
                    }
                }
            }
            todo = again;
        }
        Ok(answers)
    }

    /// The spectrum and fit of each job, or how it has to be computed again.
    fn spectra_and_fits<T: Scalar>(&mut self, jobs: &[Job]) -> Result<Vec<JobResult>, CallError> {
        let strategy = self.strategy;
        let summaries = gram_matrices::<T>(&self.workspace, jobs, false)?;
        let known = |(job, summary): (&Job, &GramSummary)| result_before_solving::<T>(&strategy, job, summary);
        let mut results: Vec<Option<JobResult>> = jobs.iter().zip(&summaries).map(known).collect();
        let solvable: Vec<bool> = results.iter().map(Option::is_none).collect();
        let n = jobs[0].view.short();
        let values = eigenvalues::<T>(&mut self.workspace, strategy.paths.path(n), n, &summaries, &solvable)?;
        let mut spectra = Vec::new();
        for (index, values) in values {
            let largest = values.as_ref().ok().and_then(|values| values.last()).copied().unwrap_or(0.0);
            if f32_cannot_suffice::<T>(&strategy, n, largest, summaries[index].trace) {
                results[index] = Some(JobResult::NeedsF64);
                continue;
            }
            let found = values
                .map_err(JobError::from)
                .and_then(|values| self.spectrum::<T>(&jobs[index], &summaries[index], values));
            match separate(found)? {
                Ok((spectrum, precision)) => spectra.push((index, spectrum, precision)),
                Err(failure) => results[index] = Some(JobResult::Done(Err(failure))),
            }
        }
        let to_fit: Vec<&Spectrum> = spectra.iter().map(|(_, spectrum, _)| spectrum).collect();
        let fits = fits(&self.workspace, strategy.method.rule, &to_fit)?;
        for ((index, spectrum, precision), fit) in spectra.into_iter().zip(fits) {
            results[index] = Some(JobResult::Done(Ok(Analysis { spectrum, fit, precision })));
        }
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| JobResult::Done(unanswered()))).collect())
    }

    /// The spectrum of W from the eigenvalues of a Gram matrix, checked, and refined if the rule needs that.
    fn spectrum<T: Scalar>(
        &mut self,
        job: &Job,
        summary: &GramSummary,
        values: Vec<f64>,
    ) -> Result<(Spectrum, Arithmetic), JobError> {
        let epsilon = epsilon::<T>(&self.strategy, job.view.short());
        let spectrum = Spectrum::from_gram(values, summary.trace, epsilon).map_err(Failure::from)?;
        spectrum.check_squares(summary.squares, epsilon).map_err(Failure::from)?;
        let rule = self.strategy.method.rule;
        let mut factorizations = CudaFactorizations { workspace: &mut self.workspace, job };
        let (spectrum, precision) = match T::REAL {
            Real::F32 => refine::in_f32(rule, spectrum, &mut factorizations)?,
            Real::F64 => refine::in_f64(rule, spectrum, &mut factorizations)?,
        };
        let spectrum = of_weights(spectrum.scaled(job.exponent), &job.view);
        if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
            return Err(Failure::OutOfRange.into());
        }
        Ok((spectrum, precision))
    }
}

fn unanswered() -> Outcome {
    Err(Failure::Solver("the lane gave no answer".into()))
}
