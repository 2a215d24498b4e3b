//! Tridiagonal forms, Cholesky and QR factors, and singular values.

use std::ptr::null_mut;

use cudarc::cublas::sys::cublasFillMode_t as Blas;
use cudarc::cusolver::sys as solver;
use cudarc::cusolver::sys::{cublasFillMode_t as Fill, cusolverStatus_t as E};

use super::{LOWER, TOLERANCE, UPPER, check_close, symmetric, wide, with_values};
use crate::support::{Gpu, allocate, at, in_child, normal};

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
