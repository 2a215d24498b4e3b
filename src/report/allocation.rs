//! The allocation as a table: one row per unit, and the lists and notes below it.

use super::{AllocationRow, Cell, Document, Report, Table};
use crate::allocate::{
    AllocatedUnit, AllocatedValue, AllocationComparison, Bound, BudgetOutcome, Group, Quantity, Stability, Unit,
    ValueRange, units,
};
use crate::score::LayerScore;

impl Report {
    /// The results with one row per unit, those of stacks without numbers last; or per layer if there is no allocation.
    pub fn by_unit(&self) -> Document<'_, Report> {
        let Some(AllocationRow { allocation, .. }) = &self.allocation else { return self.by_layer() };
        let rows = allocation.rows.iter().map(|row| (&row.unit, Some(row)));
        let left_out = self.left_out_units();
        let rows: Vec<(&Unit, Option<&AllocatedUnit>)> = rows.chain(left_out.iter().map(|unit| (unit, None))).collect();
        let stacks = rows.iter().any(|(unit, _)| unit.stack != rows[0].0.stack);
        let (group, quantity) = (allocation.plan.group, allocation.quantity);
        let mut columns = vec![("stack", stacks && group != Group::Matrix)];
        columns.extend(match group {
            Group::Layer => vec![("layer", true), ("alpha", true), ("matrices", true)],
            Group::Role => vec![("role", true), ("alpha", true), ("matrices", true)],
            Group::Matrix => vec![("tensor", true), ("layer", false), ("role", false), ("alpha", true)],
        });
        columns.push((quantity.name(), true));
        columns.extend(match quantity {
            Quantity::Experts => vec![("top_k", true)],
            Quantity::Rank => vec![("lora_alpha", true)],
            _ => Vec::new(),
        });
        if allocation.stability.is_some() {
            columns.extend([("low", true), ("high", true), ("share", true), ("determined", true)]);
        }
        let width = columns.len();
        let cells = rows.iter().map(|(unit, row)| cells(unit, *row, group, width));
        let mut table = Table { columns, rows: cells.collect() };
        if let Some(comparison) = &self.comparison {
            append_comparison(comparison, &mut table);
        }
        self.append_provenance(&mut table);
        let tail = [("parameters", false), ("held", false), ("allocation", false)];
        table.columns.extend(tail);
        for (cells, (unit, row)) in table.rows.iter_mut().zip(rows) {
            cells.push(Cell::optional(unit.parameters, Cell::Whole));
            cells.push(Cell::optional(row.and_then(|row| row.held), |held| Cell::Text(word(held).into())));
            cells.push(Cell::Text(allocation.plan.rule.name().into()));
        }
        Document { table, footer: self.footer(), json: self }
    }

    /// The units of the stacks that the allocation leaves out.
    fn left_out_units(&self) -> Vec<Unit> {
        let Some(AllocationRow { allocation, .. }) = &self.allocation else { return Vec::new() };
        if allocation.left_out.is_empty() {
            return Vec::new();
        }
        let layers: Vec<LayerScore> = self.layers.iter().map(|row| row.score.clone()).collect();
        let all = units(&self.matrices, &layers, allocation.plan.group, allocation.plan.aggregate);
        let is_left_out = |unit: &Unit| allocation.left_out.iter().any(|left_out| left_out.stack == unit.stack);
        all.unwrap_or_default().into_iter().filter(is_left_out).collect()
    }
}

/// The first `width` cells of a row: the unit and its number, if it has one.
fn cells(unit: &Unit, row: Option<&AllocatedUnit>, group: Group, width: usize) -> Vec<Cell> {
    let text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
    let layer = Cell::optional(unit.layer, |layer| Cell::Whole(layer.into()));
    let (alpha, matrices) = (Cell::optional(unit.alpha, Cell::real), Cell::Whole(unit.matrices as u64));
    let mut cells = vec![Cell::Text(unit.stack.clone())];
    cells.extend(match group {
        Group::Layer => vec![layer, alpha, matrices],
        Group::Role => vec![text(&unit.role), alpha, matrices],
        Group::Matrix => vec![text(&unit.tensor), layer, text(&unit.role), alpha],
    });
    cells.extend(row.map(number_cells).unwrap_or_default());
    cells.resize(width, Cell::Missing);
    cells
}

