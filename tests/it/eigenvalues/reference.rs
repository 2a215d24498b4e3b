//! Comparison with the reference solver (faer) and the reference bisection.

use fastrand::Rng;
use htsr::internals::{Level, faer_eigenvalues, tridiagonal_eigenvalues};

use super::matrices::{random_matrices, random_matrix, tridiagonal};
use super::{RANDOM, agrees_with_the_reference, assert_spectrum, has_spectrum};

/// Orders near the bandwidth, near the tile size of 192, and where groups of sweeps and of tiles grow.
const EDGES: [usize; 13] = [159, 161, 191, 192, 193, 223, 225, 255, 257, 319, 383, 384, 385];
const LARGE: [usize; 14] = [511, 513, 575, 576, 577, 767, 768, 769, 959, 960, 961, 1023, 1025, 1100];

#[test]
fn every_small_order_agrees_with_the_reference() {
    for n in 1..=130 {
        for seed in 1..=2 {
            random_matrices(n, seed).iter().for_each(|matrix| agrees_with_the_reference(matrix, &Level::all()));
        }
    }
}

#[test]
fn orders_around_the_edges_of_tiles_agree_with_the_reference() {
    for n in EDGES {
        random_matrices(n, 3).iter().for_each(|matrix| agrees_with_the_reference(matrix, &Level::all()));
    }
}

#[test]
fn large_orders_agree_with_the_reference() {
    for (index, n) in LARGE.into_iter().enumerate() {
        let levels = if [577, 769].contains(&n) { Level::all() } else { vec![Level::widest()] };
        agrees_with_the_reference(&random_matrix(index % 2, n, 4), &levels);
    }
    agrees_with_the_reference(&random_matrix(0, 1100, 5), &[Level::widest()]);
}

#[test]
fn both_bisections_agree() {
    for n in [1, 2, 10, 100, 300] {
        let mut rng = Rng::with_seed(n as u64);
        let diagonal: Vec<f64> = (0..n).map(|_| f64::from(rng.f32()) - 0.5).collect();
        let subdiagonal: Vec<f64> = (1..n).map(|_| f64::from(rng.f32()) - 0.5).collect();
        let matrix = tridiagonal(&diagonal, &subdiagonal);
        has_spectrum(&format!("tridiagonal, n {n}"), &matrix, tridiagonal_eigenvalues(&diagonal, &subdiagonal));
    }
}

/// For memory checkers, which are too slow for the other tests: `HTSR_SIMD=avx2 valgrind TESTS --ignored memory_checkers`.
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
