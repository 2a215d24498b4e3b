//! Two scored models side by side.

use serde::Serialize;

use super::{Cell, Document, Provenance, Report, SCHEMA, Table, literal};
use crate::allocate::Budget;
use crate::compare::{self, ComparedModel, Pairs, Side, Unpaired};
use crate::rename::Rename;
use crate::score::LayerScore;

/// How many unpaired names tables for people show; the JSON has all.
const NAMED: usize = 8;

/// The results of `compare`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ModelComparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the numbers of A come from.
    pub a: Provenance,
    /// Where the numbers of B come from.
    pub b: Provenance,
    /// What pairs, and what does not.
    #[serde(flatten)]
    pub pairs: Pairs,
}

impl ModelComparison {
    /// Compares two reports. `rename` turns names of tensors and stacks in A into those in B; if nothing pairs without one, the usual
    /// ones are tried.
    pub fn new(a: &Report, b: &Report, rename: Option<&Rename>) -> ModelComparison {
        let scores =
            |report: &Report| -> Vec<LayerScore> { report.layers.iter().map(|row| row.score.clone()).collect() };
        let (layers_a, layers_b) = (scores(a), scores(b));
        let experts = |report: &Report| -> Vec<Option<u32>> { report.layers.iter().map(|row| row.experts).collect() };
        let (experts_a, experts_b) = (experts(a), experts(b));
        let pairs = compare::compare(
            ComparedModel { layers: &layers_a, experts: &experts_a, matrices: &a.matrices },
            ComparedModel { layers: &layers_b, experts: &experts_b, matrices: &b.matrices },
            rename,
        );
        ModelComparison { schema: SCHEMA, a: a.provenance.clone(), b: b.provenance.clone(), pairs }
    }

