//! Reading results back: a JSON of this schema, or any CSV with the columns `layer` and `alpha`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Deserializer};

use super::{AllocationRow, Input, Options, Provenance, Report, SCHEMA};
use crate::checkpoint::Cast;
use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::floor::Floor;
use crate::message::verbatim;
use crate::score::{LayerScore, Summary};

/// Columns that a CSV may have. `layer` and `alpha` are read, and `stack`, `matrices` and `rule` if present.
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
    "rank",
    "lora_alpha",
    "sparsity",
    "learning_rate",
    "weight_decay",
    "low",
    "high",
    "share",
    "determined",
    "parameters",
    "held",
    "allocation",
    "base",
    "base_headers_sha256",
];

/// The rule of this name, if there is one.
fn rule_of_name(name: &str) -> Option<Rule> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    Rule::deserialize(name).ok()
}

/// A row of a CSV.
struct CsvRow {
    score: LayerScore,
    /// Empty if unknown.
    rule: String,
}

/// Reads row `record` under `header`. Errors are phrases with the line and the column.
fn csv_row(header: &csv::StringRecord, record: &csv::StringRecord) -> Result<CsvRow, String> {
    let line = record.position().map_or(0, csv::Position::line);
    let field = |name: &str| {
        let place = header.iter().position(|column| column == name)?;
        record.get(place).filter(|text| !text.is_empty())
    };
    let wrong = |name: &str, what: &str| match field(name) {
        Some(text) => format!("line {line}: `{}` in the column {name} is not {what}", verbatim(text)),
        None => format!("line {line}: the column {name} is empty"),
    };
    let layer =
        field("layer").and_then(|text| text.parse().ok()).ok_or_else(|| wrong("layer", "the number of a layer"))?;
    let alpha = field("alpha").map(|text| text.parse().map_err(|_| wrong("alpha", "a number"))).transpose()?;
    let matrices = field("matrices").map(|text| text.parse().map_err(|_| wrong("matrices", "a count"))).transpose()?;
    let stack = field("stack").unwrap_or_default().to_owned();
    let score = LayerScore { stack, layer, alpha, matrices: matrices.unwrap_or(0) };
    Ok(CsvRow { score, rule: field("rule").unwrap_or_default().to_owned() })
}

/// What is wrong with a file that is not a table of comma-separated values.
fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(String::new(), |pos| format!("line {}: ", pos.line()));
            let values = if *len == 1 { "value" } else { "values" };
            format!("{line}{len} {values} for {expected_len} columns")
        }
        _ => format!("is not a CSV file: {error}"),
    }
}

impl Report {
    /// Reads the scores in `path`, and their allocation if it is complete.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if the file is neither a JSON of this schema nor a CSV of alphas, or if
    /// an alpha is not a positive number.
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = Error::input(path, format!("cannot be read: {error}")).because(error);
            error.hint(
                "use the JSON that §(score MODEL output=scores.json) writes, or a CSV with the columns layer,alpha",
            )
        })?;
        let text = text.trim_start_matches('\u{feff}');
        let is_json =
            path.extension().is_some_and(|extension| extension == "json") || text.trim_start().starts_with('{');
        let report = if is_json { from_json(path, text)? } else { from_csv(path, text)? };
        check_layers(path, &report)?;
        Ok(report)
    }
}

/// An allocation with its rows. Older files have only lists of experts, without the units; those are read as none.
pub(super) fn complete_allocation<'de, D: Deserializer<'de>>(input: D) -> Result<Option<AllocationRow>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(input)?;
    let complete = value.filter(|value| value.get("rows").is_some());
    complete.map(serde_json::from_value).transpose().map_err(serde::de::Error::custom)
}

fn from_json(path: &Path, text: &str) -> Result<Report> {
    #[derive(Deserialize)]
    #[serde(expecting = "a map with the key `schema`")]
    struct Versioned {
        schema: u32,
    }

    let refused =
        |cause: String| Error::input(path, cause).hint("write it again with §(score MODEL output=scores.json)");
    let Versioned { schema } = serde_json::from_str(text)
        .map_err(|error| refused(format!("is not a JSON file of `htsr` with a schema: {error}")))?;
    if schema != SCHEMA {
        return Err(refused(format!("has schema {schema}; this version of htsr reads schema {SCHEMA}")));
    }
    let mut report: Report = serde_json::from_str(text)
        .map_err(|error| refused(format!("is not a complete report of schema {SCHEMA}: {error}")))?;
    // Older files have none.
    report.summary = report.summary.or_else(|| Summary::of(&report.matrices));
    Ok(report)
}

