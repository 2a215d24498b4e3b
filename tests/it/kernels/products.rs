//! `products.cu`: products with vectors, as if in twice the digits of f64.

use half::{bf16, f16};
use htsr::checkpoint::{Cast, FloatType};
use htsr::internals::MatrixView;
use kernel_emulator::abi::CompensatedSum;
use kernel_emulator::{Order, Untyped};

use super::{ORDERS, emulated, run};
use crate::support::random;

/// A sum in twice the digits of f64, renormalized at every step.
fn exact_dot(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut high, mut low) = (0.0_f64, 0.0_f64);
    for (x, y) in pairs {
        let product = x * y;
        let sum = high + product;
        let added = sum - high;
        low += x.mul_add(y, -product) + ((high - (sum - added)) + (product - added));
        (high, low) = (sum + low, low - ((sum + low) - sum));
    }
    high + low
}

/// The shape of the launches of products.
#[derive(Clone, Copy)]
struct Cut {
    block_rows: usize,
    grid: u32,
    threads: u32,
    order: Order,
}

/// A x, or A^T x, for the tall form A of `scale` W on the emulated device, block by block.
fn device_product(view: &MatrixView, is_forward: bool, scale: f64, x: &[f64], cut: Cut) -> Vec<f64> {
    const HEIGHT: usize = 64;
    let Cut { block_rows, grid, threads, order } = cut;
    let (long, n) = (view.long(), view.short());
    let (name, cast) = (view.dtype().to_string().to_lowercase(), view.cast() as u32);
    let mut result = vec![f64::NAN; if is_forward { long } else { n }];
    let unset = CompensatedSum { value: f64::NAN, lost: f64::NAN };
    let mut totals = vec![unset; long];
    for start in (0..long).step_by(block_rows) {
        let rows = start..long.min(start + block_rows);
        let mut source = vec![0_u64; (rows.len() * n * view.dtype().bytes()).div_ceil(8)];
        let mut bytes = vec![0; rows.len() * n * view.dtype().bytes()];
        view.copy_tall_rows(rows.clone(), &mut bytes);
        // Kernels expect aligned elements.
        source.iter_mut().zip(bytes.chunks(8)).for_each(|(to, from)| {
            let mut bytes = [0; 8];
            bytes[..from.len()].copy_from_slice(from);
            *to = u64::from_le_bytes(bytes);
        });
        let (majors, minors) = if view.is_tall() { (rows.len(), n) } else { (n, rows.len()) };
        let (x, into, first) = if is_forward { (x, start, true) } else { (&x[rows.clone()], 0, start == 0) };
        let along = view.is_tall() == is_forward;
        let (count, slices) = if along { (majors, 1) } else { (minors, majors.div_ceil(HEIGHT)) };
        let mut parts = vec![unset; count * slices];
        let (source, x) = (source.as_ptr().cast::<Untyped>(), x.as_ptr());
        let (parts, totals) = (parts.as_mut_ptr(), totals.as_mut_ptr());
        let (majors, minors, height) = (majors as u64, minors as u64, HEIGHT as u64);
        if along {
            let (kernel, shared) = (format!("product_along_{name}"), threads as usize * size_of::<CompensatedSum>());
            run!(&kernel, [grid, 1, 1], threads, shared, order, source, majors, minors, cast, scale, x, parts);
        } else {
            let kernel = format!("product_across_{name}");
            run!(&kernel, [grid, 2, 1], threads, 0, order, source, majors, minors, cast, scale, x, height, parts);
        }
        let rounded = result[into..][..count].as_mut_ptr();
        let (count, slices, first) = (count as u64, slices as u64, u32::from(first));
        run!("add_parts", [grid, 1, 1], threads, 0, order, parts, count, slices, first, totals, rounded);
    }
    result
}

