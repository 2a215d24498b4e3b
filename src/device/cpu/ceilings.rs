//! The peak rates of a CPU with one thread per lane. Each thread runs its own copy or product, as each lane runs its own solve.

use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::traits::RealField;
use faer::{Accum, MatMut, MatRef, Par};

use crate::device::Ceilings;
use crate::device::ceilings::product_flops;
use crate::error::{Error, Result};

/// Number of runs; the fastest counts.
const ROUNDS: usize = 5;
/// Bytes that each thread copies: more than fit into caches.
const COPY_BYTES: usize = 32 << 20;
/// Order of the factors of a product.
const ORDER: usize = 1024;

pub(super) fn measure(threads: usize) -> Result<Ceilings> {
    let copies = vec![(vec![1_u8; COPY_BYTES], vec![0_u8; COPY_BYTES]); threads];
    let copy_seconds = best_seconds(copies, |(source, target)| target.copy_from_slice(source))?;
    let products = threads as f64 * product_flops(ORDER) / 1e9;
    Ok(Ceilings {
        measured_with: format!("{threads} thread{}", if threads == 1 { "" } else { "s" }),
        copy: "memory to memory",
        copy_gb_per_s: (threads * COPY_BYTES) as f64 / 1e9 / copy_seconds,
        gemm_f32_gflops: products / product_seconds::<f32>(threads)?,
        gemm_f64_gflops: products / product_seconds::<f64>(threads)?,
        gemm_bf16_gflops: None,
    })
}

/// Seconds until every thread has multiplied two matrices of order [`ORDER`].
fn product_seconds<T: RealField + Copy + From<f32>>(threads: usize) -> Result<f64> {
    let mut rng = fastrand::Rng::with_seed(1);
    let factor: Vec<T> = (0..ORDER * ORDER).map(|_| T::from(rng.f32() - 0.5)).collect();
    let factor = MatRef::from_column_major_slice(&factor, ORDER, ORDER);
    let products = vec![vec![T::from(0.0); ORDER * ORDER]; threads];
    best_seconds(products, |product| {
        let product = MatMut::from_column_major_slice_mut(product, ORDER, ORDER);
        matmul(product, Accum::Replace, factor, factor, T::from(1.0), Par::Seq);
    })
}

/// The shortest time to do `work` on all `states`, each on its own thread.
fn best_seconds<S: Send>(mut states: Vec<S>, work: impl Fn(&mut S) + Sync) -> Result<f64> {
    let work = &work;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let spawn = |state| std::thread::Builder::new().spawn_scoped(scope, move || work(state)).map(drop);
            states.iter_mut().try_for_each(spawn)
        })
        .map_err(|error| Error::device(format!("cannot start a thread: {error}")).hint("use fewer §threads"))?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
