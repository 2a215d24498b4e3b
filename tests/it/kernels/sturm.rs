//! `sturm.cu`: eigenvalues of tridiagonal matrices.

use htsr::internals::tridiagonal_eigenvalues;
use kernel_emulator::Order;
use kernel_emulator::abi::Interval;

use super::{ORDERS, emulated, offsets, run};

/// A symmetric tridiagonal matrix: diagonal and subdiagonal.
type Tridiagonal = (Vec<f64>, Vec<f64>);

fn tridiagonals() -> Vec<Tridiagonal> {
    let mut rng = fastrand::Rng::with_seed(9);
    let mut batch: Vec<Tridiagonal> = Vec::new();
    for n in [1, 2, 3, 31, 32, 33, 63, 64, 65, 100] {
        batch.push(((0..n).map(|_| rng.f64()).collect(), (1..n).map(|_| rng.f64() - 0.5).collect()));
        batch.push((vec![2.0; n], vec![-1.0; n - 1]));
        batch.push((vec![0.0; n], vec![0.0; n - 1]));
    }
    batch.push(((0..21).map(|i| (f64::from(i) - 10.0).abs()).collect(), vec![1.0; 20]));
    batch.push(((0..40).map(|i| 10.0_f64.powi(-i)).collect(), vec![1e-20; 39]));
    batch.push((vec![2e150; 5], vec![1e150; 4]));
    batch
}

/// All eigenvalues of a batch on the emulated device, in f64 or f32 storage.
fn device_eigenvalues<T: Copy + Default + kernel_emulator::Pointee>(
    batch: &[Tridiagonal],
    round: impl Fn(f64) -> T,
    suffix: &str,
    threads: u32,
    order: Order,
) -> Vec<f64> {
    let offsets = offsets(batch.iter().map(|(diagonal, _)| diagonal.len()));
    let total = offsets[batch.len()] as usize;
    let (mut d, mut e) = (vec![T::default(); total], vec![T::default(); total]);
    for ((diagonal, subdiagonal), &offset) in batch.iter().zip(&offsets) {
        let offset = offset as usize;
        d[offset..].iter_mut().zip(diagonal).for_each(|(to, &from)| *to = round(from));
        e[offset..].iter_mut().zip(subdiagonal).for_each(|(to, &from)| *to = round(from));
    }
    let unset = Interval { low: f64::NAN, high: f64::NAN, smallest_pivot: f64::NAN };
    let mut intervals = vec![unset; batch.len()];
    let mut values = vec![f64::NAN; total];
    let longest = batch.iter().map(|(diagonal, _)| diagonal.len() as u32).max().unwrap();
    let blocks = batch.len() as u32;
    let (d, e, offsets) = (d.as_ptr(), e.as_ptr(), offsets.as_ptr());
    let (intervals, results) = (intervals.as_mut_ptr(), values.as_mut_ptr());
    let bytes = threads as usize * 8;
    run!(&format!("sturm_bounds_{suffix}"), [blocks, 1, 1], threads, 3 * bytes, order, d, e, offsets, intervals);
    let grid = [longest.div_ceil(threads), blocks, 1];
    run!(&format!("sturm_bisect_{suffix}"), grid, threads, 2 * bytes, order, d, e, offsets, intervals, results);
    values
}

#[test]
fn bisection_gives_the_bits_of_the_host() {
    if !emulated() {
        return;
    }
    let batch = tridiagonals();
    let host: Vec<f64> = batch.iter().flat_map(|(d, e)| tridiagonal_eigenvalues(d, e)).collect();
    for threads in [32, 64] {
        for order in ORDERS {
            assert_eq!(device_eigenvalues(&batch, |x| x, "f64", threads, order), host, "{threads} {order:?}");
        }
    }
    let single = |list: &[f64]| list.iter().map(|&x| f64::from(x as f32)).collect::<Vec<_>>();
    // f32 cannot represent 1e150.
    let batch = &batch[..batch.len() - 1];
    let host: Vec<f64> = batch.iter().flat_map(|(d, e)| tridiagonal_eigenvalues(&single(d), &single(e))).collect();
    assert_eq!(device_eigenvalues(batch, |x| x as f32, "f32", 64, Order::Shuffled(3)), host);
}
