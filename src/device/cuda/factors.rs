//! The factorisations of one matrix in f64, on the GPU, from which single eigenvalues are refined.

use super::blas::Layout;
use super::kernels::Strides;
use super::lane::{CudaLane, Job, Trouble, blocks, layout, runs};
use super::plan;
use super::products::CudaProducts;
use super::solver::Real;
use super::upload::Block;
use crate::device::operators::{Factorizations, InverseGram, Triangle};
use crate::device::{Failure, power_of_two};

impl CudaLane<'_> {
    /// The triangle R of 2^-exponent W = QR, in `stack`, with columns `stacked_rows` apart.
    ///
    /// A tall W is taken in blocks: the triangle of the rows so far is stacked on the next rows and factorised again (a
    /// sequential TSQR, Demmel et al., SIAM J. Sci. Comput. 34, 2012).
    fn triangle(&mut self, job: &Job) -> Result<(), Trouble> {
        let view = &job.view;
        let (long, n) = (view.long(), view.short());
        let stride = plan::stacked_rows(long, n);
        let rounding = (view.cast(), power_of_two(-job.exponent));
        let (mut done, mut filled) = (0, 0);
        while done < long {
            let (gpu, stream) = (self.gpu, &self.stream);
            let (raw, stack, scans) = (&self.raw, &self.stack, &self.scans);
            if filled == n {
                gpu.kernels.clear_below_diagonal(stream, [n, stride], stack)?;
            }
            let count = (stride - filled).min(long - done);
            let blocks: Vec<Block> = blocks(0, view)
                .filter_map(|block| {
                    let rows = block.rows.start.max(done)..block.rows.end.min(done + count);
                    (!rows.is_empty()).then_some(Block { rows, ..block })
                })
                .collect();
            self.ring.feed(stream, &blocks, |block, pinned| {
                stream.copy_from_pinned((raw, 0), pinned, block.bytes())?;
                let offset = filled + block.rows.start - done;
                let strides = match layout(view) {
                    Layout::Rows => Strides { offset, major: 1, minor: stride },
                    Layout::Columns => Strides { offset, major: stride, minor: 1 },
                };
                let runs = runs(view, &block.rows);
                gpu.kernels.widen(stream, view.dtype(), rounding, runs, raw, Real::F64, stack, strides, (scans, 0))
            })?;
            self.solver.qr([filled + count, n, stride], &self.stack, &self.scratch, &self.info)?;
            self.expect_success("QR factorisation")?;
            done += count;
            filled = n;
        }
        Ok(())
    }

    /// Waits for a factorisation, and confirms that it succeeded.
    fn expect_success(&self, what: &str) -> Result<(), Trouble> {
        match self.stream.download::<i32>(&self.info, 1)?[0] {
            0 => Ok(()),
            info => Err(Failure::Solver(format!("the {what} reports {info}")).into()),
        }
    }
}

/// The factorisations of a job.
pub(super) struct CudaFactors<'l, 'a, 'j> {
    pub lane: &'l mut CudaLane<'a>,
    pub job: &'j Job<'j>,
}

impl<'a> Factorizations for CudaFactors<'_, 'a, '_> {
    type Error = Trouble;
    type Cholesky<'t>
        = CudaCholesky<'t, 'a>
    where
        Self: 't;
    type Products<'t>
        = CudaProducts<'t, 'a>
    where
        Self: 't;
    type Triangle<'t>
        = CudaTriangle<'t, 'a>
    where
        Self: 't;

    fn cholesky(&mut self) -> Result<Option<(CudaCholesky<'_, 'a>, CudaProducts<'_, 'a>)>, Trouble> {
        let (lane, job) = (&mut *self.lane, self.job);
        let n = job.view.short();
        let resident = job.view.long() * n * job.view.dtype().bytes() <= lane.stack.bytes();
        lane.gram_matrices(Real::F64, std::slice::from_ref(job), resident)?;
        lane.solver.cholesky(n, &lane.gram, &lane.info)?;
        let info = lane.stream.download::<i32>(&lane.info, 1)?[0];
        let lane = &*lane;
        Ok((info == 0).then_some((CudaCholesky { lane, n }, CudaProducts { lane, job, resident })))
    }

    fn qr(&mut self) -> Result<CudaTriangle<'_, 'a>, Trouble> {
        let view = &self.job.view;
        let (n, stride) = (view.short(), plan::stacked_rows(view.long(), view.short()));
        self.lane.triangle(self.job)?;
        Ok(CudaTriangle { lane: self.lane, n, stride })
    }
}

/// L with L L^T = W^T W, in `gram`.
pub(super) struct CudaCholesky<'t, 'a> {
    lane: &'t CudaLane<'a>,
    n: usize,
}

impl InverseGram for CudaCholesky<'_, '_> {
    type Error = Trouble;

    fn order(&self) -> usize {
        self.n
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Trouble> {
        let CudaCholesky { lane, n } = *self;
        lane.stream.upload(&lane.scratch, x)?;
        for transpose in [false, true] {
            lane.blas.solve_triangle(false, transpose, [n, n], &lane.gram, &lane.scratch)?;
        }
        x.copy_from_slice(&lane.stream.download::<f64>(&lane.scratch, n)?);
        Ok(())
    }
}

/// R with R^T R = W^T W, in `stack`.
pub(super) struct CudaTriangle<'t, 'a> {
    lane: &'t mut CudaLane<'a>,
    n: usize,
    stride: usize,
}

impl InverseGram for CudaTriangle<'_, '_> {
    type Error = Trouble;

    fn order(&self) -> usize {
        self.n
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Trouble> {
        let CudaTriangle { lane, n, stride } = self;
        lane.stream.upload(&lane.scratch, x)?;
        for transpose in [true, false] {
            lane.blas.solve_triangle(true, transpose, [*n, *stride], &lane.stack, &lane.scratch)?;
        }
        x.copy_from_slice(&lane.stream.download::<f64>(&lane.scratch, *n)?);
        Ok(())
    }
}

impl Triangle for CudaTriangle<'_, '_> {
    fn singular_values(self) -> Result<Vec<f64>, Trouble> {
        let CudaTriangle { lane, n, stride } = self;
        lane.gpu.kernels.clear_below_diagonal(&lane.stream, [n, stride], &lane.stack)?;
        lane.solver.singular_values([n, stride], &lane.stack, &lane.scratch, &lane.info)?;
        lane.expect_success("singular value decomposition")?;
        Ok(lane.stream.download(&lane.scratch, n)?)
    }
}
