//! How a matrix is computed: by which solver, in which precision, and how many at once.

use super::sys::scalar::Real;
use super::sys::solver::SolverPath;
use crate::checkpoint::FloatType;
use crate::device::{Method, Precision};
use crate::fit::Rule;
use crate::matrices::WeightMatrix;

/// Most bytes of Gram matrices that are solved together, counted in f64. On an H200, 32 matrices of order 1024 take as long each
/// as 64 do, and cuSOLVER seems to work in several times as much memory.
const BATCH_BYTES: usize = 256 << 20;
/// Most matrices that are solved together.
const BATCH_MATRICES: usize = 1024;
/// Up to this order, `auto` takes the batched solver if the library has it. On an H200, it takes half of the time of our own for
/// 32 matrices of order 1024, about the same for 32 of order 2048, and twice that for order 4096 (`benches/runs`).
const BATCHED_ORDER: usize = 1024;

/// Which solver path computes a matrix.
#[derive(Debug, Clone, Copy)]
pub struct PathPolicy {
    /// The path that the user chose.
    pub choice: Option<SolverPath>,
    /// Whether the library has the batched solver.
    pub batched: bool,
}

impl PathPolicy {
    /// The path for matrices of order n.
    pub fn path(&self, n: usize) -> SolverPath {
        let best = if self.batched && n <= BATCHED_ORDER { SolverPath::Batched } else { SolverPath::TwoStage };
        self.choice.unwrap_or(best)
    }

    /// How many matrices of order n are solved together.
    pub fn batch(&self, n: usize) -> usize {
        match self.path(n) {
            SolverPath::Batched => (BATCH_BYTES / (8 * n * n)).clamp(1, BATCH_MATRICES),
            // These take one matrix at a time, and other lanes work meanwhile.
            SolverPath::Syevd | SolverPath::SyevdTwoStage | SolverPath::Sytrd | SolverPath::TwoStage => 1,
        }
    }
}

/// How the matrices of a run are computed.
#[derive(Debug, Clone, Copy)]
pub struct Strategy {
    pub method: Method,
    pub paths: PathPolicy,
    /// Whether the GPU is nearly as fast in f64 as in f32.
    pub fast_f64: bool,
}

impl Strategy {
    /// Whether any matrix may be computed in this type.
    pub fn uses(&self, real: Real) -> bool {
        match self.method.precision {
            Precision::Auto => true,
            Precision::F64 => real == Real::F64,
            Precision::F32 => real == Real::F32,
        }
    }

    /// Whether a matrix is computed in f32 first.
    pub fn begins_in_f32(&self, matrix: &WeightMatrix) -> bool {
        match self.method.precision {
            Precision::F32 => true,
            Precision::F64 => false,
            Precision::Auto => {
                let (rule, n) = (self.method.rule, matrix.eigenvalues());
                // f32 loses the smallest eigenvalues, which all rules but the median use: a GPU that is fast in f64 computes them
                // in f64 at once. And matrices that are solved together would be refined one by one.
                let in_vain = rule != Rule::Median && self.fast_f64;
                let one_by_one = rule == Rule::Peak && self.paths.path(n) == SolverPath::Batched;
                matrix.dtype != FloatType::F64 && !in_vain && !one_by_one
            }
        }
    }

    /// Whether a factorization of W in f64 may be needed.
    pub fn refines(&self) -> bool {
        self.method.precision != Precision::F32 || self.method.rule == Rule::Peak
    }
}
