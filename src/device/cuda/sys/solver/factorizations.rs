//! Factorizations in f64: Cholesky, QR, and singular values.
#![allow(unsafe_code)]

use std::ptr::null_mut;

use super::call::cusolver;
use super::{Solver, SolverWorkspace};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::matrix::Matrix;
use crate::device::cuda::sys::memory::DeviceSlice;

impl Solver {
    /// The workspace for [`Solver::cholesky`], [`Solver::qr`] and [`Solver::singular_values`], with QR factorizations of at
    /// most `rows` x n.
    pub fn refinement_workspace(&self, rows: usize, n: usize) -> Result<SolverWorkspace> {
        let (rows, n) = (rows as i32, n as i32);
        let [mut cholesky, mut qr, mut svd] = [0; 3];
        // SAFETY: these compute sizes; the matrices are not read.
        unsafe {
            cusolver!(cusolverDnDpotrf_bufferSize(self.raw, Self::HALF, n, null_mut(), n, &mut cholesky))?;
            cusolver!(cusolverDnDgeqrf_bufferSize(self.raw, rows, n, null_mut(), rows, &mut qr))?;
            cusolver!(cusolverDnDgesvd_bufferSize(self.raw, n, n, &mut svd))?;
        }
        Ok(SolverWorkspace::of_elements::<f64>(cholesky.max(qr).max(svd)))
    }

    /// Replaces the lower half of the n x n matrix A in `matrix` by L with L L^T = A. `info` becomes positive if A is not
    /// positive definite.
    pub fn cholesky(&mut self, n: usize, matrix: DeviceSlice<f64>, info: DeviceSlice<i32>) -> Result<()> {
        let (work, size) = self.doubles(n, n)?;
        let (matrix, info) = (matrix.part(0..n * n).pointer(), info.part(0..1).pointer());
        let order = n as i32;
        // SAFETY: all ranges were checked.
        unsafe { cusolver!(cusolverDnDpotrf(self.raw, Self::HALF, order, matrix, order, work, size, info)) }
    }

    /// QR-factorizes the first `rows` rows of a matrix of n columns; R replaces its upper triangle. n is the length of
    /// `scratch`.
    pub fn qr(
        &mut self,
        rows: usize,
        matrix: Matrix<f64>,
        scratch: DeviceSlice<f64>,
        info: DeviceSlice<i32>,
    ) -> Result<()> {
        let n = scratch.len();
        let (work, size) = self.doubles(matrix.lead(), n)?;
        let (elements, info) = (matrix.elements(rows, n).pointer(), info.part(0..1).pointer());
        let (rows, n, stride) = (rows as i32, n as i32, matrix.lead() as i32);
        // SAFETY: all ranges were checked.
        unsafe { cusolver!(cusolverDnDgeqrf(self.raw, rows, n, elements, stride, scratch.pointer(), work, size, info)) }
    }

    /// All singular values, descending, of the n x n matrix in `matrix`, which is destroyed. n is the length of `values`.
    pub fn singular_values(
        &mut self,
        matrix: Matrix<f64>,
        values: DeviceSlice<f64>,
        info: DeviceSlice<i32>,
    ) -> Result<()> {
        let n = values.len();
        let (work, size) = self.doubles(matrix.lead(), n)?;
        let (elements, info) = (matrix.elements(n, n).pointer(), info.part(0..1).pointer());
        let none = b'N' as std::ffi::c_schar;
        let (n, stride) = (n as i32, matrix.lead() as i32);
        // SAFETY: all ranges were checked; without singular vectors, U and V^T are not written.
        unsafe {
            cusolver!(cusolverDnDgesvd(
                self.raw,
                none,
                none,
                n,
                n,
                elements,
                stride,
                values.pointer(),
                null_mut(),
                n,
                null_mut(),
                n,
                work,
                size,
                null_mut(),
                info
            ))
        }
    }

    /// All of the workspace, at least as much as factorizations of at most `rows` x n need, in doubles.
    fn doubles(&mut self, rows: usize, n: usize) -> Result<(*mut f64, i32)> {
        let workspace = self.refinement_workspace(rows, n)?;
        self.reserve(workspace)?;
        let Some(memory) = &self.device else { unreachable!("just reserved") };
        let doubles = memory.all::<f64>();
        Ok((doubles.pointer(), i32::try_from(doubles.len()).unwrap_or(i32::MAX)))
    }
}
