//! The results, schema 1: the contract with every program that reads them.

use serde::{Deserialize, Serialize};

use super::{Cell, Document, Input, Provenance, Table, literal};
use crate::allocate::{
    AllocatedUnit, Allocation, AllocationComparison, AllocationRule, Budget, Group, Quantity, Rounding,
};
use crate::fit::Rule;
use crate::matrices::{Skipped, Unread, Update, summarize};
use crate::message::Message;
use crate::metrics::MetricValue;
use crate::score::{LayerScore, MatrixScore, Status, Summary};

/// The version of the JSON layout; it changes when a field changes its name or meaning.
pub const SCHEMA: u32 = 1;

/// The results of `score` and `allocate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// One row per matrix.
    pub matrices: Vec<MatrixScore>,
    /// One row per layer.
    pub layers: Vec<LayerRow>,
    /// Statistics of the model, if matrices were scored.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// The allocation, if these alphas allow the plan.
    #[serde(default, deserialize_with = "super::read::complete_allocation")]
    pub allocation: Option<AllocationRow>,
    /// Other allocations to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<AllocationComparison>,
    /// Tensors that were not scored.
    pub skipped: Vec<Skipped>,
    /// Weights of layers that could not be read, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
    /// What to know about the places of the matrices, as sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A layer with its experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerRow {
    /// Its score.
    #[serde(flatten)]
    pub score: LayerScore,
    /// LoRA experts.
    pub experts: Option<u32>,
    /// Experts that the router of the layer selects per token.
    pub top_k: Option<u32>,
}

/// An allocation, and its experts as lists for programs that need only those.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocationRow {
    /// The rule of allocation.
    pub rule: String,
    /// Total number of experts; null if something else is allocated.
    pub total: Option<u64>,
    /// The exponent, for rules that have one.
    pub beta: Option<f64>,
    /// The rounding under AlphaLoRA's rule.
    pub rounding: Option<Rounding>,
    /// Experts, in the order of `rows`; null if something else is allocated.
    pub experts: Option<Vec<u32>>,
    /// Experts that the routers select per token, in the same order.
    pub top_k: Option<Vec<u32>>,
    /// The allocation itself.
    #[serde(flatten)]
    pub allocation: Allocation,
}

impl From<Allocation> for AllocationRow {
    fn from(allocation: Allocation) -> AllocationRow {
        let (beta, rounding) = match allocation.plan.rule {
            AllocationRule::AlphaLora(Budget { beta, rounding, .. }) => (Some(beta), Some(rounding)),
            AllocationRule::Rank(ranks) => (Some(ranks.beta), None),
            _ => (None, None),
        };
        let experts = allocation.whole_values().filter(|_| allocation.quantity == Quantity::Experts);
        AllocationRow {
            rule: allocation.plan.rule.name().to_owned(),
            total: experts.as_ref().map(|experts| experts.iter().map(|&experts| u64::from(experts)).sum()),
            beta,
            rounding,
            top_k: allocation.rows.iter().map(|row| row.top_k).collect(),
            experts,
            allocation,
        }
    }
}

impl Report {
    /// A report of scores, without an allocation: see [`Report::allocate`].
    pub fn new(
        provenance: Provenance,
        matrices: Vec<MatrixScore>,
        layers: Vec<LayerScore>,
        skipped: Vec<Skipped>,
    ) -> Report {
        let layers = layers.into_iter().map(|score| LayerRow { score, experts: None, top_k: None }).collect();
        let summary = Summary::of(&matrices);
        let (allocation, comparison, unread) = (None, None, None);
        let notes = Vec::new();
        Report { schema: SCHEMA, provenance, matrices, layers, summary, allocation, comparison, skipped, unread, notes }
    }

    /// The same report, of a checkpoint with weights that could not be read.
    #[must_use]
    pub fn with_unread(self, unread: Option<Unread>) -> Report {
        Report { unread, ..self }
    }

    /// Replaces the allocation, and with it the experts of each layer.
    pub(crate) fn set_allocation(&mut self, allocation: Option<Allocation>) {
        let of_layers = |allocation: &&Allocation| {
            allocation.quantity == Quantity::Experts && allocation.plan.group == Group::Layer
        };
        let experts = allocation.as_ref().filter(of_layers);
        for LayerRow { score, experts: of_layer, top_k } in &mut self.layers {
            let is_same = |row: &&AllocatedUnit| row.unit.layer == Some(score.layer) && row.unit.stack == score.stack;
            let row = experts.and_then(|allocation| allocation.rows.iter().find(is_same));
            *of_layer = row.map(|row| row.value.real() as u32);
            *top_k = row.and_then(|row| row.top_k);
        }
        self.allocation = allocation.map(AllocationRow::from);
        self.comparison = None;
    }

