//! The random-matrix baseline of alpha: simulates Gaussian matrices, and writes the table behind the metric `alpha_mp`.
//!
//! ```console
//! $ cargo run --release --example aspect_table > src/metrics/random_baseline.csv       # an hour of one core
//! $ cargo run --release --example aspect_table 64 256                       # only the rows of these N, to compare
//! ```
//!
//! For W of shape Q N x N with standard normal elements, the eigenvalues of W^T W have the same distribution as those of L L^T,
//! where L is lower bidiagonal with independent chi variables (Dumitriu and Edelman, J. Math. Phys. 43, 2002, beta = 1). This
//! is exact for every N and takes O(N^2) operations. All seeds are fixed, so the program always writes the same bytes.

use htsr::fit::{Rule, fit};
use htsr::internals::tridiagonal_eigenvalues;
use htsr::spectrum::Spectrum;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{ChiSquared, Distribution};

/// Pairs of N, the number of eigenvalues, and the number of matrices per shape. The standard error of a mean is the standard
/// deviation divided by the square root of the number of matrices.
const SIZES: [(usize, usize); 10] = [
    (32, 2048),
    (64, 2048),
    (128, 2048),
    (256, 1024),
    (512, 1024),
    (1024, 512),
    (2048, 192),
    (4096, 64),
    (8192, 32),
    (16384, 16),
];
/// Aspect ratios Q, times 4.
const QUARTERS: [usize; 12] = [4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
const RULES: [Rule; 4] = [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks];

fn main() {
    let only: Vec<usize> = std::env::args().skip(1).map(|n| n.parse().expect("N is a whole number")).collect();
    println!("eigenvalues,q,matrices,peak,peak_sd,peak_robust,peak_robust_sd,median,median_sd,ks,ks_sd");
    for (n, matrices) in SIZES.into_iter().filter(|(n, _)| only.is_empty() || only.contains(n)) {
        for quarters in QUARTERS {
            let alphas = simulate(n, quarters, matrices);
            let columns: Vec<String> = (0..RULES.len())
                .map(|rule| {
                    let (mean, deviation) = mean_and_deviation(alphas.iter().map(|alphas| alphas[rule]));
                    format!("{mean:.4},{deviation:.4}")
                })
                .collect();
            println!("{n},{},{matrices},{}", quarters as f64 / 4.0, columns.join(","));
        }
    }
}

/// Returns the alphas of `matrices` random matrices under each rule.
fn simulate(n: usize, quarters: usize, matrices: usize) -> Vec<[f64; RULES.len()]> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let one = |index: usize| {
        let seed = (n * 1000 + quarters) as u64 * 1_000_000 + index as u64;
        let spectrum = wishart(n, n * quarters / 4, &mut ChaCha8Rng::seed_from_u64(seed));
        RULES.map(|rule| fit(&spectrum, rule).expect("a random matrix has a tail").alpha)
    };
    let mut alphas = vec![[0.0; RULES.len()]; matrices];
    std::thread::scope(|scope| {
        for (chunk, alphas) in alphas.chunks_mut(matrices.div_ceil(threads)).enumerate() {
            let first = chunk * matrices.div_ceil(threads);
            scope.spawn(move || alphas.iter_mut().enumerate().for_each(|(i, alphas)| *alphas = one(first + i)));
        }
    });
    alphas
}

/// Samples the eigenvalues of W^T W for a Gaussian W of shape `long` x n.
fn wishart(n: usize, long: usize, rng: &mut ChaCha8Rng) -> Spectrum {
    let mut chi_squared = |degrees: usize| ChiSquared::new(degrees as f64).expect("> 0").sample(rng);
    // Squares of the diagonal and the subdiagonal of L.
    let diagonal_squares: Vec<f64> = (0..n).map(|i| chi_squared(long - i)).collect();
    let subdiagonal_squares: Vec<f64> = (1..n).map(|i| chi_squared(n - i)).collect();
    let diagonal: Vec<f64> =
        (0..n).map(|i| diagonal_squares[i] + i.checked_sub(1).map_or(0.0, |i| subdiagonal_squares[i])).collect();
    let subdiagonal: Vec<f64> =
        diagonal_squares.iter().zip(&subdiagonal_squares).map(|(a, b)| (a * b).sqrt()).collect();
    let values = tridiagonal_eigenvalues(&diagonal, &subdiagonal);
    Spectrum::from_gram(values, diagonal.iter().sum(), f64::EPSILON).expect("bisection keeps the trace")
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / (count - 1.0);
    (mean, variance.sqrt())
}
