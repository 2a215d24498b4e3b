//! The CUDA kernels, emulated, against their references in Rust: every rule on unfriendly spectra, in ragged batches, with
//! several block sizes and orders of threads.

use std::io::Write;

use half::{bf16, f16};
use htsr::checkpoint::{Cast, FloatType};
use htsr::fit::{Fit, NoFit, Rule, fit};
use htsr::internals::{MatrixView, tridiagonal_eigenvalues};
use htsr::spectrum::{Accuracy, Spectrum};
use kernel_emulator::abi::{
    self, Candidates, CompensatedSum, DeviceAccuracy, DeviceFit, ElementScan, GramSums, Interval, WARP,
};
use kernel_emulator::{AVAILABLE, Argument, Launch, Order, Untyped, launch};

use crate::support::random;

pub const ORDERS: [Order; 4] = [Order::Forward, Order::Reverse, Order::Shuffled(1), Order::Shuffled(2)];

/// Returns false and prints a warning if the kernels could not be compiled. Under CI that is a failure.
pub fn emulated() -> bool {
    let message = "SKIPPED: the CUDA kernels cannot be emulated here; that takes Linux and a C++ compiler";
    assert!(AVAILABLE || std::env::var_os("CI").is_none(), "{message}");
    if !AVAILABLE {
        let _ = writeln!(std::io::stderr(), "\n{message}");
    }
    AVAILABLE
}

/// Launches a kernel with these arguments, whose types are compared with those of its parameters.
macro_rules! run {
    ($kernel:expr, $grid:expr, $block:expr, $shared:expr, $order:expr, $($parameter:expr),*) => {{
        let launch_of = Launch { grid: $grid, block: [$block, 1, 1], shared_bytes: $shared, order: $order };
        let arguments = [$(Argument::new(&$parameter)),*];
        // SAFETY: the buffers behind the arguments have the sizes of the batch.
        #[allow(unsafe_code)]
        unsafe { launch($kernel, &launch_of, &arguments) }.unwrap();
    }};
}
pub(crate) use run;

fn offsets(lengths: impl IntoIterator<Item = usize>) -> Vec<u64> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length as u64);
    }
    offsets
}