/// Weights in pairs of equal rows and columns, so that sums with opposite neighbors cancel to a billionth or less.
fn encoded(dtype: FloatType, rows: usize, cols: usize) -> Vec<u8> {
    let halves = random(rows.div_ceil(2) * cols.div_ceil(2), (rows * cols) as u64);
    let weight = |index: usize| {
        let half = index / cols / 2 * cols.div_ceil(2) + index % cols / 2;
        halves[half] * 10.0_f64.powi((half % 7) as i32 - 4)
    };
    let bytes = |index: usize| match dtype {
        FloatType::BF16 => bf16::from_f64(weight(index)).to_le_bytes().to_vec(),
        FloatType::F16 => f16::from_f64(weight(index)).to_le_bytes().to_vec(),
        FloatType::F32 => (weight(index) as f32).to_le_bytes().to_vec(),
        FloatType::F64 => weight(index).to_le_bytes().to_vec(),
        _ => unreachable!(),
    };
    (0..rows * cols).flat_map(bytes).collect()
}

/// Opposite neighbors, of all sizes, that differ in the last digits or not at all.
fn cancelling(count: usize, seed: u64) -> Vec<f64> {
    let mut values: Vec<f64> = random(count, seed).iter().zip(0..).map(|(x, i)| x * 1e4_f64.powi(i / 2 % 3)).collect();
    for (pair, seen) in values.chunks_exact_mut(2).zip([0.0, 1e-9, 1e-15].into_iter().cycle()) {
        pair[1] = -pair[0] * (1.0 + seen);
    }
    values
}

#[test]
fn products_with_weights_are_those_of_twice_the_digits() {
    if !emulated() {
        return;
    }
    let shapes = [(8, 8), (9, 9), (1, 1), (37, 8), (8, 37), (150, 67), (67, 150), (333, 9), (9, 333), (131, 130)];
    for dtype in [FloatType::BF16, FloatType::F16, FloatType::F32, FloatType::F64] {
        for (case, (rows, cols)) in shapes.into_iter().enumerate() {
            let cast = [Cast::None, Cast::Fp16, Cast::Bf16][case % 3];
            let bytes = encoded(dtype, rows, cols);
            let view = MatrixView::new(&bytes, dtype, cast, rows, cols);
            let (long, n) = (view.long(), view.short());
            let scale = [1.0, 0.0625, 1.0][case % 3];
            let mut elements = vec![0.0_f64; long * n];
            let a = view.read_tall_rows(0..long, scale, &mut elements);
            let (v, u) = (cancelling(n, 1), cancelling(long, 2));
            for (is_forward, x, count) in [(true, &v, long), (false, &u, n)] {
                let terms = |i: usize| {
                    x.iter().enumerate().map(move |(j, &x)| (if is_forward { a[(i, j)] } else { a[(j, i)] }, x))
                };
                for block_rows in [long, long.div_ceil(3)] {
                    for threads in [32, 64] {
                        let cut = Cut { block_rows, grid: 3, threads, order: Order::Forward };
                        let found = device_product(&view, is_forward, scale, x, cut);
                        assert_eq!(found.len(), count);
                        for (i, found) in found.iter().enumerate() {
                            let exact = exact_dot(terms(i));
                            let size: f64 = terms(i).map(|(a, x)| (a * x).abs()).sum();
                            let lost = (x.len() as f64 * f64::EPSILON).powi(2) * size;
                            let bound = f64::EPSILON * exact.abs() + lost;
                            let case = format!("{dtype} {rows} x {cols}, {cast}, {is_forward}, {block_rows}, {i}");
                            assert!((found - exact).abs() <= bound, "{case}: {found:e} {exact:e} {size:e}");
                        }
                        for order in ORDERS {
                            for grid in [1, 5] {
                                let again = device_product(&view, is_forward, scale, x, Cut { grid, order, ..cut });
                                assert_eq!(again, found, "{dtype} {rows} x {cols}, {order:?}, {grid} blocks");
                            }
                        }
                    }
                }
            }
        }
    }
}
