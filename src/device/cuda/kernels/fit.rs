//! `alpha_fit.cu`: the power-law fit of many spectra at once.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::{self, Candidates, DeviceAccuracy, DeviceFit, FIT_COUNTERS, THREADS, WARP};
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::{blocks, per_thread};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::stream::Stream;
use crate::fit::Rule;

parameters! {
    /// Logarithms, suffix sums, and the candidates of the rule.
    FitPrepare<'m> = KernelName::FitPrepare => {
        values: DeviceSlice<'m, f64>,
        offsets: DeviceSlice<'m, u64>,
        accuracies: DeviceSlice<'m, DeviceAccuracy>,
        rule: u32,
        logs: DeviceSlice<'m, f64>,
        suffix: DeviceSlice<'m, f64>,
        candidates: DeviceSlice<'m, Candidates>,
    }
}

parameters! {
    /// alpha and the KS distance of each candidate.
    FitDistances<'m> = KernelName::FitDistances => {
        values: DeviceSlice<'m, f64>,
        offsets: DeviceSlice<'m, u64>,
        accuracies: DeviceSlice<'m, DeviceAccuracy>,
        logs: DeviceSlice<'m, f64>,
        suffix: DeviceSlice<'m, f64>,
        candidates: DeviceSlice<'m, Candidates>,
        alphas: DeviceSlice<'m, f64>,
        distances: DeviceSlice<'m, f64>,
    }
}

parameters! {
    /// The best candidate.
    FitSelect<'m> = KernelName::FitSelect => {
        offsets: DeviceSlice<'m, u64>,
        candidates: DeviceSlice<'m, Candidates>,
        alphas: DeviceSlice<'m, f64>,
        distances: DeviceSlice<'m, f64>,
        fits: DeviceSlice<'m, DeviceFit>,
    }
}

/// The number of a rule in the kernels. `None` for a rule that is fitted on the host.
pub fn rule_code(rule: Rule) -> Option<u32> {
    match rule {
        Rule::Peak => Some(abi::RULE_PEAK),
        Rule::Median => Some(abi::RULE_MEDIAN),
        Rule::Ks => Some(abi::RULE_KS),
        Rule::PeakRobust => None,
    }
}

/// The spectra of a batch, concatenated, and the memory in which they are fitted.
#[derive(Debug, Clone, Copy)]
pub struct FitBuffers<'m> {
    /// Ascending values of each spectrum.
    pub values: DeviceSlice<'m, f64>,
    /// Where each spectrum begins in the vectors, and where the last ends.
    pub offsets: DeviceSlice<'m, u64>,
    pub accuracies: DeviceSlice<'m, DeviceAccuracy>,
    pub logs: DeviceSlice<'m, f64>,
    pub suffix: DeviceSlice<'m, f64>,
    pub candidates: DeviceSlice<'m, Candidates>,
    pub alphas: DeviceSlice<'m, f64>,
    pub distances: DeviceSlice<'m, f64>,
    pub fits: DeviceSlice<'m, DeviceFit>,
}

impl Kernels {
    /// Fits `batch` spectra of n values each by the rule of that number ([`rule_code`]).
    pub fn fit(&self, stream: &Stream, rule: u32, [n, batch]: [usize; 2], buffers: FitBuffers) -> Result<()> {
        let vectors = [buffers.values, buffers.logs, buffers.suffix, buffers.alphas, buffers.distances];
        let [values, logs, suffix, alphas, distances] = vectors.map(|vector| vector.part(0..batch * n));
        let (offsets, accuracies) = (buffers.offsets.part(0..batch + 1), buffers.accuracies.part(0..batch));
        let (candidates, fits) = (buffers.candidates.part(0..batch), buffers.fits.part(0..batch));
        let counters = FIT_COUNTERS as usize * size_of::<u32>();
        let shape = blocks([batch as u32, 1, 1], per_thread::<f64>(2) + counters);
        let prepare = FitPrepare { values, offsets, accuracies, rule, logs, suffix, candidates };
        // SAFETY: all buffers have `batch` spectra of n values, and the offsets were made for them.
        unsafe { self.launch(stream, shape, &prepare) }?;
        // A warp for each candidate, in several rounds if there are many.
        let grid = [n.div_ceil((THREADS / WARP) as usize).min(self.blocks()) as u32, batch as u32, 1];
        let find = FitDistances { values, offsets, accuracies, logs, suffix, candidates, alphas, distances };
        // SAFETY: as above; the candidates come from the kernel before.
        unsafe { self.launch(stream, blocks(grid, 0), &find) }?;
        let shape = blocks([batch as u32, 1, 1], per_thread::<f64>(1) + per_thread::<u32>(1));
        // SAFETY: as above.
        unsafe { self.launch(stream, shape, &FitSelect { offsets, candidates, alphas, distances, fits }) }
    }
}
