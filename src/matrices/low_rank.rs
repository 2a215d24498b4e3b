//! The update s B A of an adapter, for B of shape out x r and A of shape r x in, without forming it.
//!
//! With B = Q_B R_B and A^T = Q_A R_A, the update is s Q_B (R_B R_A^T) Q_A^T, and the small matrix s R_B R_A^T, of order r, has
//! its singular values but for those that are zero because the rank is r: it takes the place of the update on every device.
//! Its Gram matrix is the r x r reduced Gram matrix of the update. All is in f64; the singular values are off by a few epsilon
//! of s sum_j |b_j| |a_j|, over the columns of B and the rows of A, which is near the largest of them unless the factors
//! cancel.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::elements::{Loaded, Stored, Unavailable};
use crate::checkpoint::{Cast, Checkpoint, FloatType, MatrixView, Scan};

/// Rows of the largest block of reflectors that faer keeps beside a matrix.
const REFLECTORS: u64 = 256;

/// The factors of an update s B A.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// A, r x in.
    pub down: Stored,
    /// B, out x r.
    pub up: Stored,
    /// s.
    pub scale: f64,
    /// Whether the weight that is updated is stored as in x out.
    pub transposed: bool,
}

impl LowRank {
    /// r.
    pub fn rank(&self) -> usize {
        self.down.shape()[0]
    }

    /// Shape of the weight that is updated.
    pub fn shape(&self) -> [usize; 2] {
        let (rows, cols) = (self.up.shape()[0], self.down.shape()[1]);
        if self.transposed { [cols, rows] } else { [rows, cols] }
    }

    /// Shape of the small matrix in its place: r x r, or less if the weight itself is smaller.
    pub fn core_shape(&self) -> [usize; 2] {
        [self.up.shape()[0].min(self.rank()), self.down.shape()[1].min(self.rank())]
    }

    /// Most bytes that the small matrix and its making take.
    pub fn bytes(&self) -> u64 {
        let rank = self.rank() as u64;
        let longest = self.up.shape()[0].max(self.down.shape()[1]) as u64;
        let factor = longest.saturating_mul(rank.saturating_add(1));
        let small = rank.saturating_mul(rank.saturating_mul(6).saturating_add(4 * REFLECTORS));
        factor.saturating_add(small).saturating_mul(FloatType::F64.bytes() as u64)
    }

    /// The small matrix.
    ///
    /// # Errors
    ///
    /// If there is no memory for a factor, it is not finite, the product leaves the range of f64, or the file cannot be
    /// mapped, changed or could not be read.
    pub(super) fn load(&self, checkpoint: &Checkpoint, cast: Cast) -> Result<Loaded<'static>, Unavailable> {
        let load = |factor| Loaded::stored(factor, checkpoint, cast, false);
        let factors = [load(&self.up)?, load(&self.down)?];
        let core = self.core(factors[0].view(), factors[1].view());
        // A file that changed meanwhile explains every failure, as in a lane.
        let outcomes = factors.map(Loaded::finish);
        outcomes.into_iter().collect::<Result<(), _>>()?;
        let [rows, cols] = self.core_shape();
        Ok(Loaded::computed(core?, FloatType::F64, rows, cols))
    }

    /// s R_B R_A^T, row-major and little-endian.
    fn core(&self, up: MatrixView, down: MatrixView) -> Result<Vec<u8>, Unavailable> {
        let (up, up_exponent) = triangle("lora_B", up, self.up.shape(), false)?;
        let (down, down_exponent) = triangle("lora_A", down, self.down.shape(), true)?;
        let [rows, cols] = self.core_shape();
        let mut core = zeros(rows, cols)?;
        matmul(core.as_mut(), Accum::Replace, up.as_ref(), down.transpose(), 1.0, Par::Seq);

        let largest = |core: &Mat<f64>| core.col_iter().fold(0.0_f64, |largest, col| largest.max(col.norm_max()));
        let before = largest(&core);
        // One after the other, so that two extremes that make up for each other do.
        for factor in [2.0_f64.powi(up_exponent), 2.0_f64.powi(down_exponent), self.scale] {
            core *= faer::Scale(factor);
        }
        let after = largest(&core);
        if !after.is_finite() || (before > 0.0 && self.scale != 0.0 && after < f64::MIN_POSITIVE / f64::EPSILON) {
            return Err(Unavailable::OutOfRange);
        }
        Ok((0..rows)
            .flat_map(|row| (0..cols).map(move |col| (row, col)))
            .flat_map(|at| core[at].to_le_bytes())
            .collect())
    }
}

