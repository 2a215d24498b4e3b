//! Running a test's body in a child process with the fake's environment, and a device to use there.

use std::ffi::c_void;
use std::io::Write;
use std::process::{Command, Output};
use std::ptr::null_mut;

use cudarc::cublas::sys as blas;
use cudarc::cusolver::sys as solver;
use cudarc::driver::sys as cuda;
use fakecuda::FOLDER;
use serde_json::Value;

/// The exit code of a child that ran its body to the end: a test that passes without it must not count.
const RAN: i32 = 42;

/// The outcome of a child.
pub struct Outcome {
    output: Output,
    /// The fake's report; null if the child died before it could write it.
    pub report: Value,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.output.status.code() == Some(RAN)
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The report of a child that must have passed.
    pub fn expect_pass(self) -> Value {
        assert!(self.passed(), "{}\n{}", self.output.status, self.stderr());
        self.report
    }

    /// The fake must have ended the child with this message.
    pub fn expect_death(&self, message: &str) {
        assert!(!self.passed() && self.stderr().contains(&format!("fakecuda: {message}")), "{}", self.stderr());
    }
}

/// Runs the body in a child, or prints that the test is skipped. The type of the body names the test that contains it. `None`
/// means that another child of this test runs here.
pub fn in_child<F: FnOnce()>(environment: &[(&str, &str)], body: F) -> Option<Outcome> {
    in_child_with(FOLDER, environment, body)
}

pub fn in_child_with<F: FnOnce()>(folder: Option<&str>, environment: &[(&str, &str)], body: F) -> Option<Outcome> {
    const CHILD: &str = "FAKECUDA_TEST_CHILD";
    let Some(folder) = folder else {
        let message = "SKIPPED: CUDA cannot be faked here; that takes Linux and a C++ compiler";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        let _ = writeln!(std::io::stderr(), "\n{message}");
        return None;
    };
    let name = std::any::type_name::<F>();
    let name = name.trim_start_matches("it::").split("::{{closure}}").next().unwrap();
    // A test may have several children.
    let identity = format!("{name} {environment:?}");
    if let Some(child) = std::env::var_os(CHILD) {
        if child == *identity {
            body();
            std::process::exit(RAN);
        }
        return None;
    }
    let report = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .envs(environment.iter().copied())
        .env(CHILD, &identity)
        .env("LD_LIBRARY_PATH", folder)
        .env("FAKECUDA_REPORT", report.path())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&std::fs::read(report.path()).unwrap()).unwrap_or(Value::Null);
    Some(Outcome { output, report })
}

/// A device with one stream and the handles of the libraries. Nothing is freed: the process ends.
pub struct Gpu {
    pub stream: cuda::CUstream,
    pub blas: blas::cublasHandle_t,
    pub solver: solver::cusolverDnHandle_t,
    pub params: solver::cusolverDnParams_t,
}

pub fn context() -> cuda::CUcontext {
    let mut context = null_mut();
    // SAFETY: device 0 is the first, and the context outlives the process's use of it.
    unsafe {
        cuda::cuInit(0).result().unwrap();
        cuda::cuDevicePrimaryCtxRetain(&mut context, 0).result().unwrap();
        cuda::cuCtxSetCurrent(context).result().unwrap();
    }
    context
}

pub fn stream() -> cuda::CUstream {
    let mut stream = null_mut();
    // SAFETY: a context is current.
    unsafe { cuda::cuStreamCreate(&mut stream, 1).result().unwrap() };
    stream
}

pub fn allocate(bytes: usize) -> cuda::CUdeviceptr {
    let mut pointer = 0;
    // SAFETY: the result is written before it is read.
    unsafe { cuda::cuMemAlloc_v2(&mut pointer, bytes).result().unwrap() };
    pointer
}

impl Gpu {
    pub fn new() -> Self {
        context();
        let stream = stream();
        let (mut blas, mut solver, mut params) = (null_mut(), null_mut(), null_mut());
        // SAFETY: the results are written before they are read, and the stream is live.
        unsafe {
            blas::cublasCreate_v2(&mut blas).result().unwrap();
            blas::cublasSetStream_v2(blas, stream.cast()).result().unwrap();
            solver::cusolverDnCreate(&mut solver).result().unwrap();
            solver::cusolverDnSetStream(solver, stream.cast()).result().unwrap();
            solver::cusolverDnCreateParams(&mut params).result().unwrap();
        }
        Self { stream, blas, solver, params }
    }

    pub fn upload<T: Copy>(&self, values: &[T]) -> cuda::CUdeviceptr {
        let bytes = size_of_val(values);
        let pointer = allocate(bytes.max(1));
        let kept = values.to_vec().leak();
        // SAFETY: both sides have that many bytes, and the source lives until it is read.
        unsafe { cuda::cuMemcpyHtoDAsync_v2(pointer, kept.as_ptr().cast(), bytes, self.stream).result().unwrap() };
        pointer
    }

    pub fn download<T: Copy + Default>(&self, pointer: cuda::CUdeviceptr, count: usize) -> Vec<T> {
        let mut values = vec![T::default(); count];
        let bytes = size_of_val(&values[..]);
        // SAFETY: both sides have that many bytes of plain numbers, and pageable memory is written before the call returns.
        unsafe {
            cuda::cuMemcpyDtoHAsync_v2(values.as_mut_ptr().cast(), pointer, bytes, self.stream).result().unwrap()
        };
        values
    }

    pub fn synchronize(&self) {
        // SAFETY: the stream is live.
        unsafe { cuda::cuStreamSynchronize(self.stream).result().unwrap() };
    }
}

/// A device pointer as the libraries take it.
pub fn at<T>(pointer: cuda::CUdeviceptr) -> *mut T {
    pointer as *mut c_void as *mut T
}

/// Nearly standard normal values: sums of twelve uniform ones.
pub fn normal(seed: u64, count: usize) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).collect()
}
