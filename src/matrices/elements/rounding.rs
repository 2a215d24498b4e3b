//! The errors that rounding to the stored format left in the elements of a matrix.
//!
//! Rounding to the nearest of numbers whose spacing is ulp leaves an error that is spread evenly over one ulp: its variance is
//! ulp^2 / 12. The spacing follows from the exponent of the stored value and from the number of significant bits. The values
//! say how many bits there are, not their type: a file of F32 often holds BF16 or F16 numbers. Zeros count as exact.

use std::ops::Range;

use super::loaded::{Loaded, Unavailable};
use crate::checkpoint::{Cast, FloatType, MatrixView};

/// Elements that are read at once.
const SEGMENT: usize = 1 << 12;

/// Fewest significant bits of a floating-point format that weights are rounded to without scale factors (BF16). Values with fewer,
/// such as small integers or signs, count as exact.
const FEWEST_BITS: u32 = 8;

/// Exponent bits of a double.
const EXPONENT: u64 = 0x7ff0_0000_0000_0000;

/// Mantissa bits of a double.
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;

/// Rows and columns of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
}

/// The variances of the rounding errors in a matrix, summed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rounding {
    /// For each row.
    pub rows: Vec<f64>,
    /// For each column.
    pub cols: Vec<f64>,
    /// The largest variance of a single element.
    pub largest: f64,
    /// Of an update: the share of elements that are the same as in the base. Rows and columns without any change, and elements
    /// that are zero in both, do not count.
    pub unchanged: Option<f64>,
}

/// The spacing of the numbers that the elements of a matrix are rounded to.
#[derive(Debug)]
pub(crate) enum Grid<'a> {
    /// Floating-point numbers.
    Float {
        /// Significant bits of the elements, with the leading one.
        bits: u32,
        /// The spacing near zero.
        smallest: f64,
    },
    /// A spacing for each element.
    Spacings(Loaded<'a>),
}

impl<'a> Grid<'a> {
    /// The grid of the elements in `view`; `None` if they have too few bits for rounded weights.
    pub fn of(view: &MatrixView) -> Option<Grid<'a>> {
        let bits = significant_bits(view);
        (bits >= FEWEST_BITS).then_some(Grid::Float { bits, smallest: smallest_spacing(view) })
    }

    /// Whether the elements are rounded more coarsely than those of `other`.
    pub fn is_coarser_than(&self, other: &Grid) -> bool {
        matches!((self, other), (Grid::Float { bits, .. }, Grid::Float { bits: others, .. }) if bits < others)
    }

    /// A bound for the sum of all variances in a matrix of this shape whose squares add up to `trace`, without reading it; `None` if
    /// the spacings are given one by one.
    pub fn most_variance(&self, trace: f64, [rows, cols]: [usize; 2]) -> Option<f64> {
        match self {
            // The error is at most 2^-bits of the element, and the mean of its square a third of that square.
            Grid::Float { bits, smallest } => {
                let of_subnormals = smallest * smallest / 12.0 * rows as f64 * cols as f64;
                Some(4.0_f64.powi(-(*bits as i32)) / 3.0 * trace + of_subnormals)
            }
            Grid::Spacings(_) => None,
        }
    }

    /// Replaces the elements `values` of a row by the squares of their spacings.
    pub fn square_spacings(&self, row: usize, cols: Range<usize>, values: &mut [f64]) {
        match self {
            Grid::Float { bits, smallest } => {
                let unit = 2.0_f64.powi(1 - *bits as i32);
                for value in values {
                    let spacing = (f64::from_bits(value.to_bits() & EXPONENT) * unit).max(*smallest);
                    *value = if *value == 0.0 { 0.0 } else { spacing * spacing };
                }
            }
            Grid::Spacings(spacings) => {
                spacings.view().read_segment(row, cols, 1.0, values);
                values.iter_mut().for_each(|spacing| *spacing *= *spacing);
            }
        }
    }

    /// Releases the spacings: see [`Loaded::finish`].
    pub fn finish(self) -> Result<(), Unavailable> {
        match self {
            Grid::Float { .. } => Ok(()),
            Grid::Spacings(spacings) => spacings.finish(),
        }
    }
}

