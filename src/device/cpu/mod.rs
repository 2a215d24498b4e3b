//! The CPU: one single-threaded solve per lane, and helper threads when there are fewer matrices than cores.
//!
//! At the sizes of language models, one solve per core beats all cores on one matrix: lanes share nothing and never wait.
//! Each lane holds a few times its largest Gram matrix, for any size of the checkpoint. The results of a lane do not depend
//! on which threads help, so they do not depend on the number of threads.

mod analyzer;
mod block_iteration;
mod block_products;
mod buffer;
mod ceilings;
mod eigen;
mod eigensolver;
mod factorizations;
mod faer_gram;
mod faer_solver;
mod lane;
mod magnitudes;
mod plan;
mod precision;
mod products;
mod qr;
mod scaled_matrix;
mod simd;
mod step;
mod sturm;
mod thread_pool;
mod workspace;

use super::{Ceilings, Device, Lane, Method, Outcome};
use crate::checkpoint::{Checkpoint, MatrixView};
use crate::error::Result;
use crate::matrices::WeightMatrix;

use analyzer::Analyzer;
pub use eigensolver::{Eigensolver, faer_eigenvalues, gram_matrix, symmetric_eigenvalues};
use lane::CpuLane;
pub use plan::lane_bytes;
pub use simd::{Level, Real};
pub use sturm::eigenvalues as tridiagonal_eigenvalues;
use thread_pool::ThreadPool;

/// The CPU as a device.
#[derive(Debug)]
pub struct Cpu {
    threads: Option<usize>,
    solver: Solver,
    level: Level,
    pool: ThreadPool,
}

/// How eigenvalues are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Solver {
    /// htsr's own solver, [`eigen`].
    TwoStage,
    /// The reference solver, [`faer_solver`].
    Faer,
}

impl Cpu {
    /// A CPU with `threads` threads and its widest instruction set. By default one thread per core, or fewer if their lanes
    /// do not fit into the free memory.
    pub fn new(threads: Option<usize>) -> Cpu {
        let pool = ThreadPool::new(threads.unwrap_or_else(cores));
        Cpu { threads, solver: Solver::TwoStage, level: Level::widest(), pool }
    }

    /// The same device with another instruction set.
    pub fn with_level(self, level: Level) -> Cpu {
        Cpu { level, ..self }
    }

    /// The same device with the reference solver: tridiagonalization by the library `faer`, then bisection, on one thread per
    /// matrix.
    pub fn with_faer(self) -> Cpu {
        Cpu { solver: Solver::Faer, ..self }
    }

    /// Analyzes a matrix in memory.
    pub(crate) fn analyze(&self, method: Method, view: &MatrixView) -> Outcome {
        Analyzer::new(self, method).analyze(view)
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

    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize {
        let affordable = || {
            let largest = matrices.iter().map(|matrix| lane_bytes(matrix, &method)).max()?;
            // A fifth stays free for other programs and the page cache.
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
        method: Method,
        checkpoint: &'a Checkpoint,
        _matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>> {
        Ok(Some(Box::new(CpuLane::new(self, method, checkpoint))))
    }

    fn ceilings(&self) -> Result<Ceilings> {
        ceilings::measure(self.threads.unwrap_or_else(cores).min(cores()))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}
