//! A figure as text for a terminal.
//!
//! Bars are made of block elements with a resolution of an eighth of a line, or of `#` and `.` if only ASCII is safe.

use super::axis::ticks;
use super::figure::{CurveKind, Figure, MarkKind};

/// Lines of the plot itself.
const HEIGHT: usize = 18;
/// Columns to the left of the plot.
const MARGIN: usize = 8;
/// Useful widths.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=120;

/// The character for each element.
struct Signs {
    /// Eighths of a cell from below, without the empty one.
    tail: &'static [char],
    bulk: &'static [char],
    curve: char,
    xmin: char,
    edge: char,
    axis: char,
    corner: char,
    line: char,
}

const UNICODE: Signs = Signs {
    tail: &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    bulk: &['░'],
    curve: '●',
    xmin: '│',
    edge: '┊',
    axis: '┤',
    corner: '└',
    line: '─',
};

const ASCII: Signs =
    Signs { tail: &['#'], bulk: &['.'], curve: 'o', xmin: '|', edge: ':', axis: '+', corner: '+', line: '-' };

/// The figure as lines of at most `width` columns (not less than 40), in Unicode or ASCII.
pub fn render(figure: &Figure, width: usize, unicode: bool) -> String {
    let signs = if unicode { UNICODE } else { ASCII };
    let columns = width.clamp(*WIDTHS.start(), *WIDTHS.end()) - MARGIN - 2;
    let plot = Plot { figure, signs, columns };
    let mut cells = Cells(vec![vec![' '; columns]; HEIGHT]);
    plot.draw_bars(&mut cells);
    plot.draw_marks(&mut cells);
    plot.draw_power_law(&mut cells);
    let mut text = plot.with_axes(&cells);
    text.push_str(&plot.legend());
    text
}

/// The cells of the plot, top line first.
struct Cells(Vec<Vec<char>>);

impl Cells {
    /// Sets a cell by its height, in lines from below; does nothing above the plot.
    fn set(&mut self, height: usize, column: usize, sign: char) {
        if let Some(line) = self.0.iter_mut().rev().nth(height) {
            line[column] = sign;
        }
    }
}

/// Joins parts to lines of at most `width` columns, if no part is longer.
fn wrapped(parts: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let length = part.chars().count() + between.len();
        match lines.last_mut().filter(|line| line.chars().count() + length <= width) {
            Some(line) => line.extend([between, part.as_str()]),
            None => lines.push(part.clone()),
        }
    }
    lines
}

struct Plot<'a> {
    figure: &'a Figure,
    signs: Signs,
    columns: usize,
}

