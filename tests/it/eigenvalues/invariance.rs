//! The results must not depend on the order of rows and columns, the scale or the number of threads.

use super::matrices::{doubles, gram, indefinite, permuted, random_matrices, singles};
use super::{RANDOM, assert_close, assert_spectrum, bits, solve};
use htsr::internals::{Level, Real, faer_eigenvalues};

#[test]
fn the_order_of_rows_and_columns_does_not_matter() {
    for n in [2, 7, 32, 33, 100, 193, 300, 577] {
        for (case, matrix) in random_matrices(n, 8) {
            let expected = faer_eigenvalues(&matrix).unwrap();
            for seed in 0..3 {
                let case = format!("{case}, permuted");
                assert_spectrum(&permuted(&matrix, seed), &expected, RANDOM, Level::widest(), 2, &case);
            }
        }
    }
}

#[test]
fn scaling_by_powers_of_two_scales_every_bit() {
    for n in [1, 2, 3, 31, 33, 100, 193, 300] {
        let levels = if n <= 33 { Level::all() } else { vec![Level::widest()] };
        for (case, matrix) in random_matrices(n, 9) {
            for &level in &levels {
                let (in_f64, in_f32) = (solve(&matrix, level, 2), solve(&singles(&matrix), level, 2));
                for exponent in [-300, -60, -31, -1, 1, 2, 60, 300] {
                    let factor = 2.0_f64.powi(exponent);
                    let scaled = |values: &[f64]| values.iter().map(|x| x * factor).collect::<Vec<_>>();
                    let case = format!("{case}, {level}, 2^{exponent}");
                    let larger = scaled(&matrix);
                    assert_eq!(bits(&solve(&larger, level, 2)), bits(&scaled(&in_f64)), "{case}, f64");
                    if exponent.abs() <= 60 {
                        assert_eq!(bits(&solve(&singles(&larger), level, 2)), bits(&scaled(&in_f32)), "{case}, f32");
                    }
                }
            }
        }
    }
}

#[test]
fn the_largest_and_smallest_numbers_are_solved() {
    let matrix = doubles(&singles(&gram(50, 10)));
    let expected = faer_eigenvalues(&matrix).unwrap();
    for exponent in [-1010, -900, 900, 1015] {
        // Split into two factors, because 2^exponent may be out of range.
        let scale = |x: f64, exponent: i32| x * 2.0_f64.powi(exponent / 2) * 2.0_f64.powi(exponent - exponent / 2);
        let scaled: Vec<f64> = matrix.iter().map(|&x| scale(x, exponent)).collect();
        let values: Vec<f64> = solve(&scaled, Level::widest(), 1).into_iter().map(|x| scale(x, -exponent)).collect();
        assert_close::<f64>(&values, &expected, RANDOM, &format!("2^{exponent}"));
    }
    for exponent in [-110, 120] {
        let scaled: Vec<f32> = matrix.iter().map(|&x| (x * 2.0_f64.powi(exponent)) as f32).collect();
        let values: Vec<f64> =
            solve(&scaled, Level::widest(), 1).into_iter().map(|x| x * 2.0_f64.powi(-exponent)).collect();
        assert_close::<f32>(&values, &expected, RANDOM, &format!("2^{exponent}"));
    }
}

#[track_caller]
fn does_not_depend_on_threads<T: Real>(matrix: &[T], case: &str) {
    let alone = bits(&solve(matrix, Level::widest(), 1));
    // One thread again, then several, up to more than most machines have cores.
    for threads in [1, 2, 3, 4, 7] {
        let shared = bits(&solve(matrix, Level::widest(), threads));
        assert!(shared == alone, "{case}, {threads} threads, {}", std::any::type_name::<T>());
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for n in [1, 2, 3, 33, 64, 100, 192, 193, 385, 511, 513, 770, 1100] {
        for (case, matrix) in random_matrices(n, 11) {
            does_not_depend_on_threads(&matrix, &case);
            does_not_depend_on_threads(&singles(&matrix), &case);
        }
    }
}

/// Solves each matrix repeatedly, with varying numbers of threads.
fn repeated_solves_are_equal<T: Real>(matrices: &[Vec<T>], rounds: usize) {
    let expected: Vec<Vec<u64>> = matrices.iter().map(|matrix| bits(&solve(matrix, Level::widest(), 1))).collect();
    for round in 0..rounds {
        for (index, (matrix, expected)) in matrices.iter().zip(&expected).enumerate() {
            let threads = 2 + (round + index) % 3;
            let shared = bits(&solve(matrix, Level::widest(), threads));
            let n = matrix.len().isqrt();
            assert!(shared == *expected, "round {round}, n {n}, {threads} threads, {}", std::any::type_name::<T>());
        }
    }
}

#[test]
fn thousands_of_shared_solves_have_no_data_race() {
    let small: Vec<Vec<f64>> = (20..300).step_by(7).map(|n| indefinite(n, n as u64)).collect();
    repeated_solves_are_equal(&small, 20);
    repeated_solves_are_equal(&small.iter().map(|matrix| singles(matrix)).collect::<Vec<_>>(), 30);
}

#[test]
fn hundreds_of_shared_solves_of_many_tiles_have_no_data_race() {
    let larger: Vec<Vec<f64>> = [390, 520, 600, 780].map(|n| indefinite(n, n as u64)).into();
    repeated_solves_are_equal(&larger, 5);
    repeated_solves_are_equal(&larger.iter().map(|matrix| singles(matrix)).collect::<Vec<_>>(), 8);
}
