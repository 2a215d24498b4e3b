//! Benchmarks of each stage: Gram matrix, eigenvalues, fit, metrics, and the whole pipeline.
//!
//! `cargo bench -- eigenvalues` runs one stage; HTSR_BENCH_SIZES=256,2048 chooses the sizes.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use htsr::Scorer;
use htsr::checkpoint::{Cast, Checkpoint, FloatType};
use htsr::device::Cpu;
use htsr::device::Method;
use htsr::fit::{Rule, fit};
use htsr::internals::{
    AnalyzedMatrix, Level, MatrixView, SyntheticModel, analyze, gram_matrix, measure, symmetric_eigenvalues,
};
use htsr::matrices::{Catalog, Selection};
use htsr::metrics::MetricSelection;
use htsr::spectrum::Spectrum;

fn sizes() -> Vec<usize> {
    let text = std::env::var("HTSR_BENCH_SIZES").unwrap_or_else(|_| "256,512,1024".into());
    text.split(',').map(|size| size.trim().parse().expect("HTSR_BENCH_SIZES holds numbers")).collect()
}

/// Returns a bf16 matrix of roughly normal numbers as bytes.
fn weights(rows: usize, cols: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut value = || (0..6).map(|_| rng.f64() - 0.5).sum::<f64>();
    (0..rows * cols).flat_map(|_| bf16::from_f64(value()).to_le_bytes()).collect()
}

fn gram(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gram");
    for n in sizes() {
        let bytes = weights(2 * n, n);
        let view = MatrixView::new(&bytes, FloatType::BF16, Cast::None, 2 * n, n);
        // The element count is the number of multiplications and additions for the lower triangle.
        group.throughput(Throughput::Elements((2 * n * n * n) as u64));
        let mut double = vec![0.0_f64; n * n];
        group.bench_function(BenchmarkId::new("cpu/f64", n), |bench| {
            bench.iter(|| gram_matrix(&view, black_box(&mut double), Level::widest(), 1));
        });
        let mut single = vec![0.0_f32; n * n];
        group.bench_function(BenchmarkId::new("cpu/f32", n), |bench| {
            bench.iter(|| gram_matrix(&view, black_box(&mut single), Level::widest(), 1));
        });
    }
}

fn eigenvalues(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("eigenvalues");
    for n in sizes() {
        let bytes = weights(2 * n, n);
        let view = MatrixView::new(&bytes, FloatType::BF16, Cast::None, 2 * n, n);
        let mut double = vec![0.0_f64; n * n];
        gram_matrix(&view, &mut double, Level::widest(), 1).expect("memory for the Gram matrix");
        let single: Vec<f32> = double.iter().map(|&x| x as f32).collect();
        group.throughput(Throughput::Elements((4 * n * n * n / 3) as u64));
        group.bench_function(BenchmarkId::new("cpu/f64", n), |bench| {
            bench.iter(|| symmetric_eigenvalues(&double, Level::widest(), 1));
        });
        group.bench_function(BenchmarkId::new("cpu/f32", n), |bench| {
            bench.iter(|| symmetric_eigenvalues(&single, Level::widest(), 1));
        });
    }
}

fn fits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit");
    for n in sizes() {
        let mut rng = fastrand::Rng::with_seed(1);
        let values: Vec<f64> = (0..n).map(|_| (1.0 - rng.f64()).powf(-0.6)).collect();
        let trace = values.iter().sum();
        let spectrum = Spectrum::from_gram(values, trace, f64::EPSILON).expect("consistent by construction");
        group.throughput(Throughput::Elements(n as u64));
        for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
            group.bench_function(BenchmarkId::new(format!("cpu/{rule}"), n), |bench| {
                bench.iter(|| fit(black_box(&spectrum), rule));
            });
        }
    }
}

/// All metrics of the matrices that `pipeline` scores, to compare their cost with that of scoring.
fn metrics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    for hidden in sizes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        SyntheticModel { layers: 2, hidden }.write(folder.path(), |_, _| true).expect("disk space");
        let checkpoint = Checkpoint::open(folder.path()).expect("just written");
        let Catalog { matrices, .. } = Catalog::new(&checkpoint, &Selection::default());
        let method = Method::default();
        let outcomes = analyze(&checkpoint, &matrices, method, &Cpu::new(None), &()).expect("a CPU");
        let all: MetricSelection = "all".parse().expect("a list of metrics");
        group.bench_function(BenchmarkId::new("cpu/peak", hidden), |bench| {
            bench.iter(|| {
                for (matrix, outcome) in matrices.iter().zip(&outcomes) {
                    black_box(measure(&all, &AnalyzedMatrix::new(matrix, method.rule, black_box(outcome))));
                }
            });
        });
    }
}

fn pipeline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline");
    for hidden in sizes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        SyntheticModel { layers: 2, hidden }.write(folder.path(), |_, _| true).expect("disk space");
        let checkpoint = Checkpoint::open(folder.path()).expect("just written");
        group.throughput(Throughput::Bytes(checkpoint.bytes()));
        let scorer = Scorer::new();
        let device = Cpu::new(None);
        group.bench_function(BenchmarkId::new("cpu/f64/peak", hidden), |bench| {
            bench.iter(|| scorer.score_on(&checkpoint, &device, &(), &[]));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = gram, eigenvalues, fits, metrics, pipeline
}
criterion_main!(benches);
