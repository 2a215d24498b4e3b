//! Our own kernels: compiled for the GPU at hand, kept for the next time, and launched with checked buffers.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;

use super::compile;
use super::driver::{Context, DeviceMemory, Fault, Function, Module, Result, Shape, Stream};
use super::products::ProductKernels;
use super::solver::Real;
use super::two_stage::Reduction;
use crate::checkpoint::{Cast, FloatType};
use crate::error::Error;
use crate::fit::Rule;

/// Threads of a block, for kernels that stride over their work.
const THREADS: u32 = 256;
/// Threads of a block of the bisection: that many eigenvalues share a tile of the matrix.
const BISECTION_THREADS: u32 = 64;
/// Blocks that take the columns of a Gram matrix between them; fixed, so that the sums do not depend on the GPU.
pub(super) const SUM_BLOCKS: u32 = 64;
/// Blocks that a multiprocessor is kept busy with, where the result does not depend on it.
const BLOCKS_PER_PROCESSOR: u32 = 8;

/// Which elements a kernel reads: `majors` runs of `minors` elements, of which run r begins at element first + r * pitch of
/// its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runs {
    pub majors: usize,
    pub minors: usize,
    pub first: usize,
    pub pitch: usize,
}

/// Where widened elements go: element `minor` of run `major` to offset + major * major + minor * minor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strides {
    pub offset: usize,
    pub major: usize,
    pub minor: usize,
}

/// What a kernel launches with, beside its parameters.
macro_rules! launch {
    ($stream:expr, $function:expr, $shape:expr, $($parameter:expr),* $(,)?) => {
        // One expression: parameters that are computed here live until it ends.
        // SAFETY: the parameters have the types of the kernel's, as its source shows, and every address comes from a range
        // that was checked to hold what the kernel touches; the memory outlives the stream's work.
        unsafe {
            $stream.launch($function, $shape, &mut [$(std::ptr::from_ref(&$parameter).cast_mut().cast::<c_void>()),*])
        }
    };
}
pub(super) use launch;

/// The rules that `alpha_fit.cu` knows, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelRule {
    Peak = 0,
    Median = 1,
    Ks = 2,
}

impl KernelRule {
    /// `None` for a rule that is fitted on the host.
    pub fn of(rule: Rule) -> Option<KernelRule> {
        match rule {
            Rule::Peak => Some(KernelRule::Peak),
            Rule::Median => Some(KernelRule::Median),
            Rule::Ks => Some(KernelRule::Ks),
            Rule::PeakRobust => None,
        }
    }
}

/// Where the kernels for a type stand among those for all.
pub(super) fn type_index(dtype: FloatType) -> usize {
    match dtype {
        FloatType::BF16 => 0,
        FloatType::F16 => 1,
        FloatType::F32 => 2,
        FloatType::F64 => 3,
    }
}

/// The number of a cast in `weights.cuh`.
pub(super) fn cast_code(cast: Cast) -> u32 {
    match cast {
        Cast::None => 0,
        Cast::Fp16 => 1,
        Cast::Bf16 => 2,
    }
}

/// The spectra of a batch, concatenated, and the space in which they are fitted.
#[derive(Debug)]
pub(super) struct FitBuffers {
    /// Values, logarithms, suffix sums, alphas and distances: 8 bytes each.
    pub values: DeviceMemory,
    logs: DeviceMemory,
    suffix: DeviceMemory,
    alphas: DeviceMemory,
    distances: DeviceMemory,
    /// Where each spectrum begins.
    pub offsets: DeviceMemory,
    /// Three doubles a spectrum: see `Accuracy` in the kernel.
    pub accuracies: DeviceMemory,
    plans: DeviceMemory,
    /// Three doubles a spectrum: alpha, D, and start and status as two unsigned integers.
    pub fits: DeviceMemory,
}

impl FitBuffers {
    /// Room for `spectra` spectra with `values` values together.
    pub fn new(context: &Arc<Context>, spectra: usize, values: usize) -> Result<FitBuffers> {
        let doubles = |count: usize| DeviceMemory::new(context, count as u64 * 8);
        Ok(FitBuffers {
            values: doubles(values)?,
            logs: doubles(values)?,
            suffix: doubles(values)?,
            alphas: doubles(values)?,
            distances: doubles(values)?,
            offsets: doubles(spectra + 1)?,
            accuracies: doubles(3 * spectra)?,
            plans: doubles(2 * spectra)?,
            fits: doubles(3 * spectra)?,
        })
    }

    /// Bytes that [`FitBuffers::new`] allocates.
    pub fn bytes(spectra: usize, values: usize) -> u64 {
        8 * (5 * values + 9 * spectra + 1) as u64
    }
}

/// The loaded kernels of a GPU.
#[derive(Debug)]
pub(super) struct Kernels {
    fit_prepare: Function,
    fit_distances: Function,
    fit_select: Function,
    sturm_bounds: [Function; 2],
    sturm_bisect: [Function; 2],
    gram_sums: [Function; 2],
    mirror: [Function; 2],
    pub reduction: Reduction,
    clear_below_diagonal: Function,
    /// By type in the file, then by type of the computation.
    widen: [[Function; 2]; 4],
    scan_bf16: Function,
    scan_f16: Function,
    pub products: ProductKernels,
    /// Blocks that keep the GPU busy.
    blocks: u32,
    /// Functions live as long as these.
    _modules: Vec<Module>,
}

