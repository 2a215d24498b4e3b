//! Positions of the eigenvalues of a random matrix, on a scale on which their density is the same everywhere.
//!
//! Eigenvalues of random matrices repel each other: each stays in place within a fraction of the spacing, while
//! independent numbers would stray by sqrt(N) spacings. This holds for any density (universality), so one simulation
//! serves all matrices of a shape. It uses Gaussian matrices, whose eigenvalues are those of a bidiagonal matrix of
//! independent numbers (Dumitriu and Edelman, J. Math. Phys. 43, 2002, with beta = 1).
//!
//! The position of an eigenvalue, from 0 to N, is its rank among the eigenvalues of all draws, divided by the number of
//! draws.

use super::random::{chi_square, stream};
use crate::device::cpu::tridiagonal_eigenvalues;

/// Positions of N eigenvalues in each of several draws.
#[derive(Debug)]
pub struct Positions {
    eigenvalues: usize,
    values: Vec<f64>,
}

impl Positions {
    /// Simulates Gaussian matrices of `short` x `long`. Takes about 50 short^2 floating-point divisions per draw, and
    /// 16 bytes per eigenvalue and draw.
    ///
    /// # Panics
    ///
    /// If `short` is 0 or larger than `long`.
    pub fn simulate(short: usize, long: usize, draws: u32, seed: u64) -> Positions {
        assert!(0 < short && short <= long);
        let mut rng = fastrand::Rng::with_seed(stream(seed, &format!("positions {short} {long}")));
        let mut pool: Vec<f64> = Vec::with_capacity(short * draws as usize);
        for _ in 0..draws {
            let (diagonal, subdiagonal) = gaussian_gram(short, long, &mut rng);
            pool.extend(tridiagonal_eigenvalues(&diagonal, &subdiagonal));
        }
        Positions { eigenvalues: short, values: ranks(&pool, draws) }
    }

    /// The positions of each draw, ascending.
    pub fn draws(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.eigenvalues)
    }
}

/// The rank of each eigenvalue among all, counted from 0.5, divided by the number of draws. `pool` holds the
/// eigenvalues draw by draw.
fn ranks(pool: &[f64], draws: u32) -> Vec<f64> {
    let mut order: Vec<u32> = (0..pool.len() as u32).collect();
    order.sort_by(|&a, &b| pool[a as usize].total_cmp(&pool[b as usize]).then(a.cmp(&b)));
    let mut ranks = vec![0.0; pool.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index as usize] = (rank as f64 + 0.5) / f64::from(draws);
    }
    ranks
}

/// Diagonal and subdiagonal of a tridiagonal matrix with the eigenvalues of W^T W, for W a `long` x `short` matrix of
/// standard normal numbers, over `long`.
fn gaussian_gram(short: usize, long: usize, rng: &mut fastrand::Rng) -> (Vec<f64>, Vec<f64>) {
    let scale = 1.0 / long as f64;
    let squares: Vec<f64> = (0..short).map(|i| chi_square(long - i, rng) * scale).collect();
    let upper: Vec<f64> = (1..short).map(|i| chi_square(short - i, rng) * scale).collect();
    let diagonal = (0..short).map(|i| squares[i] + if i > 0 { upper[i - 1] } else { 0.0 }).collect();
    let subdiagonal = (1..short).map(|i| (squares[i - 1] * upper[i - 1]).sqrt()).collect();
    (diagonal, subdiagonal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gram_matrix_has_the_moments_of_wishart_matrices() {
        let (short, long, draws) = (20, 50, 2000);
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut trace, mut squares, mut log_determinant) = (0.0, 0.0, 0.0);
        for _ in 0..draws {
            let (diagonal, subdiagonal) = gaussian_gram(short, long, &mut rng);
            let values = tridiagonal_eigenvalues(&diagonal, &subdiagonal);
            trace += values.iter().sum::<f64>() / f64::from(draws);
            squares += values.iter().map(|x| x * x).sum::<f64>() / f64::from(draws);
            log_determinant += values.iter().map(|x| x.ln()).sum::<f64>() / f64::from(draws);
        }
        // E tr (S / n) = p; E tr (S / n)^2 = p (n + p + 1) / n; E ln det S: sum of E ln chi^2, about ln k - 1/k - 1/(3 k^2).
        assert!((trace / 20.0 - 1.0).abs() < 2e-3);
        assert!((squares / (20.0 * 71.0 / 50.0) - 1.0).abs() < 5e-3);
        let log_chi = |k: f64| k.ln() - 1.0 / k - 1.0 / (3.0 * k * k);
        let expected: f64 = (31..=50).map(|k| log_chi(f64::from(k)) - 50.0_f64.ln()).sum();
        assert!((log_determinant - expected).abs() < 0.1, "{log_determinant} {expected}");
    }

    #[test]
    fn positions_are_uniform_ascending_rigid_and_reproducible() {
        let positions = Positions::simulate(60, 90, 50, 7);
        let draws: Vec<&[f64]> = positions.draws().collect();
        assert_eq!(draws.len(), 50);
        let mean = |index: usize| draws.iter().map(|draw| draw[index]).sum::<f64>() / 50.0;
        for (index, near) in [(0, 0.5), (30, 30.5), (59, 59.5)] {
            assert!((mean(index) - near).abs() < 0.5);
            let variance = draws.iter().map(|draw| (draw[index] - mean(index)).powi(2)).sum::<f64>() / 49.0;
            // Independent numbers would have a variance of 15 in the middle.
            assert!(variance < 1.0, "{index}: {variance}");
        }
        assert!(draws.iter().all(|draw| draw.is_sorted() && draw[0] > 0.0 && draw[59] < 60.0));
        assert_eq!(Positions::simulate(60, 90, 50, 7).values, positions.values);
        assert_ne!(Positions::simulate(60, 90, 50, 8).values, positions.values);
    }
}
