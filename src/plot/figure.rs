//! The content of a spectrum's picture: its histogram, the fitted tail, xmin, and the Marchenko-Pastur law of a random
//! matrix.

use super::histogram::{Bin, bins};
use crate::device::Analysis;
use crate::fit::Fit;
use crate::metrics::MetricValue;
use crate::score::{MatrixScore, WindowSet};
use crate::spectrum::Spectrum;
use crate::tails::{Alternative, TailComparison};

/// A histogram with curves and marks. All coordinates are log10: of an eigenvalue, and of a density per unit of eigenvalue.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The tensor.
    pub title: String,
    /// Shape, type and rule.
    pub subtitle: String,
    /// The histogram.
    pub bars: Vec<Bar>,
    /// Labels of the bars below the tail and of those in it.
    pub bar_labels: [String; 2],
    /// Curves over the histogram.
    pub curves: Vec<Curve>,
    /// Vertical lines.
    pub marks: Vec<Mark>,
    /// What the picture does not show, and why.
    pub notes: Vec<String>,
    /// Explanations of symbols in labels.
    pub footnotes: Vec<String>,
}

/// A bin of the histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Bar {
    /// Its lower edge.
    pub from: f64,
    /// Its upper edge.
    pub to: f64,
    /// Its density.
    pub density: f64,
    /// Whether it belongs to the tail.
    pub tail: bool,
}

/// What a curve shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CurveKind {
    /// The fitted power law.
    PowerLaw,
    /// Another fitted tail.
    Alternative(Alternative),
    /// The Marchenko-Pastur density.
    Random,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Curve {
    /// What it is.
    pub kind: CurveKind,
    /// Its description, with its parameters.
    pub label: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// What a vertical line marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkKind {
    /// The start of the tail.
    Xmin,
    /// An edge of the Marchenko-Pastur bulk.
    Edge,
}

/// A vertical line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Mark {
    /// What it marks.
    pub kind: MarkKind,
    /// Its position.
    pub at: f64,
}

impl Figure {
    /// The picture of a matrix with the row `row`. `alternatives` are other tails to show next to the power law.
    ///
    /// # Errors
    ///
    /// A phrase that says why there is nothing to draw.
    pub fn new(row: &MatrixScore, analysis: &Analysis, alternatives: &[TailComparison]) -> Result<Figure, String> {
        let spectrum = &analysis.spectrum;
        let fit = analysis.fit.as_ref().ok();
        let known: Vec<f64> = (0..spectrum.len())
            .filter(|&index| spectrum.relative_error(index) < 1.0)
            .map(|index| spectrum.values()[index].log10())
            .collect();
        if known.is_empty() {
            return Err("all eigenvalues are zero within rounding".into());
        }
        let total = spectrum.len();
        let edge = fit.map(|fit| fit.xmin.log10());
        let far = known.partition_point(|&x| x < leftmost(&known, edge));
        let mut figure = Figure {
            title: row.tensor.clone(),
            subtitle: format!("{}, {total} eigenvalues, {} rule", shape(row), row.rule),
            bars: bars(&known[far..], edge, total),
            bar_labels: ["eigenvalues below the tail".into(), tail_label(fit, total)],
            curves: Vec::new(),
            marks: Vec::new(),
            notes: Vec::new(),
            footnotes: Vec::new(),
        };
        if known.len() < total {
            figure.notes.push(format!("not shown: {} that are zero within rounding", eigenvalues(total - known.len())));
        }
        if far > 0 {
            figure.notes.push(format!("not shown: {} below {}", eigenvalues(far), short(known[far])));
        }
        match &analysis.fit {
            Ok(fit) => figure.add_tail(row, fit, spectrum, alternatives),
            Err(reason) => figure.notes.push(format!("no power law: {reason}")),
        }
        figure.add_bulk(row, total);
        Ok(figure)
    }

    fn add_tail(&mut self, row: &MatrixScore, fit: &Fit, spectrum: &Spectrum, alternatives: &[TailComparison]) {
        let (low, high) = (fit.xmin.log10(), spectrum.largest().log10());
        self.marks.push(Mark { kind: MarkKind::Xmin, at: low });
        // The fitted densities describe the tail, which is a part of the whole.
        let number = |name: &str| row.measured.get(name).and_then(MetricValue::number);
        let (error, meaning) = match number("alpha_se") {
            Some(error) => (Some(error), "±: standard error, from simulated spectra"),
            None => (number("sigma"), "±: (α − 1) / √n, the standard error for n independent values"),
        };
        let error = error.map_or(String::new(), |error| format!(" ± {error:.3}"));
        if !error.is_empty() {
            self.footnotes.push(meaning.into());
        }
        if !alternatives.is_empty() {
            let note = "R: log-likelihood of the power law minus that of the other tail; p: probability of such an |R| by chance";
            self.footnotes.push(note.into());
        }
        let share = (fit.tail as f64 / spectrum.len() as f64).log10();
        let start = share + (fit.alpha - 1.0).log10() - low;
        self.curves.push(Curve {
            kind: CurveKind::PowerLaw,
            label: format!("power law, α = {:.3}{error}, D = {:.3}", fit.alpha, fit.ks_distance),
            points: vec![(low, start), (high, start - fit.alpha * (high - low))],
        });
        for comparison in alternatives {
            let point = |log: f64| {
                let x = 10.0_f64.powf(log).max(fit.xmin);
                (log, share + comparison.ln_density(x, fit.xmin) / std::f64::consts::LN_10)
            };
            let label = format!(
                "{}, R = {}, p {}",
                comparison.alternative.words(),
                format!("{:.1}", comparison.log_likelihood_ratio).replace('-', "−"),
                short_probability(comparison.p_value)
            );
            let points = between(low, high).map(point).collect();
            self.curves.push(Curve { kind: CurveKind::Alternative(comparison.alternative), label, points });
        }
    }

