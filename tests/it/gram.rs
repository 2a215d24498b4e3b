//! Gram matrices computed from the bytes of weights, on every instruction set of this machine.

use half::{bf16, f16};
use htsr::checkpoint::{Cast, FloatType};
use htsr::internals::{Level, MatrixView, Real, gram_matrix};

/// Returns the bytes of random numbers. Some are zero, some are tiny.
fn weights(dtype: FloatType, count: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(count as u64);
    let mut number = |k: usize| match k % 11 {
        3 => 0.0,
        7 => 1e-6 * (rng.f64() - 0.5),
        _ => (0..4).map(|_| rng.f64()).sum::<f64>() - 2.0,
    };
    let bytes = |x: f64| match dtype {
        FloatType::BF16 => bf16::from_f64(x).to_le_bytes().to_vec(),
        FloatType::F16 => f16::from_f64(x).to_le_bytes().to_vec(),
        FloatType::F32 => (x as f32).to_le_bytes().to_vec(),
        FloatType::F64 => x.to_le_bytes().to_vec(),
        _ => unreachable!(),
    };
    (0..count).flat_map(|k| bytes(number(k))).collect()
}

/// Returns the largest error of an element of W^T W, in units of epsilon times the norms of its two columns.
fn error<T: Real + Into<f64>>(view: &MatrixView, level: Level, threads: usize) -> f64 {
    let n = view.short();
    let (mut w, mut gram) = (vec![0.0; view.long() * n], vec![T::from_f64(0.0); n * n]);
    for row in 0..view.rows() {
        let mut line = vec![0.0_f64; view.cols()];
        view.read_segment(row, 0..view.cols(), 1.0, &mut line);
        for (col, x) in line.into_iter().enumerate() {
            let (long, short) = if view.is_tall() { (row, col) } else { (col, row) };
            w[short * view.long() + long] = x;
        }
    }
    gram_matrix(view, &mut gram, level, threads).unwrap();
    let column = |j: usize| &w[j * view.long()..][..view.long()];
    let dot = |i: usize, j: usize| column(i).iter().zip(column(j)).map(|(x, y)| x * y).sum::<f64>();
    let mut largest = 0.0_f64;
    for (i, j) in (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))) {
        let lengths = (dot(i, i) * dot(j, j)).sqrt();
        let found: f64 = gram[j * n + i].into();
        let error = (found - dot(i, j)).abs() / if lengths > 0.0 { lengths * T::EPSILON } else { 1.0 };
        largest = largest.max(error);
    }
    largest
}

#[test]
fn gram_matrices_are_accurate_for_all_levels_types_and_shapes() {
    for (rows, cols) in [(1, 1), (2, 3), (17, 5), (5, 18), (193, 40), (40, 515), (1100, 60), (60, 1101), (200, 200)] {
        for dtype in [FloatType::BF16, FloatType::F16, FloatType::F32, FloatType::F64] {
            for cast in [Cast::None, Cast::Bf16, Cast::Fp16] {
                let bytes = weights(dtype, rows * cols);
                let view = MatrixView::new(&bytes, dtype, cast, rows, cols);
                for (level, threads) in Level::all().into_iter().zip([1, 2, 3, 2, 1]) {
                    let errors = [error::<f32>(&view, level, threads), error::<f64>(&view, level, threads)];
                    let case = format!("{rows} x {cols}, {dtype:?}, {cast:?}, {level}");
                    // The expected values are also in f64, so they are not more precise than the f64 results.
                    assert!(errors[0] < 8.0 && errors[1] < 32.0, "{case}: {errors:?} epsilon");
                }
            }
        }
    }
}

#[test]
fn squares_that_underflow_count_as_zero_and_nonfinite_weights_stay_nonfinite() {
    for level in Level::all() {
        let gram = |values: [f32; 4]| {
            let bytes: Vec<u8> = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
            let mut gram = [0.0_f32; 1];
            gram_matrix(&MatrixView::new(&bytes, FloatType::BF16, Cast::None, 4, 1), &mut gram, level, 1).unwrap();
            gram[0]
        };
        assert_eq!(gram([1e-30, 1.0, -1e-30, 2.0]), 5.0, "{level}");
        assert!(gram([1.0, f32::NAN, 1.0, 1.0]).is_nan(), "{level}");
        assert_eq!(gram([1.0, f32::INFINITY, 1.0, 1.0]), f32::INFINITY, "{level}");
    }
}