/// The most significant bits that any element has. Stops at the first that has all bits of its type.
fn significant_bits(view: &MatrixView) -> u32 {
    let of_type = match view.dtype() {
        FloatType::F64 => 53,
        FloatType::F32 => 24,
        FloatType::F16 => 11,
        FloatType::BF16 => 8,
    };
    let most = match view.cast() {
        Cast::None => of_type,
        Cast::Fp16 => of_type.min(11),
        Cast::Bf16 => of_type.min(8),
    };
    // The leading bit is not stored.
    let bits = |used: u64| if used == 0 { 1 } else { 53 - used.trailing_zeros() };
    let mut used = 0_u64;
    let mut segment = vec![0.0_f64; view.cols().min(SEGMENT)];
    for row in 0..view.rows() {
        for start in (0..view.cols()).step_by(SEGMENT) {
            let values = &mut segment[..SEGMENT.min(view.cols() - start)];
            view.read_segment(row, start..start + values.len(), 1.0, values);
            used = values.iter().fold(used, |used, value| used | value.to_bits() & MANTISSA);
            if bits(used) >= most {
                return most;
            }
        }
    }
    bits(used)
}

/// The distance of the subnormal numbers.
fn smallest_spacing(view: &MatrixView) -> f64 {
    let of_type = match view.dtype() {
        FloatType::F64 => 0.0,
        FloatType::F32 => 2.0_f64.powi(-149),
        FloatType::F16 => 2.0_f64.powi(-24),
        FloatType::BF16 => 2.0_f64.powi(-133),
    };
    match view.cast() {
        Cast::None => of_type,
        Cast::Fp16 => of_type.max(2.0_f64.powi(-24)),
        Cast::Bf16 => of_type.max(2.0_f64.powi(-133)),
    }
}

impl Rounding {
    /// The errors of the elements of `view` in `part`.
    pub fn sum(grid: &Grid, view: &MatrixView, part: &Part) -> Rounding {
        let mut sums = Sums::new(part.rows.len(), part.cols.len());
        let mut values = vec![0.0; part.cols.len()];
        for row in part.rows.clone() {
            view.read_segment(row, part.cols.clone(), 1.0, &mut values);
            grid.square_spacings(row, part.cols.clone(), &mut values);
            sums.add(&values);
        }
        sums.finish()
    }
}

/// Sums of squared spacings, row by row.
#[derive(Debug)]
struct Sums {
    rows: Vec<f64>,
    cols: Vec<f64>,
    largest: f64,
}

impl Sums {
    fn new(rows: usize, cols: usize) -> Sums {
        Sums { rows: Vec::with_capacity(rows), cols: vec![0.0; cols], largest: 0.0 }
    }

    /// Adds the squared spacings of the next row.
    fn add(&mut self, squares: &[f64]) {
        // Several sums and maxima at a time, so that the compiler can vectorize them.
        let (mut sums, mut largest) = ([0.0_f64; 8], [0.0_f64; 8]);
        for chunk in squares.chunks(8) {
            for ((square, sum), largest) in chunk.iter().zip(&mut sums).zip(&mut largest) {
                *sum += square;
                *largest = largest.max(*square);
            }
        }
        self.cols.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        self.rows.push(sums.iter().sum());
        self.largest = largest.iter().fold(self.largest, |largest, square| largest.max(*square));
    }

    fn finish(self) -> Rounding {
        let variances = |squares: Vec<f64>| squares.into_iter().map(|square| square / 12.0).collect();
        let Sums { rows, cols, largest } = self;
        Rounding { rows: variances(rows), cols: variances(cols), largest: largest / 12.0, unchanged: None }
    }
}

/// The same for an update. Rows and columns in which nothing changed have no errors: base and result are the same numbers.
#[derive(Debug)]
pub(super) struct UpdateSums {
    sums: Sums,
    /// For each column, the elements of changed rows that changed, and those that did not and are not zero.
    changed: Vec<usize>,
    unchanged: Vec<usize>,
    is_last_changed: bool,
}

impl UpdateSums {
    pub fn new(part: &Part) -> UpdateSums {
        let (rows, cols) = (part.rows.len(), part.cols.len());
        let (changed, unchanged) = (vec![0; cols], vec![0; cols]);
        UpdateSums { sums: Sums::new(rows, cols), changed, unchanged, is_last_changed: false }
    }

