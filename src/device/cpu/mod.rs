//! The CPU: one single-threaded solve per lane, and helpers where there are fewer matrices than cores.
//!
//! At the sizes of language models a solve per core beats all cores on one matrix: lanes share nothing and never wait. Each
//! lane holds a few times its largest Gram matrix, whatever the size of the checkpoint, and what it computes does not depend
//! on who helps, so that the results do not depend on the number of threads.

mod block_products;
mod ceilings;
mod eigen;
mod eigensolver;
mod gram;
mod lane;
mod library;
mod low_end;
mod memory;
mod products;
mod qr;
mod simd;
mod sturm;
mod survey;
mod team;

use super::{Ceilings, Device, Lane, Method};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrices::WeightMatrix;

pub use eigensolver::{Eigensolver, faer_eigenvalues, gram_matrix, symmetric_eigenvalues};
use lane::CpuLane;
pub use memory::lane_bytes;
pub use simd::{Level, Real};
pub use sturm::eigenvalues as tridiagonal_eigenvalues;
use team::Crew;

/// The CPU as a device.
#[derive(Debug)]
pub struct Cpu {
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
    pub fn new(threads: Option<usize>) -> Cpu {
        let crew = Crew::new(threads.unwrap_or_else(cores));
        Cpu { threads, solver: Solver::TwoStage, level: Level::widest(), crew }
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

    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize {
        let affordable = || {
            let largest = matrices.iter().map(|matrix| lane_bytes(matrix, &method)).max()?;
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
