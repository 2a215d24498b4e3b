//! Detection of lone elements: single elements of a matrix that stand out from all others.
//!
//! One huge element makes an eigenvalue by itself. If matrices of the same kind have such an element in other places
//! and sizes, alpha varies with it: the variance of linear statistics of a spectrum grows with the fourth cumulant of
//! the elements (Lytova and Pastur, Ann. Probab. 37, 2009), and without a fourth moment the largest eigenvalues are the
//! squares of the largest elements (Auffinger, Ben Arous and Péché, Ann. Inst. H. Poincaré 45, 2009). If training put
//! the element there, alpha does not vary with it. A spectrum cannot distinguish the two cases.
//!
//! Rows and columns have scales of their own, which make a distribution heavy even if no element stands out from its
//! row and column. So the excess kurtosis is computed from w_ij / sqrt(r_i c_j), where r_i and c_j are the mean squares
//! of the other elements of the row and of the column.

use crate::checkpoint::MatrixView;

/// Largest excess kurtosis at which the standard errors of Gaussian matrices hold. With 128 to 1024 eigenvalues and
/// aspect ratios of 1 to 4, at most 4 % of matrices exceed it if their elements are Student's t with five degrees of
/// freedom, 22 to 47 % with four, and 97 % or more with three.
const MAX_KURTOSIS: f64 = 15.0;

/// Confirms that no elements stand out. `mean_square` is that of all elements, up to a factor that keeps squares in
/// range. Reads all elements twice.
///
/// # Errors
///
/// A phrase that says why this is not confirmed.
pub fn check_elements(view: &MatrixView, mean_square: f64) -> Result<(), String> {
    let kurtosis = excess_kurtosis(view, mean_square.sqrt().recip());
    if kurtosis <= MAX_KURTOSIS {
        return Ok(());
    }
    Err(format!(
        "single elements stand out from their rows and columns (excess kurtosis {kurtosis:.0}, not at most {MAX_KURTOSIS:.0}): \
         alpha of similar matrices may vary with them"
    ))
}

/// The excess kurtosis of the elements relative to their rows and columns; infinity if a row or a column has a single
/// nonzero element. Elements are first multiplied by `scale`.
fn excess_kurtosis(view: &MatrixView, scale: f64) -> f64 {
    let (rows, cols) = (view.rows(), view.cols());
    let mut squares = vec![0.0_f64; cols];
    let read = |row: usize, squares: &mut [f64]| {
        view.read_segment(row, 0..cols, scale, squares);
        squares.iter_mut().for_each(|x| *x *= *x);
    };
    let mut of_columns = vec![0.0; cols];
    let of_rows: Vec<f64> = (0..rows)
        .map(|row| {
            read(row, &mut squares);
            of_columns.iter_mut().zip(&squares).for_each(|(sum, square)| *sum += square);
            squares.iter().sum()
        })
        .collect();
    let (mut first, mut second) = (0.0, 0.0);
    for (row, of_row) in of_rows.iter().enumerate() {
        read(row, &mut squares);
        for (&square, of_column) in squares.iter().zip(&of_columns) {
            if square > 0.0 {
                let (rest_of_row, rest_of_column) = (of_row - square, of_column - square);
                if rest_of_row <= 0.0 || rest_of_column <= 0.0 {
                    return f64::INFINITY;
                }
                let relative = square / rest_of_row / rest_of_column;
                first += relative;
                second += relative * relative;
            }
        }
    }
    second / first * ((rows * cols) as f64 / first) - 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Cast, FloatType};
    use crate::uncertainty::random::{chi_square, normal};

    fn kurtosis(elements: &[f64], cols: usize, scale: f64) -> f64 {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        excess_kurtosis(&MatrixView::new(&bytes, FloatType::F64, Cast::None, elements.len() / cols, cols), scale)
    }

    fn random(rows: usize, cols: usize, element: impl Fn(&mut fastrand::Rng) -> f64) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(5);
        (0..rows * cols).map(|_| element(&mut rng)).collect()
    }

    fn student(freedom: usize, rng: &mut fastrand::Rng) -> f64 {
        normal(rng) / (chi_square(freedom, rng) / freedom as f64).sqrt()
    }

    #[test]
    fn scales_of_rows_and_columns_hardly_count() {
        let mut elements = random(200, 90, normal);
        let plain = kurtosis(&elements, 90, 1.0);
        assert!(plain.abs() < 0.2, "{plain}");
        for (index, element) in elements.iter_mut().enumerate() {
            *element *= 1e-150 * ((1 + index / 90) * (1 + index % 90)) as f64;
        }
        let scaled = kurtosis(&elements, 90, 1e145);
        assert!((scaled - plain).abs() < 0.1, "{plain} {scaled}");
    }

    #[test]
    fn heavy_and_light_tails_are_distinguished() {
        assert!(kurtosis(&random(256, 128, |rng| student(10, rng)), 128, 1.0) < 2.0);
        assert!(kurtosis(&random(256, 128, |rng| student(3, rng)), 128, 1.0) > MAX_KURTOSIS);
    }

    #[test]
    fn one_element_that_stands_out_is_enough() {
        let mut elements = random(128, 128, normal);
        elements[77] = 60.0;
        assert!(kurtosis(&elements, 128, 1.0) > 100.0);
        elements[77] = 1e17;
        assert_eq!(kurtosis(&elements, 128, 1.0), f64::INFINITY);
    }

    #[test]
    fn zeros_are_elements_too() {
        // Half of them are zero: E x^4 / (E x^2)^2 doubles.
        let mut rng = fastrand::Rng::with_seed(9);
        let mut elements: Vec<f64> = (0..300 * 300).map(|_| if rng.bool() { normal(&mut rng) } else { 0.0 }).collect();
        assert!((kurtosis(&elements, 300, 1.0) - 3.0).abs() < 0.3);
        // A row and a column of zeros.
        (0..300).for_each(|k| {
            elements[k] = 0.0;
            elements[300 * k] = 0.0;
        });
        assert!((kurtosis(&elements, 300, 1.0) - 3.0).abs() < 0.4);
    }
}
