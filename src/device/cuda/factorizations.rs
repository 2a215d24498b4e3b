//! The factorizations of one matrix in f64, on the GPU, from which single eigenvalues are refined.

use super::blocks::{Block, blocks};
use super::errors::JobError;
use super::gram::gram_matrices;
use super::job::Job;
use super::kernels::widen::Strides;
use super::products::CudaProducts;
use super::sys::blas::Layout;
use super::sys::matrix::Matrix;
use super::workspace::{Workspace, stacked_rows};
use crate::device::Failure;
use crate::device::operators::{Factorizations, InverseGram, Triangle};

/// The factorizations of a job.
pub struct CudaFactorizations<'l, 'g, 'j> {
    pub workspace: &'l mut Workspace<'g>,
    pub job: &'j Job<'j>,
}

impl<'g> Factorizations for CudaFactorizations<'_, 'g, '_> {
    type Error = JobError;
    type Cholesky<'t>
        = CudaCholesky<'t, 'g>
    where
        Self: 't;
    type Products<'t>
        = CudaProducts<'t>
    where
        Self: 't;
    type Triangle<'t>
        = CudaTriangle<'t, 'g>
    where
        Self: 't;

    fn cholesky(&mut self) -> Result<Option<(CudaCholesky<'_, 'g>, CudaProducts<'_>)>, JobError> {
        let (workspace, job) = (&mut *self.workspace, self.job);
        let n = job.view.short();
        let resident = job.view.long() * n * job.view.dtype().bytes() <= workspace.buffers.stacked.bytes();
        gram_matrices::<f64>(workspace, std::slice::from_ref(job), resident)?;
        let Workspace { solver, buffers, .. } = workspace;
        solver.cholesky(n, buffers.gram.first(n * n), buffers.status.first(1))?;
        let status = self.workspace.first_status()?;
        let workspace = &*self.workspace;
        Ok((status == 0).then_some((CudaCholesky { workspace, n }, CudaProducts { workspace, job, resident })))
    }

    fn qr(&mut self) -> Result<CudaTriangle<'_, 'g>, JobError> {
        let (n, long) = (self.job.view.short(), self.job.view.long());
        triangularize(self.workspace, self.job)?;
        Ok(CudaTriangle { workspace: self.workspace, n, stride: stacked_rows(long, n) })
    }
}

/// Computes the triangle R of 2^-exponent W = QR, in `stacked`, with columns `stacked_rows` apart.
///
/// A tall W is taken in blocks: the triangle of the rows so far is stacked on the next rows and factorized again (a
/// sequential TSQR, Demmel et al., SIAM J. Sci. Comput. 34, 2012).
fn triangularize(workspace: &mut Workspace, job: &Job) -> Result<(), JobError> {
    let view = &job.view;
    let (long, n) = (view.long(), view.short());
    let stride = stacked_rows(long, n);
    let (mut done, mut filled) = (0, 0);
    while done < long {
        if filled == n {
            let triangle = Matrix::new(workspace.buffers.stacked.all(), stride);
            workspace.kernels.clear_below_diagonal(&workspace.stream, n, triangle)?;
        }
        let count = (stride - filled).min(long - done);
        stack_rows(workspace, job, done..done + count, filled, stride)?;
        let Workspace { solver, buffers, .. } = &mut *workspace;
        let stacked = Matrix::new(buffers.stacked.all(), stride);
        solver.qr(filled + count, stacked, buffers.vector.first(n), buffers.status.first(1))?;
        expect_success(workspace, "QR factorization")?;
        done += count;
        filled = n;
    }
    Ok(())
}

/// Writes some rows of the tall form of 2^-exponent W below the first `filled` rows of `stacked`.
fn stack_rows(
    workspace: &Workspace,
    job: &Job,
    rows: std::ops::Range<usize>,
    filled: usize,
    stride: usize,
) -> Result<(), JobError> {
    let Workspace { kernels, ring, buffers, stream, .. } = workspace;
    let blocks: Vec<Block> = blocks(0, &job.view)
        .filter_map(|block| {
            let rows = block.rows.start.max(rows.start)..block.rows.end.min(rows.end);
            (!rows.is_empty()).then_some(Block { rows, ..block })
        })
        .collect();
    ring.feed(stream, &blocks, |block, pinned| {
        let weights = buffers.block.first(block.bytes());
        stream.copy_from_pinned(weights, pinned)?;
        let offset = filled + block.rows.start - rows.start;
        let strides = match block.layout() {
            Layout::Rows => Strides { offset, major: 1, minor: stride },
            Layout::Columns => Strides { offset, major: stride, minor: 1 },
        };
        let target = (strides, buffers.stacked.all::<f64>());
        kernels.widen(stream, job.conversion(), (block.runs(), weights), target, buffers.scans.first(1))
    })?;
    Ok(())
}

/// Waits for a factorization, and confirms that it succeeded.
fn expect_success(workspace: &Workspace, what: &str) -> Result<(), JobError> {
    match workspace.first_status()? {
        0 => Ok(()),
        status => Err(Failure::Solver(format!("the {what} reports {status}")).into()),
    }
}

/// L with L L^T = W^T W, in `gram`.
pub struct CudaCholesky<'t, 'g> {
    workspace: &'t Workspace<'g>,
    n: usize,
}

impl InverseGram for CudaCholesky<'_, '_> {
    type Error = JobError;

    fn order(&self) -> usize {
        self.n
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), JobError> {
        let lower = Matrix::new(self.workspace.buffers.gram.all(), self.n);
        solve_twice(self.workspace, false, [lower, lower.transpose()], x)
    }
}

/// R with R^T R = W^T W, in `stacked`.
pub struct CudaTriangle<'t, 'g> {
    workspace: &'t mut Workspace<'g>,
    n: usize,
    stride: usize,
}

impl InverseGram for CudaTriangle<'_, '_> {
    type Error = JobError;

    fn order(&self) -> usize {
        self.n
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), JobError> {
        let upper = Matrix::new(self.workspace.buffers.stacked.all(), self.stride);
        solve_twice(self.workspace, true, [upper.transpose(), upper], x)
    }
}

/// Replaces x by the inverse of the second triangle times that of the first times x.
fn solve_twice(workspace: &Workspace, upper: bool, triangles: [Matrix<f64>; 2], x: &mut [f64]) -> Result<(), JobError> {
    let vector = workspace.buffers.vector.first(x.len());
    workspace.stream.upload(vector, x)?;
    for triangle in triangles {
        workspace.blas.solve_triangle(upper, triangle, vector)?;
    }
    x.copy_from_slice(&workspace.stream.download(vector)?);
    Ok(())
}

impl Triangle for CudaTriangle<'_, '_> {
    fn singular_values(self) -> Result<Vec<f64>, JobError> {
        let CudaTriangle { workspace, n, stride } = self;
        let Workspace { kernels, solver, buffers, stream, .. } = &mut *workspace;
        let (triangle, values) = (Matrix::new(buffers.stacked.all(), stride), buffers.vector.first(n));
        kernels.clear_below_diagonal(stream, n, triangle)?;
        solver.singular_values(triangle, values, buffers.status.first(1))?;
        expect_success(workspace, "singular value decomposition")?;
        Ok(workspace.stream.download(workspace.buffers.vector.first(n))?)
    }
}