    /// Adds the Marchenko-Pastur law of the random bulk, from the metrics of the row.
    fn add_bulk(&mut self, row: &MatrixScore, total: usize) {
        let number = |name: &str| row.measured.get(name).and_then(MetricValue::number);
        let metrics = ["mp_bulk_min", "mp_bulk_max", "num_spikes", "rank_loss"].map(number);
        let [Some(low), Some(high), Some(spikes), zeros] = metrics else {
            self.notes.extend(row.measured.missing.get("mp_bulk_max").cloned());
            return;
        };
        let edges = [low, high].into_iter().filter(|&edge| edge > 0.0);
        self.marks.extend(edges.map(|edge| Mark { kind: MarkKind::Edge, at: edge.log10() }));
        let smallest = self.bars.first().map_or(high.log10(), |bar| bar.from);
        let start = if low > 0.0 { low.log10() } else { smallest.min(high.log10() - 1.0) };
        let share = (total as f64 - spikes - zeros.unwrap_or(0.0)) / total as f64;
        let point = |log: f64| {
            // In units of the upper edge, so that the scale of the weights does not matter. The edges contain the
            // variance: they are variance (sqrt L -+ sqrt M)^2.
            let (x, low) = (10.0_f64.powf(log - high.log10()), low / high);
            let width = (1.0 - low.sqrt()).powi(2);
            let density = 2.0 * ((1.0 - x) * (x - low)).sqrt() / (std::f64::consts::PI * width * x);
            (log, (share * density).log10() - high.log10())
        };
        let points = between(start, high.log10()).map(point).filter(|point| point.1.is_finite()).collect();
        let label = format!("Marchenko–Pastur law, {} above it", eigenvalues(spikes as usize));
        self.curves.push(Curve { kind: CurveKind::Random, label, points });
    }

    /// The ranges that the picture must show: of eigenvalues and of densities.
    pub(super) fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let edges = self.marks.iter().map(|mark| mark.at);
        let (left, right) = fold(&mut self.bars.iter().flat_map(|bar| [bar.from, bar.to]).chain(edges));
        let (bottom, top) = fold(&mut self.bars.iter().map(|bar| bar.density));
        let power_law = self.curves.iter().filter(|curve| curve.kind == CurveKind::PowerLaw);
        let top = power_law.flat_map(|curve| &curve.points).map(|point| point.1).fold(top, f64::max);
        let (wide, tall) = (right - left, (top - bottom).max(0.3));
        // The margin below keeps even the smallest bar visible.
        ((left - 0.03 * wide, right + 0.03 * wide), (bottom - 0.12 * tall, top + 0.06 * tall))
    }
}

/// Shape and type of the matrix, and its windows if it has any.
fn shape(row: &MatrixScore) -> String {
    let whole = format!("{} × {} {}", row.rows, row.cols, row.dtype);
    match row.windows {
        None => whole,
        Some(WindowSet { count, rows, cols }) => format!("{count} windows of {rows} × {cols} of {whole}"),
    }
}

/// `1 eigenvalue`, `2 eigenvalues`.
fn eigenvalues(count: usize) -> String {
    format!("{count} eigenvalue{}", if count == 1 { "" } else { "s" })
}

fn tail_label(fit: Option<&Fit>, total: usize) -> String {
    fit.map_or(String::new(), |fit| format!("tail: {} of {total} eigenvalues, x ≥ xmin", fit.tail))
}

fn short_probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("= {p:.3}") }
}

/// Points from `low` to `high`, denser at both ends, where a density may be steep.
fn between(low: f64, high: f64) -> impl Iterator<Item = f64> {
    const STEPS: u32 = 200;
    let share = |step: u32| 0.5 - 0.5 * (std::f64::consts::PI * f64::from(step) / f64::from(STEPS)).cos();
    (0..=STEPS).map(move |step| low + (high - low) * share(step))
}

/// The left end of a plot that shows the tail and most of the rest. A square matrix has a few eigenvalues that are
/// decades below all others.
fn leftmost(known: &[f64], edge: Option<f64>) -> f64 {
    let most = known[known.len() / 20];
    let high = known[known.len() - 1];
    edge.map_or(most, |edge| most.min(edge - 1.0)).min(high - 3.0)
}

/// Bars below the tail and bars of the tail.
fn bars(log10: &[f64], edge: Option<f64>, total: usize) -> Vec<Bar> {
    let end = log10[log10.len() - 1];
    let start = edge.map_or(log10.len(), |edge| log10.partition_point(|&x| x < edge));
    let (below, tail) = log10.split_at(start);
    let parts = [(below, edge.unwrap_or(end), false), (tail, end, true)];
    let bars = |(values, end, tail): (&[f64], f64, bool)| {
        let bar = move |bin: Bin| Bar { from: bin.from, to: bin.to, density: bin.density, tail };
        bins(values, end, total).into_iter().map(bar)
    };
    parts.into_iter().flat_map(bars).collect()
}

/// The number with this log10, to four digits.
pub(super) fn short(log10: f64) -> String {
    let exponent = log10.floor();
    if (-3.0..4.0).contains(&exponent) {
        format!("{:.*}", (3.0 - exponent).max(0.0) as usize, 10.0_f64.powf(log10))
    } else {
        format!("{:.3}e{exponent}", 10.0_f64.powf(log10 - exponent))
    }
}

#[cfg(test)]
mod tests;