    /// Adds the next row: elements of the result, of the base, and the squared spacings of the result.
    pub fn add(&mut self, updated: &[f64], before: &[f64], squares: &[f64]) {
        self.is_last_changed = updated != before;
        if !self.is_last_changed {
            self.sums.rows.push(0.0);
            return;
        }
        self.sums.add(squares);
        let counts = self.changed.iter_mut().zip(&mut self.unchanged);
        for ((x, y), (changed, unchanged)) in updated.iter().zip(before).zip(counts) {
            *changed += usize::from(x != y);
            *unchanged += usize::from(x == y && *x != 0.0);
        }
    }

    /// Adds the squared spacings of a second rounding to the last row.
    pub fn add_to_last(&mut self, squares: &[f64]) {
        if self.is_last_changed {
            let first = self.sums.rows.pop().unwrap_or(0.0);
            self.sums.add(squares);
            self.sums.rows.last_mut().into_iter().for_each(|sum| *sum += first);
        }
    }

    pub fn finish(self) -> Rounding {
        let mut rounding = self.sums.finish();
        let of_changed = |counts: &[usize]| {
            let columns = self.changed.iter().zip(counts).filter(|(changed, _)| **changed > 0);
            columns.map(|(_, count)| count).sum::<usize>()
        };
        let (changed, unchanged) = (of_changed(&self.changed), of_changed(&self.unchanged));
        let all: f64 = rounding.cols.iter().sum();
        let unchanged_columns = self.changed.iter().zip(&mut rounding.cols).filter(|(changed, _)| **changed == 0);
        unchanged_columns.for_each(|(_, sum)| *sum = 0.0);
        // The columns without errors were counted in the rows.
        let share = if all > 0.0 { rounding.cols.iter().sum::<f64>() / all } else { 1.0 };
        rounding.rows.iter_mut().for_each(|sum| *sum *= share);
        rounding.unchanged = (changed > 0).then(|| unchanged as f64 / (changed + unchanged) as f64);
        rounding
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn view(bytes: &[u8], dtype: FloatType, cast: Cast, cols: usize) -> MatrixView<'_> {
        MatrixView::new(bytes, dtype, cast, bytes.len() / dtype.bytes() / cols, cols)
    }

