//! The eigenvalues of the CPU: against an oracle in f64, known spectra and themselves, at every edge of tiles and bands, in
//! both precisions, on every instruction set, with any number of threads.

use std::f64::consts::PI;

use fastrand::Rng;
use htsr::device::Failure;
use htsr::device::cpu::{Level, Real, faer_eigenvalues, symmetric_eigenvalues, tridiagonal_eigenvalues};
use proptest::prelude::*;

/// Around the bandwidth, tiles of 192, and where groups of sweeps and of tiles grow.
const EDGES: [usize; 13] = [159, 161, 191, 192, 193, 223, 225, 255, 257, 319, 383, 384, 385];
const LARGE: [usize; 14] = [511, 513, 575, 576, 577, 767, 768, 769, 959, 960, 961, 1023, 1025, 1100];

/// Beside a largest eigenvalue of 1, what random matrices may lose. Seen: 2.8e-7 and 1.0e-15.
const RANDOM: Bounds = Bounds { f32: 5e-7, f64: 1e-14 };
/// The same for matrices whose elements or eigenvalues repeat: rounding errors are alike too, and add up. Seen: 2.2e-6 and
/// 7.6e-15, with what rotations and rounding to f32 lose.
const REPETITIVE: Bounds = Bounds { f32: 4e-6, f64: 1e-14 };

#[derive(Debug, Clone, Copy)]
struct Bounds {
    f32: f64,
    f64: f64,
}

impl Bounds {
    fn of<T: Real>(self) -> f64 {
        if T::EPSILON > 1e-10 { self.f32 } else { self.f64 }
    }
}

// ---- Matrices: both halves, column-major, elements of order 1.

/// The symmetric matrix with these elements in its lower half, which are asked for column by column.
fn symmetric(n: usize, mut element: impl FnMut(usize, usize) -> f64) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    for col in 0..n {
        for row in col..n {
            let x = element(row, col);
            matrix[col * n + row] = x;
            matrix[row * n + col] = x;
        }
    }
    matrix
}

fn diagonal(values: &[f64]) -> Vec<f64> {
    symmetric(values.len(), |row, col| if row == col { values[col] } else { 0.0 })
}

fn tridiagonal(diagonal: &[f64], subdiagonal: &[f64]) -> Vec<f64> {
    symmetric(diagonal.len(), |row, col| match row - col {
        0 => diagonal[col],
        1 => subdiagonal[col],
        _ => 0.0,
    })
}

fn indefinite(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    symmetric(n, |_, _| rng.f64() - 0.5)
}

/// W^T W / n for a Gaussian W, somewhat longer than wide.
fn gram(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    let mut matrix = vec![0.0; n * n];
    for _ in 0..n + n / 8 + 1 {
        let row: Vec<f64> = (0..n).map(|_| gaussian(&mut rng)).collect();
        for (col, &factor) in row.iter().enumerate() {
            let column = &mut matrix[col * n + col..(col + 1) * n];
            column.iter_mut().zip(&row[col..]).for_each(|(x, w)| *x += factor * w);
        }
    }
    symmetric(n, |row, col| matrix[col * n + row] / n as f64)
}

/// Box and Muller's.
fn gaussian(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (2.0 * PI * rng.f64()).cos()
}

/// Kinds of random matrices.
/// Makes a matrix of an order from a seed.
type Generator = fn(usize, u64) -> Vec<f64>;

const KINDS: [(&str, Generator); 2] = [("Gram", gram), ("indefinite", indefinite)];

/// One of those kinds, with elements that f32 can hold, and its name.
fn random_matrix(kind: usize, n: usize, seed: u64) -> (String, Vec<f64>) {
    let (name, matrix) = KINDS[kind];
    (format!("{name}, n {n}, seed {seed}"), doubles(&singles(&matrix(n, seed))))
}

/// All kinds.
fn random_matrices(n: usize, seed: u64) -> [(String, Vec<f64>); 2] {
    [0, 1].map(|kind| random_matrix(kind, n, seed))
}

