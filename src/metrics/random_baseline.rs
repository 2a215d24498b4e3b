//! The random-matrix baseline: the mean alpha that a rule finds in matrices of independent Gaussian elements.
//!
//! The spectrum of such a matrix follows the Marchenko-Pastur law, which contains no power law. Every rule finds an
//! alpha nevertheless, and a larger one the more oblong the matrix is. To compare matrices of different shapes, compare
//! how far their alphas exceed this baseline. It has no formula: `random_baseline.csv` is simulated
//! (`benches/research/aspect_table.rs`). Under the median rule alpha converges for many eigenvalues N. Under the other rules
//! alpha grows with N, and the alpha of a single random matrix differs from the mean by half of it or more.
//! `docs/aspect.md` has the numbers.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::fit::Rule;

/// The distribution of alpha among random matrices of one shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomBaseline {
    /// Its mean.
    pub alpha: f64,
    /// Its standard deviation from one matrix to the next.
    pub deviation: f64,
}

/// A line of the table: a shape, and the mean and standard deviation of alpha among random matrices under each rule.
#[derive(Debug, Deserialize)]
struct Line {
    eigenvalues: usize,
    q: f64,
    peak: f64,
    peak_sd: f64,
    peak_robust: f64,
    peak_robust_sd: f64,
    median: f64,
    median_sd: f64,
    ks: f64,
    ks_sd: f64,
}

/// Every number of eigenvalues with every aspect ratio, both ascending, the ratio varying fastest.
struct Table {
    sizes: Vec<usize>,
    ratios: Vec<f64>,
    lines: Vec<Line>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut reader = csv::Reader::from_reader(include_str!("random_baseline.csv").as_bytes());
        let lines: Vec<Line> = reader.deserialize().collect::<Result<_, _>>().expect("a test reads every line");
        let mut sizes: Vec<usize> = lines.iter().map(|line| line.eigenvalues).collect();
        sizes.dedup();
        let ratios = lines.iter().take_while(|line| line.eigenvalues == sizes[0]).map(|line| line.q).collect();
        Table { sizes, ratios, lines }
    })
}

/// The alpha of random matrices with `eigenvalues` eigenvalues and aspect ratio `q` >= 1 under `rule`. Between the
/// lines of the table, ln alpha is interpolated linearly in ln N and ln Q.
///
/// # Errors
///
/// A phrase, for shapes outside the table. (Under the median rule, alpha has converged at the end of the table.)
pub fn random_baseline(rule: Rule, eigenvalues: usize, q: f64) -> Result<RandomBaseline, String> {
    let Table { sizes, ratios, lines } = table();
    let (few, many) = (sizes[0], sizes[sizes.len() - 1]);
    let last = ratios[ratios.len() - 1];
    if eigenvalues < few {
        return Err(format!("the random-matrix baseline is not tabulated for fewer than {few} eigenvalues"));
    }
    if eigenvalues > many && rule != Rule::Median {
        return Err(format!(
            "the random-matrix baseline is not tabulated for more than {many} eigenvalues under the {rule} rule"
        ));
    }
    if q > last {
        return Err(format!("the random-matrix baseline is not tabulated for aspect ratios above {last}"));
    }
    let sizes: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    let (row, down) = place(&sizes, eigenvalues.min(many) as f64);
    let (column, right) = place(ratios, q);
    let between = |value: fn(&RandomBaseline) -> f64| {
        let at = |row: usize, column: usize| value(&lines[row * ratios.len() + column].alpha(rule)).ln();
        let along = |row: usize| at(row, column) * (1.0 - right) + at(row, column + 1) * right;
        (along(row) * (1.0 - down) + along(row + 1) * down).exp()
    };
    Ok(RandomBaseline {
        alpha: between(|random_baseline| random_baseline.alpha),
        deviation: between(|random_baseline| random_baseline.deviation),
    })
}

/// The index of the last point at or below `x`, and the relative position of `x` between it and the next point, in
/// logarithms.
fn place(points: &[f64], x: f64) -> (usize, f64) {
    let index = points.iter().rposition(|&point| point <= x).unwrap_or(0).min(points.len() - 2);
    (index, (x / points[index]).ln() / (points[index + 1] / points[index]).ln())
}

impl Line {
    fn alpha(&self, rule: Rule) -> RandomBaseline {
        let (alpha, deviation) = match rule {
            Rule::Peak => (self.peak, self.peak_sd),
            Rule::Median => (self.median, self.median_sd),
            Rule::Ks => (self.ks, self.ks_sd),
            Rule::PeakRobust => (self.peak_robust, self.peak_robust_sd),
        };
        RandomBaseline { alpha, deviation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [Rule; 4] = [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks];

    #[test]
    fn the_table_is_a_grid_of_numbers() {
        let Table { sizes, ratios, lines } = table();
        assert_eq!(lines.len(), sizes.len() * ratios.len());
        assert!(sizes.is_sorted_by(|a, b| a < b) && ratios.is_sorted_by(|a, b| a < b) && ratios[0] == 1.0);
        for (index, line) in lines.iter().enumerate() {
            assert_eq!((line.eigenvalues, line.q), (sizes[index / ratios.len()], ratios[index % ratios.len()]));
            let sound = |RandomBaseline { alpha, deviation }| alpha > 1.0 && deviation > 0.0;
            assert!(RULES.iter().all(|&rule| sound(line.alpha(rule))));
        }
    }

    #[test]
    fn the_table_is_matched_and_interpolated_without_jumps() {
        for line in &table().lines {
            for rule in RULES {
                let RandomBaseline { alpha, deviation } = random_baseline(rule, line.eigenvalues, line.q).unwrap();
                let tabulated = line.alpha(rule);
                assert!((alpha / tabulated.alpha - 1.0).abs() < 1e-12);
                assert!((deviation / tabulated.deviation - 1.0).abs() < 1e-12);
            }
        }
        for rule in RULES {
            let mut last = random_baseline(rule, 100, 1.0).unwrap().alpha;
            for step in 1..=300 {
                let alpha = random_baseline(rule, 100 + 3 * step, 1.0 + 0.1 * step as f64).unwrap().alpha;
                assert!((alpha / last - 1.0).abs() < 0.08, "{rule} {step}: {last} {alpha}");
                last = alpha;
            }
        }
    }

    #[test]
    fn shapes_outside_the_table_give_the_reason() {
        let many = *table().sizes.last().unwrap();
        for (rule, eigenvalues, q, reason) in [
            (Rule::Median, 31, 1.0, "the random-matrix baseline is not tabulated for fewer than 32 eigenvalues"),
            (Rule::Peak, 32, 32.01, "the random-matrix baseline is not tabulated for aspect ratios above 32"),
        ] {
            assert_eq!(random_baseline(rule, eigenvalues, q).unwrap_err(), reason);
        }
        let error = random_baseline(Rule::Ks, many + 1, 2.0).unwrap_err();
        assert_eq!(
            error,
            format!("the random-matrix baseline is not tabulated for more than {many} eigenvalues under the ks rule")
        );
        assert_eq!(random_baseline(Rule::Median, 10 * many, 2.0), random_baseline(Rule::Median, many, 2.0));
        assert!(random_baseline(Rule::Peak, 32, 32.0).is_ok() && random_baseline(Rule::Ks, many, 1.0).is_ok());
    }
}
