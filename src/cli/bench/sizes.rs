//! Times matrices of the given sizes and types.

use std::path::Path;

use crate::bench::{self, RandomTensor};
use crate::checkpoint::{Cast, Checkpoint, FloatType};
use crate::device::cpu::Cpu;
use crate::device::{Method, Precision};
use crate::error::Result;
use crate::fit::Rule;
use crate::matrices::{Catalog, Selection, WeightMatrix};
use crate::pipeline;
use crate::report::{BenchmarkRow, Work, WorkOptions};
use crate::spectrum::Spectrum;

use super::args::SizeArgs;
use super::engines::{Bench, Engine, Measured};
use super::problems::problems;
use super::weights::{generate, temporary_folder};
use crate::cli::interrupt;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;

pub fn run(args: &SizeArgs, bench: &Bench) -> Result<(WorkOptions, Measured)> {
    let temporary = temporary_folder()?;
    let _cleanup = interrupt::remove_on_exit(temporary.path());
    let temporary = temporary; // removed before it is forgotten
    let mut measured = Measured::default();
    for &size in &args.sizes {
        for &dtype in &args.dtypes {
            measure(args, bench, size, dtype, &temporary.path().join("weights.safetensors"), &mut measured)?;
        }
    }
    let SizeArgs { sizes, aspect, dtypes, count, check_up_to } = args;
    let work = WorkOptions::Sizes {
        sizes: sizes.clone(),
        aspect: *aspect,
        dtypes: dtypes.clone(),
        count: count.map(|count| count as usize),
        check_up_to: *check_up_to,
    };
    Ok((work, measured))
}

/// Times matrices of one shape and type, with weights in `file`, and adds the rows to `measured`.
fn measure(
    args: &SizeArgs,
    bench: &Bench,
    size: usize,
    dtype: FloatType,
    file: &Path,
    measured: &mut Measured,
) -> Result<()> {
    let (rows, cols) = ((size as f64 * args.aspect).round() as usize, size);
    let tensor = |index| RandomTensor { name: format!("layers.{index}.self_attn.q_proj.weight"), dtype, rows, cols };
    let enough = |engine: &Engine| bench::matrices_to_keep_busy(&*engine.device, engine.method, &tensor(0));
    let count = |engine| args.count.map_or_else(|| enough(engine), |count| count as usize);
    let counts: Vec<usize> = bench.engines.iter().map(count).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    generate(file, &(0..most).map(tensor).collect::<Vec<_>>(), bench.printer)?;

    let checkpoint = Checkpoint::open(file)?;
    let matrices = Catalog::new(&checkpoint, &Selection::default()).matrices;
    let is_checked = size <= args.check_up_to;
    let reference = if is_checked {
        reference(&checkpoint, &matrices[..1], bench.engines[0].method.rule, bench.printer)?
    } else {
        None
    };
    for (engine, &count) in bench.engines.iter().zip(&counts) {
        let matrices = &matrices[..count];
        let (throughput, lanes, outcomes) = bench.measure(engine, &checkpoint, matrices)?;
        let spectrum = outcomes[0].as_ref().ok().map(|analysis| &analysis.spectrum);
        let compare = |(spectrum, reference)| bench::largest_error(spectrum, reference);
        bench.printer.note(&format!("{rows} x {cols} {dtype}: {count} in {:.3} s", throughput.seconds));
        measured.problems.extend(problems(&checkpoint, matrices, &engine.method, &outcomes));
        measured.rows.push(BenchmarkRow {
            work: Work::Matrices { rows, cols },
            dtype,
            precision: engine.method.precision,
            solver: engine.solver.to_string(),
            eigensolver: engine.device.solver(),
            lanes,
            throughput,
            error: spectrum.zip(reference.as_ref()).map(compare),
        });
    }
    Ok(())
}

/// The spectrum of a matrix by the reference solver (faer, on the CPU in f64), or `None` if that fails.
fn reference(
    checkpoint: &Checkpoint,
    matrix: &[WeightMatrix],
    rule: Rule,
    printer: &Printer,
) -> Result<Option<Spectrum>> {
    let cpu = Cpu::new(Some(1)).with_faer();
    let method = Method { rule, precision: Precision::F64, cast: Cast::None };
    let mut outcomes = pipeline::analyze(checkpoint, matrix, method, &cpu, &Progress::new(printer))?;
    Ok(outcomes.pop().and_then(Result::ok).map(|analysis| analysis.spectrum))
}