/// H A H for some random Householder reflections H: other elements, the same eigenvalues.
fn rotated(mut matrix: Vec<f64>, seed: u64) -> Vec<f64> {
    let n = matrix.len().isqrt();
    let mut rng = Rng::with_seed(seed);
    for _ in 0..6 {
        let v: Vec<f64> = (0..n).map(|_| gaussian(&mut rng)).collect();
        let tau = 2.0 / v.iter().map(|v| v * v).sum::<f64>();
        let p: Vec<f64> = matrix.chunks_exact(n).map(|column| tau * dot(column, &v)).collect();
        let share = 0.5 * tau * dot(&p, &v);
        let w: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - share * v).collect();
        matrix = symmetric(n, |row, col| matrix[col * n + row] - v[row] * w[col] - w[row] * v[col]);
    }
    matrix
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The matrix with its rows and columns in another order.
fn permuted(matrix: &[f64], seed: u64) -> Vec<f64> {
    let n = matrix.len().isqrt();
    let mut order: Vec<usize> = (0..n).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    symmetric(n, |row, col| matrix[order[col] * n + order[row]])
}

fn singles(matrix: &[f64]) -> Vec<f32> {
    matrix.iter().map(|&x| x as f32).collect()
}

fn doubles(matrix: &[f32]) -> Vec<f64> {
    matrix.iter().map(|&x| x.into()).collect()
}

// ---- Comparisons