impl Plot<'_> {
    /// log10 of the eigenvalue at the center of a column.
    fn middle(&self, column: usize) -> f64 {
        let (low, high) = self.figure.ranges().0;
        low + (column as f64 + 0.5) / self.columns as f64 * (high - low)
    }

    fn column(&self, x: f64) -> Option<usize> {
        let (low, high) = self.figure.ranges().0;
        let place = (x - low) / (high - low) * self.columns as f64;
        (place >= 0.0 && place < self.columns as f64).then_some(place as usize)
    }

    /// Height of a density, in lines from below.
    fn height(&self, y: f64) -> f64 {
        let (low, high) = self.figure.ranges().1;
        (y - low) / (high - low) * HEIGHT as f64
    }

    fn draw_bars(&self, cells: &mut Cells) {
        for column in 0..self.columns {
            let (from, to) = (self.middle(column) - self.half(), self.middle(column) + self.half());
            // The highest of several bars in a column is shown.
            let bars = self.figure.bars.iter().filter(|bar| bar.from < to && bar.to > from);
            let Some(bar) = bars.max_by(|a, b| a.density.total_cmp(&b.density)) else { continue };
            let blocks = if bar.tail { self.signs.tail } else { self.signs.bulk };
            let parts = (self.height(bar.density) * blocks.len() as f64).round().max(1.0) as usize;
            let (full, rest) = (parts / blocks.len(), parts % blocks.len());
            (0..full).for_each(|height| cells.set(height, column, blocks[blocks.len() - 1]));
            if rest > 0 {
                cells.set(full, column, blocks[rest - 1]);
            }
        }
    }

    /// Half the width of a column, minus a little: a bar that only touches a column is not in it.
    fn half(&self) -> f64 {
        let (low, high) = self.figure.ranges().0;
        0.5 * (high - low) / self.columns as f64 * (1.0 - 1e-9)
    }

    fn draw_marks(&self, cells: &mut Cells) {
        for mark in &self.figure.marks {
            let Some(column) = self.column(mark.at) else { continue };
            let sign = if mark.kind == MarkKind::Xmin { self.signs.xmin } else { self.signs.edge };
            (0..HEIGHT).for_each(|height| cells.set(height, column, sign));
        }
    }

    fn draw_power_law(&self, cells: &mut Cells) {
        let Some(curve) = self.figure.curves.iter().find(|curve| curve.kind == CurveKind::PowerLaw) else { return };
        let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
        for column in 0..self.columns {
            let x = self.middle(column);
            if x < first.0 - self.half() || x > last.0 + self.half() || last.0 <= first.0 {
                continue;
            }
            let y = first.1 + (x - first.0) / (last.0 - first.0) * (last.1 - first.1);
            let height = self.height(y);
            if height >= 0.0 {
                cells.set(height as usize, column, self.signs.curve);
            }
        }
    }

    fn with_axes(&self, cells: &Cells) -> String {
        let ((left, right), (bottom, top)) = self.figure.ranges();
        let mut labels = vec![String::new(); HEIGHT];
        for tick in ticks(bottom, top, HEIGHT / 3).iter().filter(|tick| tick.labeled) {
            let line = (self.height(tick.at).floor() as usize).min(HEIGHT - 1);
            labels[HEIGHT - 1 - line] = tick.ascii_label();
        }
        let mut text = format!("{:>MARGIN$}\n", "density");
        for (label, line) in labels.iter().zip(&cells.0) {
            let axis = if label.is_empty() { self.signs.xmin } else { self.signs.axis };
            let line = format!("{label:>MARGIN$} {axis}{}", line.iter().collect::<String>());
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&format!(
            "{:MARGIN$} {}{}\n",
            "",
            self.signs.corner,
            self.signs.line.to_string().repeat(self.columns)
        ));
        text.push_str(&self.x_labels(left, right));
        text
    }

    /// The labels of the horizontal axis, each centered under its number; labels that do not fit are omitted.
    fn x_labels(&self, left: f64, right: f64) -> String {
        let mut line = String::new();
        for tick in ticks(left, right, self.columns / 9).iter().filter(|tick| tick.labeled) {
            let (label, Some(column)) = (tick.ascii_label(), self.column(tick.at)) else { continue };
            let start = (MARGIN + 2 + column).saturating_sub(label.len() / 2);
            let fits = start + label.len() <= MARGIN + 2 + self.columns;
            if fits && (start > line.len() || line.is_empty()) {
                line.push_str(&" ".repeat(start - line.len()));
                line.push_str(&label);
            }
        }
        format!("{line}\n{:>width$}\n", "eigenvalue", width = MARGIN + 2 + self.columns)
    }

    fn legend(&self) -> String {
        let Signs { tail, bulk, curve, xmin, edge, .. } = self.signs;
        let block = |blocks: &[char]| blocks[blocks.len() - 1];
        let has = |kind| self.figure.marks.iter().any(|mark| mark.kind == kind);
        let mut parts = Vec::new();
        if self.figure.bars.iter().any(|bar| !bar.tail) {
            parts.push(format!("{} below the tail", block(bulk)));
        }
        if has(MarkKind::Xmin) {
            parts.push(format!("{} tail", block(tail)));
            parts.push(format!("{curve} power law"));
            parts.push(format!("{xmin} xmin"));
        }
        if has(MarkKind::Edge) {
            parts.push(format!("{edge} Marchenko-Pastur edges"));
        }
        let lines = std::iter::once(wrapped(&parts, "   ", self.columns));
        let words = |note: &String| wrapped(&note.split(' ').map(str::to_owned).collect::<Vec<_>>(), " ", self.columns);
        let lines = lines.chain(self.figure.notes.iter().map(words)).flatten();
        lines.map(|line| format!("{:MARGIN$}  {line}\n", "")).collect()
    }
}
