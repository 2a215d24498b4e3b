//! `htsr bench`: how many spectra per second, for people who benchmark.

mod args;
mod model;
mod sizes;

use std::path::Path;

use crate::bench::{self, Tensor, Throughput, Timing};
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Ceilings, Device, Method, Outcome, SolverChoice};
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;
use crate::pipeline;
use crate::report::{Benchmark, BenchmarkOptions, BenchmarkRow};
use tempfile::TempDir;

use super::Ending;
use super::args::open_device;
use super::interrupt;
use super::output::Output;
use super::printer::Printer;
use super::progress::Progress;
pub use args::BenchArgs;
use args::EngineArgs;

pub fn run(args: BenchArgs, printer: &Printer) -> Result<Ending> {
    let BenchArgs { sizes, model, engines, runs, output } = args;
    let output = Output::new(output)?;
    let bench = Bench::new(&engines, runs, model.model.is_none(), printer)?;
    let (work, measured) = match model.model {
        Some(shape) => model::run(shape, &model, &bench)?,
        None => sizes::run(&sizes, &bench)?,
    };
    let options = BenchmarkOptions {
        work,
        precisions: engines.precisions,
        solvers: engines.solvers.iter().map(ToString::to_string).collect(),
        lanes: engines.lanes,
        rule: engines.rule,
        device: engines.device.to_string(),
        runs: bench.runs,
    };
    let benchmark = Benchmark::new(bench.engines[0].device.name(), options, bench.ceilings, measured.rows);
    let written = output.write(&benchmark.document(), printer);
    printer.warnings(&measured.problems);
    written.map(|()| if measured.problems.is_empty() { Ending::Complete } else { Ending::Partial })
}

/// A device, set up in one of the ways to compare.
struct Engine {
    method: Method,
    solver: SolverChoice,
    lanes: Option<usize>,
    device: Box<dyn Device>,
}

/// What is the same for all matrices.
struct Bench<'a> {
    /// One at least; all on the same device.
    engines: Vec<Engine>,
    ceilings: Ceilings,
    warm_up: bool,
    runs: usize,
    printer: &'a Printer,
}

/// Rows of the results, and what is missing from them.
#[derive(Default)]
struct Measured {
    rows: Vec<BenchmarkRow>,
    problems: Vec<Error>,
}

impl<'a> Bench<'a> {
    fn new(args: &EngineArgs, runs: Option<u16>, warm_up: bool, printer: &'a Printer) -> Result<Bench<'a>> {
        let engines = engines(args, printer)?;
        printer.note(&format!("measuring the ceilings of {}", engines[0].device.name()));
        let widest = engines.iter().max_by_key(|engine| engine.lanes).unwrap_or(&engines[0]);
        let ceilings = widest.device.ceilings()?;
        let runs = runs.map_or(if warm_up { 3 } else { 1 }, usize::from);
        Ok(Bench { engines, ceilings, warm_up, runs, printer })
    }

    /// Times the analysis of `matrices`: rates, lanes at work, and the outcomes of the last run.
    fn measure(
        &self,
        engine: &Engine,
        checkpoint: &Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<(Throughput, usize, Vec<Outcome>)> {
        let mut lanes = 0;
        let (timing, outcomes) = Timing::of(self.warm_up, self.runs, || {
            let progress = Progress::new(self.printer);
            let outcomes = pipeline::analyze(checkpoint, matrices, &*engine.device, &progress)?;
            lanes = progress.lanes();
            Ok(outcomes)
        })?;
        Ok((Throughput::new(matrices, &outcomes, &timing, &self.ceilings), lanes, outcomes))
    }
}

/// Opens the device for every combination, so that what it lacks is known before the work begins.
fn engines(args: &EngineArgs, printer: &Printer) -> Result<Vec<Engine>> {
    let lanes: Vec<Option<usize>> = match args.lanes.as_slice() {
        [] => vec![None],
        lanes => lanes.iter().copied().map(Some).collect(),
    };
    let mut engines = Vec::new();
    for &precision in &args.precisions {
        for &solver in &args.solvers {
            for &lanes in &lanes {
                let method = Method { rule: args.rule, precision, cast: Cast::None };
                // Said once is enough.
                let printer = engines.is_empty().then_some(printer);
                let device = open_device(args.device, method, solver, lanes, printer)?;
                engines.push(Engine { method, solver, lanes, device });
            }
        }
    }
    Ok(engines)
}

fn temporary_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("htsr-bench-").tempdir();
    folder.map_err(|error| cannot_write(&std::env::temp_dir(), &error))
}

/// Writes random weights to `file`.
fn generate(file: &Path, tensors: &[Tensor], printer: &Printer) -> Result<()> {
    let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes() as u64).sum();
    printer.note(&format!("generating {:.1} MB of weights in {}", bytes as f64 / 1e6, file.display()));
    bench::write(file, tensors, &|| !interrupt::requested()).map_err(|error| match interrupt::requested() {
        true => Error::interrupted(),
        false => cannot_write(file, &error),
    })
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Error {
    let error = Error::usage(format!("the weights cannot be written: {error}")).file(file);
    error.hint("TMPDIR chooses a folder on a disk with space, and so does --keep with --model")
}
