//! A figure as a picture: title, axes, histogram, curves and marks, with a legend below.

use super::axis::ticks;
use super::canvas::{Anchor, Canvas, Drawing};
use super::color::{BLACK, BLUE, GRAY, GREEN, LIGHT_GRAY, ORANGE, PURPLE, Rgb, SKY_BLUE, VERMILLION};
use super::figure::{CurveKind, Figure, MarkKind, short};
use crate::error::printable;
use crate::tails::Alternative;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 876.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 474.0;
/// Distance from the frame to the legend.
const LEGEND: f64 = 78.0;
const LINE: f64 = 23.0;
const TEXT: f64 = 16.0;

/// Lengths of the dashes of a line and of the gaps between them; empty for a solid line.
type Dashes = &'static [f64];

struct Stroke {
    color: Rgb,
    width: f64,
    dashes: Dashes,
}

fn stroke_of_curve(kind: CurveKind) -> Stroke {
    let (color, width, dashes): (Rgb, f64, Dashes) = match kind {
        CurveKind::PowerLaw => (VERMILLION, 2.6, &[]),
        CurveKind::Random => (GREEN, 1.8, &[]),
        CurveKind::Alternative(Alternative::Tpl) => (PURPLE, 2.2, &[9.0, 4.0]),
        CurveKind::Alternative(Alternative::Lognormal) => (BLUE, 2.2, &[10.0, 3.0, 2.0, 3.0]),
        CurveKind::Alternative(Alternative::Exponential) => (ORANGE, 2.2, &[3.0, 3.0]),
    };
    Stroke { color, width, dashes }
}

fn stroke_of_mark(kind: MarkKind) -> Stroke {
    match kind {
        MarkKind::Xmin => Stroke { color: BLACK, width: 1.6, dashes: &[7.0, 4.0] },
        MarkKind::Edge => Stroke { color: GREEN, width: 1.6, dashes: &[2.0, 3.0] },
    }
}

impl Figure {
    /// The legend: each sign and its description.
    fn legend(&self) -> Vec<(Sign, String)> {
        let mut legend = Vec::new();
        for (tail, label) in [false, true].into_iter().zip(&self.bar_labels) {
            if self.bars.iter().any(|bar| bar.tail == tail) {
                legend.push((Sign::Bar(bar_color(tail)), label.clone()));
            }
        }
        if let Some(mark) = self.marks.iter().find(|mark| mark.kind == MarkKind::Xmin) {
            legend.push((Sign::Line(stroke_of_mark(mark.kind)), format!("xmin = {}", short(mark.at))));
        }
        for curve in &self.curves {
            legend.push((Sign::Line(stroke_of_curve(curve.kind)), curve.label.clone()));
        }
        if let Some(mark) = self.marks.iter().find(|mark| mark.kind == MarkKind::Edge) {
            legend.push((Sign::Line(stroke_of_mark(mark.kind)), "edges of the Marchenko–Pastur bulk".into()));
        }
        legend
    }

    fn legend_rows(&self) -> usize {
        self.legend().len().div_ceil(2)
    }
}

enum Sign {
    Bar(Rgb),
    Line(Stroke),
}

fn bar_color(tail: bool) -> Rgb {
    if tail { SKY_BLUE } else { LIGHT_GRAY }
}

impl Drawing for Figure {
    fn size(&self) -> (u32, u32) {
        let lines = (self.legend_rows() + self.notes.len() + self.footnotes.len()) as f64;
        (WIDTH as u32, (BOTTOM + LEGEND + lines * LINE) as u32)
    }

