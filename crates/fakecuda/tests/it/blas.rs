//! cuBLAS against naive references.

use std::ffi::c_void;

use cudarc::cublas::sys as blas;
use cudarc::cublas::sys::{cublasComputeType_t as Compute, cublasStatus_t as E, cudaDataType as Type};
use half::{bf16, f16};

use crate::support::{Gpu, allocate, at, in_child, normal};

const ALGORITHM: blas::cublasGemmAlgo_t = blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;
const N: blas::cublasOperation_t = blas::cublasOperation_t::CUBLAS_OP_N;
const T: blas::cublasOperation_t = blas::cublasOperation_t::CUBLAS_OP_T;
const LOWER: blas::cublasFillMode_t = blas::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;
const UPPER: blas::cublasFillMode_t = blas::cublasFillMode_t::CUBLAS_FILL_MODE_UPPER;

/// op(A) op(B) of column-major matrices, and the sums of magnitudes that bound its rounding errors.
fn reference(
    (a, stride_a, a_transposed): (&[f64], usize, bool),
    (b, stride_b, b_transposed): (&[f64], usize, bool),
    [m, n, k]: [usize; 3],
) -> Vec<(f64, f64)> {
    let element = |x: &[f64], stride: usize, transposed, i: usize, j: usize| {
        if transposed { x[j + i * stride] } else { x[i + j * stride] }
    };
    let mut products = Vec::new();
    for j in 0..n {
        for i in 0..m {
            let terms =
                (0..k).map(|l| element(a, stride_a, a_transposed, i, l) * element(b, stride_b, b_transposed, l, j));
            products.push(terms.fold((0.0, 0.0), |(sum, bound), x: f64| (sum + x, bound + x.abs())));
        }
    }
    products
}

/// Tests all transposes and some shapes of one combination of types.
fn check_products<S: Copy, R: Copy + Default + Into<f64>>(
    [input, output]: [Type; 2],
    compute: Compute,
    narrow: impl Fn(f64) -> S,
    wide: impl Fn(S) -> f64,
    result: impl Fn(f64) -> R,
    epsilon: f64,
) {
    let gpu = Gpu::new();
    for (seed, [m, n, k]) in [[1, 1, 1], [5, 7, 3], [8, 4, 256], [33, 30, 300], [17, 9, 0]].into_iter().enumerate() {
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let ([stride_a, columns_a], [stride_b, columns_b]) =
                (if transpose_a { [k + 2, m] } else { [m + 2, k] }, if transpose_b { [n + 1, k] } else { [k + 1, n] });
            let a: Vec<S> = normal(seed as u64, stride_a * columns_a).into_iter().map(&narrow).collect();
            let b: Vec<S> = normal(seed as u64 + 50, stride_b * columns_b).into_iter().map(&narrow).collect();
            let (wide_a, wide_b): (Vec<f64>, Vec<f64>) =
                (a.iter().map(|&x| wide(x)).collect(), b.iter().map(|&x| wide(x)).collect());
            let expected = reference((&wide_a, stride_a, transpose_a), (&wide_b, stride_b, transpose_b), [m, n, k]);
            // With beta = 0 the NaN in C does not matter; with beta = 1 the old C is added.
            for (alpha, beta, before) in [(1.0, 0.0, f64::NAN), (0.5, 1.0, 3.0)] {
                let stride_c = m + 3;
                let c = gpu.upload(&vec![result(before); stride_c * n]);
                let (pointer_a, pointer_b) = (gpu.upload(&a), gpu.upload(&b));
                let (alpha_of_type, beta_of_type) = (result(alpha), result(beta));
                let operation = |transposed| if transposed { T } else { N };
                unsafe {
                    blas::cublasGemmEx(
                        gpu.blas,
                        operation(transpose_a),
                        operation(transpose_b),
                        m as i32,
                        n as i32,
                        k as i32,
                        (&raw const alpha_of_type).cast(),
                        at::<c_void>(pointer_a),
                        input,
                        stride_a as i32,
                        at::<c_void>(pointer_b),
                        input,
                        stride_b as i32,
                        (&raw const beta_of_type).cast(),
                        at(c),
                        output,
                        stride_c as i32,
                        compute,
                        ALGORITHM,
                    )
                    .result()
                    .unwrap();
                }
                let c: Vec<R> = gpu.download(c, stride_c * n);
                for (index, &(product, bound)) in expected.iter().enumerate() {
                    let expected = alpha * product + if beta == 0.0 { 0.0 } else { before };
                    let got: f64 = c[index % m + index / m * stride_c].into();
                    let error = (got - expected).abs();
                    let context = format!("{m} {n} {k} {transpose_a} {transpose_b} {input:?}: {got} {expected}");
                    assert!(error <= epsilon * (20.0 * bound + 4.0), "{context}");
                }
                // The numbers between the columns are unchanged.
                if m > 0 && n > 0 {
                    let between: f64 = c[m].into();
                    assert!(between.is_nan() == before.is_nan() && (before.is_nan() || between == before));
                }
            }
        }
    }
}

