//! Aligned columns for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, presets};

use super::Table;
use crate::error::printable;

pub(super) fn render(table: &Table, footer: &[(&'static str, String)]) -> String {
    let (names, rows) = table.for_people();
    let alignment: Vec<CellAlignment> = table
        .numeric()
        .iter()
        .map(|numeric| if *numeric { CellAlignment::Right } else { CellAlignment::Left })
        .collect();
    let mut text =
        aligned(std::iter::once(names.iter().map(|name| (*name).to_owned()).collect()).chain(rows), &alignment);
    if !footer.is_empty() {
        text.push('\n');
        let lines = footer.iter().map(|(label, line)| vec![(*label).to_owned(), printable(line).into_owned()]);
        text += &aligned(lines, &[CellAlignment::Left; 2]);
    }
    text
}

/// Columns of the width of their longest cell, two blanks apart, without blanks at the ends of lines.
fn aligned(rows: impl Iterator<Item = Vec<String>>, alignment: &[CellAlignment]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).add_rows(rows);
    for (column, &alignment) in table.column_iter_mut().zip(alignment) {
        column.set_padding((0, 2)).set_cell_alignment(alignment);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