    /// One row per layer of both.
    pub fn by_layer(&self) -> Document<'_, ModelComparison> {
        let layers = &self.pairs.layers;
        let stacks = layers.iter().any(|pair| pair.stack != layers[0].stack);
        let columns = vec![
            ("stack", stacks),
            ("layer", true),
            ("alpha_a", true),
            ("alpha_b", true),
            ("alpha_difference", true),
            ("experts_a", true),
            ("experts_b", true),
            ("experts_difference", true),
        ];
        let rows = layers.iter().map(|pair| {
            vec![
                Cell::Text(pair.stack.clone()),
                Cell::Whole(pair.layer.into()),
                Cell::optional(pair.alpha_a, Cell::real),
                Cell::optional(pair.alpha_b, Cell::real),
                Cell::optional(pair.alpha_difference, Cell::real),
                Cell::optional(pair.experts_a, |experts| Cell::Whole(experts.into())),
                Cell::optional(pair.experts_b, |experts| Cell::Whole(experts.into())),
                Cell::optional(pair.experts_difference, |experts| Cell::Real(experts as f64, 1)),
            ]
        });
        self.document(Table { columns, rows: rows.collect() })
    }

    /// One row per matrix of both.
    pub fn by_matrix(&self) -> Document<'_, ModelComparison> {
        let renamed = self.pairs.matrices.iter().any(|pair| pair.tensor_a != pair.tensor_b);
        let columns = vec![
            ("tensor_a", true),
            ("tensor_b", renamed),
            ("layer", false),
            ("role", false),
            ("alpha_a", true),
            ("alpha_b", true),
            ("alpha_difference", true),
        ];
        let rows = self.pairs.matrices.iter().map(|pair| {
            vec![
                Cell::Text(pair.tensor_a.clone()),
                Cell::Text(pair.tensor_b.clone()),
                Cell::Whole(pair.layer.into()),
                Cell::Text(pair.role.clone()),
                Cell::optional(pair.alpha_a, Cell::real),
                Cell::optional(pair.alpha_b, Cell::real),
                Cell::optional(pair.alpha_difference, Cell::real),
            ]
        });
        self.document(Table { columns, rows: rows.collect() })
    }

    fn document(&self, mut table: Table) -> Document<'_, ModelComparison> {
        let text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
        let rule = |side: &Provenance| Cell::optional(side.rule, |rule| Cell::Text(rule.to_string()));
        for (name, cell) in [
            ("rule_a", rule(&self.a)),
            ("rule_b", rule(&self.b)),
            ("input_a", Cell::Text(self.a.input.path.clone())),
            ("input_b", Cell::Text(self.b.input.path.clone())),
            ("headers_sha256_a", text(&self.a.input.headers_sha256)),
            ("headers_sha256_b", text(&self.b.input.headers_sha256)),
        ] {
            table.columns.push((name, false));
            table.rows.iter_mut().for_each(|row| row.push(cell.clone()));
        }
        Document { table, footer: literal(self.footer()), json: self }
    }

    fn footer(&self) -> Vec<(&'static str, String)> {
        let Pairs { layers, matrices, unpaired_layers, unpaired_matrices, rank_correlation, moved_experts, rename } =
            &self.pairs;
        let rho = |rho: Option<f64>, pairs: usize, one: &str, many: &str| {
            let rho = rho.map_or("none".to_owned(), |rho| format!("{rho:.3}"));
            format!("{rho} over {pairs} {}", if pairs == 1 { one } else { many })
        };
        // Only pairs with both alphas count.
        let with_alphas = |differences: &mut dyn Iterator<Item = Option<f64>>| differences.flatten().count();
        let layer_pairs = with_alphas(&mut layers.iter().map(|pair| pair.alpha_difference));
        let matrix_pairs = with_alphas(&mut matrices.iter().map(|pair| pair.alpha_difference));
        let mut footer = vec![
            ("a", origin(&self.a)),
            ("b", origin(&self.b)),
            ("difference", "b - a".into()),
            (
                "rank correlation",
                format!(
                    "{}, {} (Spearman, of alpha)",
                    rho(rank_correlation.layers, layer_pairs, "layer", "layers"),
                    rho(rank_correlation.matrices, matrix_pairs, "matrix", "matrices")
                ),
            ),
        ];
        if let [Some(Budget { experts: Some(a), beta, rounding, .. }), Some(Budget { experts: Some(b), .. })] =
            [&self.a.options.budget, &self.b.options.budget]
        {
            let experts = if a == b { format!("both {a}") } else { format!("a {a}, b {b}") };
            let moved = moved_experts.map_or(String::new(), |moved| format!("; {moved} move to other layers"));
            footer.push(("allocation", format!("{experts} experts by alpha^{beta}, {rounding} rounding{moved}")));
        }
        footer.extend(rename.as_ref().map(|rename| ("renamed", format!("a: {rename}"))));
        footer.extend(list("layers only in", unpaired_layers));
        footer.extend(list("matrices only in", unpaired_matrices));
        footer
    }
}

/// The provenance of a model in one line.
fn origin(provenance: &Provenance) -> String {
    let Provenance { rule, precision, device, options, input, base, .. } = provenance;
    let mut text = input.path.clone();
    if let Some(base) = base {
        text += &format!(" less {}", base.path);
    }
    if let (Some(rule), Some(precision), Some(device)) = (rule, precision, device) {
        text += &format!(": {rule} rule, {precision}, cast {}, on {device}", options.cast);
    }
    text
}

/// Unpaired names, for people.
fn list(label: &'static str, unpaired: &[Unpaired]) -> Option<(&'static str, String)> {
    let of_side = |side: Side, letter: &str| {
        let names: Vec<&str> =
            unpaired.iter().filter(|item| item.side == side).map(|item| item.name.as_str()).collect();
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| format!("{letter}: {}{more}", names[..names.len().min(NAMED)].join(", ")))
    };
    let sides: Vec<String> = [of_side(Side::A, "a"), of_side(Side::B, "b")].into_iter().flatten().collect();
    (!sides.is_empty()).then(|| (label, sides.join("; ")))
}
