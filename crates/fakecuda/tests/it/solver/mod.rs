//! cuSOLVER against known spectra and faer, and the bugs of the real one that it imitates.

mod eigenvalues;
mod factorizations;
mod versions;

use cudarc::cusolver::sys as solver;
use cudarc::cusolver::sys::{cublasFillMode_t as Fill, cudaDataType as Type, cusolverStatus_t as E};
use cudarc::driver::sys as cuda;

use crate::support::{Gpu, allocate, at, normal};

const NOVECTOR: solver::cusolverEigMode_t = solver::cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR;
const LOWER: Fill = Fill::CUBLAS_FILL_MODE_LOWER;
const UPPER: Fill = Fill::CUBLAS_FILL_MODE_UPPER;

/// In epsilons of the largest value. faer's own eigenvalues, to which some are compared, are accurate to thirty.
const TOLERANCE: f64 = 60.0;

/// A number in which a solver computes.
trait Real: Copy + Default + Into<f64> {
    const KIND: Type;
    fn round(value: f64) -> Self;
}

impl Real for f32 {
    const KIND: Type = Type::CUDA_R_32F;
    fn round(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    const KIND: Type = Type::CUDA_R_64F;
    fn round(value: f64) -> Self {
        value
    }
}

fn wide<T: Real>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Into::into).collect()
}

/// A random m x n matrix with these singular values, column-major: Q1 diag Q2, the factors from QR.
fn with_values(seed: u64, m: usize, values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let orthogonal = |seed, size: usize| {
        let random = normal(seed, size * size);
        faer::Mat::from_fn(size, size, |i, j| random[i + j * size]).qr().compute_Q()
    };
    let (left, right) = (orthogonal(seed, m), orthogonal(seed + 1, n));
    let scaled = faer::Mat::from_fn(m, n, |i, j| left[(i, j)] * values[j]);
    let product = scaled * right;
    (0..m * n).map(|index| product[(index % m, index / m)]).collect()
}

/// A symmetric matrix, column-major with n + 1 elements a column; the triangle that must not be read is NaN.
fn symmetric(seed: u64, n: usize, fill: Fill) -> (Vec<f64>, Vec<f64>) {
    let random = normal(seed, n * n);
    let element = |i: usize, j: usize| random[i.max(j) + i.min(j) * n];
    let mut matrix = vec![f64::NAN; n * (n + 1)];
    for j in 0..n {
        for i in 0..n {
            if i == j || (i > j) == (fill == LOWER) {
                matrix[i + j * (n + 1)] = element(i, j);
            }
        }
    }
    let mut values = faer::Mat::from_fn(n, n, element).self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
    values.sort_by(f64::total_cmp);
    (matrix, values)
}

/// All eigenvalues and info; `stride` is the leading dimension.
fn syevd<T: Real>(gpu: &Gpu, matrix: &[f64], n: usize, stride: usize, fill: Fill) -> (Vec<f64>, i32) {
    let matrix = gpu.upload(&matrix.iter().map(|&x| T::round(x)).collect::<Vec<_>>());
    let (values, info) = (allocate(n.max(1) * size_of::<T>()), allocate(4));
    let (mut device_bytes, mut host_bytes, kind) = (0, 0, T::KIND);
    let (order, stride) = (n as i64, stride as i64);
    unsafe {
        solver::cusolverDnXsyevd_bufferSize(
            gpu.solver,
            gpu.params,
            NOVECTOR,
            fill,
            order,
            kind,
            at(matrix),
            stride,
            kind,
            at(values),
            kind,
            &mut device_bytes,
            &mut host_bytes,
        )
        .result()
        .unwrap();
        let mut host = vec![0_u8; host_bytes];
        let mut solve = |work, bytes| {
            solver::cusolverDnXsyevd(
                gpu.solver,
                gpu.params,
                NOVECTOR,
                fill,
                order,
                kind,
                at(matrix),
                stride,
                kind,
                at(values),
                kind,
                at(work),
                bytes,
                host.as_mut_ptr().cast(),
                host_bytes,
                at(info),
            )
        };
        let work = allocate(device_bytes);
        assert_eq!(solve(work, device_bytes - 1), E::CUSOLVER_STATUS_INVALID_VALUE);
        assert_eq!(solve(allocate(device_bytes - 1), device_bytes), E::CUSOLVER_STATUS_INVALID_VALUE);
        cuda::cuMemsetD8Async(work, 0, device_bytes, gpu.stream).result().unwrap();
        solve(work, device_bytes).result().unwrap();
        // Workspace and matrix are overwritten.
        assert_eq!(gpu.download::<u8>(work, device_bytes), vec![255; device_bytes]);
        if n > 0 {
            assert!(wide(gpu.download::<T>(matrix, n)).iter().all(|x| x.is_nan()));
        }
    }
    (wide(gpu.download::<T>(values, n)), gpu.download::<i32>(info, 1)[0])
}

fn check_close(got: &[f64], expected: &[f64], tolerance: f64) {
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance * largest, "{index}: {got:e} {expected:e}");
    }
    assert_eq!(got.len(), expected.len());
}
