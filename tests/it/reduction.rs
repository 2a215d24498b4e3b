//! The kernels of the two-stage tridiagonalization, emulated, each against what it must do: factors that give the panel back,
//! the eigenvalues of the band.

use htsr::internals::{Real, faer_eigenvalues, tridiagonal_eigenvalues};
use kernel_emulator::abi::{self, COMBINED_ROWS, PANEL_ROWS, THREADS};
use kernel_emulator::{Order, Pointee};

use crate::kernels::{ORDERS, emulated, run};
use crate::support::random;

const BAND: usize = abi::BAND as usize;

/// One of the two types of numbers, and the kernels that take it.
trait Number: Real + Pointee {
    const SUFFIX: &'static str;
    /// What rounding may do to results of order 1.
    const TOLERANCE: f64;
}

impl Number for f32 {
    const SUFFIX: &'static str = "f32";
    const TOLERANCE: f64 = 3e-6;
}

impl Number for f64 {
    const SUFFIX: &'static str = "f64";
    const TOLERANCE: f64 = 1e-14;
}

fn of<T: Number>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

/// Panels of that many rows, column-major, elements of order 1 at most.
fn panels(rows: usize) -> Vec<Vec<f64>> {
    let count = rows * BAND;
    let noise: Vec<f64> = random(count, rows as u64).into_iter().map(|x| 20.0 * x).collect();
    let column = |i: usize| i / rows;
    vec![
        noise.clone(),
        vec![0.0; count],
        // One column over and over, but for its last element.
        (0..count).map(|i| if i % rows + 1 == rows { noise[i] } else { noise[i % rows] }).collect(),
        // Columns that become smaller, until their squares are zero.
        (0..count).map(|i| noise[i] * 10.0_f64.powi(-10 * column(i) as i32)).collect(),
        // One giant.
        (0..count).map(|i| if i == count / 2 { 1.0 } else { noise[i] * 1e-9 }).collect(),
        // Nothing below the diagonal.
        (0..count).map(|i| if i % rows > column(i) { 0.0 } else { noise[i] }).collect(),
    ]
}

/// R above what is left of the panel, V, and the factor T of its reflectors' product, from the emulated device.
fn factorize<T: Number>(panel: &[f64], rows: usize, order: Order) -> [Vec<f64>; 3] {
    let poison = || T::from_f64(f64::NAN);
    let lead = rows + 3;
    let mut matrix = vec![poison(); lead * BAND];
    for (column, values) in panel.chunks(rows).enumerate() {
        matrix[column * lead..][..rows].copy_from_slice(&of(values));
    }
    let blocks = rows.div_ceil(PANEL_ROWS as usize);
    let mut sums = [vec![poison(); BAND * (blocks + 1)], vec![poison(); BAND * (blocks + 1)]];
    let (mut vectors, mut again) = (vec![poison(); lead * BAND], vec![poison(); lead * BAND]);
    let (mut taus, mut overlaps) = (vec![poison(); BAND], vec![poison(); BAND * BAND]);
    for column in 0..=BAND {
        let [even, odd] = &mut sums;
        let (before, after) = if column % 2 == 0 { (odd, even) } else { (even, odd) };
        let (before, after, matrix) = (before.as_ptr(), after.as_mut_ptr(), matrix.as_mut_ptr());
        let (vectors, again) = (vectors.as_mut_ptr(), again.as_mut_ptr());
        let (taus, overlaps) = (taus.as_mut_ptr(), overlaps.as_mut_ptr());
        let (rows, lead, step, grid) = (rows as u32, lead as u64, column as u32, [blocks as u32, 1, 1]);
        let kernel = format!("panel_column_{}", T::SUFFIX);
        run!(&kernel, grid, THREADS, 0, order, matrix, rows, lead, step, before, after, vectors, again, taus, overlaps);
    }
    assert_eq!(strip(&vectors, rows, lead), strip(&again, rows, lead));
    let projection = [T::from_f64(0.0); BAND * BAND];
    let mut factors = vec![poison(); 2 * BAND * BAND];
    let (taus, overlaps, projection, result) =
        (taus.as_ptr(), overlaps.as_ptr(), projection.as_ptr(), factors.as_mut_ptr());
    let kernel = format!("panel_factors_{}", T::SUFFIX);
    let shared = 2 * BAND * (BAND + 1) * size_of::<T>();
    run!(&kernel, [1, 1, 1], 1024, shared, order, taus, overlaps, projection, result);
    [strip(&matrix, rows, lead), strip(&vectors, rows, lead), strip(&factors, BAND, 2 * BAND)]
}

