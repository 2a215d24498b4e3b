//! The update s B A of an adapter, without forming it, for B of shape out x r and A of shape r x in.
//!
//! With the QR factorizations B = Q_B R_B and A^T = Q_A R_A, the update is s Q_B (R_B R_A^T) Q_A^T. The small matrix
//! s R_B R_A^T, of order r, has the same singular values, except those that are zero because the rank is r. It replaces the
//! update on every device; its Gram matrix is the r x r reduced Gram matrix of the update. Everything is computed in f64. The
//! error of a singular value is a few epsilon times s sum_j |b_j| |a_j|, over the columns of B and the rows of A, which is close
//! to the largest singular value unless the factors cancel.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::floats::Floats;
use super::loaded::{Loaded, Unavailable};
use super::source::{ElementSource, Update};
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType, MatrixView, Scan};

/// Rows of the largest block of reflectors that faer stores in addition to a matrix.
const REFLECTORS: u64 = 256;

/// The factors of an update s B A.
#[derive(Debug)]
pub(crate) struct LowRank {
    /// A, r x in.
    pub down: Floats,
    /// B, out x r.
    pub up: Floats,
    /// The factor s.
    pub scale: f64,
    /// True if the updated weight is stored as in x out.
    pub transposed: bool,
}

impl ElementSource for LowRank {
    /// Shape of the small matrix: r x r, or less if the weight itself is smaller.
    fn shape(&self) -> [usize; 2] {
        [self.up.shape()[0].min(self.rank()), self.down.shape()[1].min(self.rank())]
    }

    fn dtype(&self) -> FloatType {
        FloatType::F64
    }

    fn stored(&self) -> &Stored {
        self.down.stored()
    }

    fn companions(&self) -> Vec<&Stored> {
        vec![self.up.stored()]
    }

    /// Most bytes that the small matrix and its computation take.
    fn computed_bytes(&self) -> u64 {
        let rank = self.rank() as u64;
        let longest = self.up.shape()[0].max(self.down.shape()[1]) as u64;
        let factor = longest.saturating_mul(rank.saturating_add(1));
        let small = rank.saturating_mul(rank.saturating_mul(6).saturating_add(4 * REFLECTORS));
        factor.saturating_add(small).saturating_mul(FloatType::F64.bytes() as u64)
    }

    fn update(&self) -> Option<Update> {
        Some(Update::LowRank { rank: self.rank(), scale: self.scale })
    }

    /// Shape of the updated weight.
    fn whole_shape(&self) -> [usize; 2] {
        let (rows, cols) = (self.up.shape()[0], self.down.shape()[1]);
        if self.transposed { [cols, rows] } else { [rows, cols] }
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let factors = [self.up.load(checkpoint, cast, keep)?, self.down.load(checkpoint, cast, keep)?];
        let core = self.core(factors[0].view(), factors[1].view());
        // Before the result: a file that changed meanwhile explains every failure.
        let outcomes = factors.map(Loaded::finish);
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(Loaded::computed(core?, FloatType::F64, self.shape()))
    }
}

impl LowRank {
    fn rank(&self) -> usize {
        self.down.shape()[0]
    }

    /// The small matrix s R_B R_A^T, row-major and little-endian.
    fn core(&self, up: MatrixView, down: MatrixView) -> Result<Vec<u8>, Unavailable> {
        let (up, up_exponent) = triangle("lora_B", up, self.up.shape(), false)?;
        let (down, down_exponent) = triangle("lora_A", down, self.down.shape(), true)?;
        let [rows, cols] = self.shape();
        let mut core = zeros(rows, cols)?;
        matmul(core.as_mut(), Accum::Replace, up.as_ref(), down.transpose(), 1.0, Par::Seq);

        let largest = |core: &Mat<f64>| core.col_iter().fold(0.0_f64, |largest, col| largest.max(col.norm_max()));
        let before = largest(&core);
        // One factor at a time, so that a huge and a tiny one can compensate each other.
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

/// The triangle R of a factor, or of its transpose, times 2^-exponent, and the exponent. The scaling brings the largest element
/// into [1, 2) before the factorization.
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
    factorize(factor.as_mut())?;
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

fn factorize(matrix: MatMut<'_, f64>) -> Result<(), Unavailable> {
    let (rows, cols) = (matrix.nrows(), matrix.ncols());
    let block_size = recommended_block_size::<f64>(rows, cols);
    let mut reflectors = zeros(block_size, rows.min(cols))?;
    let request = qr_in_place_scratch::<f64>(rows, cols, block_size, Par::Seq, Default::default());
    let bytes = request.size_bytes() as u64;
    let mut scratch = MemBuffer::try_new(request).map_err(|_| Unavailable::OutOfMemory { bytes })?;
    qr_in_place(matrix, reflectors.as_mut(), Par::Seq, MemStack::new(&mut scratch), Default::default());
    Ok(())
}

/// Returns a matrix of zeros. Returns [`Unavailable::OutOfMemory`] instead of aborting if there is not enough memory.
fn zeros(rows: usize, cols: usize) -> Result<Mat<f64>, Unavailable> {
    let bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(8);
    let mut matrix = Mat::new();
    matrix.try_reserve(rows, cols).map_err(|_| Unavailable::OutOfMemory { bytes })?;
    matrix.resize_with(rows, cols, |_, _| 0.0);
    Ok(matrix)
}