/// The triangle R of a factor, or of its transpose, times 2^-exponent, and the exponent: the largest element of what was
/// factorised lay between 1 and 2.
fn triangle(name: &str, view: MatrixView, shape: [usize; 2], transposed: bool) -> Result<(Mat<f64>, i32), Unavailable> {
    let largest = match view.scan() {
        Scan::Finite(largest) => largest,
        Scan::NonFinite { row, col } => {
            let cast = match view.cast() {
                Cast::None => String::new(),
                cast => format!(" after the cast to {cast}"),
            };
            let sentence = format!("{name} contains NaN or infinity{cast} (first at row {row}, column {col})");
            return Err(Unavailable::NonFinite(sentence));
        }
    };
    let exponent = if largest > 0.0 { (largest.log2().floor() as i32).clamp(-1000, 1000) } else { 0 };
    let mut factor = read(&view, shape, 2.0_f64.powi(-exponent), transposed)?;
    let (long, short) = (factor.nrows(), factor.ncols());
    factorise(factor.as_mut())?;
    let order = long.min(short);
    let mut triangle = zeros(order, short)?;
    for col in 0..short {
        let count = order.min(col + 1);
        triangle.col_mut(col).subrows_mut(0, count).copy_from(factor.col(col).subrows(0, count));
    }
    Ok((triangle, exponent))
}

/// A factor, or its transpose, times `scale`.
fn read(view: &MatrixView, shape: [usize; 2], scale: f64, transposed: bool) -> Result<Mat<f64>, Unavailable> {
    let [rows, cols] = shape;
    let mut matrix = if transposed { zeros(cols, rows)? } else { zeros(rows, cols)? };
    let mut line = zeros(cols, 1)?;
    for row in 0..rows {
        let line = line.col_mut(0).try_as_col_major_mut().expect("columns of a Mat are contiguous").as_slice_mut();
        view.read_segment(row, 0..cols, scale, line);
        let line = MatRef::from_column_major_slice(&*line, cols, 1).col(0);
        if transposed {
            matrix.col_mut(row).copy_from(line);
        } else {
            matrix.row_mut(row).copy_from(line.transpose());
        }
    }
    Ok(matrix)
}

fn factorise(matrix: MatMut<'_, f64>) -> Result<(), Unavailable> {
    let (rows, cols) = (matrix.nrows(), matrix.ncols());
    let block_size = recommended_block_size::<f64>(rows, cols);
    let mut reflectors = zeros(block_size, rows.min(cols))?;
    let request = qr_in_place_scratch::<f64>(rows, cols, block_size, Par::Seq, Default::default());
    let bytes = request.size_bytes() as u64;
    let mut scratch = MemBuffer::try_new(request).map_err(|_| Unavailable::OutOfMemory { bytes })?;
    qr_in_place(matrix, reflectors.as_mut(), Par::Seq, MemStack::new(&mut scratch), Default::default());
    Ok(())
}

/// A matrix of zeros, asked for without aborting the process.
fn zeros(rows: usize, cols: usize) -> Result<Mat<f64>, Unavailable> {
    let bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(8);
    let mut matrix = Mat::new();
    matrix.try_reserve(rows, cols).map_err(|_| Unavailable::OutOfMemory { bytes })?;
    matrix.resize_with(rows, cols, |_, _| 0.0);
    Ok(matrix)
}
