//! Eigenvalues of one matrix, and of a batch.

use std::ptr::null_mut;

use cudarc::cusolver::sys as solver;
use cudarc::cusolver::sys::cusolverStatus_t as E;
use cudarc::driver::sys as cuda;

use super::{LOWER, NOVECTOR, Real, TOLERANCE, UPPER, check_close, syevd, symmetric, wide, with_values};
use crate::support::{Gpu, allocate, at, in_child};

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
