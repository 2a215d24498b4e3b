//! When f32 is worth trying under automatic precision, and which Gram matrices are copied for refinement.

use super::{Solver, block_iteration};
use crate::checkpoint::{FloatType, MatrixView};
use crate::device::{Method, Precision};
use crate::fit::Rule;

/// The ratio of the sides from which on f32 resolves all eigenvalues, and f64 resolves the smallest well enough for the peak rule.
const OBLONG: f64 = 1.25;
/// The least order at which f32 is tried on nearly square matrices, whose smallest eigenvalue must then be found separately.
/// Below, that takes as long as f64 does.
const MIN_SQUARE_ORDER: usize = 512;
/// The largest [spread](is_promising) at which f32 is tried under rules that use the bulk of the spectrum: errors are
/// proportional to the largest eigenvalue. On random and real weights f32 was enough for nearly all matrices below 6, and for
/// none above 8.
const MAX_SPREAD: f64 = 6.0;
/// The least spread, relative to that of random weights of equal variance, at which f32 is tried under the ks rule. Spectra
/// like those of random weights have many starts with nearly the same D. At this spread f32 was enough for a third of random
/// matrices, and for nearly all above it.
const MIN_KS_SPREAD: f64 = 1.1;

fn is_oblong(long: usize, short: usize) -> bool {
    long as f64 >= OBLONG * short as f64
}

/// Whether forming the Gram matrix in f32 is worth it.
pub(super) fn starts_in_f32(view: &MatrixView, rule: Rule, solver: Solver) -> bool {
    // The reference solver makes no copy of the Gram matrix, from which the smallest eigenvalue would be found.
    let is_large = view.short() >= MIN_SQUARE_ORDER && solver == Solver::TwoStage;
    view.dtype() != FloatType::F64
        && match rule {
            Rule::Median => true,
            Rule::Ks | Rule::Peak => is_large || is_oblong(view.long(), view.short()),
            // Its density has nearly equal peaks far apart: 27 of 36 matrices of MiniLM had to be redone in f64.
            Rule::PeakRobust => false,
        }
}

/// Whether f32 is likely to be precise enough, given the spread of the eigenvalues: their mean square over the square of their
/// mean.
pub(super) fn is_promising(view: &MatrixView, rule: Rule, spread: f64) -> bool {
    // The spread of random weights (Marchenko and Pastur, Math. USSR Sb. 1, 1967).
    let random = 1.0 + view.short() as f64 / view.long() as f64;
    match rule {
        Rule::Median => true,
        Rule::Ks => (MIN_KS_SPREAD * random..=MAX_SPREAD).contains(&spread),
        Rule::Peak | Rule::PeakRobust => spread <= MAX_SPREAD,
    }
}

/// True if a Cholesky factorization needs its own copy of the Gram matrix in T, because the eigensolver destroys the other.
pub(super) fn needs_gram_copy<T>(long: usize, short: usize, method: &Method) -> bool {
    if size_of::<T>() == size_of::<f64>() {
        return method.rule == Rule::Peak && !is_oblong(long, short);
    }
    let is_needed = match method.rule {
        Rule::Peak => true,
        Rule::Ks => method.precision == Precision::Auto && !is_oblong(long, short),
        Rule::PeakRobust | Rule::Median => false,
    };
    is_needed && short >= block_iteration::MIN_ORDER
}
