//! The coverage of alpha_se: for random matrices of several ensembles, the share of intervals alpha +- 1.96 alpha_se that
//! contain the mean alpha of the ensemble.
//!
//! `cargo run --release --example coverage -- [MATRICES] [DRAWS] [N,N...] [Q,Q...]` prints the table of docs/error-bars.md.
#![allow(missing_docs, clippy::print_stdout)]

use std::sync::atomic::{AtomicUsize, Ordering};

use htsr::checkpoint::{Cast, FloatType};
use htsr::fit::{Fit, Rule, fit};
use htsr::internals::{
    Level, MatrixView, Positions, check_elements, gram_matrix, standard_error, symmetric_eigenvalues,
};
use htsr::spectrum::Spectrum;

const RULES: [Rule; 4] = [Rule::Median, Rule::Ks, Rule::Peak, Rule::PeakRobust];

/// A distribution of random matrices. Columns are the shorter side.
#[derive(Clone, Copy)]
enum Ensemble {
    /// Normal numbers.
    Gaussian,
    /// Student's t distribution with this number of degrees of freedom.
    Student(usize),
    /// Normal numbers plus five directions, with squared strengths 9 to 144 times the number of rows.
    Spiked,
    /// Normal numbers with a fixed scale for each column: quantiles of a power law with this exponent.
    PowerLaw(f64),
    /// Not a matrix: independent eigenvalues from a power law.
    Independent(f64),
}

const ENSEMBLES: [(&str, Ensemble); 8] = [
    ("Gaussian", Ensemble::Gaussian),
    ("Student-t, 10", Ensemble::Student(10)),
    ("Student-t, 5", Ensemble::Student(5)),
    ("Student-t, 3", Ensemble::Student(3)),
    ("spiked", Ensemble::Spiked),
    ("power law, 2.5", Ensemble::PowerLaw(2.5)),
    ("power law, 4", Ensemble::PowerLaw(4.0)),
    ("independent, 2.5", Ensemble::Independent(2.5)),
];

fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

fn student(freedom: usize, rng: &mut fastrand::Rng) -> f64 {
    let square: f64 = (0..freedom).map(|_| normal(rng).powi(2)).sum();
    normal(rng) / (square / freedom as f64).sqrt()
}

fn power_law_quantile(exponent: f64, share: f64) -> f64 {
    (1.0 - share).powf(-1.0 / (exponent - 1.0))
}

/// A random unit vector.
fn direction(n: usize, rng: &mut fastrand::Rng) -> Vec<f64> {
    let vector: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.into_iter().map(|x| x / norm).collect()
}

impl Ensemble {
    /// Samples a spectrum. The second value is true if its matrix has no outlier elements.
    fn spectrum(self, n: usize, rows: usize, rng: &mut fastrand::Rng) -> (Spectrum, bool) {
        let exact = |values: Vec<f64>| {
            let trace = values.iter().sum();
            Spectrum::from_gram(values, trace, f64::EPSILON).expect("consistent by construction")
        };
        if let Ensemble::Independent(exponent) = self {
            return (exact((0..n).map(|_| power_law_quantile(exponent, rng.f64())).collect()), true);
        }
        let bytes: Vec<u8> = self.matrix(n, rows, rng).iter().flat_map(|element| element.to_le_bytes()).collect();
        let view = MatrixView::new(&bytes, FloatType::F64, Cast::None, rows, n);
        let spectrum = exact(eigenvalues(&view));
        let mean_square = spectrum.trace() / (rows * n) as f64;
        (spectrum, check_elements(&view, mean_square).is_ok())
    }

    /// Samples a matrix of shape rows x n, row-major.
    fn matrix(self, n: usize, rows: usize, rng: &mut fastrand::Rng) -> Vec<f64> {
        let mut matrix: Vec<f64> = match self {
            Ensemble::Student(freedom) => (0..rows * n).map(|_| student(freedom, rng)).collect(),
            _ => (0..rows * n).map(|_| normal(rng)).collect(),
        };
        match self {
            Ensemble::Spiked => {
                for strength in [3.0, 4.0, 6.0, 8.0, 12.0] {
                    let (left, right) = (direction(rows, rng), direction(n, rng));
                    let strength = strength * (rows as f64).sqrt();
                    for (index, element) in matrix.iter_mut().enumerate() {
                        *element += strength * left[index / n] * right[index % n];
                    }
                }
            }
            Ensemble::PowerLaw(exponent) => {
                let scale = |j: usize| power_law_quantile(exponent, (j as f64 + 0.5) / n as f64).sqrt();
                let scales: Vec<f64> = (0..n).map(scale).collect();
                matrix.iter_mut().enumerate().for_each(|(index, element)| *element *= scales[index % n]);
            }
            _ => {}
        }
        matrix
    }
}

