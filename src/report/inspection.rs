//! What a checkpoint contains, read from its headers only.

use std::collections::HashMap;

use serde::Serialize;

use super::{Cell, Document, Input, SCHEMA, Table, literal};
use crate::checkpoint::{Checkpoint, Dtype};
use crate::device::cpu::{Cpu, lane_bytes};
use crate::device::{Device, Method, Precision};
use crate::fit::Rule;
use crate::matrices::{Catalog, Skipped, Unread, Update, WeightMatrix, summarize};

/// The results of `inspect`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The checkpoint.
    pub input: Input,
    /// The base that it is an update of.
    pub base: Option<Input>,
    /// What turns names into those of the base, given or found: `OLD=NEW`, or `REGEX=NEW`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
    /// Number of layers with at least one matrix.
    pub layers: usize,
    /// Matrices that would be scored.
    pub matrices: Vec<InspectedMatrix>,
    /// Their size in bytes.
    pub matrix_bytes: u64,
    /// Floating-point operations for all spectra.
    pub flops: f64,
    /// The rule that the memory estimate assumes.
    pub rule: Rule,
    /// The precision that the memory estimate assumes.
    pub precision: Precision,
    /// The number of lanes that the memory estimate assumes.
    pub lanes: usize,
    /// Peak memory of scoring in bytes: lanes times what the largest matrix needs.
    pub peak_memory_bytes: u64,
    /// Tensors that would not be scored.
    pub skipped: Vec<Skipped>,
    /// Weights of layers that cannot be read, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
    /// What to know about the places of the matrices, as sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A matrix that would be scored.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedMatrix {
    /// Full name of the tensor.
    pub tensor: String,
    /// Module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer.
    pub role: String,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
    /// Element type.
    pub dtype: Dtype,
    /// How the weights are stored, if not as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<&'static str>,
    /// The update that would be scored instead of the tensor.
    pub update: Option<Update>,
    /// Name of its file.
    pub shard: String,
}

impl Inspection {
    /// Describes what scoring `checkpoint` by `method` on the CPU takes, with `threads` threads if given.
    pub fn new(checkpoint: &Checkpoint, catalog: Catalog, method: &Method, threads: Option<usize>) -> Inspection {
        let input = Input::of(checkpoint);
        let largest = catalog.matrices.iter().map(|matrix| lane_bytes(matrix, method)).max();
        let lanes = Cpu::new(threads).lanes(*method, &catalog.matrices);
        Inspection {
            schema: SCHEMA,
            layers: catalog.matrices.chunk_by(WeightMatrix::same_layer).count(),
            matrix_bytes: catalog.matrices.iter().map(WeightMatrix::stored_bytes).sum(),
            // Not by `sum`: an empty sum of floats is -0.
            flops: catalog.matrices.iter().map(|matrix| matrix.flops()).fold(0.0, |sum, flops| sum + flops),
            rule: method.rule,
            precision: method.precision,
            lanes,
            peak_memory_bytes: largest.unwrap_or(0).saturating_mul(lanes as u64),
            matrices: catalog
                .matrices
                .into_iter()
                .map(|matrix| InspectedMatrix {
                    shard: input.files[matrix.stored().shard].name.clone(),
                    rows: matrix.whole_shape()[0],
                    cols: matrix.whole_shape()[1],
                    dtype: matrix.stored().tensor.dtype.clone(),
                    form: matrix.form(),
                    update: matrix.update(),
                    tensor: matrix.name.to_string(),
                    stack: matrix.stack.to_string(),
                    layer: matrix.layer,
                    role: matrix.role.to_string(),
                })
                .collect(),
            input,
            base: checkpoint.base().map(Input::of),
            rename: catalog.rename.map(|rename| rename.to_string()),
            skipped: catalog.skipped,
            unread: catalog.unread,
            notes: catalog.notes,
        }
    }

