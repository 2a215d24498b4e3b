//! What a table shows on a terminal that is narrower than the table.
//!
//! In this order, until it fits: names in several lines, prose of the last column in several lines, columns with one value in
//! all rows below the table, columns of less importance left out. What still does not fit, such as dozens of metrics, goes
//! down the page in blocks.

use super::column::{Column, GAP, width};
use super::wrap;

/// Of a table of matrices, these columns are left out first, in this order; those on one line together. The name of a tensor
/// says its stack, layer and role.
const LESS_IMPORTANT: [&[&str]; 13] = [
    &["shard"],
    &["stack"],
    &["role"],
    &["layer"],
    &["rule"],
    &["precision"],
    &["dtype"],
    &["status"],
    &["xmin"],
    &["eigenvalues"],
    &["rows", "cols"],
    &["tail"],
    &["ks_distance"],
];

/// A last column of prose is at least this wide.
const NARROWEST_PROSE: usize = 24;

/// How a table is shown.
pub enum Layout {
    /// Side by side.
    Columns {
        /// What is shown.
        columns: Vec<Column>,
        /// What is not, in lines for below the table.
        notes: Vec<(&'static str, String)>,
    },
    /// One block per row, with all columns.
    Blocks {
        /// Width of the terminal.
        width: usize,
    },
}

/// The layout of a table with these columns in `limit` columns of a terminal.
pub fn layout(columns: &[Column], limit: usize) -> Layout {
    let names = columns.iter().map(|column| column.name.clone()).collect();
    let mut table = Narrowed { names, limit, columns: columns.to_vec(), same: Vec::new(), left_out: Vec::new() };
    if table.total() > limit {
        table.wrap_names();
    }
    if table.fits() || table.remove_constants() || table.remove_less_important() {
        table.join_names();
        return Layout::Columns { notes: table.notes(), columns: table.columns };
    }
    Layout::Blocks { width: limit }
}

struct Narrowed {
    /// The names of all columns, in their order.
    names: Vec<String>,
    limit: usize,
    columns: Vec<Column>,
    /// Columns with one value in all rows: name and value.
    same: Vec<(String, String)>,
    left_out: Vec<String>,
}

impl Narrowed {
    fn total(&self) -> usize {
        let widths: usize = self.columns.iter().map(|column| column.width).sum();
        widths + GAP * self.columns.len().saturating_sub(1)
    }

    /// True if the table fits, or does so with its last column wrapped, which is done then.
    fn fits(&mut self) -> bool {
        self.total() <= self.limit || self.wrap_prose()
    }

    /// A name that is wider than the cells below it is broken into lines.
    fn wrap_names(&mut self) {
        for column in &mut self.columns {
            let limit = column.cells_width().max(wrap::narrowest_name(&column.name));
            column.header = wrap::name(&column.name, limit);
            column.measure();
        }
    }

    /// Names in one line again, if there is room for all of them.
    fn join_names(&mut self) {
        let wider = |column: &Column| width(&column.name).max(column.width) - column.width;
        let more: usize = self.columns.iter().map(wider).sum();
        if self.total() + more <= self.limit {
            for column in &mut self.columns {
                column.width += wider(column);
                column.header = column.name.clone();
            }
        }
    }

    /// Wraps a last column of prose, if there is enough room for it. A cell with no prose to its right may then exceed its
    /// column.
    fn wrap_prose(&mut self) -> bool {
        let Some((prose, others)) = self.columns.split_last_mut() else { return false };
        let is_prose = !prose.numeric && prose.cells.iter().any(|cell| cell.contains(' '));
        if !is_prose || others.is_empty() {
            return false;
        }
        let width_with_prose = |column: &Column| {
            let cells = column.cells.iter().zip(&prose.cells).filter(|(_, prose)| !prose.is_empty());
            cells.map(|(cell, _)| width(cell)).max().unwrap_or(0).max(width(&column.header))
        };
        let widths: Vec<usize> = others.iter().map(width_with_prose).collect();
        let taken: usize = widths.iter().map(|width| width + GAP).sum();
        let left = self.limit.saturating_sub(taken);
        if left < NARROWEST_PROSE.max(width(&prose.header)) {
            return false;
        }
        others.iter_mut().zip(widths).for_each(|(column, width)| column.width = width);
        prose.cells.iter_mut().for_each(|cell| *cell = wrap::words(cell, left));
        prose.measure();
        true
    }

    /// Takes out columns with one value in all rows until the table fits: words before numbers, from right to left. The first
    /// column and alpha stay.
    fn remove_constants(&mut self) -> bool {
        for numeric in [false, true] {
            for index in (1..self.columns.len()).rev() {
                let column = &self.columns[index];
                if let Some(value) = column.constant()
                    && column.numeric == numeric
                    && column.name != "alpha"
                {
                    self.same.push((column.name.clone(), value.to_owned()));
                    self.columns.remove(index);
                    if self.fits() {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Takes out columns of a table of matrices until it fits.
    fn remove_less_important(&mut self) -> bool {
        if !self.columns.iter().any(|column| column.name == "tensor") {
            return false;
        }
        for group in LESS_IMPORTANT {
            let is_member = |column: &Column| group.contains(&column.name.as_str());
            let members = self.columns.iter().filter(|column| is_member(column));
            self.left_out.extend(members.map(|column| column.name.clone()));
            self.columns.retain(|column| !is_member(column));
            if self.fits() {
                return true;
            }
        }
        false
    }

    fn notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        let in_order = self.names.iter();
        let same = in_order.clone().filter_map(|name| self.same.iter().find(|(other, _)| other == name));
        let same: Vec<String> = same.map(|(name, value)| format!("{name} {value}")).collect();
        if !same.is_empty() {
            notes.push(("all rows", same.join(", ")));
        }
        let left_out: Vec<&str> = in_order.filter(|name| self.left_out.contains(name)).map(String::as_str).collect();
        if !left_out.is_empty() {
            let names = left_out.join(", ");
            notes.push(("not shown", format!("{names}; use a wider terminal, or --format csv for all columns")));
        }
        notes
    }
}
