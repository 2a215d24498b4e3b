//! `htsr allocate`: saved scores to another table.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::report::Report;
use crate::score::LayerScore;
use crate::study::{Allocated, Scores};

use super::Ending;
use super::args::{AllocateArgs, ScoreRow};
use super::output::{self, Output};
use super::printer::Printer;
use super::score::{tell_of_comparison, warn_of_zeros};

pub fn run(args: AllocateArgs, printer: &Printer) -> Result<Ending> {
    let plan = args.plan.plan(args.rule)?;
    let study = args.study.study();
    let output = Output::new(args.output)?;
    let inputs = std::iter::once(&args.scores).chain(&args.others);
    output.spare(inputs.map(PathBuf::as_path), output::SCORES)?;
    let Report { mut provenance, matrices, layers, skipped, .. } = Report::read(&args.scores)?;
    let read = |path: &PathBuf| Ok((path.clone(), Report::read(path)?));
    let others = args.others.iter().map(read).collect::<Result<Vec<_>>>()?;
    let layers: Vec<LayerScore> = layers.into_iter().map(|row| row.score).collect();
    let scores = Scores { matrices: &matrices, layers: &layers, rule: provenance.rule };
    let allocated = study.allocate(scores, &plan, &others);
    let Allocated { allocation, comparison } = allocated.map_err(|error| blame(error, &args.scores))?;
    provenance.options.set_plan(plan);
    let mut report = Report::new(provenance, matrices, layers, Some(allocation), skipped);
    report.comparison = comparison;
    output.write(&ScoreRow::of(args.by, &report), printer)?;
    warn_of_zeros(&report, printer);
    Ok(tell_of_comparison(&report, printer))
}

/// Names the file if it is the scores that do not allow what was asked for.
pub fn blame(error: Error, scores: &Path) -> Error {
    if error.kind == Kind::Input { error.file(scores) } else { error }
}