impl Kernels {
    /// Compiles or finds the kernels for a GPU.
    ///
    /// # Errors
    ///
    /// If they cannot be compiled, or the driver refuses them.
    pub fn load(context: &Arc<Context>) -> Result<Kernels, Error> {
        let mut modules = Vec::new();
        for source in &compile::SOURCES {
            modules.push(compile::module(context, source)?);
        }
        let get = |name| {
            let missing = || Fault { call: "cuModuleGetFunction", status: format!("no {name:?}"), out_of_memory: None };
            // A kernel stands in one of the modules; a failure other than that stops the search.
            let index = compile::SOURCES.iter().position(|source| source.defines(name)).ok_or_else(missing)?;
            modules[index].function(name)
        };
        let load = || -> Result<Kernels> {
            let blocks = BLOCKS_PER_PROCESSOR * context.processors()?.max(1);
            Ok(Kernels {
                fit_prepare: get(c"fit_prepare")?,
                fit_distances: get(c"fit_distances")?,
                fit_select: get(c"fit_select")?,
                sturm_bounds: [get(c"sturm_bounds_f32")?, get(c"sturm_bounds_f64")?],
                sturm_bisect: [get(c"sturm_bisect_f32")?, get(c"sturm_bisect_f64")?],
                mirror: [get(c"mirror_f32")?, get(c"mirror_f64")?],
                gram_sums: [get(c"gram_sums_f32")?, get(c"gram_sums_f64")?],
                reduction: Reduction::load(context.processors()?, get)?,
                clear_below_diagonal: get(c"clear_below_diagonal")?,
                widen: [
                    [get(c"widen_bf16_f32")?, get(c"widen_bf16_f64")?],
                    [get(c"widen_f16_f32")?, get(c"widen_f16_f64")?],
                    [get(c"widen_f32_f32")?, get(c"widen_f32_f64")?],
                    [get(c"widen_f64_f32")?, get(c"widen_f64_f64")?],
                ],
                scan_bf16: get(c"scan_bf16")?,
                scan_f16: get(c"scan_f16")?,
                products: ProductKernels::load(get, blocks)?,
                blocks,
                _modules: Vec::new(),
            })
        };
        let loaded = load().map_err(|fault| super::device_error(&fault))?;
        Ok(Kernels { _modules: modules, ..loaded })
    }

    /// A grid that covers runs of elements, but no more blocks than the GPU keeps busy.
    fn over(&self, runs: Runs) -> Shape {
        let across = runs.minors.div_ceil(THREADS as usize).min(self.blocks as usize) as u32;
        let down = runs.majors.min((self.blocks / across).max(1) as usize) as u32;
        Shape { grid: [across, down, 1], threads: THREADS, shared_bytes: 0 }
    }

    /// Looks at the elements of `source`; `scan` is entry number `index` of two integers each.
    pub fn scan(
        &self,
        stream: &Stream,
        dtype: FloatType,
        runs: Runs,
        source: &DeviceMemory,
        scan: (&DeviceMemory, usize),
    ) -> Result<()> {
        let function = if dtype == FloatType::F16 { &self.scan_f16 } else { &self.scan_bf16 };
        let Runs { majors, minors, first, pitch } = runs;
        let source = source.range(0, majors * minors * dtype.bytes());
        let scan = scan.0.range(scan.1 * 16, 16);
        let [majors, minors, first, pitch] = [majors, minors, first, pitch].map(|count| count as u64);
        launch!(stream, function, self.over(runs), source, majors, minors, first, pitch, scan)
    }

    /// Widens the elements of `source` into `target`, scaled and cast; `scan` is entry number `index`.
    #[allow(clippy::too_many_arguments)] // as many as the operation has
    pub fn widen(
        &self,
        stream: &Stream,
        dtype: FloatType,
        (cast, scale): (Cast, f64),
        runs: Runs,
        source: &DeviceMemory,
        real: Real,
        target: &DeviceMemory,
        strides: Strides,
        scan: (&DeviceMemory, usize),
    ) -> Result<()> {
        let function = &self.widen[type_index(dtype)][real as usize];
        let Runs { majors, minors, first, pitch } = runs;
        let source = source.range(0, majors * minors * dtype.bytes());
        let last = (majors - 1) * strides.major + (minors - 1) * strides.minor;
        let target = target.range(strides.offset * real.bytes(), (last + 1) * real.bytes());
        let scan = scan.0.range(scan.1 * 16, 16);
        let cast = cast_code(cast);
        let [majors, minors, first, pitch, major_stride, minor_stride] =
            [majors, minors, first, pitch, strides.major, strides.minor].map(|count| count as u64);
        launch!(
            stream,
            function,
            self.over(runs),
            source,
            majors,
            minors,
            first,
            pitch,
            cast,
            scale,
            target,
            major_stride,
            minor_stride,
            scan
        )
    }

