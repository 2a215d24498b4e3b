//! The peak rates of GPUs: copies from page-locked memory, and products by cuBLAS in the arithmetics of the engine.
//!
//! Time is the host's, around a stream that is synchronized before and after. Products grow until they take long enough
//! for that to be exact; their factors are random, because a GPU that multiplies zeros draws less power and clocks higher.

use std::sync::Arc;
use std::time::Instant;

use super::sys::blas::{Blas, GramBlock, Layout, Product};
use super::sys::context::Context;
use super::sys::error::{CallError, Result};
use super::sys::memory::{DeviceMemory, PinnedMemory};
use super::sys::scalar::Scalar;
use super::sys::stream::Stream;
use crate::device::Ceilings;
use crate::device::ceilings::product_flops;

/// Runs; the best counts.
const ROUNDS: usize = 3;
/// Copies or products that one run enqueues.
const REPEATS: usize = 4;
const COPY_BYTES: usize = 64 << 20;
/// Orders of products, the smallest and the largest.
const ORDERS: [usize; 2] = [256, 8192];
/// Products that take this long are large enough.
const ENOUGH_SECONDS: f64 = 0.01;

/// Measures all GPUs at the same time, and adds up.
pub fn measure<'c>(contexts: impl Iterator<Item = &'c Arc<Context>>) -> Result<Ceilings> {
    let rates = std::thread::scope(|scope| {
        let threads: Vec<_> = contexts.map(|context| scope.spawn(|| Rates::of(context))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Result<Vec<Rates>>>()
    })?;
    let sum = |rate: fn(&Rates) -> f64| rates.iter().map(rate).sum::<f64>() / 1e9;
    Ok(Ceilings {
        measured_with: format!("{} GPU{}", rates.len(), if rates.len() == 1 { "" } else { "s" }),
        copy: "page-locked memory to GPU",
        copy_gb_per_s: sum(|rates| rates.copy_bytes),
        gemm_f32_gflops: sum(|rates| rates.f32_flops),
        gemm_f64_gflops: sum(|rates| rates.f64_flops),
        gemm_bf16_gflops: Some(sum(|rates| rates.bf16_flops)),
    })
}

/// What a GPU does per second.
struct Rates {
    copy_bytes: f64,
    f32_flops: f64,
    f64_flops: f64,
    bf16_flops: f64,
}

impl Rates {
    fn of(context: &Arc<Context>) -> Result<Rates> {
        let stream = Stream::new(context)?;
        let blas = Blas::new(&stream)?;
        Ok(Rates {
            copy_bytes: copy_rate(&stream)?,
            f32_flops: product_rate::<f32>(&stream, &blas, Product::F32)?,
            f64_flops: product_rate::<f64>(&stream, &blas, Product::F64)?,
            bf16_flops: product_rate::<f32>(&stream, &blas, Product::Bf16)?,
        })
    }
}

/// Bytes per second.
fn copy_rate(stream: &Stream) -> Result<f64> {
    let source = PinnedMemory::new(stream.context(), COPY_BYTES)?;
    let target = DeviceMemory::new(stream.context(), COPY_BYTES as u64)?;
    let seconds = best_seconds(stream, || stream.copy_from_pinned(target.first(COPY_BYTES), &source))?;
    Ok(COPY_BYTES as f64 / seconds)
}

/// Floating-point operations per second, of the orders that fit into memory.
fn product_rate<T: Scalar>(stream: &Stream, blas: &Blas, product: Product) -> Result<f64> {
    let (mut n, [_, largest]) = (ORDERS[0], ORDERS);
    let mut best: f64 = 0.0;
    loop {
        let seconds = match product_seconds::<T>(stream, blas, product, n) {
            Err(CallError { out_of_memory: Some(_), .. }) if best > 0.0 => return Ok(best),
            seconds => seconds?,
        };
        best = best.max(product_flops(n) / seconds);
        n *= 2;
        if n > largest || seconds > ENOUGH_SECONDS {
            return Ok(best);
        }
    }
}

fn product_seconds<T: Scalar>(stream: &Stream, blas: &Blas, product: Product, n: usize) -> Result<f64> {
    let words = noise(product, n * n * product.factor_bytes() / size_of::<u64>());
    let factor = DeviceMemory::new(stream.context(), size_of_val(words.as_slice()) as u64)?;
    let result = DeviceMemory::new(stream.context(), (n * n * size_of::<T>()) as u64)?;
    stream.upload(factor.all(), &words)?;
    let block = GramBlock { product, layout: Layout::Rows, rows: n, columns: n, data: factor.all() };
    best_seconds(stream, || blas.add_gram_strip(block, 0..n, 0..n, result.all::<T>(), false))
}

/// The least time, for one of them, in which work enqueued by `enqueue` was done.
fn best_seconds(stream: &Stream, enqueue: impl Fn() -> Result<()>) -> Result<f64> {
    // Once before: libraries load their kernels at the first call.
    enqueue()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        stream.synchronize()?;
        let start = Instant::now();
        (0..REPEATS).try_for_each(|_| enqueue())?;
        stream.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64() / REPEATS as f64);
    }
    Ok(best)
}

/// Factors of a product: random signs and mantissas, with absolute values in [1, 2), packed into words.
fn noise(product: Product, words: usize) -> Vec<u64> {
    // The bits of a word that are random, and the exponents of its numbers.
    let (random, one) = match product {
        Product::Bf16 => (0x807f_807f_807f_807f, 0x3f80_3f80_3f80_3f80),
        Product::F16 => (0x83ff_83ff_83ff_83ff, 0x3c00_3c00_3c00_3c00),
        Product::F32 => (0x807f_ffff_807f_ffff, 0x3f80_0000_3f80_0000),
        Product::F64 => (0x800f_ffff_ffff_ffff, 0x3ff0_0000_0000_0000),
    };
    let mut rng = fastrand::Rng::with_seed(1);
    (0..words).map(|_| rng.u64(..) & random | one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn factors_are_numbers_between_one_and_two() {
        let parts = |product, count: u32| -> Vec<u64> {
            let part = move |word: u64| (0..count).map(move |part| word.rotate_right(part * (64 / count)));
            noise(product, 100).into_iter().flat_map(part).collect()
        };
        let check = |values: Vec<f64>| {
            assert!(values.iter().all(|value| (1.0..2.0).contains(&value.abs())));
            assert!(values.iter().any(|&value| value < 0.0) && values.iter().any(|&value| value > 0.0));
        };
        check(parts(Product::Bf16, 4).iter().map(|&bits| bf16::from_bits(bits as u16).to_f64()).collect());
        check(parts(Product::F16, 4).iter().map(|&bits| f16::from_bits(bits as u16).to_f64()).collect());
        check(parts(Product::F32, 2).iter().map(|&bits| f32::from_bits(bits as u32).into()).collect());
        check(parts(Product::F64, 1).iter().map(|&bits| f64::from_bits(bits)).collect());
    }
}
