use super::*;
use crate::checkpoint::{Dtype, FloatType};
use crate::device::Arithmetic;
use crate::fit::{Rule, fit};
use crate::metrics::{AnalyzedMatrix, Measured, MetricSelection, measure};
use crate::plot::{png, svg, terminal};
use crate::score::Status;
use crate::tails::compare;

fn row(rows: usize, cols: usize) -> MatrixScore {
    MatrixScore {
        tensor: "model.layers.3.self_attn.q_proj.weight".into(),
        stack: "model".into(),
        layer: 3,
        role: "self_attn.q_proj".into(),
        rows,
        cols,
        dtype: Dtype::Float(FloatType::F32),
        rule: Rule::Ks,
        alpha: None,
        ks_distance: None,
        xmin: None,
        tail: None,
        eigenvalues: rows.min(cols),
        lambda_min: None,
        lambda_max: None,
        trace: None,
        precision: "f64".into(),
        status: Status::Ok,
        reason: None,
        note: None,
        form: None,
        update: None,
        windows: None,
        floor: crate::score::FloorScore::default(),
        measured: Measured::default(),
    }
}

fn analysis(values: Vec<f64>) -> Analysis {
    let trace = values.iter().sum();
    let spectrum = Spectrum::from_gram(values, trace, f64::EPSILON).unwrap();
    let fit = fit(&spectrum, Rule::Ks);
    Analysis { spectrum, fit, precision: Arithmetic::F64 }
}

fn power_law(n: usize, scale: f64) -> Vec<f64> {
    (0..n).map(|k| scale * (1.0 - (k as f64 + 0.5) / n as f64).powf(-0.6)).collect()
}

/// The figure of a matrix of this shape, with its metrics.
fn figure_of(rows: usize, cols: usize, analysis: &Analysis, alternatives: &[TailComparison]) -> Result<Figure, String> {
    let mut row = row(rows, cols);
    let outcome = Ok(analysis.clone());
    row.measured =
        measure(&MetricSelection::default(), &AnalyzedMatrix::of_windows(1, (rows, cols), Rule::Ks, &outcome));
    Figure::new(&row, analysis, alternatives)
}