/// The first rows of columns `lead` apart.
fn strip<T: Number>(matrix: &[T], rows: usize, lead: usize) -> Vec<f64> {
    matrix.chunks(lead).flat_map(|column| column[..rows].iter().map(|&x| x.into())).collect()
}

/// The columns of (I - V T V^T)^T X.
fn reflected(vectors: &[f64], factor: &[f64], x: &[f64], rows: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    x.chunks(rows)
        .flat_map(|column| {
            let along: Vec<f64> = vectors.chunks(rows).map(|v| dot(v, column)).collect();
            let weights: Vec<f64> = factor.chunks(BAND).map(|of_column| dot(of_column, &along)).collect();
            let taken = |row: usize| (0..BAND).map(|k| vectors[k * rows + row] * weights[k]).sum::<f64>();
            (0..rows).map(|row| column[row] - taken(row)).collect::<Vec<_>>()
        })
        .collect()
}

fn check_panels<T: Number>() {
    for rows in [1, 2, 32, 33, 128, 129] {
        for (index, panel) in panels(rows).into_iter().enumerate() {
            let [upper, vectors, factor] = factorize::<T>(&panel, rows, Order::Forward);
            let close = |one: f64, other: f64| (one - other).abs() <= 30.0 * T::TOLERANCE;
            let found = reflected(&vectors, &factor, &panel, rows);
            for (i, (&found, &upper)) in found.iter().zip(&upper).enumerate() {
                let expected = if i % rows <= i / rows { upper } else { 0.0 };
                assert!(close(found, expected), "panel {index} of {rows} rows, element {i}: {found:e} {expected:e}");
            }
            // Orthogonal: the images of the first unit vectors have products 0 and 1.
            let units = rows.min(BAND);
            let images = (0..units * rows).map(|i| if i % rows == i / rows { 1.0 } else { 0.0 }).collect::<Vec<_>>();
            let images = reflected(&vectors, &factor, &images, rows);
            for (i, one) in images.chunks(rows).enumerate() {
                for (j, other) in images.chunks(rows).enumerate() {
                    let product = one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
                    assert!(
                        close(product, if i == j { 1.0 } else { 0.0 }),
                        "panel {index} of {rows}: {i} {j} {product}"
                    );
                }
            }
            // Noise shows most of what the order of threads could change.
            for order in ORDERS.into_iter().filter(|_| index == 0) {
                let other = factorize::<T>(&panel, rows, order);
                assert_eq!(
                    other,
                    [upper.clone(), vectors.clone(), factor.clone()],
                    "panel {index} of {rows}, {order:?}"
                );
            }
        }
    }
}

#[test]
fn panels_are_factorized_in_f32() {
    if emulated() {
        check_panels::<f32>();
    }
}

#[test]
fn panels_are_factorized_in_f64() {
    if emulated() {
        check_panels::<f64>();
    }
}

/// X = Z T + V M, and the factors M = -(T^T S T) / 2 of a given T.
#[test]
fn panels_are_combined() {
    if !emulated() {
        return;
    }
    for rows in [1_usize, 63, 64, 65, 200] {
        let lead = rows + 1;
        let (z, v) = (random(lead * BAND, 1), random(lead * BAND, 2));
        let factors = random(2 * BAND * BAND, 3);
        let expected = |row: usize, column: usize| {
            let of = |matrix: &[f64], half: usize| {
                let products = |l: usize| matrix[l * lead + row] * factors[column * 2 * BAND + half * BAND + l];
                (0..BAND).map(products).sum::<f64>()
            };
            of(&z, 0) + of(&v, 1)
        };
        for order in ORDERS {
            let (mut x, mut again) = (vec![f64::NAN; lead * BAND], vec![f64::NAN; lead * BAND]);
            let (of_z, of_v, of_factors) = (z.as_ptr(), v.as_ptr(), factors.as_ptr());
            let (of_x, of_again, count, stride) = (x.as_mut_ptr(), again.as_mut_ptr(), rows as u32, lead as u64);
            let grid = [(rows as u32).div_ceil(COMBINED_ROWS), 1, 1];
            let shared = 2 * BAND * BAND * 8;
            run!(
                "panel_combine_f64",
                grid,
                THREADS,
                shared,
                order,
                of_z,
                of_v,
                count,
                stride,
                of_factors,
                of_x,
                of_again
            );
            for (i, (x, again)) in x.iter().zip(&again).enumerate() {
                let (row, column) = (i % lead, i / lead);
                if row == rows {
                    assert!(x.is_nan() && again.is_nan(), "the rest of a column is left alone");
                } else {
                    assert!((x - expected(row, column)).abs() < 1e-15 && x == again, "{rows}: {row} {column}");
                }
            }
        }
    }
}

