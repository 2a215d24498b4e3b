//! Whether the arithmetic of a job is precise enough: decided before its eigenvalues are computed, from them, and from the fit.

use std::ops::Range;

use super::gram::GramSummary;
use super::job::{Job, JobResult};
use super::strategy::Strategy;
use super::sys::scalar::{Real, Scalar};
use crate::device::{AUTO_TOLERANCE, Failure, Outcome, Precision, binary_exponent};
use crate::fit;
use crate::spectrum::Spectrum;

/// Exponents of the largest weight, in powers of two, whose squares f32 represents well.
const F32_EXPONENTS: Range<i32> = -40..40;
/// The same for f64.
const F64_EXPONENTS: Range<i32> = -400..400;

/// The relative error of the eigenvalues of a Gram matrix of order n, beside the largest.
pub fn epsilon<T: Scalar>(strategy: &Strategy, n: usize) -> f64 {
    T::EPSILON * strategy.paths.path(n).error_factor(n)
}

/// The result of a job that is known before its eigenvalues; `None` if they are needed.
pub fn result_before_solving<T: Scalar>(strategy: &Strategy, job: &Job, summary: &GramSummary) -> Option<JobResult> {
    if let Some(index) = summary.first_bad {
        let (row, col) = (index as usize / job.view.cols(), index as usize % job.view.cols());
        return Some(JobResult::Done(Err(Failure::NonFinite { row, col, cast: strategy.method.cast })));
    }
    if summary.largest == 0.0 {
        return Some(JobResult::Done(Err(Failure::AllZero)));
    }
    let exponent = binary_exponent(summary.largest);
    let comfortable = match T::REAL {
        Real::F32 => F32_EXPONENTS,
        Real::F64 => F64_EXPONENTS,
    };
    if job.exponent == 0 && !comfortable.contains(&exponent) {
        return Some(JobResult::NeedsScaling(exponent));
    }
    // The sum of squares over the sum is at most the largest eigenvalue.
    let largest = summary.squares / summary.trace;
    f32_cannot_suffice::<T>(strategy, job.view.short(), largest, summary.trace).then_some(JobResult::NeedsF64)
}

/// Whether `--precision auto` must give up f32: the tail is so small beside the largest eigenvalue that alpha cannot be kept to
/// [`AUTO_TOLERANCE`]. The error of alpha = 3 is estimated for a tail that begins at the mean; most tails begin below.
pub fn f32_cannot_suffice<T: Scalar>(strategy: &Strategy, n: usize, largest: f64, trace: f64) -> bool {
    strategy.method.precision == Precision::Auto
        && T::REAL == Real::F32
        && 4.0 * Spectrum::gram_error(epsilon::<T>(strategy, n)) * largest * n as f64 > AUTO_TOLERANCE * trace
}

/// Whether the outcome of a job in f32 is final.
pub fn f32_suffices(strategy: &Strategy, outcome: &Outcome) -> bool {
    strategy.method.precision == Precision::F32
        || match outcome {
            Ok(analysis) => fit::is_certain(&analysis.spectrum, strategy.method.rule, &analysis.fit, AUTO_TOLERANCE),
            // f32 may fail where f64 does not.
            Err(failure) => !matches!(failure, Failure::Solver(_) | Failure::OutOfRange),
        }
}