    fn normals(count: usize) -> Vec<f32> {
        let mut rng = fastrand::Rng::with_seed(3);
        (0..count).map(|_| (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0).collect()
    }

    fn singles(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn the_values_say_how_many_bits_there_are() {
        let values = normals(600);
        let cases: [(Vec<f32>, u32); 4] = [
            (values.clone(), 24),
            (values.iter().map(|&x| f16::from_f32(x).to_f32()).collect(), 11),
            (values.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(), 8),
            (values.iter().map(|x| x.signum()).collect(), 1),
        ];
        for (values, bits) in &cases {
            assert_eq!(significant_bits(&view(&singles(values), FloatType::F32, Cast::None, 30)), *bits);
        }
        let bytes = singles(&values);
        for (cast, bits) in [(Cast::Fp16, 11), (Cast::Bf16, 8)] {
            assert_eq!(significant_bits(&view(&bytes, FloatType::F32, cast, 30)), bits);
        }
        let stored: Vec<u8> = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(significant_bits(&view(&stored, FloatType::F16, Cast::None, 30)), 11);
        let doubles: Vec<u8> = values.iter().flat_map(|&x| (f64::from(x) / 3.0).to_le_bytes()).collect();
        assert_eq!(significant_bits(&view(&doubles, FloatType::F64, Cast::None, 30)), 53);
        assert!(Grid::of(&view(&singles(&[1.0, -2.0, 3.0, 0.0]), FloatType::F32, Cast::None, 2)).is_none());
        assert!(Grid::of(&view(&singles(&[0.0; 4]), FloatType::F32, Cast::None, 2)).is_none());
    }

    #[test]
    fn variances_are_those_of_the_spacings() {
        // 1 + 2^-23 has 24 bits; spacings 2^-23, 2^-22, 0 and 2^-25.
        let values = [1.0 + f32::EPSILON, -3.0, 0.0, 0.26];
        let bytes = singles(&values);
        let view = view(&bytes, FloatType::F32, Cast::None, 2);
        let rounding = |part: Part| Rounding::sum(&Grid::of(&view).unwrap(), &view, &part);
        let v = |exponent: i32| 4.0_f64.powi(exponent) / 12.0;
        let whole = rounding(Part { rows: 0..2, cols: 0..2 });
        let expected = [v(-23) + v(-22), v(-25), v(-23), v(-22) + v(-25), v(-22)];
        let found = [&whole.rows[..], &whole.cols, &[whole.largest]].concat();
        assert!(found.iter().zip(expected).all(|(x, y)| (x / y - 1.0).abs() < 1e-14), "{whole:?}");
        let corner = rounding(Part { rows: 1..2, cols: 1..2 });
        assert_eq!((corner.rows, corner.cols), (vec![v(-25)], vec![v(-25)]));
    }

    #[test]
    fn subnormal_halves_have_one_spacing() {
        let values = [2.0_f64.powi(-24), 2.0_f64.powi(-16) + 2.0_f64.powi(-24), 1.0 + 2.0_f64.powi(-10), 0.0];
        let bytes: Vec<u8> = values.iter().flat_map(|&x| f16::from_f64(x).to_le_bytes()).collect();
        let view = view(&bytes, FloatType::F16, Cast::None, 4);
        let mut squares = values;
        Grid::of(&view).unwrap().square_spacings(0, 0..4, &mut squares);
        assert_eq!(squares.map(f64::sqrt), [2.0_f64.powi(-24), 2.0_f64.powi(-24), 2.0_f64.powi(-10), 0.0]);
    }

    #[test]
    fn measured_errors_have_these_variances() {
        for (p, round) in [(8, (|x| bf16::from_f32(x).to_f64()) as fn(f32) -> f64), (11, |x| f16::from_f32(x).to_f64())]
        {
            let values = normals(40_000);
            let rounded: Vec<f64> = values.iter().map(|&x| round(x)).collect();
            let bytes: Vec<u8> = rounded.iter().flat_map(|x| x.to_le_bytes()).collect();
            let view = view(&bytes, FloatType::F64, Cast::None, 200);
            assert_eq!(significant_bits(&view), p);
            let rounding = Rounding::sum(&Grid::of(&view).unwrap(), &view, &Part { rows: 0..200, cols: 0..200 });
            let errors = values.iter().zip(&rounded).map(|(&x, y)| (f64::from(x) - y).powi(2)).sum::<f64>();
            let ratio = errors / rounding.rows.iter().sum::<f64>();
            assert!((ratio - 1.0).abs() < 0.03, "{p} bits: {ratio}");
            assert!((rounding.cols.iter().sum::<f64>() / rounding.rows.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let trace = rounded.iter().map(|x| x * x).sum();
            let most = Grid::of(&view).unwrap().most_variance(trace, [200, 200]).unwrap();
            let share = rounding.rows.iter().sum::<f64>() / most;
            assert!((0.3..0.8).contains(&share), "{p} bits: {share}");
        }
    }

    #[test]
    fn what_did_not_change_has_no_error() {
        let mut sums = UpdateSums::new(&Part { rows: 0..3, cols: 0..4 });
        // The second row and the third column are those of the base; a zero of both does not count.
        sums.add(&[1.0, 2.0, 3.0, 0.0], &[1.5, 2.0, 3.0, 0.0], &[12.0, 12.0, 12.0, 0.0]);
        sums.add(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], &[12.0; 4]);
        sums.add(&[1.0, 2.0, 3.0, 4.0], &[1.5, 2.5, 3.0, 4.5], &[12.0, 12.0, 12.0, 12.0]);
        let rounding = sums.finish();
        assert_eq!((rounding.unchanged, rounding.cols), (Some(0.2), vec![2.0, 2.0, 0.0, 1.0]));
        let expected = [3.0 * 5.0 / 7.0, 0.0, 4.0 * 5.0 / 7.0];
        assert!(rounding.rows.iter().zip(expected).all(|(sum, expected)| (sum - expected).abs() < 1e-12));
        let mut sums = UpdateSums::new(&Part { rows: 0..1, cols: 0..2 });
        sums.add(&[1.0, 2.0], &[1.5, 2.5], &[12.0, 24.0]);
        sums.add_to_last(&[36.0, 12.0]);
        let rounding = sums.finish();
        assert_eq!((rounding.rows, rounding.cols, rounding.largest), (vec![7.0], vec![4.0, 3.0], 3.0));
    }
}
