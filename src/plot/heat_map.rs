//! Heat map of alpha by layer and role.

use super::canvas::{Anchor, Canvas, Drawing};
use super::color::{BLACK, GRAY, LIGHT_GRAY, readable_on, viridis};
use crate::error::printable;
use crate::score::MatrixScore;

const CELL_HEIGHT: f64 = 34.0;
const TOP: f64 = 74.0;
const TEXT: f64 = 16.0;
/// Largest and smallest cell width.
const CELL_WIDTH: (f64, f64) = (56.0, 14.0);
/// Width that a model with many layers must fit into.
const WIDTH: f64 = 1400.0;

/// A cell for each layer (column) and role (row): the mean alpha of its matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    title: String,
    subtitle: String,
    layers: Vec<u32>,
    /// Stack and role of each row.
    rows: Vec<(String, String)>,
    /// By row and layer: `Some(None)` if there are matrices, but none of them has an alpha.
    cells: Vec<Vec<Option<Option<f64>>>>,
}

impl HeatMap {
    /// The alphas of `matrices` under a title.
    pub fn new(title: &str, matrices: &[MatrixScore]) -> HeatMap {
        let mut layers: Vec<u32> = matrices.iter().map(|matrix| matrix.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let mut rows: Vec<(String, String)> = Vec::new();
        for MatrixScore { stack, role, .. } in matrices {
            if !rows.iter().any(|row| row.0 == *stack && row.1 == *role) {
                rows.push((stack.clone(), role.clone()));
            }
        }
        // In order of first appearance, with stacks kept together.
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let cell = |row: &(String, String), layer: u32| {
            let here = matrices
                .iter()
                .filter(|matrix| (&matrix.stack, &matrix.role) == (&row.0, &row.1) && matrix.layer == layer);
            let alphas: Vec<Option<f64>> = here.map(|matrix| matrix.alpha).collect();
            let known: Vec<f64> = alphas.iter().filter_map(|alpha| *alpha).collect();
            let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
            (!alphas.is_empty()).then_some(mean)
        };
        let cells = rows.iter().map(|row| layers.iter().map(|&layer| cell(row, layer)).collect()).collect();
        let rule = matrices.first().map_or(String::new(), |matrix| format!(", {} rule", matrix.rule));
        let subtitle = format!("alpha of {} matrices by layer and role{rule}", matrices.len());
        HeatMap { title: title.to_owned(), subtitle, layers, rows, cells }
    }

    fn alphas(&self) -> Vec<f64> {
        let mut alphas: Vec<f64> = self.cells.iter().flatten().filter_map(|cell| cell.flatten()).collect();
        alphas.sort_by(f64::total_cmp);
        alphas
    }

    /// The alphas of the darkest and the lightest color. The outermost fiftieth at each end does not stretch the range:
    /// one alpha of 30 would leave all others in one color.
    fn range(&self) -> (f64, f64) {
        let alphas = self.alphas();
        let Some(last) = alphas.len().checked_sub(1) else { return (1.0, 1.0) };
        let outliers = alphas.len() / 50;
        (alphas[outliers], alphas[last - outliers])
    }

    fn cell_width(&self) -> f64 {
        (WIDTH / self.layers.len().max(1) as f64).clamp(CELL_WIDTH.1, CELL_WIDTH.0)
    }

    fn labels(&self) -> Vec<String> {
        let several = self.rows.iter().any(|row| row.0 != self.rows[0].0);
        let label = |(stack, role): &(String, String)| match several && !stack.is_empty() {
            true => printable(&format!("{stack}: {role}")).into_owned(),
            false => printable(role).into_owned(),
        };
        self.rows.iter().map(label).collect()
    }

    /// Left edge of the cells. `size` has no canvas to measure texts on; letters of this font are 0.55 of its height
    /// wide.
    fn left(&self) -> f64 {
        let longest = self.labels().iter().map(|label| label.chars().count()).max().unwrap_or(0);
        (24.0 + longest as f64 * TEXT * 0.55).max(120.0)
    }

    fn right(&self) -> f64 {
        self.left() + self.cell_width() * self.layers.len() as f64
    }

    fn bottom(&self) -> f64 {
        TOP + CELL_HEIGHT * self.rows.len().max(3) as f64
    }
}

impl Drawing for HeatMap {
    fn size(&self) -> (u32, u32) {
        ((self.right() + 120.0).max(560.0) as u32, (self.bottom() + 66.0) as u32)
    }

