//! `widen.cu`: conversion of weights, casts, and the search for elements that are not finite.

use half::{bf16, f16};
use htsr::checkpoint::{Cast, FloatType};
use htsr::internals::MatrixView;
use kernel_emulator::abi::{self, ElementScan};
use kernel_emulator::{Order, Untyped};

use super::{ORDERS, emulated, run};

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
