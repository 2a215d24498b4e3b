//! The device in each configuration to compare, and its measurements.

use crate::bench::{Throughput, Timing};
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Ceilings, Device, Method, Outcome, SolverChoice};
use crate::error::{Error, Result};
use crate::matrices::WeightMatrix;
use crate::pipeline;
use crate::report::BenchmarkRow;

use super::args::EngineArgs;
use crate::cli::options::open_device;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;

/// A device in one configuration.
pub struct Engine {
    pub method: Method,
    pub solver: SolverChoice,
    pub lanes: Option<usize>,
    pub device: Box<dyn Device>,
}

/// The configurations to compare, and how to time them.
pub struct Bench<'a> {
    /// At least one; all on the same device.
    pub engines: Vec<Engine>,
    pub ceilings: Ceilings,
    warm_up: bool,
    pub runs: usize,
    pub printer: &'a Printer,
}

/// Rows of the results, and an error for each missing result.
#[derive(Default)]
pub struct Measured {
    pub rows: Vec<BenchmarkRow>,
    pub problems: Vec<Error>,
}

impl<'a> Bench<'a> {
    pub fn new(args: &EngineArgs, runs: Option<u16>, warm_up: bool, printer: &'a Printer) -> Result<Bench<'a>> {
        let engines = engines(args, printer)?;
        printer.note(&format!("measuring the ceilings of {}", engines[0].device.name()));
        let widest = engines.iter().max_by_key(|engine| engine.lanes).unwrap_or(&engines[0]);
        let ceilings = widest.device.ceilings()?;
        let runs = runs.map_or(if warm_up { 3 } else { 1 }, usize::from);
        Ok(Bench { engines, ceilings, warm_up, runs, printer })
    }

    /// Times the analysis of `matrices`: rates, lanes at work, and the outcomes of the last run.
    pub fn measure(
        &self,
        engine: &Engine,
        checkpoint: &Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<(Throughput, usize, Vec<Outcome>)> {
        let mut lanes = 0;
        let (timing, outcomes) = Timing::of(self.warm_up, self.runs, || {
            let progress = Progress::new(self.printer);
            let outcomes = pipeline::analyze(checkpoint, matrices, engine.method, &*engine.device, &progress)?;
            lanes = progress.lanes();
            Ok(outcomes)
        })?;
        Ok((Throughput::new(matrices, &outcomes, &timing, &self.ceilings), lanes, outcomes))
    }
}

/// Opens the device for every combination, so that an unsupported one fails before the work begins.
fn engines(args: &EngineArgs, printer: &Printer) -> Result<Vec<Engine>> {
    let lanes: Vec<Option<usize>> = match args.lanes.as_slice() {
        [] => vec![None],
        lanes => lanes.iter().copied().map(Some).collect(),
    };
    let choice = args.device.choice()?;
    let mut engines = Vec::new();
    for &precision in &args.precisions {
        for &solver in &args.solvers {
            for &lanes in &lanes {
                let method = Method { rule: args.rule, precision, cast: Cast::None };
                // One warning is enough.
                let printer = engines.is_empty().then_some(printer);
                let device = open_device(choice, solver, lanes, printer)?;
                engines.push(Engine { method, solver, lanes, device });
            }
        }
    }
    Ok(engines)
}