#[test]
fn a_wrong_launch_is_an_error() {
    if !emulated() {
        return;
    }
    let shape = Launch { grid: [1, 1, 1], block: [32, 1, 1], shared_bytes: 0, order: Order::Forward };
    let (matrix, n) = (std::ptr::null_mut::<f64>(), 0_u32);
    let arguments = [Argument::new(&matrix), Argument::new(&n)];
    // SAFETY: no call runs a kernel.
    #[allow(unsafe_code)]
    let [unknown, mistyped, missing, huge] = unsafe {
        [
            launch("nothing", &shape, &[]),
            launch("mirror_f32", &shape, &arguments),
            launch("mirror_f64", &shape, &arguments[..1]),
            launch("mirror_f64", &Launch { block: [2048, 1, 1], ..shape }, &arguments),
        ]
    };
    assert!(unknown.unwrap_err().contains("no kernel `nothing`"));
    assert!(mistyped.unwrap_err().contains(r#"`mirror_f32` takes ["Pf", "j"], not ["Pd", "j"]"#));
    assert!(missing.unwrap_err().contains("`mirror_f64` takes"));
    assert!(huge.unwrap_err().contains("cannot be launched"));
}

// ---- alpha_fit.cu

/// Fits a batch on the emulated device.
fn device_fits(batch: &[Spectrum], rule: Rule, threads: u32, order: Order) -> Vec<DeviceFit> {
    let offsets = offsets(batch.iter().map(Spectrum::len));
    let values: Vec<f64> = batch.iter().flat_map(|spectrum| spectrum.values().iter().copied()).collect();
    let accuracy = |spectrum: &Spectrum| {
        let Accuracy { eta, delta, smallest, .. } = spectrum.accuracy();
        DeviceAccuracy { eta, delta, smallest: smallest.unwrap_or(-1.0) }
    };
    let accuracies: Vec<DeviceAccuracy> = batch.iter().map(accuracy).collect();
    let total = values.len();
    let (mut logs, mut suffix) = (vec![f64::NAN; total], vec![f64::NAN; total]);
    let (mut alphas, mut distances) = (vec![f64::NAN; total], vec![f64::NAN; total]);
    let unset = Candidates { begin: u32::MAX, end: u32::MAX, status: u32::MAX, unused: u32::MAX };
    let mut candidates = vec![unset; batch.len()];
    let mut fits = vec![DeviceFit::default(); batch.len()];
    let rule = match rule {
        Rule::Peak => abi::RULE_PEAK,
        Rule::Median => abi::RULE_MEDIAN,
        Rule::Ks => abi::RULE_KS,
        other => unreachable!("{other} is fitted on the host"),
    };
    let blocks = batch.len() as u32;
    let (values, offsets, accuracies) = (values.as_ptr(), offsets.as_ptr(), accuracies.as_ptr());
    let (logs, suffix, found) = (logs.as_mut_ptr(), suffix.as_mut_ptr(), candidates.as_mut_ptr());
    let (alphas, distances, results) = (alphas.as_mut_ptr(), distances.as_mut_ptr(), fits.as_mut_ptr());
    let wide = threads as usize * 2 * size_of::<f64>() + abi::FIT_COUNTERS as usize * size_of::<u32>();
    let narrow = threads as usize * (size_of::<f64>() + size_of::<u32>());
    run!("fit_prepare", [blocks, 1, 1], threads, wide, order, values, offsets, accuracies, rule, logs, suffix, found);
    run!(
        "fit_distances",
        [3, blocks, 1],
        threads,
        0,
        order,
        values,
        offsets,
        accuracies,
        logs,
        suffix,
        found,
        alphas,
        distances
    );
    run!("fit_select", [blocks, 1, 1], threads, narrow, order, offsets, found, alphas, distances, results);
    fits
}

fn spectrum(values: Vec<f64>) -> Spectrum {
    let trace = values.iter().sum();
    Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()
}

/// Spectra of all sizes around block edges, and of all difficult kinds.
fn unfriendly() -> Vec<Spectrum> {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut lognormal = |n: usize, sigma: f64, scale: f64| -> Vec<f64> {
        let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        (0..n).map(|_| scale * (sigma * normal()).exp()).collect()
    };
    let mut batch = Vec::new();
    for n in [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200] {
        batch.push(lognormal(n, 1.0, 1.0));
    }
    batch.push(lognormal(100, 0.01, 1.0));
    batch.push(lognormal(100, 1.0, 1e-300));
    batch.push(lognormal(100, 1.0, 1e290));
    batch.push(lognormal(100, 4.0, 1.0));
    batch.push(vec![3.0; 40]);
    batch.push(lognormal(50, 1.0, 1.0).into_iter().flat_map(|x| [x, x]).collect());
    let mut giant = lognormal(64, 0.1, 1.0);
    giant[5] = 1e9;
    batch.push(giant);
    for zeros in [1, 20, 39, 40] {
        let mut deficient = lognormal(41, 1.0, 1.0);
        deficient[..zeros].fill(0.0);
        batch.push(deficient);
    }
    let singular_values: Vec<f64> = lognormal(80, 3.0, 1.0);
    let squares = singular_values.iter().map(|s| s * s).sum();
    let mut batch: Vec<Spectrum> = batch.into_iter().map(spectrum).collect();
    batch.push(Spectrum::from_singular_values(&singular_values, squares, f64::EPSILON).unwrap());
    batch.push(spectrum(lognormal(50, 1.0, 1.0)).with_smallest(0.0, f64::EPSILON, 1e-8));
    let mut noise = lognormal(60, 1.0, 1.0);
    noise[..5].fill(0.0);
    batch.push(spectrum(noise).with_smallest(1e-6, f64::EPSILON, 1e-8));
    batch
}

fn agrees(host: &Result<Fit, NoFit>, device: &DeviceFit) -> bool {
    match host {
        Err(NoFit::TooFew(_)) => device.status == abi::FIT_TOO_FEW,
        Err(NoFit::RankDeficient { .. }) => device.status == abi::FIT_RANK_DEFICIENT,
        Err(NoFit::NoTail | NoFit::Unresolved) => device.status == abi::FIT_NO_TAIL,
        Err(other) => panic!("the device has no status for {other}"),
        Ok(fit) => {
            device.status == abi::FIT_OK
                && device.start as usize == fit.start
                && (device.alpha / fit.alpha - 1.0).abs() < 1e-11
                && (device.ks_distance - fit.ks_distance).abs() < 1e-11
        }
    }
}

#[test]
fn fits_are_those_of_the_host() {
    if !emulated() {
        return;
    }
    let batch = unfriendly();
    for rule in [Rule::Peak, Rule::Median, Rule::Ks] {
        let host: Vec<_> = batch.iter().map(|spectrum| fit(spectrum, rule)).collect();
        for threads in [32, 64, 256] {
            let device = device_fits(&batch, rule, threads, Order::Forward);
            for (index, (host, device)) in host.iter().zip(&device).enumerate() {
                assert!(agrees(host, device), "{rule}, {threads} threads, spectrum {index}: {host:?} {device:?}");
            }
        }
    }
}

#[test]
fn fits_depend_neither_on_the_order_of_threads_nor_on_the_batch() {
    if !emulated() {
        return;
    }
    let batch = unfriendly();
    for rule in [Rule::Peak, Rule::Median, Rule::Ks] {
        let together = device_fits(&batch, rule, 64, Order::Forward);
        for order in ORDERS {
            assert_eq!(device_fits(&batch, rule, 64, order), together, "{rule}, {order:?}");
        }
        for (index, spectrum) in batch.iter().enumerate() {
            let alone = device_fits(std::slice::from_ref(spectrum), rule, 64, Order::Forward);
            assert_eq!(alone[0], together[index], "{rule}, spectrum {index}");
        }
    }
}

#[test]
fn of_equal_distances_the_first_wins() {
    if !emulated() {
        return;
    }
    for n in [40_usize, 64, 100] {
        for first in [3, 31, 32, 38] {
            let offsets = [0, n as u64];
            let candidates = [Candidates { begin: 2, end: n as u32 - 1, status: abi::FIT_OK, unused: 0 }];
            let alphas: Vec<f64> = (0..n).map(|i| 2.0 + i as f64).collect();
            let distances: Vec<f64> = (0..n).map(|i| if i >= first { 0.25 } else { 0.5 }).collect();
            for order in ORDERS {
                let mut fits = [DeviceFit::default()];
                let (offsets, candidates) = (offsets.as_ptr(), candidates.as_ptr());
                let (alphas, distances) = (alphas.as_ptr(), distances.as_ptr());
                let results = fits.as_mut_ptr();
                run!("fit_select", [1, 1, 1], 32, 32 * 12, order, offsets, candidates, alphas, distances, results);
                let expected = DeviceFit {
                    alpha: 2.0 + first as f64,
                    ks_distance: 0.25,
                    start: first as u32,
                    status: abi::FIT_OK,
                };
                assert_eq!(fits[0], expected, "{n}, {order:?}");
            }
        }
    }
}

// ---- sturm.cu

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

// ---- widen.cu

/// The place of a block of elements in its tensor, and where its elements go.
#[derive(Clone, Copy)]
struct Block {
    majors: u64,
    minors: u64,
    first: u64,
    pitch: u64,
    cast: u32,
    scale: f64,
    strides: [u64; 2],
}

/// `count` elements in one run.
fn run_of(count: usize) -> Block {
    let count = count as u64;
    Block { majors: 1, minors: count, first: 0, pitch: count, cast: abi::CAST_NONE, scale: 1.0, strides: [count, 1] }
}

/// Widens bytes on the emulated device; returns the elements, the first that is not finite, and the largest size.
fn device_widen(source: &[u8], block: Block, kernel: &str, order: Order) -> (Vec<f64>, u64, f64) {
    let Block { majors, minors, first, pitch, cast, scale, strides: [major_stride, minor_stride] } = block;
    // Kernels expect aligned elements.
    let mut aligned = vec![0_u64; source.len().div_ceil(8)];
    aligned.iter_mut().zip(source.chunks(8)).for_each(|(to, from)| {
        let mut bytes = [0; 8];
        bytes[..from.len()].copy_from_slice(from);
        *to = u64::from_le_bytes(bytes);
    });
    let count = ((majors - 1) * major_stride + (minors - 1) * minor_stride + 1) as usize;
    let mut scan = ElementScan { first_bad: u64::MAX, largest: 0 };
    let (mut single, mut double) = (vec![f32::NAN; count], vec![f64::NAN; count]);
    let to_single = kernel.ends_with("f32");
    let (bytes, result) = (aligned.as_ptr().cast::<Untyped>(), &raw mut scan);
    if kernel.starts_with("scan") {
        run!(kernel, [2, 3, 1], 64, 0, order, bytes, majors, minors, first, pitch, result);
    } else {
        macro_rules! into {
            ($target:expr) => {{
                let target = $target.as_mut_ptr();
                let strides = (major_stride, minor_stride);
                run!(
                    kernel,
                    [2, 3, 1],
                    64,
                    0,
                    order,
                    bytes,
                    majors,
                    minors,
                    first,
                    pitch,
                    cast,
                    scale,
                    target,
                    strides.0,
                    strides.1,
                    result
                );
            }};
        }
        if to_single {
            into!(single);
        } else {
            into!(double);
        }
    }
    let elements = if to_single { single.into_iter().map(f64::from).collect() } else { double };
    (elements, scan.first_bad, f64::from_bits(scan.largest))
}

fn same(got: f64, expected: f64) -> bool {
    got == expected || (got.is_nan() && expected.is_nan())
}

#[test]
fn every_half_precision_number_is_widened_exactly() {
    if !emulated() {
        return;
    }
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let (halves, ..) = device_widen(&bytes, run_of(1 << 16), "widen_f16_f64", Order::Forward);
    let (brains, ..) = device_widen(&bytes, run_of(1 << 16), "widen_bf16_f32", Order::Forward);
    for bits in 0..=u16::MAX {
        assert!(same(halves[bits as usize], f16::from_bits(bits).to_f64()), "f16 {bits:#x}");
        assert!(same(brains[bits as usize], bf16::from_bits(bits).to_f64()), "bf16 {bits:#x}");
    }
}

#[test]
fn casts_are_those_of_the_host() {
    if !emulated() {
        return;
    }
    let mut rng = fastrand::Rng::with_seed(6);
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, 65504.0, 65519.999, 65520.0, 3.4e38, 3.39e38, 1e300, 5e-324];
    let mut values: Vec<f64> = special.to_vec();
    // All magnitudes, and for each format ties and their neighbors.
    values.extend((0..20_000).map(|_| f64::from_bits(rng.u64(..))));
    for _ in 0..5_000 {
        let (digits, exponent) = if rng.bool() { (10, rng.i32(-26..17)) } else { (7, rng.i32(-136..129)) };
        let tie = (f64::from(rng.u32(0..1 << digits)) + 0.5) * 2.0_f64.powi(exponent - digits);
        values.extend([tie, -tie, tie * (1.0 + f64::EPSILON), tie * (1.0 - f64::EPSILON / 2.0)]);
    }
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    for (code, cast) in [(abi::CAST_FP16, Cast::Fp16), (abi::CAST_BF16, Cast::Bf16)] {
        let mut host = vec![0.0_f64; values.len()];
        MatrixView::new(&bytes, FloatType::F64, cast, 1, values.len()).read_tall_rows(0..values.len(), 1.0, &mut host);
        let block = Block { cast: code, ..run_of(values.len()) };
        let (device, ..) = device_widen(&bytes, block, "widen_f64_f64", Order::Forward);
        for ((value, host), device) in values.iter().zip(&host).zip(&device) {
            assert!(same(*device, *host), "{cast} of {value:e}: {device:e} instead of {host:e}");
        }
    }
}

#[test]
fn widening_scales_and_finds_what_is_not_finite() {
    if !emulated() {
        return;
    }
    let mut values: Vec<f64> = (0..1000).map(|i| f64::from(i) - 700.25).collect();
    let encode = |values: &[f64]| -> [Vec<u8>; 2] {
        let single = values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
        [single, values.iter().flat_map(|x| x.to_le_bytes()).collect()]
    };
    // 25 runs of 40 elements out of rows of 100, from element 5 on, and transposed on the way.
    let block =
        Block { majors: 25, minors: 40, first: 5, pitch: 100, cast: abi::CAST_NONE, scale: 0.25, strides: [1, 25] };
    let expected: Vec<f64> = (0..1000).map(|at| values[at % 25 * 40 + at / 25] * 0.25).collect();
    for order in ORDERS {
        for (bytes, from) in encode(&values).iter().zip(["f32", "f64"]) {
            for to in ["f32", "f64"] {
                let kernel = format!("widen_{from}_{to}");
                let result = device_widen(bytes, block, &kernel, order);
                assert_eq!(result, (expected.clone(), u64::MAX, 700.25), "{kernel}");
            }
        }
    }
    (values[333], values[777]) = (f64::NAN, f64::NEG_INFINITY);
    for order in ORDERS {
        for (bytes, kernel) in encode(&values).iter().zip(["widen_f32_f64", "widen_f64_f32"]) {
            let (_, bad, largest) = device_widen(bytes, block, kernel, order);
            assert_eq!((bad, largest), (5 + 333 / 40 * 100 + 333 % 40, 700.25), "{kernel}, {order:?}");
        }
    }
}

#[test]
fn a_scan_finds_the_same_as_a_conversion() {
    if !emulated() {
        return;
    }
    let mut values: Vec<f32> = (0..600).map(|i| i as f32 - 300.5).collect();
    values[599] = f32::INFINITY;
    values[411] = f32::NAN;
    let block = Block { majors: 20, minors: 30, first: 7, pitch: 50, ..run_of(1) };
    let bad = 7 + 411 / 30 * 50 + 411 % 30;
    let halves: Vec<u8> = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let brains: Vec<u8> = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    let largest =
        |of: &dyn Fn(f32) -> f64| values.iter().map(|&x| of(x).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    for order in ORDERS {
        let (_, first, size) = device_widen(&halves, block, "scan_f16", order);
        assert_eq!((first, size), (bad, largest(&|x| f16::from_f32(x).to_f64())));
        let (_, first, size) = device_widen(&brains, block, "scan_bf16", order);
        assert_eq!((first, size), (bad, largest(&|x| bf16::from_f32(x).to_f64())));
    }
}

// ---- products.cu

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

// ---- gram.cu

fn unset_sums() -> GramSums {
    GramSums { trace: f64::NAN, squares: f64::NAN }
}

#[test]
fn trace_and_squares_of_a_batch_do_not_depend_on_the_order_of_threads() {
    if !emulated() {
        return;
    }
    for n in [1_usize, 2, 31, 32, 65] {
        let matrices: Vec<f64> = random(3 * n * n, n as u64);
        let single: Vec<f32> = matrices.iter().map(|&x| x as f32).collect();
        let (blocks, order_of) = (4_u32, n as u32);
        for order in ORDERS {
            let mut sums = vec![unset_sums(); 12];
            let (source, result) = (matrices.as_ptr(), sums.as_mut_ptr());
            run!("gram_sums_f64", [blocks, 3, 1], 64, 64 * 16, order, source, order_of, result);
            let mut single_sums = vec![unset_sums(); 12];
            let (source, result) = (single.as_ptr(), single_sums.as_mut_ptr());
            run!("gram_sums_f32", [blocks, 3, 1], 64, 64 * 16, order, source, order_of, result);
            for (index, matrix) in matrices.chunks(n * n).enumerate() {
                let expected =
                    [(0..n).map(|i| matrix[i * n + i]).sum::<f64>(), matrix.iter().map(|x| x * x).sum::<f64>()];
                for (sums, tolerance) in [(&sums, 1e-14), (&single_sums, 1e-6)] {
                    let parts = &sums[index * 4..][..4];
                    let trace = parts.iter().map(|part| part.trace).sum::<f64>();
                    let squares = parts.iter().map(|part| part.squares).sum::<f64>();
                    for (got, expected) in [trace, squares].into_iter().zip(expected) {
                        assert!((got - expected).abs() <= tolerance * (n as f64), "{n}: {got} {expected}");
                    }
                }
            }
            if order != Order::Forward {
                continue;
            }
            let forward = sums.clone();
            for other in ORDERS {
                let mut sums = vec![unset_sums(); 12];
                let (source, result) = (matrices.as_ptr(), sums.as_mut_ptr());
                run!("gram_sums_f64", [blocks, 3, 1], 64, 64 * 16, other, source, order_of, result);
                assert_eq!(sums, forward);
            }
        }
    }
}

#[test]
fn the_upper_halves_are_those_of_the_lower_ones() {
    if !emulated() {
        return;
    }
    for n in [1_usize, 2, 31, 32, 33, 70] {
        for order in ORDERS {
            let lower = |i: usize| if i % (n * n) / n <= i % n { i as f64 } else { f64::NAN };
            let mut double: Vec<f64> = (0..2 * n * n).map(lower).collect();
            let mut single: Vec<f32> = double.iter().map(|&x| x as f32).collect();
            let (tiles, order_of) = ((n as u32).div_ceil(WARP), n as u32);
            let numbers = (WARP * (WARP + 1)) as usize;
            let (of_double, of_single) = (double.as_mut_ptr(), single.as_mut_ptr());
            run!("mirror_f64", [tiles, tiles, 2], 64, numbers * 8, order, of_double, order_of);
            run!("mirror_f32", [tiles, tiles, 2], 64, numbers * 4, order, of_single, order_of);
            for i in 0..2 * n * n {
                let (column, row) = (i % (n * n) / n, i % n);
                let expected = (i / (n * n) * n * n + column.min(row) * n + column.max(row)) as f64;
                assert_eq!((double[i], f64::from(single[i])), (expected, expected), "{n} {row} {column}");
            }
        }
    }
}

#[test]
fn below_the_diagonal_all_becomes_zero() {
    if !emulated() {
        return;
    }
    for (n, stride) in [(1_usize, 1_usize), (5, 8), (33, 40)] {
        let mut matrix = vec![1.0_f64; n * stride];
        let (target, order_of, stride_of) = (matrix.as_mut_ptr(), n as u32, stride as u64);
        run!("clear_below_diagonal", [3, 1, 1], 32, 0, Order::Shuffled(5), target, order_of, stride_of);
        for column in 0..n {
            for row in 0..stride {
                let expected = if row > column && row < n { 0.0 } else { 1.0 };
                assert_eq!(matrix[column * stride + row], expected);
            }
        }
    }
}