    /// [`SUM_BLOCKS`] pairs of sums (trace, squares) for each of `batch` full n x n matrices.
    pub fn gram_sums(
        &self,
        stream: &Stream,
        real: Real,
        n: usize,
        batch: usize,
        matrices: &DeviceMemory,
        sums: &DeviceMemory,
    ) -> Result<()> {
        let matrices = matrices.range(0, batch * n * n * real.bytes());
        let sums = sums.range(0, batch * SUM_BLOCKS as usize * 16);
        let shape = Shape { grid: [SUM_BLOCKS, batch as u32, 1], threads: THREADS, shared_bytes: THREADS * 16 };
        launch!(stream, &self.gram_sums[real as usize], shape, matrices, n as u32, sums)
    }

    /// The upper halves of `batch` n x n matrices from their lower ones.
    pub fn mirror(&self, stream: &Stream, real: Real, n: usize, batch: usize, matrices: &DeviceMemory) -> Result<()> {
        let matrices = matrices.range(0, batch * n * n * real.bytes());
        let tiles = (n as u32).div_ceil(32);
        let shape = Shape {
            grid: [tiles, tiles, batch as u32],
            threads: THREADS,
            shared_bytes: (32 * 33 * real.bytes()) as u32,
        };
        launch!(stream, &self.mirror[real as usize], shape, matrices, n as u32)
    }

    /// Zeros below the diagonal of the n x n triangle with columns `stride` apart.
    pub fn clear_below_diagonal(&self, stream: &Stream, [n, stride]: [usize; 2], matrix: &DeviceMemory) -> Result<()> {
        let matrix = matrix.range(0, ((n - 1) * stride + n) * 8);
        let shape = Shape { grid: [(n as u32).min(self.blocks), 1, 1], threads: THREADS, shared_bytes: 0 };
        launch!(stream, &self.clear_below_diagonal, shape, matrix, n as u32, stride as u64)
    }

    /// All eigenvalues of `batch` tridiagonal matrices of order n, in f64, into `fit.values`; `fit.offsets` says where each
    /// begins, in all buffers.
    pub fn sturm(
        &self,
        stream: &Stream,
        real: Real,
        [n, batch]: [usize; 2],
        (diagonal, subdiagonal): (&DeviceMemory, &DeviceMemory),
        intervals: &DeviceMemory,
        fit: &FitBuffers,
    ) -> Result<()> {
        let diagonal = diagonal.range(0, batch * n * real.bytes());
        let subdiagonal = subdiagonal.range(0, batch * n * real.bytes());
        let offsets = fit.offsets.range(0, (batch + 1) * 8);
        let intervals = intervals.range(0, batch * 24);
        let values = fit.values.range(0, batch * n * 8);
        let shape = Shape { grid: [batch as u32, 1, 1], threads: THREADS, shared_bytes: THREADS * 24 };
        launch!(stream, &self.sturm_bounds[real as usize], shape, diagonal, subdiagonal, offsets, intervals)?;
        let grid = [(n as u32).div_ceil(BISECTION_THREADS), batch as u32, 1];
        let shape = Shape { grid, threads: BISECTION_THREADS, shared_bytes: BISECTION_THREADS * 16 };
        launch!(stream, &self.sturm_bisect[real as usize], shape, diagonal, subdiagonal, offsets, intervals, values)
    }

    /// Fits `batch` spectra of n values each, which stand in `fit` with their offsets and accuracies.
    pub fn fit(&self, stream: &Stream, rule: KernelRule, [n, batch]: [usize; 2], fit: &FitBuffers) -> Result<()> {
        let vectors = [&fit.values, &fit.logs, &fit.suffix, &fit.alphas, &fit.distances];
        let [values, logs, suffix, alphas, distances] = vectors.map(|vector| vector.range(0, batch * n * 8));
        let offsets = fit.offsets.range(0, (batch + 1) * 8);
        let accuracies = fit.accuracies.range(0, batch * 24);
        let plans = fit.plans.range(0, batch * 16);
        let fits = fit.fits.range(0, batch * 24);
        let rule = rule as u32;
        let batch = batch as u32;
        let shape = Shape { grid: [batch, 1, 1], threads: THREADS, shared_bytes: THREADS * 16 + 103 * 4 };
        launch!(stream, &self.fit_prepare, shape, values, offsets, accuracies, rule, logs, suffix, plans)?;
        // A warp per candidate, in as many rounds as it takes.
        let grid = [(n as u32).div_ceil(THREADS / 32).min(self.blocks), batch, 1];
        let shape = Shape { grid, threads: THREADS, shared_bytes: 0 };
        launch!(
            stream,
            &self.fit_distances,
            shape,
            values,
            offsets,
            accuracies,
            logs,
            suffix,
            plans,
            alphas,
            distances
        )?;
        let shape = Shape { grid: [batch, 1, 1], threads: THREADS, shared_bytes: THREADS * 12 };
        launch!(stream, &self.fit_select, shape, offsets, plans, alphas, distances, fits)
    }
}
