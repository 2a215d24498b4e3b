//! Symmetric test matrices: both triangles stored, column-major, elements of order 1.

use std::f64::consts::PI;

use fastrand::Rng;

/// Returns the symmetric matrix whose lower triangle has these elements. `element` is called column by column.
pub fn symmetric(n: usize, mut element: impl FnMut(usize, usize) -> f64) -> Vec<f64> {
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

pub fn diagonal(values: &[f64]) -> Vec<f64> {
    symmetric(values.len(), |row, col| if row == col { values[col] } else { 0.0 })
}

pub fn tridiagonal(diagonal: &[f64], subdiagonal: &[f64]) -> Vec<f64> {
    symmetric(diagonal.len(), |row, col| match row - col {
        0 => diagonal[col],
        1 => subdiagonal[col],
        _ => 0.0,
    })
}

pub fn indefinite(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    symmetric(n, |_, _| rng.f64() - 0.5)
}

/// W^T W / n for a Gaussian W with somewhat more rows than columns.
pub fn gram(n: usize, seed: u64) -> Vec<f64> {
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

/// Returns a standard normal random number (Box and Muller).
pub fn gaussian(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (2.0 * PI * rng.f64()).cos()
}

/// Makes a matrix of the given order from a seed.
type Generator = fn(usize, u64) -> Vec<f64>;

/// Kinds of random matrices.
const KINDS: [(&str, Generator); 2] = [("Gram", gram), ("indefinite", indefinite)];

/// Returns the name of a matrix of one of these kinds, and the matrix, rounded to f32.
pub fn random_matrix(kind: usize, n: usize, seed: u64) -> (String, Vec<f64>) {
    let (name, matrix) = KINDS[kind];
    (format!("{name}, n {n}, seed {seed}"), doubles(&singles(&matrix(n, seed))))
}

/// Returns a matrix of each kind, with its name.
pub fn random_matrices(n: usize, seed: u64) -> [(String, Vec<f64>); 2] {
    [0, 1].map(|kind| random_matrix(kind, n, seed))
}

/// H A H for some random Householder reflections H: other elements, the same eigenvalues.
pub fn rotated(mut matrix: Vec<f64>, seed: u64) -> Vec<f64> {
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

pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The matrix with its rows and columns permuted.
pub fn permuted(matrix: &[f64], seed: u64) -> Vec<f64> {
    let n = matrix.len().isqrt();
    let mut order: Vec<usize> = (0..n).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    symmetric(n, |row, col| matrix[order[col] * n + order[row]])
}

pub fn singles(matrix: &[f64]) -> Vec<f32> {
    matrix.iter().map(|&x| x as f32).collect()
}

pub fn doubles(matrix: &[f32]) -> Vec<f64> {
    matrix.iter().map(|&x| x.into()).collect()
}
