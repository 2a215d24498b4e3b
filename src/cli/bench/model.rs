//! Times all projection matrices of a model; all layers share the weights of one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::{PublishedModel, repeat_layer};
use crate::checkpoint::{Checkpoint, FloatType};
use crate::error::{Error, Result};
use crate::matrices::{Catalog, Selection};
use crate::report::{BenchmarkRow, Work, WorkOptions};

use super::args::ModelArgs;
use super::engines::{Bench, Measured};
use super::problems::problems;
use super::weights::{generate, temporary_folder};
use crate::cli::interrupt;
use crate::cli::words::count;

pub fn run(model: PublishedModel, args: &ModelArgs, bench: &Bench) -> Result<(WorkOptions, Measured)> {
    let limit = args.layers.map(|layers| layers as usize);
    let layers = limit.map_or(model.layers(), |limit| limit.min(model.layers()));
    let measured = match &args.keep {
        Some(folder) => {
            let file = keep_weights(model, folder, bench)?;
            measure(model, layers, &file, bench)?
        }
        None => {
            let temporary = temporary_folder()?;
            let _cleanup = interrupt::remove_on_exit(temporary.path());
            let temporary = temporary; // removed before it is forgotten
            let file = temporary.path().join("model.safetensors");
            generate(&file, &model.layer(), bench.printer)?;
            measure(model, layers, &file, bench)?
        }
    };
    Ok((WorkOptions::Model { model: model.to_string(), layers: limit }, measured))
}

/// Creates `folder` and writes the weights of a layer into it; removes the folder if that fails.
fn keep_weights(model: PublishedModel, folder: &Path, bench: &Bench) -> Result<PathBuf> {
    fs::create_dir(folder).map_err(|error| {
        let error = Error::usage(format!("the folder cannot be created: {error}")).file(folder);
        error.hint("use a folder that does not exist yet, on a disk with space")
    })?;
    let _cleanup = interrupt::remove_on_exit(folder);
    let file = folder.join("model.safetensors");
    generate(&file, &model.layer(), bench.printer).inspect_err(|_| {
        // The incomplete file is already removed.
        let _ = fs::remove_dir(folder);
    })?;
    Ok(file)
}

fn measure(model: PublishedModel, layers: usize, file: &Path, bench: &Bench) -> Result<Measured> {
    let checkpoint = Checkpoint::open(file)?;
    let matrices = repeat_layer(&Catalog::new(&checkpoint, &Selection::default()).matrices, layers);
    let parameters = matrices.iter().map(|matrix| matrix.rows as u64 * matrix.cols as u64).sum();
    let mut measured = Measured::default();
    for engine in &bench.engines {
        let (throughput, lanes, outcomes) = bench.measure(engine, &checkpoint, &matrices)?;
        let all = count(matrices.len(), "matrix", "matrices");
        let in_layers = count(layers, "layer", "layers");
        bench.printer.note(&format!("{model}: {all} in {in_layers} in {:.2} s", throughput.seconds));
        measured.problems.extend(problems(&checkpoint, &matrices, &engine.method, &outcomes));
        measured.rows.push(BenchmarkRow {
            work: Work::Model { model: model.to_string(), layers, parameters },
            dtype: FloatType::BF16,
            precision: engine.method.precision,
            solver: engine.solver.to_string(),
            eigensolver: engine.device.solver(),
            lanes,
            throughput,
            error: None,
        });
    }
    Ok(measured)
}
