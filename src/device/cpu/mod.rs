//! The CPU: one single-threaded solve per lane, and helpers where there are fewer matrices than cores.
//!
//! At the sizes of language models a solve per core beats all cores on one matrix: lanes share nothing and never wait. Each
//! lane holds a few times its largest Gram matrix, whatever the size of the checkpoint, and what it computes does not depend
//! on who helps, so that the results do not depend on the number of threads.

mod block_products;
mod ceilings;
mod eigen;
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

use faer::MatMut;

use super::{Ceilings, Device, Failure, Lane, Method, binary_exponent, power_of_two};
use crate::checkpoint::{Checkpoint, MatrixView};
use crate::error::Result;
use crate::matrices::WeightMatrix;

use eigen::Tiles;
use lane::CpuLane;
use memory::Buffer;
pub use memory::lane_bytes;
pub use simd::{Level, Real};
pub use sturm::eigenvalues as tridiagonal_eigenvalues;
use team::Crew;

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
            let largest = matrices.iter().map(|matrix| lane_bytes(matrix, &self.method)).max()?;
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
        Ok(Some(Box::new(CpuLane::new(self, checkpoint))))
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

/// Finds the eigenvalues of symmetric matrices, one after the other, and keeps its threads and its memory in between: the first
/// touch of memory takes a tenth of a solve.
#[derive(Debug)]
pub struct Eigensolver<T> {
    level: Level,
    crew: Crew,
    tiles: Buffer<T>,
    band: Buffer<T>,
    panels: Buffer<T>,
}

impl<T: Real> Eigensolver<T> {
    /// One that uses so many threads.
    pub fn new(level: Level, threads: usize) -> Eigensolver<T> {
        let (tiles, band, panels) = Default::default();
        Eigensolver { level, crew: Crew::new(threads), tiles, band, panels }
    }

    /// All eigenvalues, ascending, of a symmetric n x n matrix in column-major order, n >= 1, given its lower half. What is above
    /// the diagonal has no influence on the results, and neither has the number of threads.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
    ///
    /// # Panics
    ///
    /// If the length of `matrix` is no square, or zero.
    pub fn eigenvalues(&mut self, matrix: &[T]) -> Result<Vec<f64>, Failure> {
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
        let mut tiles = Tiles::zeros(n, &mut self.tiles)?;
        let team = self.crew.begin();
        tiles.fill(&team, |row, col| T::from_f64(matrix[col * n + row].into() * scale));
        let mut values = eigen::eigenvalues(&mut tiles, &mut self.band, &mut self.panels, self.level, &team)?;
        values.iter_mut().for_each(|x| *x *= power_of_two(exponent));
        Ok(values)
    }
}

/// The eigenvalues of one matrix, by [`Eigensolver::eigenvalues`].
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
pub fn symmetric_eigenvalues<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<Vec<f64>, Failure> {
    Eigensolver::new(level, threads).eigenvalues(matrix)
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
