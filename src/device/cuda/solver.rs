//! cuSOLVER: eigenvalues of symmetric matrices, and the factorisations from which single ones are refined.
//!
//! Values only. Three ways lead to them: `Xsyevd`, which finishes the tridiagonal problem in cuSOLVER itself; `sytrd`,
//! after which our own bisection does that on the GPU; and `XsyevBatched`, for many small matrices at once. A fourth is our own
//! (`two_stage.rs`).
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};
use std::rc::Rc;

use cudarc::cusolver::sys::{
    self, cublasFillMode_t as Fill, cudaDataType as DataType, cusolverAlgMode_t as Algorithm,
    cusolverDeterministicMode_t as Deterministic, cusolverDnFunction_t as Tuned, cusolverEigMode_t as Mode,
    cusolverStatus_t as Status,
};

use super::driver::{DeviceMemory, Fault, Result, Stream};
use super::library::{self, Component};

/// Lower halves: the Gram matrix is full, so either would do.
const LOWER: Fill = Fill::CUBLAS_FILL_MODE_LOWER;
const VALUES: Mode = Mode::CUSOLVER_EIG_MODE_NOVECTOR;

fn check(call: &'static str, status: Status) -> Result<()> {
    if status == Status::CUSOLVER_STATUS_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::CUSOLVER_STATUS_ALLOC_FAILED).then_some(0);
    Err(Fault { call, status: format!("{status:?}"), out_of_memory })
}

macro_rules! cusolver {
    ($name:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($name), sys::$name($($argument),*))
    };
}

/// The arithmetic of a solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Real {
    F32,
    F64,
}

impl Real {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Real::F32 => 4,
            Real::F64 => 8,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Real::F32 => DataType::CUDA_R_32F,
            Real::F64 => DataType::CUDA_R_64F,
        }
    }
}

/// A way to all eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// `Xsyevd`.
    Syevd,
    /// `Xsyevd` by way of a band matrix.
    SyevdTwoStage,
    /// `Ssytrd` or `Dsytrd`, then bisection.
    Sytrd,
    /// Our own tridiagonalisation, then bisection.
    TwoStage,
    /// `XsyevBatched`.
    Batched,
}

impl Path {
    /// What the eigenvalues of a matrix of order n lose beyond what bisection of its tridiagonal form does: iterations like
    /// those of QR add up roundings.
    pub fn loss(self, n: usize) -> f64 {
        match self {
            Path::Sytrd | Path::TwoStage => 1.0,
            Path::Syevd | Path::SyevdTwoStage | Path::Batched => ((n as f64).sqrt() / 4.0).max(1.0),
        }
    }
}

/// The version of the library: 1000 major + 100 minor + patch.
pub(super) fn version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { cusolver!(cusolverGetVersion(&mut version)) }?;
    Ok(version)
}

/// True if the library can take that way.
pub(super) fn offers(path: Path, version: i32) -> bool {
    match path {
        Path::Syevd | Path::Sytrd | Path::TwoStage => true,
        Path::SyevdTwoStage => version >= 12304 && library::has(Component::Cusolver, "cusolverDnSetAdvOptions"),
        Path::Batched => {
            let symbols = ["cusolverDnXsyevBatched", "cusolverDnXsyevBatched_bufferSize"];
            symbols.iter().all(|symbol| library::has(Component::Cusolver, symbol))
        }
    }
}

/// Bytes of workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Workspace {
    pub device: usize,
    pub host: usize,
}

impl Workspace {
    pub fn max(self, other: Workspace) -> Workspace {
        Workspace { device: self.device.max(other.device), host: self.host.max(other.host) }
    }

    fn of_elements(count: i32, bytes: usize) -> Workspace {
        Workspace { device: usize::try_from(count).unwrap_or(0) * bytes, host: 0 }
    }
}

/// Options of a solver; freed with it.
#[derive(Debug)]
struct Parameters(sys::cusolverDnParams_t);

impl Parameters {
    fn new() -> Result<Parameters> {
        let mut raw = null_mut();
        // SAFETY: writes one handle.
        unsafe { cusolver!(cusolverDnCreateParams(&mut raw)) }?;
        Ok(Parameters(raw))
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once.
        let _ = unsafe { cusolver!(cusolverDnDestroyParams(self.0)) };
    }
}

