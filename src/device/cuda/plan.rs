//! How much memory a lane takes, and how many lanes there are by default: decided from the shapes of all matrices before anything
//! is allocated.

use super::blas;
use super::driver::Result;
use super::kernels::{FitBuffers, SUM_BLOCKS};
use super::products::{self, ProductBuffers};
use super::solver::{Path, Real, Solver, Workspace};
use super::two_stage;
use crate::checkpoint::FloatType;
use crate::device::{Method, Precision};
use crate::fit::{MIN_EIGENVALUES, Rule};
use crate::matrices::WeightMatrix;

/// Lanes of a GPU, memory permitting: while one waits for its bytes, others compute.
const LANES: usize = 4;
/// Share of the free memory of a GPU that lanes may take, in percent.
const MEMORY_PERCENT: u64 = 60;
/// Most memory of a GPU that several lanes take, so that with the driver's own share it stays below 24 GB.
const MEMORY_BYTES: u64 = 20 << 30;

/// Most bytes of a block of weights on its way to the GPU.
const BLOCK_BYTES: usize = 32 << 20;
/// Most rows of a block.
const BLOCK_ROWS: usize = 1024;
/// Most bytes of Gram matrices that are solved together, counted in f64. On an H200, 32 matrices of order 1024 take as long each
/// as 64 do, and cuSOLVER seems to work in several times as much memory.
const BATCH_BYTES: usize = 256 << 20;
/// Most matrices that are solved together.
const BATCH_MATRICES: usize = 1024;
/// Up to this order, the batched solver is taken where there is one. On an H200, it takes half of the time of our own for 32
/// matrices of order 1024, about the same for 32 of order 2048, and twice that for order 4096.
const BATCHED_ORDER: usize = 1024;

/// Lanes, unless a number was chosen, of a GPU with so much free memory, if each takes `lane_bytes`.
pub(super) fn lanes(free: u64, lane_bytes: u64) -> usize {
    let available = (free / 100 * MEMORY_PERCENT).min(MEMORY_BYTES);
    usize::try_from(available / lane_bytes.max(1)).unwrap_or(LANES).clamp(1, LANES)
}

/// The way to the eigenvalues of a matrix of order n, unless one was chosen. `batched`: whether the library has the batched
/// solver.
///
/// `benches/runs` has what an H200 says to that.
pub(super) fn path(choice: Option<Path>, n: usize, batched: bool) -> Path {
    choice.unwrap_or(if batched && n <= BATCHED_ORDER { Path::Batched } else { Path::TwoStage })
}

/// Rows of the tall form of a matrix of that many columns that travel together.
pub(super) fn block_rows(long: usize, short: usize, element_bytes: usize) -> usize {
    let rows = (BLOCK_BYTES / (short * element_bytes)).clamp(1, BLOCK_ROWS);
    // Tensor cores like multiples of eight.
    let rows = if rows >= 8 { rows / 8 * 8 } else { rows };
    rows.min(long)
}

/// Rows of the buffer in which the triangle so far is stacked on the next rows of W.
pub(super) fn stacked_rows(long: usize, short: usize) -> usize {
    long.min(2 * short)
}

/// How many matrices of order n are solved together.
pub(super) fn batch(path: Path, n: usize) -> usize {
    match path {
        Path::Batched => (BATCH_BYTES / (8 * n * n)).clamp(1, BATCH_MATRICES),
        // Their solvers take one at a time, and so do other lanes meanwhile.
        Path::Syevd | Path::SyevdTwoStage | Path::Sytrd | Path::TwoStage => 1,
    }
}

/// What to compute and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Engine {
    pub method: Method,
    /// The way that was chosen.
    pub choice: Option<Path>,
    /// Whether the library has the batched solver.
    pub batched: bool,
    /// Whether the GPU is nearly as fast in f64 as in f32.
    pub fast_f64: bool,
}

impl Engine {
    pub fn path(&self, n: usize) -> Path {
        path(self.choice, n, self.batched)
    }

    /// Whether matrices are ever computed in that arithmetic.
    pub fn uses(&self, real: Real) -> bool {
        match self.method.precision {
            Precision::Auto => true,
            Precision::F64 => real == Real::F64,
            Precision::F32 => real == Real::F32,
        }
    }

    /// Whether a matrix is tried in f32 first.
    pub fn begins_in_f32(&self, matrix: &WeightMatrix) -> bool {
        match self.method.precision {
            Precision::F32 => true,
            Precision::F64 => false,
            Precision::Auto => {
                let (rule, n) = (self.method.rule, matrix.eigenvalues());
                // f32 loses the smallest eigenvalues, which all rules but the median look at: what a GPU has to spare for f64,
                // it has to spare for what f32 would have to do again. And matrices that are solved together would be refined
                // one by one.
                let in_vain = rule != Rule::Median && self.fast_f64;
                let one_by_one = rule == Rule::Peak && self.path(n) == Path::Batched;
                matrix.dtype != FloatType::F64 && !in_vain && !one_by_one
            }
        }
    }

