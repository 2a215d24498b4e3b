//! Everything that a lane owns on a GPU: a stream, the handles of the libraries, and one table of buffers.
//!
//! The table serves twice: with sizes it is the plan of a lane's memory, with memory it is the lane's.

use std::rc::Rc;
use std::sync::Arc;

use super::kernels::Kernels;
use super::kernels::abi::{Candidates, CompensatedSum, DeviceAccuracy, DeviceFit, ElementScan, GramSums, Interval};
use super::kernels::gram::SUM_BLOCKS;
use super::kernels::products::part_count;
use super::kernels::tridiagonal::{BAND, band_len, panel_sums, progress_len};
use super::pinned_ring::PinnedRing;
use super::sys::blas::Blas;
use super::sys::context::Context;
use super::sys::error::Result;
use super::sys::memory::DeviceMemory;
use super::sys::solver::{Solver, SolverPath};
use super::sys::stream::Stream;

/// Panels of the tridiagonalization whose updates are applied together: products with few columns are bound by memory.
pub const PANEL_GROUP: usize = 4;

/// Matrices of one shape that a lane computes together.
#[derive(Debug, Clone, Copy)]
pub struct BatchShape {
    /// Order of the Gram matrix.
    pub n: usize,
    /// The larger side of the matrix.
    pub long: usize,
    /// Bytes of an element in the file.
    pub element_bytes: usize,
    /// Rows of a block.
    pub block_rows: usize,
    /// Number of matrices.
    pub batch: usize,
    pub path: SolverPath,
    /// Whether a factorization of W may be needed.
    pub refines: bool,
}

impl BatchShape {
    /// Rows of the buffer in which a triangle is stacked on the next rows of W.
    pub fn stacked_rows(&self) -> usize {
        stacked_rows(self.long, self.n)
    }
}

/// Rows of the buffer in which the triangle of a tall `long` x `short` matrix is stacked on its next rows.
pub fn stacked_rows(long: usize, short: usize) -> usize {
    long.min(2 * short)
}

macro_rules! buffers {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        /// A value for each buffer of a lane: its size in bytes, or its memory.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Buffers<B> { $($(#[$attribute])* pub $name: B),* }

        impl Buffers<usize> {
            /// Sizes that are enough for both.
            pub fn max(self, other: Buffers<usize>) -> Buffers<usize> {
                Buffers { $($name: self.$name.max(other.$name)),* }
            }

            /// The sum of all sizes.
            pub fn total(&self) -> usize {
                0 $(+ self.$name)*
            }

            /// Allocates all buffers.
            pub fn allocate(&self, context: &Arc<Context>) -> Result<Buffers<DeviceMemory>> {
                Ok(Buffers { $($name: DeviceMemory::new(context, self.$name as u64)?),* })
            }
        }
    };
}

buffers! {
    /// A block of weights in the type of the file.
    block,
    /// The same in the type of the computation; or the parts of a product with it.
    widened,
    /// The Gram matrices of a batch.
    gram,
    /// The rows of a QR factorization; or all weights in the type of the file.
    stacked,
    /// A vector of a matrix's order, for the factorizations.
    vector,
    /// The status of each matrix, from cuSOLVER.
    status,
    /// What was found among the elements of each matrix.
    scans,
    /// Sums of parts of each Gram matrix.
    gram_sums,
    /// Diagonals of the tridiagonal matrices of a batch.
    diagonal,
    /// Their subdiagonals.
    subdiagonal,
    /// An interval for each tridiagonal matrix.
    intervals,
    /// The eigenvalues of a batch.
    values,
    /// Where each spectrum begins, and where the last ends.
    offsets,
    /// Error bounds of each spectrum.
    accuracies,
    /// Logarithms of the eigenvalues.
    logs,
    /// Sums of the logarithms, each from one to the end.
    suffix,
    /// alpha of each candidate.
    alphas,
    /// KS distance of each candidate.
    distances,
    /// Candidates of each spectrum.
    candidates,
    /// The fit of each spectrum.
    fits,
    /// v, or A^T u, of a product with A, the tall form of W.
    short,
    /// u, or A v.
    long,
    /// The elements of a product before they are rounded.
    totals,
    /// V and X of each panel of a group, side by side, in columns of the matrix's order.
    panels,
    /// The same, X before V.
    panels_swapped,
    /// Z of a panel: BAND columns.
    panel_z,
    /// Products of the panels before with V.
    panel_correction,
    /// Sums of each block for each column of a panel, then a row of it; written and read in turn with `panel_sums_odd`.
    panel_sums_even,
    /// See `panel_sums_even`.
    panel_sums_odd,
    /// Factors of a panel's reflectors.
    panel_taus,
    /// Products of a panel's vectors.
    panel_overlaps,
    /// V^T Z of a panel.
    panel_projection,
    /// The factors of X.
    panel_factors,
    /// The band matrix.
    band,
    /// A counter, then the progress of each sweep.
    progress,
}

