//! All eigenvalues of symmetric matrices: `Xsyevd`, which solves the tridiagonal problem in cuSOLVER itself; `sytrd`, which
//! leaves that to our own bisection; and `XsyevBatched`, for many small matrices at once.
#![allow(unsafe_code)]

use std::ptr::null;

use cudarc::cusolver::sys::cusolverEigMode_t as Mode;

use super::call::cusolver;
use super::{Solver, SolverPath, SolverWorkspace};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::scalar::{Real, Scalar};

const VALUES: Mode = Mode::CUSOLVER_EIG_MODE_NOVECTOR;

impl Solver {
    /// The workspace for the eigenvalues of `batch` matrices of order n.
    pub fn eigenvalues_workspace<T: Scalar>(
        &self,
        path: SolverPath,
        n: usize,
        batch: usize,
    ) -> Result<SolverWorkspace> {
        let (mut device, mut host, mut count) = (0, 0, 0);
        let (handle, options, kind, half) = (self.raw, self.options(path), T::SOLVER_TYPE, Self::HALF);
        let (order, wide) = (n as i32, n as i64);
        // SAFETY: these compute sizes; the matrices are not read.
        unsafe {
            match (path, T::REAL) {
                (SolverPath::Sytrd, Real::F32) => cusolver!(cusolverDnSsytrd_bufferSize(
                    handle,
                    half,
                    order,
                    null(),
                    order,
                    null(),
                    null(),
                    null(),
                    &mut count
                ))?,
                (SolverPath::Sytrd, Real::F64) => cusolver!(cusolverDnDsytrd_bufferSize(
                    handle,
                    half,
                    order,
                    null(),
                    order,
                    null(),
                    null(),
                    null(),
                    &mut count
                ))?,
                (SolverPath::Syevd | SolverPath::SyevdTwoStage, _) => cusolver!(cusolverDnXsyevd_bufferSize(
                    handle,
                    options,
                    VALUES,
                    half,
                    wide,
                    kind,
                    null(),
                    wide,
                    kind,
                    null(),
                    kind,
                    &mut device,
                    &mut host
                ))?,
                (SolverPath::TwoStage, _) => {}
                (SolverPath::Batched, _) => cusolver!(cusolverDnXsyevBatched_bufferSize(
                    handle,
                    options,
                    VALUES,
                    half,
                    wide,
                    kind,
                    null(),
                    wide,
                    kind,
                    null(),
                    kind,
                    &mut device,
                    &mut host,
                    batch as i64
                ))?,
            }
        }
        Ok(SolverWorkspace { device, host }.max(SolverWorkspace::of_elements::<T>(count)))
    }

    /// All eigenvalues, ascending, of the n x n matrix in `matrix`, which is destroyed; n is the length of `values`. The status
    /// goes to the first number of `info`.
    pub fn syevd<T: Scalar>(
        &mut self,
        path: SolverPath,
        matrix: DeviceSlice<T>,
        values: DeviceSlice<T>,
        info: DeviceSlice<i32>,
    ) -> Result<()> {
        let n = values.len();
        let matrix = matrix.part(0..n * n);
        let workspace = self.eigenvalues_workspace::<T>(path, n, 1)?;
        let (device, bytes) = self.reserved::<u8>(workspace)?;
        let kind = T::SOLVER_TYPE;
        // SAFETY: all ranges were checked, and the workspaces have the sizes that were asked for.
        unsafe {
            cusolver!(cusolverDnXsyevd(
                self.raw,
                self.options(path),
                VALUES,
                Self::HALF,
                n as i64,
                kind,
                matrix.pointer().cast(),
                n as i64,
                kind,
                values.pointer().cast(),
                kind,
                device.cast(),
                bytes,
                self.host.as_mut_ptr().cast(),
                workspace.host,
                info.part(0..1).pointer()
            ))
        }
    }

    /// All eigenvalues of `batch` matrices of order n, one after the other in `matrices`, which are destroyed. `values` gets n
    /// numbers for each of them, `info` a status.
    pub fn syev_batched<T: Scalar>(
        &mut self,
        [n, batch]: [usize; 2],
        matrices: DeviceSlice<T>,
        values: DeviceSlice<T>,
        info: DeviceSlice<i32>,
    ) -> Result<()> {
        let (matrices, values, info) =
            (matrices.part(0..batch * n * n), values.part(0..batch * n), info.part(0..batch));
        let workspace = self.eigenvalues_workspace::<T>(SolverPath::Batched, n, batch)?;
        self.reserve(workspace)?;
        let kind = T::SOLVER_TYPE;
        let Some(memory) = &self.device else { unreachable!("just reserved") };
        let memory = memory.first::<u8>(workspace.device);
        // cuSOLVER 11.7.1.2 returns wrong values if this is not zero.
        self.stream.clear(memory)?;
        // SAFETY: all ranges were checked, and the workspaces have the sizes that were asked for.
        unsafe {
            cusolver!(cusolverDnXsyevBatched(
                self.raw,
                self.options(SolverPath::Batched),
                VALUES,
                Self::HALF,
                n as i64,
                kind,
                matrices.pointer().cast(),
                n as i64,
                kind,
                values.pointer().cast(),
                kind,
                memory.pointer().cast(),
                workspace.device,
                self.host.as_mut_ptr().cast(),
                workspace.host,
                info.pointer(),
                batch as i64
            ))
        }
    }

    /// Reduces the n x n matrix in `matrix` to a tridiagonal one: n numbers of its diagonal, n - 1 of its subdiagonal. n is the
    /// length of `diagonal`. `scratch` gets n - 1 numbers that are not used.
    pub fn sytrd<T: Scalar>(
        &mut self,
        matrix: DeviceSlice<T>,
        diagonal: DeviceSlice<T>,
        subdiagonal: DeviceSlice<T>,
        scratch: DeviceSlice<T>,
        info: DeviceSlice<i32>,
    ) -> Result<()> {
        let n = diagonal.len();
        let workspace = self.eigenvalues_workspace::<T>(SolverPath::Sytrd, n, 1)?;
        let (work, bytes) = self.reserved::<T>(workspace)?;
        let matrix = matrix.part(0..n * n).pointer();
        let [diagonal, subdiagonal, scratch] =
            [diagonal, subdiagonal, scratch].map(|vector| vector.part(0..n).pointer());
        let info = info.part(0..1).pointer();
        let (order, size) = (n as i32, (bytes / size_of::<T>()) as i32);
        // SAFETY: all ranges were checked, the workspace has the size that was asked for, and T is the type of the function.
        unsafe {
            match T::REAL {
                Real::F32 => cusolver!(cusolverDnSsytrd(
                    self.raw,
                    Self::HALF,
                    order,
                    matrix.cast(),
                    order,
                    diagonal.cast(),
                    subdiagonal.cast(),
                    scratch.cast(),
                    work.cast(),
                    size,
                    info
                )),
                Real::F64 => cusolver!(cusolverDnDsytrd(
                    self.raw,
                    Self::HALF,
                    order,
                    matrix.cast(),
                    order,
                    diagonal.cast(),
                    subdiagonal.cast(),
                    scratch.cast(),
                    work.cast(),
                    size,
                    info
                )),
            }
        }
    }
}
