//! A column as it is printed.

use unicode_width::UnicodeWidthStr;

/// Blanks between two columns.
pub const GAP: usize = 2;

/// Name, cells and the place that they take.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name in the table that was asked for.
    pub name: String,
    /// The name as it is printed, in one or more lines.
    pub header: String,
    /// One text per row, in one or more lines each.
    pub cells: Vec<String>,
    /// Numbers are aligned to the right, everything else to the left.
    pub numeric: bool,
    /// Columns of the terminal that the widest line takes.
    pub width: usize,
}

impl Column {
    /// A column as wide as its widest cell.
    pub fn new(name: &str, cells: Vec<String>, numeric: bool) -> Column {
        let mut column = Column { name: name.to_owned(), header: name.to_owned(), cells, numeric, width: 0 };
        column.measure();
        column
    }

    /// Sets the width to that of the widest line.
    pub fn measure(&mut self) {
        self.width = self.cells_width().max(width(&self.header));
    }

    /// The width of the widest cell.
    pub fn cells_width(&self) -> usize {
        self.cells.iter().map(|cell| width(cell)).max().unwrap_or(0)
    }

    /// `line` with blanks that bring it to the width of the column.
    pub fn aligned(&self, line: &str) -> String {
        let blanks = " ".repeat(self.width.saturating_sub(width(line)));
        if self.numeric { blanks + line } else { line.to_owned() + &blanks }
    }

    /// The value that every row has, if there are several rows and they all have the same.
    pub fn constant(&self) -> Option<&str> {
        let [first, rest @ ..] = self.cells.as_slice() else { return None };
        (!rest.is_empty() && rest.iter().all(|cell| cell == first)).then_some(first)
    }
}

/// Columns of a terminal that the widest line of `text` takes.
pub fn width(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}