    fn draw(&self, canvas: &mut dyn Canvas) {
        let middle = 0.5 * (LEFT + RIGHT);
        let title = printable(&self.title);
        // A long name is written smaller, so that all of it is visible.
        let width = canvas.text_width(&title, 22.0);
        let height = 22.0 * ((WIDTH - 30.0) / width).min(1.0);
        canvas.text(&title, (middle.min(0.5 * WIDTH), 25.0), height, BLACK, Anchor::Center);
        canvas.text(&self.subtitle, (middle.min(0.5 * WIDTH), 52.0), TEXT, GRAY, Anchor::Center);
        let frame = Frame::new(self);
        frame.draw_bars(self, canvas);
        frame.draw_lines(self, canvas);
        frame.draw_axes(canvas);
        self.draw_legend(canvas);
    }
}

impl Figure {
    fn draw_legend(&self, canvas: &mut dyn Canvas) {
        let rows = self.legend_rows();
        for (index, (sign, label)) in self.legend().into_iter().enumerate() {
            let x = if index < rows { LEFT } else { LEFT + 400.0 };
            let y = BOTTOM + LEGEND + (index % rows) as f64 * LINE;
            match sign {
                Sign::Bar(color) => canvas.rectangle((x, y - 6.0), (x + 34.0, y + 6.0), color),
                Sign::Line(stroke) => draw_stroke(&[(x, y), (x + 34.0, y)], &stroke, canvas),
            }
            canvas.text(&label, (x + 44.0, y), TEXT, BLACK, Anchor::Left);
        }
        for (index, note) in self.footnotes.iter().chain(&self.notes).enumerate() {
            let y = BOTTOM + LEGEND + (rows + index) as f64 * LINE;
            canvas.text(note, (LEFT, y), TEXT - 2.0, GRAY, Anchor::Left);
        }
    }
}

/// Maps logarithms to pixels.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn new(figure: &Figure) -> Frame {
        let (x, y) = figure.ranges();
        Frame { x, y }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (RIGHT - LEFT),
            BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (BOTTOM - TOP),
        )
    }

    fn draw_bars(&self, figure: &Figure, canvas: &mut dyn Canvas) {
        for bar in &figure.bars {
            let (from, to) = (self.place((bar.from, bar.density)), self.place((bar.to, self.y.0)));
            // A narrow gap between bars, if there is room for it.
            let gap = (0.1 * (to.0 - from.0)).min(0.8);
            canvas.rectangle(from, (to.0 - gap, to.1), bar_color(bar.tail));
        }
    }

    fn draw_lines(&self, figure: &Figure, canvas: &mut dyn Canvas) {
        for mark in &figure.marks {
            let points = [self.place((mark.at, self.y.0)), self.place((mark.at, self.y.1))];
            draw_stroke(&points, &stroke_of_mark(mark.kind), canvas);
        }
        // The power law is first in the legend and drawn last, above all others.
        for curve in figure.curves.iter().rev() {
            let stroke = stroke_of_curve(curve.kind);
            for part in self.inside(&curve.points) {
                let points: Vec<(f64, f64)> = part.into_iter().map(|point| self.place(point)).collect();
                draw_stroke(&points, &stroke, canvas);
            }
        }
    }

    /// The parts of a curve between the lowest and the highest density.
    fn inside(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut parts: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        for pair in points.windows(2) {
            let Some((from, to)) = clipped(pair[0], pair[1], self.y) else { continue };
            match parts.last_mut().filter(|part| part.last() == Some(&from)) {
                Some(part) => part.push(to),
                None => parts.push(vec![from, to]),
            }
        }
        parts.into_iter().filter(|part| part.len() > 1).collect()
    }

    fn draw_axes(&self, canvas: &mut dyn Canvas) {
        let corners = [(LEFT, TOP), (RIGHT, TOP), (RIGHT, BOTTOM), (LEFT, BOTTOM), (LEFT, TOP)];
        canvas.line(&corners, 1.2, BLACK);
        for tick in ticks(self.x.0, self.x.1, 9) {
            let (x, length) = (self.place((tick.at, 0.0)).0, if tick.labeled { 7.0 } else { 3.5 });
            canvas.line(&[(x, BOTTOM), (x, BOTTOM - length)], 1.2, BLACK);
            if tick.labeled {
                canvas.text(&tick.label(), (x, BOTTOM + 15.0), TEXT, BLACK, Anchor::Center);
            }
        }
        for tick in ticks(self.y.0, self.y.1, 8) {
            let (y, length) = (self.place((0.0, tick.at)).1, if tick.labeled { 7.0 } else { 3.5 });
            canvas.line(&[(LEFT, y), (LEFT + length, y)], 1.2, BLACK);
            if tick.labeled {
                canvas.text(&tick.label(), (LEFT - 8.0, y), TEXT, BLACK, Anchor::Right);
            }
        }
        let middle = (0.5 * (LEFT + RIGHT), 0.5 * (TOP + BOTTOM));
        canvas.text(
            "eigenvalue x of WᵀW (squared singular value of W)",
            (middle.0, BOTTOM + 42.0),
            TEXT + 2.0,
            BLACK,
            Anchor::Center,
        );
        canvas.text("probability density (per unit of x)", (22.0, middle.1), TEXT + 2.0, BLACK, Anchor::Upwards);
    }
}