#[track_caller]
fn solve<T: Real>(matrix: &[T], level: Level, threads: usize) -> Vec<f64> {
    symmetric_eigenvalues(matrix, level, threads).unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

#[track_caller]
fn assert_close<T: Real>(got: &[f64], expected: &[f64], bounds: Bounds, case: &str) {
    assert_eq!(got.len(), expected.len(), "{case}");
    let allowed = bounds.of::<T>() * largest(expected);
    for (index, (x, y)) in got.iter().zip(expected).enumerate() {
        let error = (x - y).abs();
        // This also holds for no NaN.
        assert!(error <= allowed, "{case}, {}: {x:e} at {index}, not {y:e}: {error:e}", std::any::type_name::<T>());
    }
}

/// Solves in both precisions.
#[track_caller]
fn assert_spectrum(matrix: &[f64], expected: &[f64], bounds: Bounds, level: Level, threads: usize, case: &str) {
    let case = format!("{case}, {level}, {threads} threads");
    assert_close::<f64>(&solve(matrix, level, threads), expected, bounds, &case);
    assert_close::<f32>(&solve(&singles(matrix), level, threads), expected, bounds, &case);
}

#[track_caller]
fn agrees_with_the_oracle((case, matrix): &(String, Vec<f64>), levels: &[Level]) {
    let expected = faer_eigenvalues(matrix).unwrap();
    for (index, &level) in levels.iter().enumerate() {
        // Some number from 1 to 4.
        let threads = 1 + (matrix.len().isqrt() + case.len() + index) % 4;
        assert_spectrum(matrix, &expected, RANDOM, level, threads, case);
    }
}

/// Solves on every instruction set.
#[track_caller]
fn has_spectrum(case: &str, matrix: &[f64], expected: Vec<f64>) {
    let expected = sorted(expected);
    for (index, level) in Level::all().into_iter().enumerate() {
        assert_spectrum(matrix, &expected, REPETITIVE, level, 1 + index, case);
    }
}

// ---- Against an oracle

#[test]
fn every_small_order_agrees_with_the_oracle() {
    for n in 1..=130 {
        for seed in 1..=2 {
            random_matrices(n, seed).iter().for_each(|matrix| agrees_with_the_oracle(matrix, &Level::all()));
        }
    }
}

#[test]
fn orders_around_the_edges_of_tiles_agree_with_the_oracle() {
    for n in EDGES {
        random_matrices(n, 3).iter().for_each(|matrix| agrees_with_the_oracle(matrix, &Level::all()));
    }
}

#[test]
fn large_orders_agree_with_the_oracle() {
    for (index, n) in LARGE.into_iter().enumerate() {
        let levels = if [577, 769].contains(&n) { Level::all() } else { vec![Level::widest()] };
        agrees_with_the_oracle(&random_matrix(index % 2, n, 4), &levels);
    }
    agrees_with_the_oracle(&random_matrix(0, 1100, 5), &[Level::widest()]);
}

// ---- Known spectra

/// Those of W21+, in pairs that agree in more and more digits.
const WILKINSON: [f64; 21] = [
    -1.125_441_522_119_984,
    0.253_805_817_096_678,
    0.947_534_367_529_293,
    1.789_321_352_695_081,
    2.130_209_219_362_506,
    2.961_058_884_185_726,
    3.043_099_292_578_824,
    3.996_048_201_383_625,
    4.004_354_023_440_857,
    4.999_782_477_742_902,
    5.000_244_425_001_913,
    6.000_217_522_257_098,
    6.000_234_031_584_167,
    7.003_951_798_616_375,
    7.003_952_209_528_675,
    8.038_941_115_814_273,
    8.038_941_122_829_023,
    9.210_678_647_304_919,
    9.210_678_647_361_332,
    10.746_194_182_903_322,
    10.746_194_182_903_393,
];

#[test]
fn wilkinson_pairs_are_found_plain_and_embedded() {
    let wilkinson = |n: usize| {
        let middle = |i: usize| if i < 21 { (i as f64 - 10.0).abs() } else { (i % 7) as f64 - 3.0 };
        let beside = |i: usize| if i < 20 { 1.0 } else { 0.0 };
        let matrix =
            tridiagonal(&(0..n).map(middle).collect::<Vec<_>>(), &(1..n).map(|i| beside(i - 1)).collect::<Vec<_>>());
        let rest: Vec<f64> = (21..n).map(middle).collect();
        (matrix, [&WILKINSON, &rest[..]].concat())
    };
    for n in [21, 22, 40, 120, 200] {
        let (matrix, expected) = wilkinson(n);
        has_spectrum("Wilkinson's", &permuted(&matrix, 1), expected.clone());
        has_spectrum("Wilkinson's, rotated", &rotated(matrix.clone(), 2), expected.clone());
        has_spectrum("Wilkinson's, plain", &matrix, expected);
    }
}

#[test]
fn clusters_are_found() {
    for n in [9, 64, 150, 250] {
        for (name, spread) in [("exact", 0.0), ("narrow", 1e-13), ("wide", 1e-6)] {
            let clustered = |i: usize| [-1.0, -0.25, 0.0, 0.5, 0.75][i % 5] + spread * (i as f64 / n as f64);
            let values: Vec<f64> = (0..n).map(clustered).collect();
            let matrix = rotated(diagonal(&values), n as u64);
            has_spectrum(&format!("{name} clusters, n {n}"), &matrix, values);
        }
    }
}

#[test]
fn second_differences_have_their_formula() {
    // 2 on the diagonal, -1 beside it: 4 sin^2(k pi / (2n + 2)).
    for n in [1, 2, 3, 31, 32, 33, 34, 65, 100, 193, 400] {
        let expected: Vec<f64> = (1..=n).map(|k| 4.0 * (k as f64 * PI / (2 * n + 2) as f64).sin().powi(2)).collect();
        let matrix = tridiagonal(&vec![2.0; n], &vec![-1.0; n - 1]);
        has_spectrum(&format!("second differences, n {n}"), &matrix, expected.clone());
        has_spectrum(&format!("second differences, permuted, n {n}"), &permuted(&matrix, 3), expected);
    }
}

#[test]
fn diagonal_matrices_have_their_diagonal() {
    for n in [1, 2, 3, 32, 33, 65, 192, 200] {
        let distinct: Vec<f64> = (0..n).map(|i| ((i * 7) % n) as f64 - n as f64 / 3.0).collect();
        let duplicates: Vec<f64> = (0..n).map(|i| (i / 2) as f64).collect();
        let mut giant = vec![1.0; n];
        giant[n / 2] = 1e12;
        let graded: Vec<f64> = (0..n).map(|i| 10.0_f64.powi(-(i as i32))).collect();
        let cases = [
            ("distinct", distinct),
            ("duplicates", duplicates),
            ("identity", vec![1.0; n]),
            ("minus identity", vec![-1.0; n]),
            ("a giant", giant),
            ("graded", graded.clone()),
            ("graded upwards", graded.into_iter().rev().collect()),
        ];
        for (name, values) in cases {
            let case = format!("{name}, n {n}");
            has_spectrum(&case, &diagonal(&values), values.clone());
            has_spectrum(&format!("{case}, rotated"), &rotated(diagonal(&values), 4), values);
        }
    }
}

#[test]
fn zero_has_zeros() {
    for n in [1, 2, 33, 193] {
        for level in Level::all() {
            assert_eq!(solve(&vec![0.0_f64; n * n], level, 2), vec![0.0; n]);
            assert_eq!(solve(&vec![0.0_f32; n * n], level, 2), vec![0.0; n]);
        }
    }
}

#[test]
fn rank_one_has_one_eigenvalue() {
    for n in [1, 2, 5, 32, 33, 100, 193, 260] {
        let mut expected = vec![0.0; n];
        expected[n - 1] = n as f64;
        has_spectrum(&format!("ones, n {n}"), &vec![1.0; n * n], expected.clone());
        let signs = symmetric(n, |row, col| if row % 3 == col % 3 { 1.0 } else { -1.0 });
        let expected_signs = faer_eigenvalues(&signs).unwrap();
        has_spectrum(&format!("signs, n {n}"), &signs, expected_signs);

        let w: Vec<f64> = (0..n).map(|i| 1.0 / (i + 1) as f64).collect();
        expected[n - 1] = dot(&w, &w);
        has_spectrum(&format!("outer product, n {n}"), &symmetric(n, |row, col| w[row] * w[col]), expected);
    }
}

#[test]
fn graded_rows_and_columns_agree_with_the_oracle() {
    for n in [5, 40, 100, 200] {
        for decades in [1.0, 0.2] {
            let mut rng = Rng::with_seed(5);
            let scale = |i: usize| 10.0_f64.powf(-decades * i as f64);
            let downwards = symmetric(n, |row, col| (rng.f64() - 0.5) * scale(row) * scale(col));
            let downwards = doubles(&singles(&downwards));
            let upwards = symmetric(n, |row, col| downwards[(n - 1 - col) * n + n - 1 - row]);
            for matrix in [downwards, upwards] {
                has_spectrum(&format!("graded, n {n}"), &matrix, faer_eigenvalues(&matrix).unwrap());
            }
        }
    }
}

#[test]
fn isolated_blocks_keep_their_spectra() {
    // Zeros where the reflectors expect something: between blocks, and everywhere but in the last rows.
    let block = indefinite(30, 6);
    let alone = faer_eigenvalues(&block).unwrap();
    for n in [60, 130, 200] {
        for at in [0, 15, n - 30] {
            let inside = |i: usize| (at..at + 30).contains(&i);
            let matrix = symmetric(n, |row, col| match (inside(row), inside(col)) {
                (true, true) => block[(col - at) * 30 + row - at],
                _ if row == col => 0.125,
                _ => 0.0,
            });
            let expected = [&alone[..], &vec![0.125; n - 30]].concat();
            has_spectrum(&format!("a block at {at} of {n}"), &matrix, expected.clone());
            has_spectrum(&format!("a block in {n}, permuted"), &permuted(&matrix, 7), expected);
        }
    }
    let arrow = symmetric(100, |row, col| if row == 99 { 0.125 } else { f64::from(row == col) });
    has_spectrum("an arrow", &arrow, faer_eigenvalues(&arrow).unwrap());
}

#[test]
fn the_other_bisection_agrees() {
    for n in [1, 2, 10, 100, 300] {
        let mut rng = Rng::with_seed(n as u64);
        let diagonal: Vec<f64> = (0..n).map(|_| f64::from(rng.f32()) - 0.5).collect();
        let subdiagonal: Vec<f64> = (1..n).map(|_| f64::from(rng.f32()) - 0.5).collect();
        let matrix = tridiagonal(&diagonal, &subdiagonal);
        has_spectrum(&format!("tridiagonal, n {n}"), &matrix, tridiagonal_eigenvalues(&diagonal, &subdiagonal));
    }
}

// ---- Invariance

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
fn the_largest_and_smallest_numbers_are_no_obstacle() {
    let matrix = doubles(&singles(&gram(50, 10)));
    let expected = faer_eigenvalues(&matrix).unwrap();
    for exponent in [-1010, -900, 900, 1015] {
        // In two factors, each within range.
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

// ---- Determinism

#[track_caller]
fn does_not_depend_on_threads<T: Real>(matrix: &[T], case: &str) {
    let alone = bits(&solve(matrix, Level::widest(), 1));
    // Twice alone, then up to more threads than there are cores.
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

/// Solves each of some matrices again and again, with changing numbers of threads.
fn solves_alike_however_often<T: Real>(matrices: &[Vec<T>], rounds: usize) {
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
fn thousands_of_shared_solves_race_nowhere() {
    let small: Vec<Vec<f64>> = (20..300).step_by(7).map(|n| indefinite(n, n as u64)).collect();
    solves_alike_however_often(&small, 20);
    solves_alike_however_often(&small.iter().map(|matrix| singles(matrix)).collect::<Vec<_>>(), 30);
}

#[test]
fn hundreds_of_shared_solves_of_many_tiles_race_nowhere() {
    let larger: Vec<Vec<f64>> = [390, 520, 600, 780].map(|n| indefinite(n, n as u64)).into();
    solves_alike_however_often(&larger, 5);
    solves_alike_however_often(&larger.iter().map(|matrix| singles(matrix)).collect::<Vec<_>>(), 8);
}

// ---- What is no matrix

#[track_caller]
fn is_refused<T: Real>(matrix: &[T], case: &str) {
    for level in Level::all() {
        for threads in [1, 2] {
            let refused = symmetric_eigenvalues(matrix, level, threads);
            assert!(matches!(refused, Err(Failure::Solver(_))), "{case}, {level}: {refused:?}");
        }
    }
}

#[test]
fn nan_and_infinity_are_refused() {
    for n in [1, 2, 3, 33, 200] {
        for (row, col) in [(0, 0), (n - 1, 0), (n - 1, n - 1), (n / 2, n / 3)] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut matrix = indefinite(n, 12);
                matrix[col * n + row] = bad;
                let case = format!("{bad} at row {row}, column {col} of {n}");
                is_refused(&matrix, &case);
                is_refused(&singles(&matrix), &case);
            }
        }
    }
}

#[test]
fn what_lies_above_the_diagonal_has_no_influence() {
    for n in [2, 3, 33, 100, 193] {
        let matrix = indefinite(n, 13);
        for above in [f64::NAN, f64::INFINITY, 1e300] {
            let mut lower = matrix.clone();
            for col in 0..n {
                lower[col * n..col * n + col].fill(above);
            }
            for level in Level::all() {
                let case = format!("{above} above, n {n}, {level}");
                assert_eq!(bits(&solve(&lower, level, 2)), bits(&solve(&matrix, level, 2)), "{case}, f64");
                let (lower, matrix) = (singles(&lower), singles(&matrix));
                assert_eq!(bits(&solve(&lower, level, 2)), bits(&solve(&matrix, level, 2)), "{case}, f32");
            }
        }
    }
}

// ---- Properties

/// The lower half of a matrix, with elements over so many decades, some of them zero.
fn lower_half(decades: f64) -> impl Strategy<Value = Vec<f64>> {
    let element = (-1.0_f64..1.0, -decades..decades, 0..4_u8)
        .prop_map(|(x, exponent, kind)| if kind == 0 { 0.0 } else { x * 10.0_f64.powf(exponent) });
    (1_usize..=40).prop_flat_map(move |n| prop::collection::vec(element.clone(), n * (n + 1) / 2))
}

fn from_lower_half(elements: &[f64]) -> Vec<f64> {
    let n = ((8 * elements.len() + 1).isqrt() - 1) / 2;
    let mut elements = elements.iter();
    symmetric(n, |_, _| *elements.next().unwrap())
}

/// The sum of the eigenvalues is the trace, that of their squares the square of the Frobenius norm.
fn keeps_trace_and_norm<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<(), TestCaseError> {
    let n = matrix.len().isqrt();
    let values = solve(matrix, level, threads);
    prop_assert!(values.is_sorted());
    let elements: Vec<f64> = matrix.iter().map(|&x| x.into()).collect();
    let trace: f64 = elements.iter().step_by(n + 1).sum();
    let norm = largest(&values);
    let slack = n as f64 * REPETITIVE.of::<T>();
    let error = (values.iter().sum::<f64>() - trace).abs();
    prop_assert!(error <= slack * norm, "trace {trace:e}: {error:e} beside {norm:e}");
    let (square, sum) = (dot(&elements, &elements), dot(&values, &values));
    let error = (sum - square).abs();
    prop_assert!(error <= 2.0 * slack * norm * norm, "squared norm {square:e}: {error:e} beside {:e}", norm * norm);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn eigenvalues_keep_trace_and_norm(
        elements in prop_oneof![lower_half(0.5), lower_half(5.0), lower_half(60.0)],
        threads in 1_usize..=3,
    ) {
        for level in Level::all() {
            keeps_trace_and_norm(&from_lower_half(&elements), level, threads)?;
        }
    }

    #[test]
    fn eigenvalues_in_f32_keep_trace_and_norm(
        elements in prop_oneof![lower_half(0.5), lower_half(5.0), lower_half(15.0)],
        threads in 1_usize..=3,
    ) {
        for level in Level::all() {
            keeps_trace_and_norm(&singles(&from_lower_half(&elements)), level, threads)?;
        }
    }
}

// ---- By hand

/// For memory checkers, which are too slow for the rest: `HTSR_SIMD=avx2 valgrind TESTS --ignored memory_checkers`.
#[test]
#[ignore = "for valgrind"]
fn solves_for_memory_checkers() {
    let level = Level::from_environment().unwrap();
    for n in [1, 2, 3, 5, 33, 100, 193, 200] {
        for threads in [1, 3] {
            for (case, matrix) in random_matrices(n, 14) {
                let expected = faer_eigenvalues(&matrix).unwrap();
                assert_spectrum(&matrix, &expected, RANDOM, level, threads, &case);
            }
        }
    }
}