/// Full symmetric matrices of bandwidth at most BAND, elements of order 1 at most.
fn bands(n: usize) -> Vec<Vec<f64>> {
    let band = |element: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        let at = |i: usize| (i % n).max(i / n);
        let element =
            |i: usize| if at(i) - (i % n).min(i / n) <= BAND { element(at(i), (i % n).min(i / n)) } else { 0.0 };
        (0..n * n).map(element).collect()
    };
    let noise = random(n * n, n as u64);
    vec![
        band(&|row, column| 10.0 * noise[column * n + row]),
        vec![0.0; n * n],
        band(&|row, column| if row == column { 1.0 } else { 0.0 }),
        band(&|_, _| 0.1),
        // Graded, until squares are zero.
        band(&|row, column| 10.0 * noise[column * n + row] * 10.0_f64.powi(-((row + column) as i32))),
        band(&|row, column| if row == n / 2 && column == n / 2 { 1.0 } else { 1e-9 * noise[column * n + row] }),
        // Tridiagonal already.
        band(&|row, column| if row - column < 2 { noise[column * n + row] } else { 0.0 }),
    ]
}

fn chased<T: Number>(matrix: &[f64], n: usize, factor: f64, order: Order) -> [Vec<f64>; 2] {
    let poison = || T::from_f64(f64::NAN);
    let matrix: Vec<T> = of(matrix);
    let mut band = vec![poison(); 2 * BAND * (n + BAND)];
    let mut progress = vec![0_u32; n + 1];
    let (mut diagonal, mut subdiagonal) = (vec![poison(); n], vec![poison(); n]);
    let (of_matrix, of_band, of_progress) = (matrix.as_ptr(), band.as_mut_ptr(), progress.as_mut_ptr());
    let (of_diagonal, of_subdiagonal, order_of) = (diagonal.as_mut_ptr(), subdiagonal.as_mut_ptr(), n as u32);
    let kernel = |name: &str| format!("{name}_{}", T::SUFFIX);
    run!(&kernel("take_band"), [3, 1, 1], THREADS, 0, order, of_matrix, order_of, of_band);
    let shared = (2 * BAND * (BAND + 1) + 2 * BAND) * size_of::<T>() + 4;
    run!(&kernel("chase"), [4, 1, 1], THREADS, shared, order, of_band, order_of, of_progress);
    let take = kernel("take_tridiagonal");
    run!(&take, [2, 1, 1], 64, 0, order, of_band, order_of, factor, of_diagonal, of_subdiagonal);
    [strip(&diagonal, n, n), strip(&subdiagonal, n, n)]
}

fn check_bands<T: Number>() {
    for n in [1, 2, 3, 32, 33, 34, 65, 97] {
        for (index, matrix) in bands(n).into_iter().enumerate() {
            let exact = faer_eigenvalues(&matrix).unwrap();
            let [diagonal, subdiagonal] = chased::<T>(&matrix, n, 4.0, Order::Forward);
            assert_eq!(subdiagonal[n - 1], 0.0);
            let found = tridiagonal_eigenvalues(&diagonal, &subdiagonal[..n - 1]);
            for (found, exact) in found.iter().zip(&exact) {
                let error = (found / 4.0 - exact).abs();
                assert!(error <= 3.0 * T::TOLERANCE, "band {index} of order {n}: {found:e} {exact:e}");
            }
            for order in ORDERS.into_iter().filter(|_| index == 0) {
                let other = chased::<T>(&matrix, n, 4.0, order);
                assert_eq!(other, [diagonal.clone(), subdiagonal.clone()], "band {index} of order {n}, {order:?}");
            }
        }
    }
}

#[test]
fn bands_keep_their_eigenvalues_in_f32() {
    if emulated() {
        check_bands::<f32>();
    }
}

#[test]
fn bands_keep_their_eigenvalues_in_f64() {
    if emulated() {
        check_bands::<f64>();
    }
}