    /// One row per stack, role, shape, type and rank.
    pub fn by_role(&self) -> Document<'_, Inspection> {
        let mut places = HashMap::new();
        let mut groups: Vec<(&InspectedMatrix, Vec<u32>, usize)> = Vec::new();
        for matrix in &self.matrices {
            let key =
                (&matrix.stack, &matrix.role, matrix.rows, matrix.cols, &matrix.dtype, matrix.rank(), matrix.form);
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((matrix, Vec::new(), 0));
                groups.len() - 1
            });
            groups[place].1.push(matrix.layer);
            groups[place].2 += 1;
        }
        let rows = groups.into_iter().map(|(matrix, layers, count)| {
            vec![
                Cell::Text(matrix.stack.clone()),
                Cell::Text(matrix.role.clone()),
                Cell::Whole(matrix.rows as u64),
                Cell::Whole(matrix.cols as u64),
                Cell::Text(matrix.dtype.to_string()),
                Cell::Whole(count as u64),
                Cell::Text(ranges(&layers)),
                Cell::optional(matrix.rank(), |rank| Cell::Whole(rank as u64)),
                matrix.form_cell(),
            ]
        });
        let names = ["stack", "role", "rows", "cols", "dtype", "matrices", "layers"];
        let columns = names.map(|name| (name, true)).into_iter().chain([self.rank_column(), self.form_column()]);
        let table = Table { columns: columns.collect(), rows: rows.collect() };
        Document { table, footer: literal(self.footer()), json: self }
    }

    /// One row per matrix and, below, per skipped tensor.
    pub fn by_matrix(&self) -> Document<'_, Inspection> {
        let matrices = self.matrices.iter().map(|matrix| {
            vec![
                Cell::Text(matrix.tensor.clone()),
                Cell::Text(matrix.stack.clone()),
                Cell::Whole(matrix.layer.into()),
                Cell::Text(matrix.role.clone()),
                Cell::Whole(matrix.rows as u64),
                Cell::Whole(matrix.cols as u64),
                Cell::Text(matrix.dtype.to_string()),
                Cell::Text(matrix.shard.clone()),
                Cell::Missing,
                Cell::optional(matrix.rank(), |rank| Cell::Whole(rank as u64)),
                matrix.form_cell(),
            ]
        });
        let skipped = self.skipped.iter().map(|skipped| {
            let mut row = vec![Cell::Missing; 11];
            row[0] = Cell::Text(skipped.tensor.clone());
            row[8] = Cell::Text(skipped.reason.clone());
            row
        });
        let names = ["tensor", "stack", "layer", "role", "rows", "cols", "dtype", "shard", "skipped"];
        let columns = names.map(|name| (name, true)).into_iter().chain([self.rank_column(), self.form_column()]);
        let table = Table { columns: columns.collect(), rows: matrices.chain(skipped).collect() };
        Document { table, footer: literal(self.footer()), json: self }
    }

    /// A column for the ranks of updates, shown if there are any.
    fn rank_column(&self) -> (&'static str, bool) {
        ("rank", self.matrices.iter().any(|matrix| matrix.rank().is_some()))
    }

    /// A column for the forms of weights that are not stored as they are, shown if there are any.
    fn form_column(&self) -> (&'static str, bool) {
        ("form", self.matrices.iter().any(|matrix| matrix.form.is_some()))
    }

    fn memory(&self) -> String {
        let Inspection { lanes, precision, rule, .. } = self;
        let s = if *lanes == 1 { "" } else { "s" };
        format!("{} peak ({lanes} lane{s}, {precision}, {rule} rule)", bytes(self.peak_memory_bytes))
    }

    fn footer(&self) -> Vec<(&'static str, String)> {
        let (files, skipped) = (self.input.files.len(), self.skipped.len());
        let mut footer = vec![(
            "checkpoint",
            format!("{} in {files} file{}", bytes(self.input.bytes), if files == 1 { "" } else { "s" }),
        )];
        if let Some(base) = &self.base {
            footer.push(("base", base.path.clone()));
        }
        if let Some(adapter) = &self.input.adapter {
            let model = adapter.base_model.as_ref().map_or(String::new(), |model| format!(", trained on {model}"));
            footer.push(("adapter", format!("LoRA{model}")));
        }
        footer.extend([
            ("layers", self.layers.to_string()),
            ("matrices", format!("{}, {}", self.matrices.len(), bytes(self.matrix_bytes))),
            ("work", format!("{:.3e} floating-point operations", self.flops)),
            ("memory", self.memory()),
        ]);
        if let Some(unread) = &self.unread {
            footer.push(("not read", format!("{} weights: {}", unread.weights, unread.cause())));
        }
        if skipped > 0 {
            footer.push(("skipped", format!("{skipped}: {}", summarize(&self.skipped))));
        }
        footer.extend(self.notes.iter().map(|note| ("note", note.clone())));
        footer
    }
}

impl InspectedMatrix {
    fn form_cell(&self) -> Cell {
        Cell::optional(self.form, |form| Cell::Text(form.to_owned()))
    }

    /// The rank of a low-rank update.
    fn rank(&self) -> Option<usize> {
        match self.update {
            Some(Update::LowRank { rank, .. }) => Some(rank),
            _ => None,
        }
    }
}

/// 0,1,2,5 -> `0-2,5`.
fn ranges(layers: &[u32]) -> String {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers.dedup();
    let runs = layers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// A size in decimal units, as disks are labeled.
fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.3} {}", units[unit]) }
}
