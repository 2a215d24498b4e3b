//! cuSOLVER against known spectra and faer, and the bugs of the real one that it imitates.

use std::ptr::null_mut;

use cudarc::cublas::sys::cublasFillMode_t as Blas;
use cudarc::cusolver::sys as solver;
use cudarc::cusolver::sys::{cublasFillMode_t as Fill, cudaDataType as Type, cusolverStatus_t as E};
use cudarc::driver::sys as cuda;
use fakecuda::{FOLDER, OLD_FOLDER};

use crate::support::{Gpu, allocate, at, in_child, in_child_with, normal};

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

#[test]
fn eigenvalues_are_right() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        for n in [1, 2, 3, 10, 65, 150] {
            for fill in [LOWER, UPPER] {
                let (matrix, expected) = symmetric(n as u64, n, fill);
                let (values, info) = syevd::<f64>(&gpu, &matrix, n, n + 1, fill);
                assert_eq!(info, 0);
                check_close(&values, &expected, TOLERANCE * f64::EPSILON);
                check_close(
                    &syevd::<f32>(&gpu, &matrix, n, n + 1, fill).0,
                    &expected,
                    TOLERANCE * f64::from(f32::EPSILON),
                );
                // Squares of these overflow, or vanish.
                for scale in [1e-30, 1e30] {
                    let scaled: Vec<f64> = matrix.iter().map(|x| x * scale).collect();
                    let expected: Vec<f64> = expected.iter().map(|x| x * scale).collect();
                    check_close(
                        &syevd::<f32>(&gpu, &scaled, n, n + 1, fill).0,
                        &expected,
                        TOLERANCE * f64::from(f32::EPSILON),
                    );
                }
            }
        }
        assert_eq!(syevd::<f64>(&gpu, &[], 0, 1, LOWER), (vec![], 0));
        assert_eq!(syevd::<f64>(&gpu, &[0.0; 25], 5, 5, LOWER), (vec![0.0; 5], 0));
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn gram_matrices_over_many_decades_are_solved() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let values: Vec<f64> = (0..60).map(|i| 10_f64.powf(-f64::from(i) / 5.0)).collect();
        let w = with_values(1, 80, &values);
        let gram = faer::Mat::from_fn(60, 60, |i, j| (0..80).map(|k| w[k + i * 80] * w[k + j * 80]).sum::<f64>());
        let matrix: Vec<f64> = (0..3600).map(|index| gram[(index % 60, index / 60)]).collect();
        let expected: Vec<f64> = values.iter().rev().map(|x| x * x).collect();
        let (values, info) = syevd::<f64>(&gpu, &matrix, 60, 60, UPPER);
        assert_eq!(info, 0);
        check_close(&values, &expected, TOLERANCE * f64::EPSILON);
        check_close(&syevd::<f32>(&gpu, &matrix, 60, 60, UPPER).0, &expected, TOLERANCE * f64::from(f32::EPSILON));
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn matrices_that_are_not_finite_do_not_converge() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        for bad in [f64::NAN, f64::INFINITY] {
            let mut matrix = vec![1.0; 36];
            matrix[5] = bad;
            let (values, info) = syevd::<f64>(&gpu, &matrix, 6, 6, LOWER);
            assert!(info > 0 && values.iter().all(|x| x.is_nan()));
            assert_eq!(syevd::<f64>(&gpu, &matrix, 6, 6, UPPER).1, 0);
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}