    /// The results with one row per layer.
    pub fn by_layer(&self) -> Document<'_, Report> {
        if self.allocation.as_ref().is_some_and(|row| row.allocation.plan.group == Group::Layer) {
            return self.by_unit();
        }
        let stacks = self.layers.iter().any(|layer| layer.score.stack != self.layers[0].score.stack);
        let mut table = Table {
            columns: vec![
                ("stack", stacks),
                ("layer", true),
                ("alpha", true),
                ("matrices", true),
                ("experts", true),
                ("top_k", true),
            ],
            rows: self.layers.iter().map(LayerRow::cells).collect(),
        };
        self.append_provenance(&mut table);
        Document { table, footer: self.footer(), json: self }
    }

    /// The results with one row per matrix.
    pub fn by_matrix(&self) -> Document<'_, Report> {
        let windows = self.matrices.iter().any(|matrix| matrix.windows.is_some());
        let low_rank = self.matrices.iter().any(|matrix| matches!(matrix.update, Some(Update::LowRank { .. })));
        let is_fitted_above = self.provenance.base.is_some() || !self.provenance.options.floor.is_auto();
        let left_out = is_fitted_above && self.matrices.iter().any(|matrix| matrix.floor.below_floor > Some(0));
        let columns = [
            ("tensor", true),
            ("stack", false),
            ("layer", false),
            ("role", false),
            ("rows", true),
            ("cols", true),
            ("dtype", true),
            ("rule", true),
            ("alpha", true),
            ("ks_distance", true),
            ("xmin", true),
            ("tail", true),
            ("eigenvalues", true),
            ("windows", windows),
            ("lambda_min", false),
            ("lambda_max", false),
            ("trace", false),
            ("precision", true),
            ("status", true),
            ("reason", false),
            ("note", false),
            ("base_dtype", false),
            ("rank", low_rank),
            ("scale", low_rank),
            ("floor", false),
            ("below_floor", false),
            ("rank_above_floor", left_out),
            ("unchanged", false),
        ];
        let mut table = Table { columns: columns.to_vec(), rows: self.matrices.iter().map(matrix_cells).collect() };
        self.append_metrics(&mut table);
        self.append_provenance(&mut table);
        Document { table, footer: self.footer(), json: self }
    }

    /// Adds the provenance to every row, for CSV: rows of several runs can be joined and still be distinguished.
    pub(super) fn append_provenance(&self, table: &mut Table) {
        let Provenance { version, commit, device, solver, precision, rule, options, input, base } = &self.provenance;
        let text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
        let per_matrix = table.columns.iter().any(|(name, _)| *name == "rule");
        let mut added = Vec::new();
        if !per_matrix {
            added.push(("rule", Cell::optional(*rule, |rule| Cell::Text(rule.to_string()))));
            added.push(("precision", Cell::optional(*precision, |precision| Cell::Text(precision.to_string()))));
            let budget = options.budget;
            added.push((
                "total",
                Cell::optional(budget.and_then(|budget| budget.experts), |experts| Cell::Whole(experts.into())),
            ));
            added.push(("beta", Cell::optional(budget, |budget| Cell::real(budget.beta))));
            added.push(("rounding", Cell::optional(budget, |budget| Cell::Text(budget.rounding.to_string()))));
        }
        added.push(("device", text(device)));
        added.push(("solver", text(solver)));
        added.push(("version", Cell::Text(version.clone())));
        added.push(("commit", Cell::Text(commit.clone())));
        added.push(("input", Cell::Text(input.path.clone())));
        added.push(("headers_sha256", text(&input.headers_sha256)));
        let of_base = |field: fn(&Input) -> Option<String>| Cell::optional(base.as_ref().and_then(field), Cell::Text);
        added.push(("base", of_base(|base| Some(base.path.clone()))));
        added.push(("base_headers_sha256", of_base(|base| base.headers_sha256.clone())));
        for (name, cell) in added {
            table.columns.push((name, false));
            table.rows.iter_mut().for_each(|row| row.push(cell.clone()));
        }
    }

    /// How many alphas of the peak rule depend on the smallest eigenvalue, if any.
    fn fragility(&self) -> Option<String> {
        let is_fragile = |matrix: &&MatrixScore| matrix.measured.get("peak_fragile") == Some(&MetricValue::Flag(true));
        let jumps =
            self.matrices.iter().filter(is_fragile).filter_map(|matrix| matrix.measured.get("peak_jump")?.number());
        let jumps: Vec<f64> = jumps.collect();
        let largest = jumps.iter().copied().reduce(f64::max)?;
        let of = self.matrices.iter().filter(|matrix| matrix.alpha.is_some()).count();
        let count = jumps.len();
        let size = if largest < 0.01 { "by less than 0.01".to_owned() } else { format!("up to {largest:.2}") };
        let remedy = if self.provenance.rule == Some(Rule::Peak) { "; consider §rule=peak-robust" } else { "" };
        Some(format!("{count} of {of} alphas are unstable ({size}){remedy}"))
    }

    /// What was scored instead of weights.
    fn update(&self) -> Option<String> {
        let Provenance { input, base, .. } = &self.provenance;
        if let Some(base) = base {
            let renamed = self.provenance.options.rename.as_ref().or(self.provenance.options.rename_regex.as_ref());
            let renamed = renamed.map_or(String::new(), |rename| format!(", names renamed by {rename}"));
            return Some(format!("W - W_base, subtracted in f64; base {}{renamed}", base.path));
        }
        let adapter = input.adapter.as_ref()?;
        let scale = if adapter.rslora { "(lora_alpha / sqrt(r))" } else { "(lora_alpha / r)" };
        let model = adapter.base_model.as_ref().map_or(String::new(), |model| format!(", trained on {model}"));
        Some(format!("{scale} B A of a LoRA adapter{model}"))
    }

    /// The lists of the allocation, and the provenance in a few lines.
    pub(super) fn footer(&self) -> Vec<(&'static str, Message)> {
        let mut footer = self.allocation.as_ref().map(AllocationRow::footer).unwrap_or_default();
        let columns = self.comparison.iter().flat_map(|comparison| &comparison.columns);
        footer.extend(columns.map(|column| ("compared", format!("{}: {column}", column.label))));
        let Provenance { version, commit, device, solver, precision, rule, options, .. } = &self.provenance;
        if let Some(summary) = &self.summary {
            footer.push(("alphas", summary.to_string()));
        }
        if let (Some(rule), Some(precision), Some(device), Some(solver)) = (rule, precision, device, solver) {
            let cast = match options.cast {
                crate::checkpoint::Cast::None => String::new(),
                cast => format!(", cast to {cast}"),
            };
            let farms = options.farms.map(|farms| format!(", FARMS {farms}")).unwrap_or_default();
            footer.push(("alpha", format!("{rule} rule, {precision}{cast}{farms}, {solver} on {device}")));
        }
        if let Some(update) = self.update() {
            footer.push(("update", update));
        }
        let unpaired: Vec<Skipped> = self.skipped.iter().filter(|skipped| skipped.unpaired).cloned().collect();
        if !unpaired.is_empty() {
            footer.push(("unpaired", format!("{}: {}", unpaired.len(), summarize(&unpaired))));
        }
        footer.extend(self.notes.iter().map(|note| ("note", note.clone())));
        let mut footer = literal(footer);
        footer.extend(self.fragility().map(|text| ("fragile", text.into())));
        footer.extend(literal(vec![("made by", format!("htsr {version} ({commit})"))]));
        footer
    }
}