    fn draw(&self, canvas: &mut dyn Canvas) {
        let width = f64::from(self.size().0);
        let title = printable(&self.title);
        let height = 22.0 * ((width - 30.0) / canvas.text_width(&title, 22.0).max(1.0)).min(1.0);
        canvas.text(&title, (0.5 * width, 25.0), height, BLACK, Anchor::Center);
        canvas.text(&self.subtitle, (0.5 * width, 52.0), TEXT, GRAY, Anchor::Center);
        self.draw_cells(canvas);
        self.draw_labels(canvas);
        self.draw_scale(canvas);
    }
}

impl HeatMap {
    fn draw_cells(&self, canvas: &mut dyn Canvas) {
        let (low, high) = self.range();
        let (left, width) = (self.left(), self.cell_width());
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let (x, y) = (left + width * column as f64, TOP + CELL_HEIGHT * row as f64);
                let Some(alpha) = cell else { continue };
                let color = alpha
                    .map_or(LIGHT_GRAY, |alpha| viridis(if high > low { (alpha - low) / (high - low) } else { 0.5 }));
                canvas.rectangle((x, y), (x + width - 1.0, y + CELL_HEIGHT - 1.0), color);
                let text = alpha.map_or("–".into(), |alpha| format!("{alpha:.*}", if alpha < 9.995 { 2 } else { 1 }));
                let height = (TEXT - 2.0).min(width / 2.4);
                if height >= 8.0 || alpha.is_none() {
                    let middle = (x + 0.5 * (width - 1.0), y + 0.5 * (CELL_HEIGHT - 1.0));
                    canvas.text(&text, middle, height.max(8.0), readable_on(color), Anchor::Center);
                }
            }
        }
    }

    fn draw_labels(&self, canvas: &mut dyn Canvas) {
        let (left, width, bottom) = (self.left(), self.cell_width(), TOP + CELL_HEIGHT * self.rows.len() as f64);
        for (row, label) in self.labels().iter().enumerate() {
            canvas.text(label, (left - 8.0, TOP + CELL_HEIGHT * (row as f64 + 0.5)), TEXT, BLACK, Anchor::Right);
        }
        let every = (28.0 / width).ceil() as usize;
        for (column, layer) in self.layers.iter().enumerate().step_by(every) {
            let x = left + width * (column as f64 + 0.5);
            canvas.text(&layer.to_string(), (x, bottom + 14.0), TEXT, BLACK, Anchor::Center);
        }
        canvas.text("layer", (0.5 * (left + self.right()), bottom + 40.0), TEXT + 2.0, BLACK, Anchor::Center);
    }

    /// The scale of colors.
    fn draw_scale(&self, canvas: &mut dyn Canvas) {
        const STEPS: u32 = 64;
        let (low, high) = self.range();
        let (x, top, bottom) = (self.right() + 30.0, TOP, self.bottom());
        for step in 0..STEPS {
            let share = |step: u32| top + (bottom - top) * f64::from(step) / f64::from(STEPS);
            let color = viridis(1.0 - f64::from(step) / f64::from(STEPS - 1));
            // Each step extends to the bottom, so that no gaps show between the steps.
            canvas.rectangle((x, share(step)), (x + 16.0, bottom), color);
        }
        let alphas = self.alphas();
        let beyond = |found: Option<&f64>, end: f64, sign: &str| match found {
            Some(&alpha) if alpha != end => format!("{sign} {end:.2}"),
            Some(_) => format!("{end:.2}"),
            None => "–".into(),
        };
        let labels = [(bottom - 6.0, beyond(alphas.first(), low, "≤")), (top + 6.0, beyond(alphas.last(), high, "≥"))];
        for (y, label) in labels {
            canvas.text(&label, (x + 22.0, y), TEXT, BLACK, Anchor::Left);
        }
        canvas.text("alpha", (x + 22.0, 0.5 * (top + bottom)), TEXT, BLACK, Anchor::Left);
    }
}