/// Eigenvalues of a batch of matrices n x n, with `clear` zeroes in the workspace; the infos.
fn batched<T: Real>(gpu: &Gpu, matrices: &[Vec<f64>], n: usize, clear: bool) -> (Vec<f64>, Vec<i32>) {
    let all: Vec<T> = matrices.concat().iter().map(|&x| T::round(x)).collect();
    let matrix = gpu.upload(&all);
    let (values, info) = (allocate(matrices.len() * n * size_of::<T>()), allocate(4 * matrices.len()));
    let (mut device_bytes, mut host_bytes, kind) = (0, 0, T::KIND);
    let (order, batch) = (n as i64, matrices.len() as i64);
    unsafe {
        solver::cusolverDnXsyevBatched_bufferSize(
            gpu.solver,
            gpu.params,
            NOVECTOR,
            LOWER,
            order,
            kind,
            at(matrix),
            order,
            kind,
            at(values),
            kind,
            &mut device_bytes,
            &mut host_bytes,
            batch,
        )
        .result()
        .unwrap();
        let work = allocate(device_bytes);
        if clear {
            cuda::cuMemsetD8Async(work, 0, device_bytes, gpu.stream).result().unwrap();
        }
        let solve = |batch| {
            solver::cusolverDnXsyevBatched(
                gpu.solver,
                gpu.params,
                NOVECTOR,
                LOWER,
                order,
                kind,
                at(matrix),
                order,
                kind,
                at(values),
                kind,
                at(work),
                device_bytes,
                null_mut(),
                host_bytes,
                at(info),
                batch,
            )
        };
        // 2^31 bytes and more are refused.
        assert_eq!(solve((1 << 31) / (n * n * size_of::<T>()) as i64 + 1), E::CUSOLVER_STATUS_INVALID_VALUE);
        solve(batch).result().unwrap();
    }
    (wide(gpu.download::<T>(values, matrices.len() * n)), gpu.download::<i32>(info, matrices.len()))
}

#[test]
fn batches_are_solved_if_the_workspace_was_cleared() {
    let Some(outcome) = in_child(&[("FAKECUDA_SOLVER_INFO", "7")], || {
        let gpu = Gpu::new();
        let n = 20;
        let (matrices, spectra): (Vec<_>, Vec<_>) = (0..4)
            .map(|seed| {
                let (padded, values) = symmetric(seed, n, LOWER);
                let dense = (0..n * n).map(|index| padded[index % n + index / n * (n + 1)]).collect::<Vec<_>>();
                (dense, values)
            })
            .unzip();
        let (values, infos) = batched::<f64>(&gpu, &matrices, n, true);
        assert_eq!(infos, [0; 4]);
        check_close(&values, &spectra.concat(), TOLERANCE * f64::EPSILON);
        // The seventh matrix of all, the third of this batch, is made to fail; the others are solved.
        let (values, infos) = batched::<f32>(&gpu, &matrices, n, true);
        assert_eq!(infos, [0, 0, n as i32, 0]);
        assert!(values[2 * n..3 * n].iter().all(|x| x.is_nan()));
        check_close(&values[3 * n..], &spectra[3], TOLERANCE * f64::from(f32::EPSILON));
        let (values, infos) = batched::<f64>(&gpu, &matrices, n, false);
        assert_eq!(infos, [0; 4]);
        assert!(values.iter().zip(spectra.concat()).all(|(got, right)| (got - right).abs() > 0.1 * right.abs()));
    }) else {
        return;
    };
    outcome.expect_pass();
}

macro_rules! tridiagonal_form {
    ($gpu:expr, $type:ty, $size:ident, $reduce:ident, $matrix:expr, $n:expr, $fill:expr) => {{
        let (gpu, n, fill) = ($gpu, $n, $fill);
        let matrix = gpu.upload(&$matrix.iter().map(|&x| x as $type).collect::<Vec<_>>());
        let bytes = size_of::<$type>();
        let (d, e, tau) = (allocate(n * bytes), allocate(n * bytes), allocate(n * bytes));
        let (info, mut size) = (allocate(4), 0);
        let (order, stride) = (n as i32, n as i32 + 1);
        unsafe {
            solver::$size(gpu.solver, fill, order, at(matrix), stride, at(d), at(e), at(tau), &mut size)
                .result()
                .unwrap();
            let work = allocate(size as usize * bytes);
            let (d, e) = (at(d), at(e));
            let (work, tau, info) = (at(work), at(tau), at(info));
            solver::$reduce(gpu.solver, fill, order, at(matrix), stride, d, e, tau, work, size, info).result().unwrap();
        }
        assert_eq!(gpu.download::<i32>(info, 1), [0]);
        (gpu.download::<$type>(d, n), gpu.download::<$type>(e, n - 1))
    }};
}

