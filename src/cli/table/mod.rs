//! Tables for people: aligned columns that fit the terminal.

mod column;
mod narrow;
mod wrap;

use crate::error::printable;
use crate::report::Table;

use column::{Column, GAP};
use narrow::Layout;
pub use wrap::words;

/// `table` as text, with the labeled lines of `footer` below it.
///
/// If the table is wider than `width`, it shows fewer columns, with a note below, or one block per row. Words and numbers
/// are never broken: a line with a longer one exceeds `width`.
pub fn render(table: &Table, footer: &[(&'static str, String)], width: Option<usize>) -> String {
    let columns = columns(table);
    let (mut text, notes) = match width.map(|width| narrow::layout(&columns, width)) {
        None => (aligned(&columns), Vec::new()),
        Some(Layout::Columns { columns, notes }) => (aligned(&columns), notes),
        Some(Layout::Blocks { width }) => (blocks(&columns, width), Vec::new()),
    };
    let lines: Vec<_> = footer.iter().cloned().chain(notes).collect();
    if !lines.is_empty() {
        text.push('\n');
        let lines = lines.iter().map(|(label, line)| (*label, printable(line).into_owned()));
        text += &labeled(&lines.collect::<Vec<_>>(), width);
    }
    text
}

fn columns(table: &Table) -> Vec<Column> {
    let (names, rows) = table.for_people();
    let numeric = table.numeric();
    let cells = |index: usize| rows.iter().map(|row| row[index].clone()).collect();
    names.iter().enumerate().map(|(index, name)| Column::new(name, cells(index), numeric[index])).collect()
}

/// Returns a line of names and one line per row. Names and cells of several lines take as many lines.
fn aligned(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| column.header.as_str()).collect();
    let height = columns.iter().map(|column| column.header.lines().count()).max().unwrap_or(0);
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let mut text = line(columns, names, height, true);
    for row in 0..rows {
        let cells: Vec<&str> = columns.iter().map(|column| column.cells[row].as_str()).collect();
        let height = cells.iter().map(|cell| cell.lines().count()).max().unwrap_or(1);
        text += &line(columns, cells, height, false);
    }
    text
}

/// Returns `height` lines of text with one cell per column, aligned to the bottom or the top. No line ends with blanks.
fn line(columns: &[Column], cells: Vec<&str>, height: usize, at_bottom: bool) -> String {
    let mut text = String::new();
    for row in 0..height.max(1) {
        let mut line = String::new();
        for (column, cell) in columns.iter().zip(&cells) {
            let above = if at_bottom { height - cell.lines().count() } else { 0 };
            let piece = row.checked_sub(above).and_then(|row| cell.lines().nth(row)).unwrap_or("");
            line += &column.aligned(piece);
            line += &" ".repeat(GAP);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// One block of lines `name value` per row, with an empty line between two.
fn blocks(columns: &[Column], width: usize) -> String {
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let block = |row: usize| {
        let lines: Vec<_> = columns.iter().map(|column| (column.header.as_str(), column.cells[row].clone())).collect();
        labeled(&lines, Some(width))
    };
    (0..rows).map(block).collect::<Vec<_>>().join("\n")
}

/// Lines with a label in front; longer ones are wrapped to `width` between words.
pub fn labeled(lines: &[(&str, String)], width: Option<usize>) -> String {
    let (labels, texts): (Vec<String>, Vec<&String>) =
        lines.iter().map(|(label, text)| ((*label).to_owned(), text)).unzip();
    let labels = Column::new("", labels, false);
    let left = width.map(|width| width.saturating_sub(labels.width + GAP));
    let texts = texts.into_iter().map(|text| left.map_or_else(|| text.clone(), |left| wrap::words(text, left)));
    let texts = Column::new("", texts.collect(), false);
    let columns = [labels, texts];
    let rows = 0..lines.len();
    rows.map(|row| {
        let cells: Vec<&str> = columns.iter().map(|column| column.cells[row].as_str()).collect();
        let height = cells[1].lines().count();
        line(&columns, cells, height, false)
    })
    .collect()
}

#[cfg(test)]
mod tests;