impl LayerRow {
    fn cells(&self) -> Vec<Cell> {
        let LayerRow { score, experts, top_k } = self;
        vec![
            Cell::Text(score.stack.clone()),
            Cell::Whole(score.layer.into()),
            Cell::optional(score.alpha, Cell::real),
            Cell::Whole(score.matrices as u64),
            Cell::optional(*experts, |experts| Cell::Whole(experts.into())),
            Cell::optional(*top_k, |top_k| Cell::Whole(top_k.into())),
        ]
    }
}

fn matrix_cells(matrix: &MatrixScore) -> Vec<Cell> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let optional_text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
    let whole = |number: usize| Cell::Whole(number as u64);
    let real = |number: Option<f64>| Cell::optional(number, Cell::real);
    let (base_dtype, rank, scale) = match &matrix.update {
        None => (Cell::Missing, Cell::Missing, Cell::Missing),
        Some(Update::Difference { base_dtype }) => (Cell::Text(base_dtype.to_string()), Cell::Missing, Cell::Missing),
        Some(Update::LowRank { rank, scale }) => (Cell::Missing, whole(*rank), Cell::real(*scale)),
    };
    vec![
        text(&matrix.tensor),
        text(&matrix.stack),
        Cell::Whole(matrix.layer.into()),
        text(&matrix.role),
        whole(matrix.rows),
        whole(matrix.cols),
        Cell::Text(matrix.dtype.to_string()),
        Cell::Text(matrix.rule.to_string()),
        real(matrix.alpha),
        real(matrix.ks_distance),
        real(matrix.xmin),
        Cell::optional(matrix.tail, whole),
        whole(matrix.eigenvalues),
        Cell::optional(matrix.windows, |windows| Cell::Text(windows.to_string())),
        real(matrix.lambda_min),
        real(matrix.lambda_max),
        real(matrix.trace),
        text(&matrix.precision),
        text(match matrix.status {
            Status::Ok => "ok",
            Status::Failed => "failed",
        }),
        optional_text(&matrix.reason),
        optional_text(&matrix.note),
        base_dtype,
        rank,
        scale,
        real(matrix.floor.floor),
        Cell::optional(matrix.floor.below_floor, whole),
        Cell::optional(matrix.floor.rank_above_floor, whole),
        real(matrix.floor.unchanged),
    ]
}
