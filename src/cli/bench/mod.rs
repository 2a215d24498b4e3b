//! `htsr bench`: times the analysis of matrices.

mod args;
mod engines;
mod model;
mod problems;
mod sizes;
mod weights;

use crate::error::Result;
use crate::report::{Benchmark, BenchmarkOptions};

use super::ending::Ending;
use super::output::Output;
use super::printer::Printer;
pub use args::BenchArgs;
use engines::Bench;

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
        device: engines.device.choice()?.to_string(),
        runs: bench.runs,
    };
    let benchmark = Benchmark::new(bench.engines[0].device.name(), options, bench.ceilings, measured.rows);
    let written = output.write(benchmark.document(), printer);
    printer.warnings(&measured.problems);
    written.map(|()| if measured.problems.is_empty() { Ending::Complete } else { Ending::Partial })
}