fn number_cells(row: &AllocatedUnit) -> Vec<Cell> {
    let AllocatedUnit { value, top_k, lora_alpha, .. } = row;
    let mut cells = vec![value_cell(*value)];
    cells.extend(top_k.map(|top_k| Cell::Whole(top_k.into())));
    cells.extend(lora_alpha.map(Cell::real));
    if let Some(ValueRange { low, high, share, determined }) = row.range {
        let number = |number: f64| if value.is_whole() { Cell::Whole(number as u64) } else { Cell::real(number) };
        let word = if determined { "yes" } else { "no" };
        cells.extend([number(low), number(high), Cell::Real(share, 3), Cell::Text(word.into())]);
    }
    cells
}

fn value_cell(value: AllocatedValue) -> Cell {
    match value {
        AllocatedValue::Whole(number) => Cell::Whole(number.into()),
        AllocatedValue::Real(number) => Cell::real(number),
    }
}

/// A column for each allocation of a comparison.
fn append_comparison(comparison: &AllocationComparison, table: &mut Table) {
    for column in &comparison.columns {
        // Column names are `'static`, so these few are leaked.
        table.columns.push((column.label.clone().leak(), true));
        for (index, cells) in table.rows.iter_mut().enumerate() {
            let value = column.values.as_ref().and_then(|values| values.get(index));
            cells.push(Cell::optional(value, |value| value_cell(*value)));
        }
    }
}

fn word(bound: Bound) -> &'static str {
    match bound {
        Bound::Minimum => "minimum",
        Bound::Maximum => "maximum",
    }
}

/// What was simulated, and how many values are not determined.
fn stability_footer(stability: &Stability, of: usize) -> Vec<(&'static str, String)> {
    let Stability { draws, seed, stated, assumed, relative_error, failed, undetermined } = stability;
    let failed = if *failed > 0 { format!("; {failed} draws have no allocation") } else { String::new() };
    let outcome = format!(
        "{undetermined} of {of} values are not determined: fewer than 95 % of {draws} draws (seed {seed}) give the printed value{failed}"
    );
    let mut errors = Vec::new();
    if *stated > 0 {
        errors.push(format!("from the scores for {stated} alphas"));
    }
    if *assumed > 0 {
        errors.push(format!("assumed to be {} % of alpha for {assumed} alphas", relative_error * 100.0));
    }
    vec![("stability", outcome), ("errors", errors.join("; "))]
}

impl AllocationRow {
    /// The lists that other tools read, and how the budget was met.
    pub(super) fn footer(&self) -> Vec<(&'static str, String)> {
        let mut footer = Vec::new();
        let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let per_layer = self.allocation.plan.group == Group::Layer;
        if let (Some(experts), Some(top_k), true) = (&self.experts, &self.top_k, per_layer) {
            footer.push(("number_experts", list(experts)));
            footer.push(("top_k", list(top_k)));
        }
        if let (Quantity::Rank, Some(ranks), true) =
            (self.allocation.quantity, self.allocation.whole_values(), per_layer)
        {
            footer.push(("lora_r", list(&ranks)));
        }
        footer.push(("allocation", self.summary()));
        footer.extend(self.allocation.left_out.iter().map(|left_out| ("left out", left_out.sentence())));
        if let Some(stability) = &self.allocation.stability {
            footer.extend(stability_footer(stability, self.allocation.rows.len()));
        }
        footer.extend(self.allocation.notes.iter().map(|note| ("note", note.clone())));
        footer
    }

    /// `160 experts by alpha^2.5, reference rounding`.
    fn summary(&self) -> String {
        let rule = self.allocation.plan.rule;
        match (self.total, &self.allocation.budget) {
            (Some(total), _) => format!("{total} experts {rule}"),
            (None, Some(BudgetOutcome { of, asked, met, why })) => {
                let of_asked = if why.is_some() { format!(" of {asked}") } else { String::new() };
                let why = why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
                format!("{} {rule}: {met}{of_asked} {of}{why}", self.allocation.quantity)
            }
            (None, None) => format!("{} {rule}", self.allocation.quantity),
        }
    }
}
