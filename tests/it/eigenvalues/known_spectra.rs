//! Matrices whose eigenvalues are known.

use htsr::internals::{Level, faer_eigenvalues};
use std::f64::consts::PI;

use fastrand::Rng;

use super::matrices::{diagonal, dot, doubles, indefinite, permuted, rotated, singles, symmetric, tridiagonal};
use super::{has_spectrum, solve};

/// Eigenvalues of Wilkinson's W21+, in pairs that agree in more and more digits.
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
        let next_to_diagonal = |i: usize| if i < 20 { 1.0 } else { 0.0 };
        let matrix = tridiagonal(
            &(0..n).map(middle).collect::<Vec<_>>(),
            &(1..n).map(|i| next_to_diagonal(i - 1)).collect::<Vec<_>>(),
        );
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
fn second_differences_match_their_formula() {
    // 2 on the diagonal, -1 next to it. The eigenvalues are 4 sin^2(k pi / (2n + 2)).
    for n in [1, 2, 3, 31, 32, 33, 34, 65, 100, 193, 400] {
        let expected: Vec<f64> = (1..=n).map(|k| 4.0 * (k as f64 * PI / (2 * n + 2) as f64).sin().powi(2)).collect();
        let matrix = tridiagonal(&vec![2.0; n], &vec![-1.0; n - 1]);
        has_spectrum(&format!("second differences, n {n}"), &matrix, expected.clone());
        has_spectrum(&format!("second differences, permuted, n {n}"), &permuted(&matrix, 3), expected);
    }
}

#[test]
fn diagonal_matrices_have_their_diagonal_as_spectrum() {
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
fn a_zero_matrix_has_only_zero_eigenvalues() {
    for n in [1, 2, 33, 193] {
        for level in Level::all() {
            assert_eq!(solve(&vec![0.0_f64; n * n], level, 2), vec![0.0; n]);
            assert_eq!(solve(&vec![0.0_f32; n * n], level, 2), vec![0.0; n]);
        }
    }
}

#[test]
fn a_matrix_of_rank_one_has_one_nonzero_eigenvalue() {
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
fn graded_rows_and_columns_agree_with_the_reference() {
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
    // Zeros in columns that a reflector usually eliminates: between blocks, and everywhere except in the last rows.
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