/// A cuSOLVER handle with its workspace, bound to a stream.
#[derive(Debug)]
pub(super) struct Solver {
    raw: sys::cusolverDnHandle_t,
    one_stage: Option<Parameters>,
    two_stage: Option<Parameters>,
    device: Option<DeviceMemory>,
    host: Vec<u8>,
    stream: Rc<Stream>,
}

impl Solver {
    pub fn new(stream: &Rc<Stream>, version: i32) -> Result<Solver> {
        let mut raw = null_mut();
        // SAFETY: writes one handle; the stream's context is current on this thread.
        unsafe { cusolver!(cusolverDnCreate(&mut raw)) }.map_err(|fault| fault.of_handle(stream.context()))?;
        let mut solver =
            Solver { raw, one_stage: None, two_stage: None, device: None, host: Vec::new(), stream: Rc::clone(stream) };
        // SAFETY: both exist, and the solver keeps the stream.
        unsafe { cusolver!(cusolverDnSetStream(raw, stream.raw().cast())) }?;
        if library::has(Component::Cusolver, "cusolverDnSetDeterministicMode") {
            // SAFETY: the handle exists.
            unsafe { cusolver!(cusolverDnSetDeterministicMode(raw, Deterministic::CUSOLVER_DETERMINISTIC_RESULTS)) }?;
        }
        solver.one_stage = Some(Parameters::new()?);
        if offers(Path::SyevdTwoStage, version) {
            let parameters = Parameters::new()?;
            // SAFETY: the parameters exist.
            unsafe {
                cusolver!(cusolverDnSetAdvOptions(parameters.0, Tuned::CUSOLVERDN_SYEVD, Algorithm::CUSOLVER_ALG_2))
            }?;
            solver.two_stage = Some(parameters);
        }
        Ok(solver)
    }

    fn parameters(&self, path: Path) -> sys::cusolverDnParams_t {
        let parameters = if path == Path::SyevdTwoStage { &self.two_stage } else { &self.one_stage };
        parameters.as_ref().map_or(null_mut(), |parameters| parameters.0)
    }

