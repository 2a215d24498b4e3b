//! How much memory a lane takes, and how many lanes there are by default: decided from the shapes of all matrices before anything
//! is allocated.

use super::blocks::block_rows;
use super::strategy::Strategy;
use super::sys::blas;
use super::sys::error::Result;
use super::sys::scalar::Real;
use super::sys::solver::{Solver, SolverWorkspace};
use super::workspace::{BatchShape, Buffers};
use crate::fit::MIN_EIGENVALUES;
use crate::matrices::WeightMatrix;

/// Lanes of a GPU, memory permitting: while one waits for its bytes, others compute.
const LANES: usize = 4;
/// Share of the free memory of a GPU that lanes may take, in percent.
const MEMORY_PERCENT: u64 = 60;
/// Most memory of a GPU that several lanes take, so that with the driver's own share it stays below 24 GB.
const MEMORY_BYTES: u64 = 20 << 30;

/// The default number of lanes of a GPU with `free` bytes of memory, if each takes `lane_bytes`.
pub fn default_lanes(free: u64, lane_bytes: u64) -> usize {
    let available = (free / 100 * MEMORY_PERCENT).min(MEMORY_BYTES);
    usize::try_from(available / lane_bytes.max(1)).unwrap_or(LANES).clamp(1, LANES)
}

/// Sizes of all memory of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryPlan {
    pub buffers: Buffers<usize>,
    /// What cuSOLVER works in.
    pub solver: SolverWorkspace,
}

impl MemoryPlan {
    /// Enough memory for any of these matrices.
    pub fn new(strategy: &Strategy, matrices: &[WeightMatrix], solver: &Solver) -> Result<MemoryPlan> {
        let mut shapes: Vec<(usize, usize, usize)> = matrices
            .iter()
            .filter(|matrix| matrix.eigenvalues() >= MIN_EIGENVALUES)
            .map(|matrix| (matrix.eigenvalues(), matrix.long(), matrix.dtype.bytes()))
            .collect();
        shapes.sort_unstable();
        let mut plan = MemoryPlan::default();
        for alike in shapes.chunk_by(|a, b| a == b) {
            let (n, long, element_bytes) = alike[0];
            let of_order = shapes.iter().filter(|shape| shape.0 == n).count();
            let shape = BatchShape {
                n,
                long,
                element_bytes,
                block_rows: block_rows(long, n, element_bytes),
                batch: strategy.paths.batch(n).min(of_order),
                path: strategy.paths.path(n),
                refines: strategy.refines(),
            };
            plan.buffers = plan.buffers.max(Buffers::sizes(&shape));
            plan.solver = plan.solver.max(solver_workspace(strategy, &shape, solver)?);
        }
        Ok(plan)
    }

    /// GPU memory of a lane.
    pub fn device_bytes(&self) -> u64 {
        (self.buffers.total() + self.solver.device) as u64 + blas::WORKSPACE_BYTES
    }
}

/// The memory in which cuSOLVER computes a batch.
fn solver_workspace(strategy: &Strategy, shape: &BatchShape, solver: &Solver) -> Result<SolverWorkspace> {
    let &BatchShape { n, batch, path, .. } = shape;
    let mut workspace = SolverWorkspace::default();
    if strategy.uses(Real::F32) {
        workspace = workspace.max(solver.eigenvalues_workspace::<f32>(path, n, batch)?);
    }
    if strategy.uses(Real::F64) {
        workspace = workspace.max(solver.eigenvalues_workspace::<f64>(path, n, batch)?);
    }
    if shape.refines {
        workspace = workspace.max(solver.refinement_workspace(shape.stacked_rows(), n)?);
    }
    Ok(workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_free_memory_up_to_a_limit() {
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
            assert_eq!(default_lanes(gib(free), gib(lane)), expected, "{free} free, {lane} each");
        }
        assert_eq!(default_lanes(u64::MAX, 0), LANES);
    }
}