/// Draws the figure in every form, and checks what must hold for each.
fn draw(figure: &Figure) -> [String; 3] {
    let numbers = figure.bars.iter().flat_map(|bar| [bar.from, bar.to, bar.density]);
    let points = figure.curves.iter().flat_map(|curve| &curve.points).flat_map(|point| [point.0, point.1]);
    assert!(numbers.chain(points).all(f64::is_finite), "{figure:?}");
    let picture = svg(figure).unwrap();
    assert!(picture.starts_with("<svg width=\"900\"") && picture.trim_end().ends_with("</svg>"));
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    assert!(png(figure).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    let texts = [true, false].map(|unicode| terminal::render(figure, 80, unicode));
    assert!(texts.iter().flat_map(|text| text.lines()).all(|line| line.chars().count() <= 80), "{}", texts[0]);
    assert!(texts[1].is_ascii());
    let [unicode, ascii] = texts;
    [picture, unicode, ascii]
}

#[test]
fn a_power_law_is_drawn_with_all_that_belongs_to_it() {
    let analysis = analysis(power_law(400, 1.0));
    let fit = analysis.fit.clone().unwrap();
    let comparisons = Alternative::ALL.map(|alternative| compare(&analysis.spectrum, &fit, alternative));
    let comparisons: Vec<TailComparison> = comparisons.into_iter().filter_map(Result::ok).collect();
    let figure = figure_of(400, 800, &analysis, &comparisons).unwrap();
    let [picture, unicode, ascii] = draw(&figure);
    let alpha = format!("power law, α = {:.3} ± ", fit.alpha);
    for text in [figure.title.as_str(), "400 × 800 F32, 400 eigenvalues, ks rule", &alpha, "eigenvalue x of", "xmin = "]
    {
        assert!(picture.contains(text), "{text}");
    }
    assert!(picture.contains("truncated power law, R = ") && picture.contains("exponential, R = "));
    for sign in ['█', '●', '│', '┊'] {
        assert!(unicode.contains(sign), "{sign}\n{unicode}");
    }
    for sign in ['#', 'o', '|', ':'] {
        assert!(ascii.contains(sign), "{sign}\n{ascii}");
    }
}

#[test]
fn the_histogram_and_the_fitted_line_have_the_same_scale() {
    let analysis = analysis(power_law(5000, 3e-7));
    let figure = figure_of(5000, 5000, &analysis, &[]).unwrap();
    let curve = &figure.curves[0];
    let (first, last) = (curve.points[0], curve.points[1]);
    let mut compared = 0;
    for bar in figure.bars.iter().filter(|bar| bar.tail && bar.density > first.1 - 1.5) {
        let middle = 0.5 * (bar.from + bar.to);
        let line = first.1 + (middle - first.0) / (last.0 - first.0) * (last.1 - first.1);
        assert!((line - bar.density).abs() < 0.1, "{bar:?} {line}");
        compared += 1;
    }
    assert!(compared > 3);
}

#[test]
fn the_marchenko_pastur_law_fits_a_random_matrix() {
    // Quantiles of the law itself, by its density: n = 200, m = 800, variance 1.
    let (short, long) = (200.0_f64, 800.0_f64);
    let (low, high) = ((long.sqrt() - short.sqrt()).powi(2), (long.sqrt() + short.sqrt()).powi(2));
    let density = |x: f64| ((high - x) * (x - low)).sqrt() / (std::f64::consts::TAU * short * x);
    let (mut x, mut sum, mut values) = (low, 0.0, Vec::new());
    let step = (high - low) / 200_000.0;
    while values.len() < 200 && x < high - step {
        x += step;
        sum += density(x) * step;
        if sum * 200.0 > values.len() as f64 + 0.5 {
            values.push(x);
        }
    }
    assert_eq!(values.len(), 200);
    let figure = figure_of(200, 800, &analysis(values), &[]).unwrap();
    let edges: Vec<f64> = figure.marks.iter().filter(|mark| mark.kind == MarkKind::Edge).map(|mark| mark.at).collect();
    assert!((edges[0] - low.log10()).abs() < 0.01 && (edges[1] - high.log10()).abs() < 0.01, "{edges:?}");
    let curve = figure.curves.iter().find(|curve| curve.kind == CurveKind::Random).unwrap();
    let mass: f64 = curve
        .points
        .windows(2)
        .map(|pair| {
            let width = 10.0_f64.powf(pair[1].0) - 10.0_f64.powf(pair[0].0);
            0.5 * (10.0_f64.powf(pair[0].1) + 10.0_f64.powf(pair[1].1)) * width
        })
        .sum();
    assert!((mass - 1.0).abs() < 0.02, "{mass}");
}

#[test]
fn degenerate_spectra_are_drawn_or_refused_with_a_reason() {
    let figure = figure_of(40, 40, &analysis(vec![2.5; 40]), &[]).unwrap();
    assert_eq!(figure.bars.len(), 1);
    let [picture, unicode, _] = draw(&figure);
    assert!(picture.contains("no power law: no power-law tail") && unicode.contains("no power law: no power-law tail"));
    assert!(figure.curves.iter().all(|curve| curve.kind == CurveKind::Random));

    let figure = figure_of(1, 9, &analysis(vec![7.0]), &[]).unwrap();
    assert!(draw(&figure)[1].contains("no power law: 1 eigenvalue, fewer than the 8"));

    let mut values = power_law(30, 1.0);
    values.extend([0.0; 12]);
    let figure = figure_of(42, 42, &analysis(values), &[]).unwrap();
    assert!(draw(&figure)[0].contains("not shown: 12 eigenvalues that are zero within rounding"));

    let zeros = figure_of(9, 9, &analysis(vec![0.0; 9]), &[]);
    assert_eq!(zeros, Err("all eigenvalues are zero within rounding".into()));

    for scale in [1e-300, 1e290] {
        draw(&figure_of(300, 500, &analysis(power_law(300, scale)), &[]).unwrap());
    }
    let mut outlier = vec![1.0; 20];
    outlier.push(1e12);
    draw(&figure_of(21, 21, &analysis(outlier), &[]).unwrap());
    draw(&figure_of(12, 12, &analysis((0..12).map(|k| 1.0 + 1e-13 * f64::from(k)).collect()), &[]).unwrap());
}

#[test]
fn narrow_and_wide_terminals_get_what_fits() {
    let figure = figure_of(100, 200, &analysis(power_law(100, 1.0)), &[]).unwrap();
    for (asked, got) in [(1, 40), (60, 60), (500, 120)] {
        let text = terminal::render(&figure, asked, true);
        assert!(text.lines().take(20).all(|line| line.chars().count() <= got), "{text}");
    }
}
