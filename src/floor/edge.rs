//! The largest eigenvalue of E^T E for a matrix E of independent random elements whose variances differ.
//!
//! With variances r_i c_j / S, where r_i and c_j are the sums of the variances of row i and column j and S is the sum of all, the
//! edge of the spectrum follows from one equation in one unknown. Let y_j = c_j / S. The Stieltjes transforms of E E^T and E^T E
//! satisfy (Couillet and Hachem, Random Matrices: Theory Appl. 3, 2014, for separable variances)
//!
//! ```text
//! z a = sum_j y_j / (1 - y_j b)        z b = sum_i r_i / (1 - r_i a)
//! ```
//!
//! so that t = z a b = sum_j b y_j / (1 - b y_j) = sum_i a r_i / (1 - a r_i) gives a and b for each t, and z = t / (a b). From
//! t = 0, z falls from infinity to the edge, where it turns. For equal variances s^2 this is s^2 (sqrt m + sqrt n)^2, the edge of
//! Marchenko and Pastur. A row or column whose variance is far above the others is included.

/// Most steps of Newton's method, each of which at least halves the distance from a pole.
const NEWTON_STEPS: usize = 80;

/// Steps of the search for the turning point. Near it z is flat, so that they give z to about 1e-6.
const SEARCH_STEPS: usize = 24;

/// The edge, given the sums of the variances of the rows and of the columns.
pub(super) fn edge(rows: &[f64], cols: &[f64]) -> f64 {
    let (row_scale, col_scale) = (largest(rows), largest(cols));
    let total: f64 = rows.iter().sum();
    if row_scale <= 0.0 || col_scale <= 0.0 || !total.is_finite() {
        return if total.is_finite() { 0.0 } else { f64::INFINITY };
    }
    let relative = |sums: &[f64], scale: f64| sums.iter().map(|sum| sum / scale).filter(|&x| x > 0.0).collect();
    let (rows, cols): (Vec<f64>, Vec<f64>) = (relative(rows, row_scale), relative(cols, col_scale));
    let z = |ln_t: f64| {
        let t = ln_t.exp();
        t / (parameter(&rows, t) * parameter(&cols, t))
    };
    // For equal variances z turns at t = sqrt(m n), for a single element at t = 1.
    let least = minimum(z, -7.0, (4.0 * (rows.len() as f64 * cols.len() as f64).sqrt()).ln());
    least * row_scale * (col_scale / total)
}

fn largest(sums: &[f64]) -> f64 {
    sums.iter().copied().fold(0.0, f64::max)
}

/// The a in (0, 1) for which the sum of a x / (1 - a x) is `t`; the largest x is 1.
fn parameter(values: &[f64], t: f64) -> f64 {
    // The sum is convex in a, and already the largest x gives t here: from above, Newton's method falls to the root.
    let mut a = t / (1.0 + t);
    for _ in 0..NEWTON_STEPS {
        let (mut sum, mut slope) = (0.0, 0.0);
        for x in values {
            let inverse = 1.0 / (1.0 - a * x);
            sum += a * x * inverse;
            slope += x * inverse * inverse;
        }
        let step = (sum - t) / slope;
        a -= step;
        if step <= 1e-9 * a {
            break;
        }
    }
    a
}

/// The smallest value of a function that falls and then rises, by golden sections.
fn minimum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let mut points = [high - ratio * (high - low), low + ratio * (high - low)];
    let mut values = points.map(&f);
    for _ in 0..SEARCH_STEPS {
        if values[0] < values[1] {
            high = points[1];
            points = [high - ratio * (high - low), points[0]];
            values = [f(points[0]), values[0]];
        } else {
            low = points[0];
            points = [points[1], low + ratio * (high - low)];
            values = [values[1], f(points[1])];
        }
    }
    values[0].min(values[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_variances_have_the_edge_of_marchenko_and_pastur() {
        for (m, n, variance) in [(64, 64, 1.0), (1000, 50, 1e-15), (7, 4096, 1e200), (1, 1, 3.0)] {
            let found = edge(&vec![n as f64 * variance; m], &vec![m as f64 * variance; n]);
            let expected = variance * ((m as f64).sqrt() + (n as f64).sqrt()).powi(2);
            assert!((found / expected - 1.0).abs() < 1e-5, "{m} {n}: {found} {expected}");
        }
        assert_eq!(edge(&[0.0; 3], &[0.0; 2]), 0.0);
        assert_eq!(edge(&[f64::INFINITY; 3], &[1.0; 2]), f64::INFINITY);
    }

    #[test]
    fn zero_rows_and_columns_do_not_count() {
        let plain = edge(&[5.0; 30], &[15.0; 10]);
        let mut padded = (vec![5.0; 30], vec![15.0; 10]);
        padded.0.extend([0.0; 9]);
        padded.1.extend([0.0; 5]);
        assert_eq!(edge(&padded.0, &padded.1), plain);
    }

    #[test]
    fn the_largest_eigenvalue_of_simulated_noise_is_close_below() {
        // Rows, columns or both that are 30 times as wide as the others; log-normal scales of all.
        let mut rng = fastrand::Rng::with_seed(11);
        for (m, n) in [(96, 96), (192, 64)] {
            for kind in 0..5 {
                let mut scale = |count: usize, outliers: usize| -> Vec<f64> {
                    let wide = |k: usize| if k < outliers { 30.0 } else { 1.0 };
                    let lognormal = |rng: &mut fastrand::Rng| (2.0 * (rng.f64() + rng.f64() + rng.f64() - 1.5)).exp();
                    (0..count).map(|k| if kind == 4 { lognormal(&mut rng) } else { wide(k) }).collect()
                };
                let rows = scale(m, [0, 4, 0, 4, 0][kind]);
                let cols = scale(n, [0, 0, 2, 2, 0][kind]);
                let squares = |own: &[f64], others: &[f64]| -> Vec<f64> {
                    let sum: f64 = others.iter().map(|x| x * x).sum();
                    own.iter().map(|x| x * x * sum).collect()
                };
                let bound = edge(&squares(&rows, &cols), &squares(&cols, &rows));
                // Uniform elements of variance 1.
                let noise: Vec<Vec<f64>> = rows
                    .iter()
                    .map(|r| cols.iter().map(|c| r * c * 12.0_f64.sqrt() * (rng.f64() - 0.5)).collect())
                    .collect();
                let found = squared_norm(&noise);
                let slack = if kind == 4 || kind == 3 { 0.15 } else { 0.6 };
                assert!((slack..1.1).contains(&(found / bound)), "{m} {n}, {kind}: {}", found / bound);
            }
        }
    }

    /// By the power method.
    fn squared_norm(rows: &[Vec<f64>]) -> f64 {
        let mut x = vec![1.0; rows[0].len()];
        let mut largest = 0.0;
        for _ in 0..400 {
            let y: Vec<f64> = rows.iter().map(|row| row.iter().zip(&x).map(|(w, x)| w * x).sum()).collect();
            let mut next = vec![0.0; x.len()];
            rows.iter().zip(&y).for_each(|(row, y)| next.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * y));
            let norm = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            largest = norm / x.iter().map(|x| x * x).sum::<f64>().sqrt();
            x = next.into_iter().map(|x| x / norm).collect();
        }
        largest
    }
}