    /// Whether a factorisation of W in f64 may be needed.
    pub fn refines(&self) -> bool {
        self.method.precision != Precision::F32 || self.method.rule == Rule::Peak
    }
}

/// Sizes of the buffers of a lane; all in bytes, but for the numbers of matrices and eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// A block as it lies in the file.
    pub raw: usize,
    /// The same in the precision of the computation, or the parts of a product with it.
    pub wide: usize,
    /// The Gram matrices of a batch.
    pub gram: usize,
    /// The rows of a QR factorisation, or all weights as they lie in the file.
    pub stack: usize,
    /// The larger side of matrices that are multiplied with vectors.
    pub long: usize,
    /// Matrices of a batch.
    pub batch: usize,
    /// Eigenvalues of a batch, all together.
    pub values: usize,
    /// Eigenvalues of one matrix.
    pub order: usize,
    /// The same of those that take our own tridiagonalisation.
    pub reduced: usize,
    /// What cuSOLVER works in.
    pub workspace: Workspace,
}

impl Plan {
    /// The plan for any of these matrices.
    pub fn new(engine: &Engine, matrices: &[WeightMatrix], solver: &Solver) -> Result<Plan> {
        let mut shapes: Vec<(usize, usize, usize)> = matrices
            .iter()
            .filter(|matrix| matrix.eigenvalues() >= MIN_EIGENVALUES)
            .map(|matrix| (matrix.eigenvalues(), matrix.long(), matrix.dtype.bytes()))
            .collect();
        shapes.sort_unstable();
        let mut plan = Plan::default();
        for alike in shapes.chunk_by(|a, b| a == b) {
            let (n, long, element_bytes) = alike[0];
            let path = engine.path(n);
            let of_order = shapes.iter().filter(|shape| shape.0 == n).count();
            let batch = batch(path, n).min(of_order);
            let rows = block_rows(long, n, element_bytes);
            plan.raw = plan.raw.max(rows * n * element_bytes);
            // Weights of 16 bits are multiplied as they are, but for casts and extreme scales.
            plan.wide = plan.wide.max(rows * n * 8);
            plan.batch = plan.batch.max(batch);
            plan.values = plan.values.max(batch * n);
            plan.order = plan.order.max(n);
            if path == Path::TwoStage {
                plan.reduced = plan.reduced.max(n);
            }
            // Extreme scales end in f64 whatever was asked for; a Cholesky factorisation too.
            plan.gram = plan.gram.max(batch * n * n * 8);
            for real in [Real::F32, Real::F64].into_iter().filter(|&real| engine.uses(real)) {
                plan.workspace = plan.workspace.max(solver.eigenvalues_workspace(path, real, n, batch)?);
            }
            if engine.refines() {
                let stacked = stacked_rows(long, n);
                plan.stack = plan.stack.max(stacked * n * 8);
                plan.long = plan.long.max(long);
                plan.wide = plan.wide.max(products::part_bytes(rows, n));
                plan.workspace = plan.workspace.max(solver.refinement_workspace(stacked, n)?);
            }
        }
        Ok(plan)
    }

    /// GPU memory of a lane.
    pub fn device_bytes(&self) -> u64 {
        let Plan { raw, wide, gram, stack, long, batch, values, order, reduced, workspace } = *self;
        let sums = batch * SUM_BLOCKS as usize * 16;
        let buffers = raw + wide + gram + stack + workspace.device + 16 * values + 8 * order + 44 * batch + sums;
        let buffers = buffers + two_stage::Workspace::bytes(reduced);
        let vectors = FitBuffers::bytes(batch, values) + ProductBuffers::bytes(long, order);
        buffers as u64 + vectors + blas::WORKSPACE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_what_is_free_and_no_more_than_a_limit() {
        let gib = |tenths: u64| tenths * (1 << 30) / 10;
        for (free, lane, expected) in [
            // An H200, with lanes of three sizes.
            (1390, 33, 4),
            (1390, 66, 3),
            (1390, 190, 1),
            // One lane is always tried.
            (1390, 400, 1),
            (10, 33, 1),
            // Small GPUs.
            (80, 15, 3),
            (80, 33, 1),
            (240, 33, 4),
        ] {
            assert_eq!(lanes(gib(free), gib(lane)), expected, "{free} free, {lane} each");
        }
        assert_eq!(lanes(u64::MAX, 0), LANES);
    }
}