fn from_csv(path: &Path, text: &str) -> Result<Report> {
    let refused = |cause: String| Error::input(path, cause).hint("a CSV of scores has the columns layer,alpha");
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| refused(csv_problem(&error)))?.clone();
    if let Some(missing) = ["layer", "alpha"].into_iter().find(|name| !header.iter().any(|column| column == *name)) {
        return Err(refused(format!("has no column `{missing}`")));
    }
    if header.iter().any(|column| column == "tensor") {
        let hint =
            "a CSV of scores has a row per layer: §(score MODEL by=layer output=scores.csv); JSON has everything";
        return Err(Error::input(path, "has a row per matrix").hint(hint));
    }
    if let Some(unknown) = header.iter().find(|column| !COLUMNS.contains(column)) {
        let hint = format!("the known columns are {}", COLUMNS.join(", "));
        return Err(Error::input(path, format!("has an unknown column `{unknown}`")).hint(hint));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| refused(csv_problem(&error)))?;
        rows.push(csv_row(&header, &record).map_err(refused)?);
    }
    let rules: HashSet<&str> = rows.iter().map(|row| row.rule.as_str()).collect();
    if rules.len() > 1 {
        let mut rules: Vec<&str> = rules.into_iter().collect();
        rules.sort_unstable();
        return Err(refused(format!("has alphas of several rules: {}", rules.join(", "))));
    }
    // Alphas of other programs may have a rule that is not ours.
    let rule = rules.into_iter().next().and_then(rule_of_name);
    let mut layers: Vec<LayerScore> = rows.into_iter().map(|row| row.score).collect();
    layers.sort_by(|a, b| (&a.stack, a.layer).cmp(&(&b.stack, b.layer)));
    let options = Options {
        cast: Cast::None,
        include: Vec::new(),
        exclude: Vec::new(),
        layers: None,
        farms: None,
        floor: Floor::Auto,
        randomize: None,
        metrics: Vec::new(),
        simulations: None,
        rename: None,
        rename_regex: None,
        budget: None,
        plan: None,
    };
    let input = Input {
        path: path.display().to_string(),
        bytes: text.len() as u64,
        headers_sha256: None,
        files: Vec::new(),
        adapter: None,
    };
    let provenance = Provenance { rule, ..Provenance::of_alphas(options, input) };
    Ok(Report::new(provenance, Vec::new(), layers, Vec::new()))
}

fn check_layers(path: &Path, report: &Report) -> Result<()> {
    let refused = |cause: String| Error::input(path, cause);
    if report.layers.is_empty() {
        return Err(refused("contains no layer".into()).hint("add a row per layer"));
    }
    let mut seen = HashSet::new();
    for score in report.layers.iter().map(|row| &row.score) {
        let name = score.name();
        if !seen.insert((&score.stack, score.layer)) {
            return Err(refused(format!("{name} appears twice")).hint("give every layer one row"));
        }
        check_alpha(score.alpha, &name, path)?;
    }
    for matrix in &report.matrices {
        check_alpha(matrix.alpha, &format!("tensor `{}`", matrix.tensor), path)?;
    }
    check_matrices(path, report)
}

/// Layers and matrices are two views of the same scores: a file in which only one of them was edited is refused.
fn check_matrices(path: &Path, report: &Report) -> Result<()> {
    if report.matrices.is_empty() {
        return Ok(());
    }
    let mut counts: HashMap<(&str, u32), usize> = HashMap::new();
    for matrix in &report.matrices {
        *counts.entry((&matrix.stack, matrix.layer)).or_default() += usize::from(matrix.alpha.is_some());
    }
    let refused =
        |cause: String| Error::input(path, cause).hint("write it again with §(score MODEL output=scores.json)");
    for score in report.layers.iter().map(|row| &row.score) {
        let found = counts.remove(&(score.stack.as_str(), score.layer));
        if found != Some(score.matrices) {
            let (name, stated) = (score.name(), score.matrices);
            let found = found.unwrap_or(0);
            return Err(refused(format!("{name} claims {stated} matrices with an alpha, but the file has {found}")));
        }
    }
    match counts.into_keys().min() {
        Some((stack, layer)) => Err(refused(format!("has matrices of layer {layer} of `{stack}`, but not that layer"))),
        None => Ok(()),
    }
}

/// An alpha may be missing, since some allocation rules need none, but it must not be anything else than a positive number.
fn check_alpha(alpha: Option<f64>, name: &str, path: &Path) -> Result<()> {
    match alpha {
        Some(alpha) if !(alpha.is_finite() && alpha > 0.0) => {
            let hint = "alphas are positive numbers, between 1 and 10 for most layers";
            Err(Error::input(path, format!("{name} has the alpha {alpha}")).hint(hint))
        }
        _ => Ok(()),
    }
}
