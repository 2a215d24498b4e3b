//! The results, schema 1: the contract with every program that reads them.

use serde::{Deserialize, Serialize};

use super::{Cell, Document, Provenance, Table};
use crate::allocate::{Allocation, Budget, Rounding};
use crate::matrices::Skipped;
use crate::score::{LayerScore, MatrixScore, Status, Summary};

/// The version of the JSON layout; it changes when a field changes its name or meaning.
pub const SCHEMA: u32 = 1;

/// The results of `score` and `allocate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// One row per matrix.
    pub matrices: Vec<MatrixScore>,
    /// One row per layer.
    pub layers: Vec<LayerRow>,
    /// The model in a few numbers, if matrices were scored.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// The allocation, if every layer has an alpha and the budget can be met.
    pub allocation: Option<AllocationRow>,
    /// Tensors that were not scored.
    pub skipped: Vec<Skipped>,
}

/// A layer with its experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerRow {
    /// Its score.
    #[serde(flatten)]
    pub score: LayerScore,
    /// LoRA experts.
    pub experts: Option<u32>,
    /// Experts that its router chooses per token.
    pub top_k: Option<u32>,
}

/// An allocation and the budget it meets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocationRow {
    /// The rule of allocation.
    pub rule: String,
    /// Experts of all layers together.
    pub total: u32,
    /// The exponent.
    pub beta: f64,
    /// How shares were rounded.
    pub rounding: Rounding,
    /// Per layer, in order.
    #[serde(flatten)]
    pub allocation: Allocation,
}

impl Report {
    /// Joins scores and allocation.
    pub fn new(
        provenance: Provenance,
        matrices: Vec<MatrixScore>,
        layers: Vec<LayerScore>,
        allocation: Option<Allocation>,
        skipped: Vec<Skipped>,
    ) -> Report {
        let Budget { experts: total, beta, rounding, .. } = provenance.options.budget;
        let of_layer = |list: fn(&Allocation) -> &Vec<u32>, index: usize| allocation.as_ref().map(|a| list(a)[index]);
        let row = |(index, score)| LayerRow {
            score,
            experts: of_layer(|allocation| &allocation.experts, index),
            top_k: of_layer(|allocation| &allocation.top_k, index),
        };
        Report {
            schema: SCHEMA,
            summary: Summary::of(&matrices),
            layers: layers.into_iter().enumerate().map(row).collect(),
            provenance,
            matrices,
            allocation: allocation.map(|allocation| AllocationRow {
                rule: "alphalora".into(),
                total,
                beta,
                rounding,
                allocation,
            }),
            skipped,
        }
    }

    /// The results with one row per layer.
    pub fn by_layer(&self) -> Document<'_, Report> {
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
            ("lambda_min", false),
            ("lambda_max", false),
            ("trace", false),
            ("precision", true),
            ("status", true),
            ("reason", false),
            ("note", false),
        ];
        let mut table = Table { columns: columns.to_vec(), rows: self.matrices.iter().map(matrix_cells).collect() };
        self.append_metrics(&mut table);
        self.append_provenance(&mut table);
        Document { table, footer: self.footer(), json: self }
    }

    /// Adds the provenance to every row, for CSV: rows of several runs can be put together and still be told apart.
    pub(super) fn append_provenance(&self, table: &mut Table) {
        let Provenance { version, commit, device, solver, precision, rule, options, input } = &self.provenance;
        let text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
        let per_matrix = table.columns.iter().any(|(name, _)| *name == "rule");
        let mut added = Vec::new();
        if !per_matrix {
            added.push(("rule", Cell::optional(*rule, |rule| Cell::Text(rule.to_string()))));
            added.push(("precision", Cell::optional(*precision, |precision| Cell::Text(precision.to_string()))));
            added.push(("total", Cell::Whole(options.budget.experts.into())));
            added.push(("beta", Cell::real(options.budget.beta)));
            added.push(("rounding", Cell::Text(options.budget.rounding.to_string())));
        }
        added.push(("device", text(device)));
        added.push(("solver", text(solver)));
        added.push(("version", Cell::Text(version.clone())));
        added.push(("commit", Cell::Text(commit.clone())));
        added.push(("input", Cell::Text(input.path.clone())));
        added.push(("headers_sha256", text(&input.headers_sha256)));
        for (name, cell) in added {
            table.columns.push((name, false));
            table.rows.iter_mut().for_each(|row| row.push(cell.clone()));
        }
    }

    /// The lists that MoLA's command line takes, and the provenance in a line.
    pub(super) fn footer(&self) -> Vec<(&'static str, String)> {
        let mut footer = Vec::new();
        let Provenance { version, commit, device, solver, precision, rule, options, .. } = &self.provenance;
        let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        if let Some(AllocationRow { total, beta, rounding, allocation, .. }) = &self.allocation {
            footer.push(("number_experts", list(&allocation.experts)));
            footer.push(("top_k", list(&allocation.top_k)));
            footer.push(("allocation", format!("{total} experts by alpha^{beta}, {rounding} rounding")));
        }
        if let Some(summary) = &self.summary {
            footer.push(("alphas", summary.to_string()));
        }
        if let (Some(rule), Some(precision), Some(device), Some(solver)) = (rule, precision, device, solver) {
            let cast = match options.cast {
                crate::checkpoint::Cast::None => String::new(),
                cast => format!(", cast to {cast}"),
            };
            footer.push(("alpha", format!("{rule} rule, {precision}{cast}, {solver} on {device}")));
        }
        footer.push(("made by", format!("htsr {version} ({commit})")));
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
    ]
}