#[test]
fn products_of_all_types_are_right() {
    let single = f64::from(f32::EPSILON);
    for kind in ["bf16", "f16", "f32", "f32 pedantic", "f64"] {
        let Some(outcome) = in_child(&[("KIND", kind)], || match kind {
            "bf16" => check_products(
                [Type::CUDA_R_16BF, Type::CUDA_R_32F],
                Compute::CUBLAS_COMPUTE_32F,
                bf16::from_f64,
                bf16::to_f64,
                |x| x as f32,
                single,
            ),
            "f16" => check_products(
                [Type::CUDA_R_16F, Type::CUDA_R_32F],
                Compute::CUBLAS_COMPUTE_32F_PEDANTIC,
                f16::from_f64,
                f16::to_f64,
                |x| x as f32,
                single,
            ),
            "f64" => check_products(
                [Type::CUDA_R_64F, Type::CUDA_R_64F],
                Compute::CUBLAS_COMPUTE_64F,
                |x| x,
                |x| x,
                |x| x,
                f64::EPSILON,
            ),
            _ => check_products(
                [Type::CUDA_R_32F, Type::CUDA_R_32F],
                if kind == "f32" { Compute::CUBLAS_COMPUTE_32F } else { Compute::CUBLAS_COMPUTE_32F_PEDANTIC },
                |x| x as f32,
                f64::from,
                |x| x as f32,
                single,
            ),
        }) else {
            continue;
        };
        outcome.expect_pass();
    }
}

