//! Rates, from times and outcomes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Timing;
use crate::device::{Ceilings, Outcome};
use crate::matrices::WeightMatrix;

/// How fast matrices were analyzed, all together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Throughput {
    /// Number of matrices.
    pub matrices: usize,
    /// Their bytes in the file.
    pub bytes: u64,
    /// Seconds for all of them: the median of the runs.
    pub seconds: f64,
    /// Of the fastest run.
    pub seconds_min: f64,
    /// Of the slowest run.
    pub seconds_max: f64,
    /// Of each run, in order.
    pub seconds_of_runs: Vec<f64>,
    /// Matrices per second.
    pub matrices_per_s: f64,
    /// Bytes of weights per second, in 10^9.
    pub gb_per_s: f64,
    /// Floating-point operations per second, in 10^9, as counted by [`WeightMatrix::flops`]; refinements are not
    /// counted.
    pub gflops: f64,
    /// Share of the measured peak of products in the arithmetic that the matrices ended in, f32 or f64: the time of
    /// their operations at that peak, over the time measured. None if no matrix has a spectrum.
    pub peak_share: Option<f64>,
    /// Number of matrices that ended in each precision, as named by [`Analysis::precision`](crate::device::Analysis).
    pub precisions: BTreeMap<&'static str, usize>,
    /// Number of matrices without an alpha.
    pub failed: usize,
}

impl Throughput {
    /// The rates of `matrices` with these `outcomes`.
    pub fn new(matrices: &[WeightMatrix], outcomes: &[Outcome], timing: &Timing, ceilings: &Ceilings) -> Throughput {
        let seconds = timing.median();
        let bytes = matrices.iter().map(WeightMatrix::stored_bytes).sum::<u64>();
        let flops = matrices.iter().map(WeightMatrix::flops).sum::<f64>();
        let mut precisions = BTreeMap::new();
        let mut seconds_at_peak = 0.0;
        for (matrix, analysis) in
            matrices.iter().zip(outcomes).filter_map(|(m, outcome)| Some((m, outcome.as_ref().ok()?)))
        {
            *precisions.entry(analysis.precision.as_str()).or_default() += 1;
            let single = analysis.precision.is_single();
            let peak = if single { ceilings.gemm_f32_gflops } else { ceilings.gemm_f64_gflops };
            seconds_at_peak += matrix.flops() / (1e9 * peak);
        }
        let has_alpha = |outcome: &&Outcome| outcome.as_ref().is_ok_and(|analysis| analysis.fit.is_ok());
        Throughput {
            matrices: matrices.len(),
            bytes,
            seconds,
            seconds_min: timing.min(),
            seconds_max: timing.max(),
            seconds_of_runs: timing.seconds().to_vec(),
            matrices_per_s: matrices.len() as f64 / seconds,
            gb_per_s: bytes as f64 / 1e9 / seconds,
            gflops: flops / 1e9 / seconds,
            peak_share: (!precisions.is_empty()).then_some(seconds_at_peak / seconds),
            failed: outcomes.len() - outcomes.iter().filter(has_alpha).count(),
            precisions,
        }
    }

    /// The precisions for people: `12 f32, 2 f32+chol`.
    pub fn ended_in(&self) -> String {
        self.precisions.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    }
}