/// The part of a line between two heights, if there is one (Liang-Barsky clipping).
fn clipped(a: (f64, f64), b: (f64, f64), (low, high): (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    if a.1 == b.1 {
        return (low <= a.1 && a.1 <= high).then_some((a, b));
    }
    let (enter, leave) = if b.1 > a.1 { (low, high) } else { (high, low) };
    let share = |level: f64| (level - a.1) / (b.1 - a.1);
    let (first, last) = (share(enter).max(0.0), share(leave).min(1.0));
    let at = |share: f64| match share {
        0.0 => a,
        1.0 => b,
        share => (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1)),
    };
    (first < last).then(|| (at(first), at(last)))
}

fn draw_stroke(points: &[(f64, f64)], stroke: &Stroke, canvas: &mut dyn Canvas) {
    if stroke.dashes.is_empty() {
        return canvas.line(points, stroke.width, stroke.color);
    }
    for dash in dashed(points, stroke.dashes) {
        canvas.line(&dash, stroke.width, stroke.color);
    }
}

/// Cuts a line into dashes.
fn dashed(points: &[(f64, f64)], dashes: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let (mut parts, mut index, mut left) = (Vec::new(), 0, dashes[0]);
    let mut part: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let drawn = index % 2 == 0;
            if length <= left {
                left -= length;
                if drawn {
                    part.push(to);
                }
                break;
            }
            from = (from.0 + left / length * (to.0 - from.0), from.1 + left / length * (to.1 - from.1));
            if drawn {
                part.push(from);
                parts.push(std::mem::take(&mut part));
            } else {
                part = vec![from];
            }
            index = (index + 1) % dashes.len();
            left = dashes[index];
        }
    }
    parts.push(part);
    parts.into_iter().filter(|part| part.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_have_their_length_around_corners() {
        let parts = dashed(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)], &[4.0, 2.0]);
        assert_eq!(parts, [vec![(0.0, 0.0), (4.0, 0.0)], vec![(5.0, 1.0), (5.0, 5.0)]]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.25_f64.log10()), "0.2500");
        assert_eq!(short(1234.56_f64.log10()), "1235");
        assert_eq!(short(-12.0 + 2.5_f64.log10()), "2.500e-12");
    }

    #[test]
    fn curves_are_cut_at_the_frame() {
        let frame = Frame { x: (0.0, 4.0), y: (0.0, 1.0) };
        let parts = frame.inside(&[(0.0, -1.0), (2.0, 1.0), (3.0, 2.0), (4.0, 0.0)]);
        assert_eq!(parts, [vec![(1.0, 0.0), (2.0, 1.0)], vec![(3.5, 1.0), (4.0, 0.0)]]);
        assert!(frame.inside(&[(0.0, -1.0), (4.0, -2.0)]).is_empty());
    }
}