#[test]
fn every_half_is_widened_exactly() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let values = gpu.upload(&all);
        for (kind, widen) in [
            (Type::CUDA_R_16F, (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32),
            (Type::CUDA_R_16BF, |bits| bf16::from_bits(bits).to_f32()),
        ] {
            // All of them as a row, times one.
            let one = gpu.upload(&[if kind == Type::CUDA_R_16F { 0x3c00_u16 } else { 0x3f80 }]);
            let result = allocate(4 << 16);
            unsafe {
                blas::cublasGemmEx(
                    gpu.blas,
                    N,
                    N,
                    1,
                    1 << 16,
                    1,
                    (&raw const ONE).cast(),
                    at::<c_void>(one),
                    kind,
                    1,
                    at::<c_void>(values),
                    kind,
                    1,
                    (&raw const ZERO).cast(),
                    at(result),
                    Type::CUDA_R_32F,
                    1,
                    Compute::CUBLAS_COMPUTE_32F,
                    ALGORITHM,
                )
                .result()
                .unwrap();
            }
            for (bits, got) in gpu.download::<f32>(result, 1 << 16).into_iter().enumerate() {
                let expected = widen(bits as u16);
                assert!(got == expected || (got.is_nan() && expected.is_nan()), "{kind:?} {bits:#x}");
            }
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

#[test]
fn what_is_not_modelled_or_not_allocated_is_refused() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let (a, c) = (gpu.upload(&[1.0_f32; 64]), allocate(256));
        let product = |a, c, stride, kind, compute| unsafe {
            let (one, zero) = ((&raw const ONE).cast(), (&raw const ZERO).cast());
            let a = at::<c_void>(a);
            blas::cublasGemmEx(
                gpu.blas,
                N,
                T,
                8,
                8,
                8,
                one,
                a,
                kind,
                stride,
                a,
                kind,
                stride,
                zero,
                at(c),
                Type::CUDA_R_32F,
                8,
                compute,
                ALGORITHM,
            )
        };
        let (single, exact) = (Type::CUDA_R_32F, Compute::CUBLAS_COMPUTE_32F_PEDANTIC);
        assert_eq!(product(a, c, 8, single, exact), E::CUBLAS_STATUS_SUCCESS);
        assert_eq!(product(a, c, 8, single, Compute::CUBLAS_COMPUTE_32F_FAST_TF32), E::CUBLAS_STATUS_NOT_SUPPORTED);
        assert_eq!(product(a, c, 8, Type::CUDA_R_64F, exact), E::CUBLAS_STATUS_NOT_SUPPORTED);
        assert_eq!(product(a, c, 7, single, exact), E::CUBLAS_STATUS_INVALID_VALUE);
        assert_eq!(product(a, c, 9, single, exact), E::CUBLAS_STATUS_INVALID_VALUE);
        assert_eq!(product(a, c + 4, 8, single, exact), E::CUBLAS_STATUS_INVALID_VALUE);
        unsafe {
            let null = std::ptr::null_mut();
            assert_eq!(blas::cublasSetStream_v2(gpu.blas, null), E::CUBLAS_STATUS_NOT_SUPPORTED);
            assert_eq!(
                blas::cublasSetMathMode(gpu.blas, blas::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH),
                E::CUBLAS_STATUS_NOT_SUPPORTED
            );
            assert_eq!(blas::cublasSetWorkspace_v2(gpu.blas, at(c), 257), E::CUBLAS_STATUS_INVALID_VALUE);
            let workspace = gpu.upload(&[0_u8; 512]);
            blas::cublasSetWorkspace_v2(gpu.blas, at(workspace), 512).result().unwrap();
            product(a, c, 8, single, exact).result().unwrap();
            // The last byte is used, too.
            assert_eq!(gpu.download::<u8>(workspace, 512), [255; 512]);
            blas::cublasDestroy_v2(gpu.blas).result().unwrap();
        }
        assert_eq!(product(a, c, 8, single, exact), E::CUBLAS_STATUS_NOT_INITIALIZED);
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn symmetric_products_fill_one_triangle() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let (n, k) = (19, 40);
        let a = normal(3, n * k);
        for (uplo, operation) in [(LOWER, N), (UPPER, N), (LOWER, T), (UPPER, T)] {
            let transposed = operation == T;
            let stride = if transposed { k } else { n };
            let expected = reference((&a, stride, transposed), (&a, stride, !transposed), [n, n, k]);
            let (on_device, c) = (gpu.upload(&a), gpu.upload(&vec![f64::NAN; n * n]));
            let narrow: Vec<f32> = a.iter().map(|&x| x as f32).collect();
            let (narrow, single) = (gpu.upload(&narrow), gpu.upload(&vec![f32::NAN; n * n]));
            let (sizes, stride) = ([n as i32, k as i32], stride as i32);
            unsafe {
                blas::cublasDsyrk_v2(
                    gpu.blas,
                    uplo,
                    operation,
                    sizes[0],
                    sizes[1],
                    &1.0,
                    at(on_device),
                    stride,
                    &0.0,
                    at(c),
                    n as i32,
                )
                .result()
                .unwrap();
                blas::cublasSsyrk_v2(
                    gpu.blas,
                    uplo,
                    operation,
                    sizes[0],
                    sizes[1],
                    &1.0,
                    at(narrow),
                    stride,
                    &0.0,
                    at(single),
                    n as i32,
                )
                .result()
                .unwrap();
            }
            let (c, single) = (gpu.download::<f64>(c, n * n), gpu.download::<f32>(single, n * n));
            for (index, (expected, bound)) in expected.iter().enumerate() {
                let (i, j) = (index % n, index / n);
                let inside = if uplo == LOWER { i >= j } else { i <= j };
                assert_eq!(c[index].is_nan(), !inside);
                assert_eq!(single[index].is_nan(), !inside);
                assert!(!inside || (c[index] - expected).abs() <= 1e-14 * bound);
                assert!(!inside || (f64::from(single[index]) - expected).abs() <= 1e-5 * bound);
            }
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn triangular_systems_are_solved() {
    let Some(outcome) = in_child(&[], || {
        let gpu = Gpu::new();
        let (n, stride, step) = (23, 25, 2);
        let mut a = normal(8, stride * n);
        (0..n).for_each(|i| a[i * (stride + 1)] += 10.0);
        let solution = normal(9, n);
        let matrix = gpu.upload(&a);
        for uplo in [LOWER, UPPER] {
            for operation in [N, T] {
                for diagonal in [blas::cublasDiagType_t::CUBLAS_DIAG_NON_UNIT, blas::cublasDiagType_t::CUBLAS_DIAG_UNIT]
                {
                    let unit = diagonal == blas::cublasDiagType_t::CUBLAS_DIAG_UNIT;
                    // A diagonal of ones beside elements of their size would be ill-conditioned.
                    let scale = if unit { 0.05 } else { 1.0 };
                    let scaled: Vec<f64> = a.iter().map(|x| x * scale).collect();
                    let matrix = if unit { gpu.upload(&scaled) } else { matrix };
                    let element = |i: usize, j: usize| match (i == j, if uplo == LOWER { i > j } else { i < j }) {
                        (true, _) if unit => 1.0,
                        (true, _) | (_, true) => scaled[i + j * stride],
                        _ => 0.0,
                    };
                    let mut x = vec![7.0; n * step - 1];
                    for i in 0..n {
                        let pair = |j| if operation == N { element(i, j) } else { element(j, i) };
                        x[i * step] = (0..n).map(|j| pair(j) * solution[j]).sum();
                    }
                    let x = gpu.upload(&x);
                    let sizes = [n as i32, stride as i32, step as i32];
                    unsafe {
                        blas::cublasDtrsv_v2(
                            gpu.blas,
                            uplo,
                            operation,
                            diagonal,
                            sizes[0],
                            at(matrix),
                            sizes[1],
                            at(x),
                            sizes[2],
                        )
                        .result()
                        .unwrap();
                    }
                    let x: Vec<f64> = gpu.download(x, n * step - 1);
                    for (i, expected) in solution.iter().enumerate() {
                        assert!((x[i * step] - expected).abs() < 1e-11, "{uplo:?} {operation:?} {unit} {i}");
                        assert!(i + 1 == n || x[i * step + 1] == 7.0);
                    }
                }
            }
        }
    }) else {
        return;
    };
    outcome.expect_pass();
}