fn eigenvalues(view: &MatrixView) -> Vec<f64> {
    let mut gram = vec![0.0_f64; view.short() * view.short()];
    gram_matrix(view, &mut gram, Level::widest(), 1).expect("memory for the Gram matrix");
    let largest = gram.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    gram.iter_mut().for_each(|x| *x /= largest);
    let values = symmetric_eigenvalues(&gram, Level::widest(), 1).expect("eigenvalues of a finite matrix");
    values.into_iter().map(|x| x * largest).collect()
}

/// The result of one matrix under one rule: its fit, and its standard error unless that was refused.
type Trial = (Fit, Option<f64>);

/// Returns the trials of each rule in the order of the matrices, for any number of threads.
fn trials(ensemble: Ensemble, n: usize, rows: usize, matrices: usize, positions: &Positions) -> Vec<Vec<Trial>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= matrices {
                return found;
            }
            let (spectrum, even) = ensemble.spectrum(n, rows, &mut fastrand::Rng::with_seed(index as u64 + 1));
            let trial = |rule| {
                let fit = fit(&spectrum, rule).expect("a random matrix has an alpha");
                (fit, even.then(|| standard_error(&spectrum, rule, rows, positions).ok()).flatten())
            };
            found.push((index, RULES.map(trial)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<(usize, [Trial; 4])> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    found.sort_by_key(|(index, _)| *index);
    (0..RULES.len()).map(|rule| found.iter().map(|(_, trials)| trials[rule]).collect()).collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

fn row(name: &str, [n, rows]: [usize; 2], rule: Rule, trials: &[Trial]) {
    let alphas = trials.iter().map(|(fit, _)| fit.alpha);
    let center = mean(alphas.clone());
    let deviation = mean(alphas.clone().map(|alpha| (alpha - center).powi(2))).sqrt();
    let covered = |error: &dyn Fn(&Trial) -> Option<f64>| {
        let inside = trials.iter().filter_map(|trial| Some((trial.0.alpha - center).abs() <= 1.96 * error(trial)?));
        let inside: Vec<bool> = inside.collect();
        100.0 * inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64
    };
    let mut errors: Vec<f64> = trials.iter().filter_map(|trial| trial.1).collect();
    errors.sort_by(f64::total_cmp);
    let textbook = |fit: &Fit| (fit.alpha - 1.0) / (fit.tail as f64).sqrt();
    let textbook_ratio = mean(trials.iter().map(|(fit, _)| textbook(fit))) / deviation;
    let refused = 100.0 * (trials.len() - errors.len()) as f64 / trials.len() as f64;
    // A share of a few intervals is not meaningful.
    let (ratio, coverage) = match errors.get(errors.len() / 2).filter(|_| refused <= 90.0) {
        Some(median) => (format!("{:.2}", median / deviation), format!("{:.0} %", covered(&|trial| trial.1))),
        None => ("-".into(), "-".into()),
    };
    println!(
        "| {name} | {n} | {} | {rule} | {center:.2} | {deviation:.3} | {ratio} | {coverage} | {refused:.0} % | {:.0} % | {textbook_ratio:.1} | {:.0} % |",
        rows as f64 / n as f64,
        covered(&|_| Some(deviation)),
        covered(&|trial| Some(textbook(&trial.0))),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let list = |index: usize, default: &str| -> Vec<usize> {
        text(index, default).split(',').map(|number| number.parse().expect("a whole number")).collect()
    };
    let (matrices, draws) = (list(0, "400")[0], list(1, "100")[0] as u32);
    println!(
        "| ensemble | N | Q | rule | mean alpha | deviation | alpha_se / deviation | covered | refused | with the true deviation | textbook / deviation | covered by the textbook |"
    );
    println!("|:--|--:|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|");
    for n in list(2, "128") {
        for q in list(3, "1,4") {
            let positions = Positions::simulate(n, n * q, draws, 0);
            for (name, ensemble) in ENSEMBLES {
                for (rule, trials) in RULES.into_iter().zip(trials(ensemble, n, n * q, matrices, &positions)) {
                    row(name, [n, n * q], rule, &trials);
                }
            }
        }
    }
}
