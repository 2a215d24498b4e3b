//! `gram.cu`: sums, mirror images and zeros.

use kernel_emulator::Order;
use kernel_emulator::abi::{GramSums, WARP};

use super::{ORDERS, emulated, run};
use crate::support::random;

fn unset_sums() -> GramSums {
    GramSums { trace: f64::NAN, squares: f64::NAN }
}

#[test]
fn trace_and_squares_of_a_batch_do_not_depend_on_the_order_of_threads() {
    if !emulated() {
        return;
    }
    for n in [1_usize, 2, 31, 32, 65] {
        let matrices: Vec<f64> = random(3 * n * n, n as u64);
        let single: Vec<f32> = matrices.iter().map(|&x| x as f32).collect();
        let (blocks, order_of) = (4_u32, n as u32);
        for order in ORDERS {
            let mut sums = vec![unset_sums(); 12];
            let (source, result) = (matrices.as_ptr(), sums.as_mut_ptr());
            run!("gram_sums_f64", [blocks, 3, 1], 64, 64 * 16, order, source, order_of, result);
            let mut single_sums = vec![unset_sums(); 12];
            let (source, result) = (single.as_ptr(), single_sums.as_mut_ptr());
            run!("gram_sums_f32", [blocks, 3, 1], 64, 64 * 16, order, source, order_of, result);
            for (index, matrix) in matrices.chunks(n * n).enumerate() {
                let expected =
                    [(0..n).map(|i| matrix[i * n + i]).sum::<f64>(), matrix.iter().map(|x| x * x).sum::<f64>()];
                for (sums, tolerance) in [(&sums, 1e-14), (&single_sums, 1e-6)] {
                    let parts = &sums[index * 4..][..4];
                    let trace = parts.iter().map(|part| part.trace).sum::<f64>();
                    let squares = parts.iter().map(|part| part.squares).sum::<f64>();
                    for (got, expected) in [trace, squares].into_iter().zip(expected) {
                        assert!((got - expected).abs() <= tolerance * (n as f64), "{n}: {got} {expected}");
                    }
                }
            }
            if order != Order::Forward {
                continue;
            }
            let forward = sums.clone();
            for other in ORDERS {
                let mut sums = vec![unset_sums(); 12];
                let (source, result) = (matrices.as_ptr(), sums.as_mut_ptr());
                run!("gram_sums_f64", [blocks, 3, 1], 64, 64 * 16, other, source, order_of, result);
                assert_eq!(sums, forward);
            }
        }
    }
}

#[test]
fn the_upper_halves_are_those_of_the_lower_ones() {
    if !emulated() {
        return;
    }
    for n in [1_usize, 2, 31, 32, 33, 70] {
        for order in ORDERS {
            let lower = |i: usize| if i % (n * n) / n <= i % n { i as f64 } else { f64::NAN };
            let mut double: Vec<f64> = (0..2 * n * n).map(lower).collect();
            let mut single: Vec<f32> = double.iter().map(|&x| x as f32).collect();
            let (tiles, order_of) = ((n as u32).div_ceil(WARP), n as u32);
            let numbers = (WARP * (WARP + 1)) as usize;
            let (of_double, of_single) = (double.as_mut_ptr(), single.as_mut_ptr());
            run!("mirror_f64", [tiles, tiles, 2], 64, numbers * 8, order, of_double, order_of);
            run!("mirror_f32", [tiles, tiles, 2], 64, numbers * 4, order, of_single, order_of);
            for i in 0..2 * n * n {
                let (column, row) = (i % (n * n) / n, i % n);
                let expected = (i / (n * n) * n * n + column.min(row) * n + column.max(row)) as f64;
                assert_eq!((double[i], f64::from(single[i])), (expected, expected), "{n} {row} {column}");
            }
        }
    }
}

#[test]
fn below_the_diagonal_all_becomes_zero() {
    if !emulated() {
        return;
    }
    for (n, stride) in [(1_usize, 1_usize), (5, 8), (33, 40)] {
        let mut matrix = vec![1.0_f64; n * stride];
        let (target, order_of, stride_of) = (matrix.as_mut_ptr(), n as u32, stride as u64);
        run!("clear_below_diagonal", [3, 1, 1], 32, 0, Order::Shuffled(5), target, order_of, stride_of);
        for column in 0..n {
            for row in 0..stride {
                let expected = if row > column && row < n { 0.0 } else { 1.0 };
                assert_eq!(matrix[column * stride + row], expected);
            }
        }
    }
}
