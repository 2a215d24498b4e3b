//! Reading results back: a JSON of this schema, or any CSV with the columns `layer` and `alpha`.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::{Input, Options, Provenance, Report, SCHEMA};
use crate::allocate::Budget;
use crate::checkpoint::Cast;
use crate::error::{Error, Result};
use crate::score::LayerScore;

/// Columns that a CSV may have; `layer` and `alpha` count, `stack` and `matrices` if they are there.
const COLUMNS: &[&str] = &[
    "stack",
    "layer",
    "alpha",
    "matrices",
    "experts",
    "top_k",
    "rule",
    "precision",
    "total",
    "beta",
    "rounding",
    "device",
    "solver",
    "version",
    "commit",
    "input",
    "headers_sha256",
];

#[derive(Deserialize)]
struct CsvRow {
    #[serde(default)]
    stack: String,
    layer: u32,
    alpha: Option<f64>,
    #[serde(default)]
    matrices: usize,
}

impl Report {
    /// Reads the scores in `path`; what they were allocated to there is dropped.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if the file is neither a JSON of this schema nor a CSV of alphas, or if
    /// not every layer has one usable alpha.
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = Error::input(path, format!("cannot be read: {error}"));
            error.hint("give the JSON that `htsr score -o scores.json` wrote, or a CSV with the columns layer,alpha")
        })?;
        let mut report =
            if text.trim_start().starts_with('{') { from_json(path, &text)? } else { from_csv(path, &text)? };
        check_layers(path, &report)?;
        report.allocation = None;
        Ok(report)
    }
}

fn from_json(path: &Path, text: &str) -> Result<Report> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }

    let refused = |cause: String| Error::input(path, cause).hint("write it anew with `htsr score PATH -o scores.json`");
    let Versioned { schema } = serde_json::from_str(text)
        .map_err(|error| refused(format!("is not a JSON of `htsr`, which states its schema: {error}")))?;
    if schema != SCHEMA {
        return Err(refused(format!("has schema {schema}; this version of htsr reads schema {SCHEMA}")));
    }
    serde_json::from_str(text).map_err(|error| refused(format!("is not a complete result of schema {SCHEMA}: {error}")))
}

fn from_csv(path: &Path, text: &str) -> Result<Report> {
    let refused = |cause: String| Error::input(path, cause).hint("a CSV of scores has the columns layer,alpha");
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| refused(format!("is not a CSV: {error}")))?.clone();
    if let Some(missing) = ["layer", "alpha"].into_iter().find(|name| !header.iter().any(|column| column == *name)) {
        return Err(refused(format!("has no column `{missing}`")));
    }
    if let Some(unknown) = header.iter().find(|column| !COLUMNS.contains(column)) {
        let hint = format!("the known columns are {}", COLUMNS.join(", "));
        return Err(Error::input(path, format!("has an unknown column `{unknown}`")).hint(hint));
    }
    let rows = reader.deserialize().collect::<Result<Vec<CsvRow>, _>>();
    let rows = rows.map_err(|error| refused(format!("has a row that cannot be read: {error}")))?;
    let layers = rows
        .into_iter()
        .map(|CsvRow { stack, layer, alpha, matrices }| LayerScore { stack, layer, alpha, matrices })
        .collect();
    let options = Options {
        cast: Cast::None,
        include: Vec::new(),
        exclude: Vec::new(),
        layers: None,
        metrics: Vec::new(),
        budget: Budget::default(),
    };
    let input =
        Input { path: path.display().to_string(), bytes: text.len() as u64, headers_sha256: None, files: Vec::new() };
    Ok(Report::new(Provenance::of_alphas(options, input), Vec::new(), layers, None, Vec::new()))
}

fn check_layers(path: &Path, report: &Report) -> Result<()> {
    let refused = |cause: String| Error::input(path, cause);
    if report.layers.is_empty() {
        return Err(refused("holds no layer".into()).hint("it needs a row per layer"));
    }
    let mut seen = HashSet::new();
    for score in report.layers.iter().map(|row| &row.score) {
        let name = score.name();
        if !seen.insert((&score.stack, score.layer)) {
            return Err(refused(format!("{name} stands twice")).hint("give every layer one row"));
        }
        match &score.alpha {
            None => {
                let hint = "score again with another --rule, or leave the layer out with `score --layers`";
                return Err(refused(format!("{name} has no alpha")).hint(hint));
            }
            Some(alpha) if !(alpha.is_finite() && *alpha > 0.0) => {
                let hint = "alphas are positive numbers, between 1 and 10 for most layers";
                return Err(refused(format!("{name} has the alpha {alpha}")).hint(hint));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