/// Bytes of numbers of type T.
fn bytes<T>(count: usize) -> usize {
    count * size_of::<T>()
}

impl Buffers<usize> {
    /// The sizes for a batch. Every number is counted in f64: extreme scales end in f64 whatever was asked for, and so does a
    /// factorization.
    pub fn sizes(shape: &BatchShape) -> Buffers<usize> {
        let BatchShape { n, long, element_bytes, block_rows, batch, .. } = *shape;
        let vectors = bytes::<f64>(batch * n);
        let sizes = Buffers {
            block: block_rows * n * element_bytes,
            widened: bytes::<f64>(block_rows * n),
            gram: bytes::<f64>(batch * n * n),
            vector: bytes::<f64>(n),
            status: bytes::<i32>(batch),
            scans: bytes::<ElementScan>(batch),
            gram_sums: bytes::<GramSums>(batch * SUM_BLOCKS),
            diagonal: vectors,
            subdiagonal: vectors,
            intervals: bytes::<Interval>(batch),
            values: vectors,
            offsets: bytes::<u64>(batch + 1),
            accuracies: bytes::<DeviceAccuracy>(batch),
            logs: vectors,
            suffix: vectors,
            alphas: vectors,
            distances: vectors,
            candidates: bytes::<Candidates>(batch),
            fits: bytes::<DeviceFit>(batch),
            ..Buffers::default()
        };
        let refinement = Buffers {
            widened: bytes::<CompensatedSum>(part_count(block_rows, n)),
            stacked: bytes::<f64>(shape.stacked_rows() * n),
            short: bytes::<f64>(n),
            long: bytes::<f64>(long),
            totals: bytes::<CompensatedSum>(long),
            ..Buffers::default()
        };
        let sizes = if shape.refines { sizes.max(refinement) } else { sizes };
        if shape.path == SolverPath::TwoStage { sizes.max(Self::tridiagonalization(n)) } else { sizes }
    }

    /// The sizes for our own tridiagonalization of a matrix of order n.
    fn tridiagonalization(n: usize) -> Buffers<usize> {
        Buffers {
            panels: bytes::<f64>(2 * PANEL_GROUP * BAND * n),
            panels_swapped: bytes::<f64>(2 * PANEL_GROUP * BAND * n),
            panel_z: bytes::<f64>(BAND * n),
            panel_correction: bytes::<f64>(2 * PANEL_GROUP * BAND * BAND),
            panel_sums_even: bytes::<f64>(panel_sums(n)),
            panel_sums_odd: bytes::<f64>(panel_sums(n)),
            panel_taus: bytes::<f64>(BAND),
            panel_overlaps: bytes::<f64>(BAND * BAND),
            panel_projection: bytes::<f64>(BAND * BAND),
            panel_factors: bytes::<f64>(2 * BAND * BAND),
            band: bytes::<f64>(band_len(n)),
            progress: bytes::<u32>(progress_len(n)),
            ..Buffers::default()
        }
    }
}

/// Everything that a lane owns on a GPU.
///
/// All work is enqueued in one stream and so happens in order; while one lane waits for a solver, others copy.
#[derive(Debug)]
pub struct Workspace<'g> {
    pub kernels: &'g Kernels,
    // Handles first: they are destroyed before the memory that they use, and the stream goes last.
    pub solver: Solver,
    pub blas: Blas,
    pub ring: PinnedRing,
    pub buffers: Buffers<DeviceMemory>,
    pub stream: Rc<Stream>,
}

impl<'g> Workspace<'g> {
    /// Allocates buffers of these sizes, for a solver on that stream.
    pub fn new(
        kernels: &'g Kernels,
        stream: Rc<Stream>,
        solver: Solver,
        sizes: &Buffers<usize>,
    ) -> Result<Workspace<'g>> {
        let context = stream.context();
        let blas = Blas::new(&stream)?;
        let ring = PinnedRing::new(context, sizes.block.max(1))?;
        let buffers = sizes.allocate(context)?;
        Ok(Workspace { kernels, solver, blas, ring, buffers, stream })
    }

    /// The status that the solver gave the first matrix; waits for it.
    pub fn first_status(&self) -> Result<i32> {
        Ok(self.stream.download(self.buffers.status.first::<i32>(1))?[0])
    }
}

impl Drop for Workspace<'_> {
    fn drop(&mut self) {
        // No work may be under way when buffers are freed.
        let _ = self.stream.synchronize();
    }
}