/// The eigenvalues of a tridiagonal matrix, by faer.
fn of_tridiagonal(d: &[f64], e: &[f64]) -> Vec<f64> {
    let n = d.len();
    let matrix = faer::Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => d[i],
        1 => e[i.min(j)],
        _ => 0.0,
    });
    let mut values = matrix.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn tridiagonal_forms_have_the_spectrum_of_the_matrix() {
    let Some(outcome) = in_child(&[("FAKECUDA_SOLVER_INFO", "17")], || {
        let gpu = &Gpu::new();
        for n in [1, 2, 33, 100] {
            for fill in [LOWER, UPPER] {
                let (matrix, expected) = symmetric(n as u64, n, fill);
                let (d, e) =
                    tridiagonal_form!(gpu, f64, cusolverDnDsytrd_bufferSize, cusolverDnDsytrd, matrix, n, fill);
                check_close(&of_tridiagonal(&d, &e), &expected, TOLERANCE * f64::EPSILON);
                let (d, e) =
                    tridiagonal_form!(gpu, f32, cusolverDnSsytrd_bufferSize, cusolverDnSsytrd, matrix, n, fill);
                check_close(&of_tridiagonal(&wide(d), &wide(e)), &expected, TOLERANCE * f64::from(f32::EPSILON));
            }
        }
        let (matrix, _) = symmetric(1, 9, LOWER);
        let (d, e) = tridiagonal_form!(gpu, f64, cusolverDnDsytrd_bufferSize, cusolverDnDsytrd, matrix, 9, LOWER);
        assert!(d.iter().chain(&e).all(|x| x.is_nan()));
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn cholesky_factors_or_names_the_minor_that_fails() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let n = 40;
        let w = normal(4, 2 * n * n);
        let gram = |i: usize, j: usize| (0..2 * n).map(|k| w[k + 2 * n * i] * w[k + 2 * n * j]).sum::<f64>();
        let matrix: Vec<f64> = (0..n * n).map(|index| gram(index % n, index / n)).collect();
        let factor = |matrix: &[f64], fill: Blas| unsafe {
            let fill = std::mem::transmute::<Blas, Fill>(fill);
            let (pointer, info, mut size) = (gpu.upload(matrix), allocate(4), 0);
            let order = n as i32;
            solver::cusolverDnDpotrf_bufferSize(gpu.solver, fill, order, at(pointer), order, &mut size)
                .result()
                .unwrap();
            let work = allocate(size as usize * 8);
            solver::cusolverDnDpotrf(gpu.solver, fill, order, at(pointer), order, at(work), size, at(info))
                .result()
                .unwrap();
            (gpu.download::<f64>(pointer, n * n), gpu.download::<i32>(info, 1)[0])
        };
        for (fill, lower) in [(Blas::CUBLAS_FILL_MODE_LOWER, true), (Blas::CUBLAS_FILL_MODE_UPPER, false)] {
            let (factored, info) = factor(&matrix, fill);
            assert_eq!(info, 0);
            let l = |i: usize, k: usize| if lower { factored[i + k * n] } else { factored[k + i * n] };
            for j in 0..n {
                for i in j..n {
                    let product: f64 = (0..=j).map(|k| l(i, k) * l(j, k)).sum();
                    assert!((product - matrix[i + j * n]).abs() < 1e-12 * matrix[0], "{i} {j}");
                    let (row, column) = if lower { (j, i) } else { (i, j) };
                    assert!(i == j || factored[row + column * n] == matrix[row + column * n]);
                }
            }
            let mut indefinite = matrix.clone();
            indefinite[12 * (n + 1)] = -1.0;
            assert_eq!(factor(&indefinite, fill).1, 13);
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn qr_gives_the_triangle_of_the_gram_matrix() {
    let Some(outcome) = in_child(&[], || unsafe {
        let gpu = Gpu::new();
        let (m, n, stride) = (70, 31, 73);
        let a = normal(6, stride * n);
        let (pointer, tau, info, mut size) = (gpu.upload(&a), allocate(8 * n), allocate(4), 0);
        let (rows, columns, step) = (m as i32, n as i32, stride as i32);
        solver::cusolverDnDgeqrf_bufferSize(gpu.solver, rows, columns, at(pointer), step, &mut size).result().unwrap();
        let work = allocate(size as usize * 8);
        solver::cusolverDnDgeqrf(gpu.solver, rows, columns, at(pointer), step, at(tau), at(work), size, at(info))
            .result()
            .unwrap();
        let factored = gpu.download::<f64>(pointer, stride * n);
        assert_eq!(gpu.download::<i32>(info, 1), [0]);
        for j in 0..n {
            for i in 0..=j {
                let product: f64 = (0..=i).map(|k| factored[k + i * stride] * factored[k + j * stride]).sum();
                let gram: f64 = (0..m).map(|k| a[k + i * stride] * a[k + j * stride]).sum();
                assert!((product - gram).abs() < 1e-12 * m as f64, "{i} {j}");
            }
            assert_eq!(factored[m + j * stride], a[m + j * stride]);
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}

fn singular_values(gpu: &Gpu, a: &[f64], m: usize, n: usize) -> (Vec<f64>, i32) {
    let (pointer, values, info, mut size) = (gpu.upload(a), allocate(8 * n), allocate(4), 0);
    let (rows, columns) = (m as i32, n as i32);
    unsafe {
        solver::cusolverDnDgesvd_bufferSize(gpu.solver, rows, columns, &mut size).result().unwrap();
        let work = allocate(size as usize * 8);
        let (none, job) = (null_mut(), b'N' as i8);
        let svd = |size| {
            solver::cusolverDnDgesvd(
                gpu.solver,
                job,
                job,
                rows,
                columns,
                at(pointer),
                rows,
                at(values),
                none,
                rows,
                none,
                columns,
                at(work),
                size,
                none,
                at(info),
            )
        };
        assert_eq!(svd(size - 1), E::CUSOLVER_STATUS_INVALID_VALUE);
        svd(size).result().unwrap();
    }
    (gpu.download(values, n), gpu.download::<i32>(info, 1)[0])
}

#[test]
fn small_singular_values_keep_their_absolute_accuracy() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        for (m, n, scale) in [(1, 1, 1.0), (50, 50, 1.0), (120, 64, 1.0), (64, 64, 1e200), (64, 64, 1e-200)] {
            let values: Vec<f64> =
                (0..n).map(|i| scale * 10_f64.powf(-9.0 * i as f64 / (n - 1).max(1) as f64)).collect();
            let a = with_values(n as u64, m, &values);
            let (found, info) = singular_values(&gpu, &a, m, n);
            assert_eq!(info, 0);
            check_close(&found, &values, 10.0 * f64::EPSILON);
        }
        assert_eq!(singular_values(&gpu, &[0.0; 12], 4, 3), (vec![0.0; 3], 0));
        let (found, info) = singular_values(&gpu, &[1.0, f64::NAN, 0.0, 1.0], 2, 2);
        assert!(info > 0 && found.iter().all(|x| x.is_nan()));
        let mut size = 0;
        let wide = unsafe { solver::cusolverDnDgesvd_bufferSize(gpu.solver, 3, 4, &mut size) };
        assert_eq!(wide, E::CUSOLVER_STATUS_INVALID_VALUE);
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn versions_differ() {
    let two_stage = |params| unsafe {
        use solver::{cusolverAlgMode_t::CUSOLVER_ALG_2, cusolverDnFunction_t::CUSOLVERDN_SYEVD};
        solver::cusolverDnSetAdvOptions(params, CUSOLVERDN_SYEVD, CUSOLVER_ALG_2)
    };
    let version = || {
        let mut version = 0;
        unsafe { solver::cusolverGetVersion(&mut version).result().unwrap() };
        version
    };
    let has_batched = || unsafe { solver::culib().get::<*const ()>(b"cusolverDnXsyevBatched").is_ok() };
    if let Some(outcome) = in_child_with(FOLDER, &[("CASE", "new")], || {
        let gpu = Gpu::new();
        assert_eq!((version(), has_batched()), (12304, true));
        let (matrix, expected) = symmetric(5, 30, LOWER);
        two_stage(gpu.params).result().unwrap();
        check_close(&syevd::<f64>(&gpu, &matrix, 30, 31, LOWER).0, &expected, TOLERANCE * f64::EPSILON);
    }) {
        outcome.expect_pass();
    }
    if let Some(outcome) = in_child_with(FOLDER, &[("FAKECUDA_CUSOLVER_VERSION", "11701")], || {
        assert_eq!(version(), 11701);
        assert_eq!(two_stage(Gpu::new().params), E::CUSOLVER_STATUS_NOT_SUPPORTED);
    }) {
        outcome.expect_pass();
    }
    if let Some(outcome) = in_child_with(OLD_FOLDER, &[("CASE", "old")], || {
        assert_eq!((version(), has_batched()), (11600, false));
        assert_eq!(two_stage(Gpu::new().params), E::CUSOLVER_STATUS_NOT_SUPPORTED);
    }) {
        outcome.expect_pass();
    }
}