    /// What the eigenvalues of `batch` matrices take.
    pub fn eigenvalues_workspace(&self, path: Path, real: Real, n: usize, batch: usize) -> Result<Workspace> {
        let (mut device, mut host, mut count) = (0, 0, 0);
        let (handle, parameters, kind) = (self.raw, self.parameters(path), real.data_type());
        let (order, wide) = (n as i32, n as i64);
        // SAFETY: these compute sizes; the matrices are not looked at.
        unsafe {
            match (path, real) {
                (Path::Sytrd, Real::F32) => cusolver!(cusolverDnSsytrd_bufferSize(
                    handle,
                    LOWER,
                    order,
                    null(),
                    order,
                    null(),
                    null(),
                    null(),
                    &mut count
                ))?,
                (Path::Sytrd, Real::F64) => cusolver!(cusolverDnDsytrd_bufferSize(
                    handle,
                    LOWER,
                    order,
                    null(),
                    order,
                    null(),
                    null(),
                    null(),
                    &mut count
                ))?,
                (Path::Syevd | Path::SyevdTwoStage, _) => cusolver!(cusolverDnXsyevd_bufferSize(
                    handle,
                    parameters,
                    VALUES,
                    LOWER,
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
                (Path::TwoStage, _) => {}
                (Path::Batched, _) => cusolver!(cusolverDnXsyevBatched_bufferSize(
                    handle,
                    parameters,
                    VALUES,
                    LOWER,
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
        Ok(Workspace { device, host }.max(Workspace::of_elements(count, real.bytes())))
    }

    /// What [`Solver::cholesky`], [`Solver::qr`] and [`Solver::singular_values`] take, for QR factorisations of at most
    /// `rows` x n.
    pub fn refinement_workspace(&self, rows: usize, n: usize) -> Result<Workspace> {
        let (rows, n) = (rows as i32, n as i32);
        let [mut cholesky, mut qr, mut svd] = [0; 3];
        // SAFETY: these compute sizes; the matrices are not looked at.
        unsafe {
            cusolver!(cusolverDnDpotrf_bufferSize(self.raw, LOWER, n, null_mut(), n, &mut cholesky))?;
            cusolver!(cusolverDnDgeqrf_bufferSize(self.raw, rows, n, null_mut(), rows, &mut qr))?;
            cusolver!(cusolverDnDgesvd_bufferSize(self.raw, n, n, &mut svd))?;
        }
        Ok(Workspace::of_elements(cholesky.max(qr).max(svd), 8))
    }

    /// Allocates at least so much workspace.
    pub fn reserve(&mut self, workspace: Workspace) -> Result<()> {
        if self.device.as_ref().is_none_or(|memory| memory.bytes() < workspace.device) {
            self.device = None;
            self.device = Some(DeviceMemory::new(self.stream.context(), workspace.device as u64)?);
        }
        if self.host.len() < workspace.host {
            self.host = vec![0; workspace.host];
        }
        Ok(())
    }

    /// All eigenvalues, ascending, of the n x n matrix `offset` bytes into `matrix`, which is destroyed; they go to `values`,
    /// and the status, an integer, to `info`, both that many bytes in.
    #[allow(clippy::too_many_arguments)] // as many as the operation has
    pub fn syevd(
        &mut self,
        path: Path,
        real: Real,
        n: usize,
        matrix: (&DeviceMemory, usize),
        values: (&DeviceMemory, usize),
        info: (&DeviceMemory, usize),
    ) -> Result<()> {
        let workspace = self.eigenvalues_workspace(path, real, n, 1)?;
        self.reserve(workspace)?;
        let kind = real.data_type();
        let matrix = matrix.0.range(matrix.1, n * n * real.bytes());
        let values = values.0.range(values.1, n * real.bytes());
        let info = info.0.range(info.1, 4);
        let device = self.device.as_ref().map_or(0, |memory| memory.range(0, workspace.device));
        // SAFETY: all ranges were checked, and the workspaces have the sizes that were asked for.
        unsafe {
            cusolver!(cusolverDnXsyevd(
                self.raw,
                self.parameters(path),
                VALUES,
                LOWER,
                n as i64,
                kind,
                matrix as *mut _,
                n as i64,
                kind,
                values as *mut _,
                kind,
                device as *mut _,
                workspace.device,
                self.host.as_mut_ptr().cast(),
                workspace.host,
                info as *mut _
            ))
        }
    }

    /// The same for `batch` matrices one after the other, from the start of each buffer.
    pub fn syev_batched(
        &mut self,
        real: Real,
        n: usize,
        batch: usize,
        matrices: &DeviceMemory,
        values: &DeviceMemory,
        info: &DeviceMemory,
    ) -> Result<()> {
        let workspace = self.eigenvalues_workspace(Path::Batched, real, n, batch)?;
        self.reserve(workspace)?;
        let kind = real.data_type();
        let matrices = matrices.range(0, batch * n * n * real.bytes());
        let values = values.range(0, batch * n * real.bytes());
        let info = info.range(0, 4 * batch);
        let Some(memory) = &self.device else { unreachable!("just reserved") };
        // cuSOLVER 11.7.1.2 returns wrong values if this is not zero.
        self.stream.fill(memory, 0, 0, workspace.device)?;
        // SAFETY: all ranges were checked, and the workspaces have the sizes that were asked for.
        unsafe {
            cusolver!(cusolverDnXsyevBatched(
                self.raw,
                self.parameters(Path::Batched),
                VALUES,
                LOWER,
                n as i64,
                kind,
                matrices as *mut _,
                n as i64,
                kind,
                values as *mut _,
                kind,
                memory.range(0, workspace.device) as *mut _,
                workspace.device,
                self.host.as_mut_ptr().cast(),
                workspace.host,
                info as *mut _,
                batch as i64
            ))
        }
    }

    /// Reduces the matrix to a tridiagonal one: n numbers of its diagonal, n - 1 of its subdiagonal, and n - 1 that serve
    /// nobody here.
    #[allow(clippy::too_many_arguments)] // as many as the operation has
    pub fn sytrd(
        &mut self,
        real: Real,
        n: usize,
        matrix: (&DeviceMemory, usize),
        diagonal: (&DeviceMemory, usize),
        subdiagonal: (&DeviceMemory, usize),
        scratch: &DeviceMemory,
        info: (&DeviceMemory, usize),
    ) -> Result<()> {
        let workspace = self.eigenvalues_workspace(Path::Sytrd, real, n, 1)?;
        self.reserve(workspace)?;
        let bytes = real.bytes();
        let matrix = matrix.0.range(matrix.1, n * n * bytes);
        let diagonal = diagonal.0.range(diagonal.1, n * bytes);
        let subdiagonal = subdiagonal.0.range(subdiagonal.1, n * bytes);
        let scratch = scratch.range(0, n * bytes);
        let info = info.0.range(info.1, 4);
        let work = self.device.as_ref().map_or(0, |memory| memory.range(0, workspace.device));
        let (order, size) = (n as i32, (workspace.device / bytes) as i32);
        // SAFETY: all ranges were checked, and the workspace has the size that was asked for.
        unsafe {
            match real {
                Real::F32 => cusolver!(cusolverDnSsytrd(
                    self.raw,
                    LOWER,
                    order,
                    matrix as *mut f32,
                    order,
                    diagonal as *mut f32,
                    subdiagonal as *mut f32,
                    scratch as *mut f32,
                    work as *mut f32,
                    size,
                    info as *mut i32
                )),
                Real::F64 => cusolver!(cusolverDnDsytrd(
                    self.raw,
                    LOWER,
                    order,
                    matrix as *mut f64,
                    order,
                    diagonal as *mut f64,
                    subdiagonal as *mut f64,
                    scratch as *mut f64,
                    work as *mut f64,
                    size,
                    info as *mut i32
                )),
            }
        }
    }

    /// Replaces the lower half of the n x n matrix at the start of `matrix` by L with L L^T = that matrix, in f64. `info`
    /// becomes positive if the matrix is not positive definite.
    pub fn cholesky(&mut self, n: usize, matrix: &DeviceMemory, info: &DeviceMemory) -> Result<()> {
        let workspace = self.refinement_workspace(n, n)?;
        self.reserve(workspace)?;
        let (work, size) = self.work();
        let matrix = matrix.range(0, n * n * 8) as *mut f64;
        let info = info.range(0, 4) as *mut i32;
        let order = n as i32;
        // SAFETY: all ranges were checked.
        unsafe { cusolver!(cusolverDnDpotrf(self.raw, LOWER, order, matrix, order, work, size, info)) }
    }

    /// QR-factorises the first `rows` rows of a matrix of n columns, `stride` apart; R stands in its upper triangle.
    /// `scratch` holds n numbers.
    pub fn qr(
        &mut self,
        [rows, n, stride]: [usize; 3],
        matrix: &DeviceMemory,
        scratch: &DeviceMemory,
        info: &DeviceMemory,
    ) -> Result<()> {
        let workspace = self.refinement_workspace(stride, n)?;
        self.reserve(workspace)?;
        let (work, size) = self.work();
        let matrix = matrix.range(0, ((n - 1) * stride + rows) * 8) as *mut f64;
        let scratch = scratch.range(0, n * 8) as *mut f64;
        let info = info.range(0, 4) as *mut i32;
        let (rows, n, stride) = (rows as i32, n as i32, stride as i32);
        // SAFETY: all ranges were checked.
        unsafe { cusolver!(cusolverDnDgeqrf(self.raw, rows, n, matrix, stride, scratch, work, size, info)) }
    }

    /// All singular values, descending, of the n x n matrix with columns `stride` apart, which is destroyed; they go to
    /// `values`.
    pub fn singular_values(
        &mut self,
        [n, stride]: [usize; 2],
        matrix: &DeviceMemory,
        values: &DeviceMemory,
        info: &DeviceMemory,
    ) -> Result<()> {
        let workspace = self.refinement_workspace(stride, n)?;
        self.reserve(workspace)?;
        let (work, size) = self.work();
        let matrix = matrix.range(0, ((n - 1) * stride + n) * 8) as *mut f64;
        let values = values.range(0, n * 8) as *mut f64;
        let info = info.range(0, 4) as *mut i32;
        let none = b'N' as std::ffi::c_schar;
        let (n, stride) = (n as i32, stride as i32);
        // SAFETY: all ranges were checked; without singular vectors, U and V^T are not written.
        unsafe {
            cusolver!(cusolverDnDgesvd(
                self.raw,
                none,
                none,
                n,
                n,
                matrix,
                stride,
                values,
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

    /// The workspace in doubles.
    fn work(&self) -> (*mut f64, i32) {
        let memory = self.device.as_ref();
        let doubles = memory.map_or(0, |memory| i32::try_from(memory.bytes() / 8).unwrap_or(i32::MAX));
        (memory.map_or(0, |memory| memory.range(0, doubles as usize * 8)) as *mut f64, doubles)
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once, before the workspace is freed.
        let _ = unsafe { cusolver!(cusolverDnDestroy(self.raw)) };
    }
}
