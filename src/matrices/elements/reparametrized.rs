//! Weights that PyTorch computes from other tensors before every use: pruned weights, weight norm, spectral norm.
//!
//! They are what the module multiplies by at evaluation. Everything is computed in f64 and rounded once.

use super::floats::Floats;
use super::loaded::{Loaded, Mapped, Unavailable, buffer, matrix_bytes};
use super::numbers::Numbers;
use super::rounding::Grid;
use super::source::ElementSource;
use super::stored::Stored;
use crate::checkpoint::{Cast, Checkpoint, FloatType, MatrixView};

/// How the weights follow from the original matrix W.
#[derive(Debug)]
pub(crate) enum Formula {
    /// W times a mask, element by element (`torch.nn.utils.prune`).
    Masked { mask: Numbers },
    /// Every row, every column, or the whole of W scaled to the norm that g holds (`weight_norm`). g is a column, a row, or one
    /// number.
    Normed { g: Numbers },
    /// W / sigma with sigma = u^T W v (`spectral_norm`). u is a column, and v is a row.
    Spectral { u: Numbers, v: Numbers },
}

/// How many times larger one of two values of sigma has to be to count as the right one.
const CLEARLY: f64 = 2.0;
/// The share of the larger from which the smaller is the same value.
const SAME: f64 = 1.0 - 1e-3;

/// Weights computed from an original matrix.
#[derive(Debug)]
pub(crate) struct Reparametrized {
    pub original: Floats,
    pub formula: Formula,
}

/// What every element of the original is multiplied by.
enum Factors {
    One(f64),
    EachRow(Vec<f64>),
    EachColumn(Vec<f64>),
}

impl Reparametrized {
    /// Calls `each` with the original's rows.
    fn rows(&self, checkpoint: &Checkpoint, mut each: impl FnMut(usize, &mut [f64])) -> Result<(), Unavailable> {
        let [rows, cols] = self.shape();
        // Read twice or more, so it stays in the page cache.
        let mapped = Mapped::new(self.original.stored(), checkpoint, true)?;
        let view = MatrixView::new(mapped.bytes(), self.original.dtype(), Cast::None, rows, cols);
        let mut line = vec![0.0_f64; cols];
        for row in 0..rows {
            view.read_segment(row, 0..cols, 1.0, &mut line);
            each(row, &mut line);
        }
        mapped.finish()
    }

    /// g divided by the norms of W.
    fn norm_factors(&self, g: &Numbers, checkpoint: &Checkpoint) -> Result<Factors, Unavailable> {
        let [rows, cols] = self.shape();
        let mut squares = [vec![0.0; rows], vec![0.0; cols]];
        self.rows(checkpoint, |row, line| {
            for (x, of_column) in line.iter().zip(&mut squares[1]) {
                *of_column += x * x;
            }
            squares[0][row] = line.iter().map(|x| x * x).sum::<f64>();
        })?;
        let [of_rows, of_columns] = squares;
        let shape = g.stored().shape();
        let g = g.read(checkpoint, true)?;
        let scaled = |squares: Vec<f64>| squares.iter().zip(&g).map(|(square, g)| g / square.sqrt()).collect();
        Ok(match shape {
            [1, 1] => Factors::One(g[0] / of_rows.iter().sum::<f64>().sqrt()),
            [_, 1] => Factors::EachRow(scaled(of_rows)),
            _ => Factors::EachColumn(scaled(of_columns)),
        })
    }

    /// 1 / sigma.
    ///
    /// If W is square, the lengths of u and v do not tell whether they belong to W or to its transpose. They are close to the
    /// first singular vectors, so the right one of u^T W v and v^T W u is much the larger.
    fn spectral_factor(&self, u: &Numbers, v: &Numbers, checkpoint: &Checkpoint) -> Result<Factors, Unavailable> {
        let (u, v) = (u.read(checkpoint, true)?, v.read(checkpoint, true)?);
        let dot = |line: &[f64], other: &[f64]| line.iter().zip(other).map(|(x, y)| x * y).sum::<f64>();
        let (mut sigma, mut swapped) = (0.0, 0.0);
        self.rows(checkpoint, |row, line| {
            sigma += u[row] * dot(line, &v);
            if u.len() == v.len() {
                swapped += v[row] * dot(line, &u);
            }
        })?;
        let is_swapped = swapped.abs() > sigma.abs();
        let (larger, smaller) = if is_swapped { (swapped, sigma) } else { (sigma, swapped) };
        let refused = |why: String| {
            let of = &self.original.stored().tensor.name;
            Err(Unavailable::Contradictory(format!("spectral norm of `{of}`: {why}")))
        };
        if larger <= 0.0 {
            return refused(format!("u^T W v is {larger:e}, not positive"));
        }
        // A symmetric W has the same sigma either way.
        if smaller.abs() > larger / CLEARLY && smaller < larger * SAME {
            return refused("its vectors do not tell along which dimension it is taken".into());
        }
        Ok(Factors::One(1.0 / larger))
    }

    /// Calls `write` with the rows of the original times `mask`.
    fn masked(
        &self,
        mask: &Numbers,
        checkpoint: &Checkpoint,
        keep: bool,
        mut write: impl FnMut(&[f64]),
    ) -> Result<(), Unavailable> {
        let [rows, cols] = self.shape();
        let original = Mapped::new(self.original.stored(), checkpoint, keep)?;
        let view = MatrixView::new(original.bytes(), self.original.dtype(), Cast::None, rows, cols);
        let mut line = vec![0.0_f64; cols];
        mask.rows(checkpoint, keep, |row, mask| {
            view.read_segment(row, 0..cols, 1.0, &mut line);
            line.iter_mut().zip(mask).for_each(|(x, mask)| *x *= mask);
            write(&line);
        })?;
        original.finish()
    }

    /// Calls `write` with the rows of the original times `factors`.
    fn scaled(
        &self,
        factors: &Factors,
        checkpoint: &Checkpoint,
        mut write: impl FnMut(&[f64]),
    ) -> Result<(), Unavailable> {
        self.rows(checkpoint, |row, line| {
            match factors {
                Factors::One(factor) => line.iter_mut().for_each(|x| *x *= factor),
                Factors::EachRow(factors) => line.iter_mut().for_each(|x| *x *= factors[row]),
                Factors::EachColumn(factors) => line.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor),
            }
            write(line);
        })
    }
}

impl ElementSource for Reparametrized {
    fn shape(&self) -> [usize; 2] {
        self.original.shape()
    }

    /// A mask of zeros and ones changes no element. The others are computed, in f32 at least.
    fn dtype(&self) -> FloatType {
        match (&self.formula, self.original.dtype()) {
            (Formula::Masked { .. }, dtype) => dtype,
            (_, FloatType::F64) => FloatType::F64,
            _ => FloatType::F32,
        }
    }

    fn stored(&self) -> &Stored {
        self.original.stored()
    }

    fn companions(&self) -> Vec<&Stored> {
        match &self.formula {
            Formula::Masked { mask } => vec![mask.stored()],
            Formula::Normed { g } => vec![g.stored()],
            Formula::Spectral { u, v } => vec![u.stored(), v.stored()],
        }
    }

    /// The weights, and the numbers of a few rows and columns.
    fn computed_bytes(&self) -> u64 {
        let [rows, cols] = self.shape().map(|side| side as u64);
        matrix_bytes(self.shape(), self.dtype()).saturating_add(8 * 4 * (rows + cols))
    }

    fn form(&self) -> Option<&'static str> {
        Some(match &self.formula {
            Formula::Masked { .. } => "pruned",
            Formula::Normed { .. } => "weight norm",
            Formula::Spectral { .. } => "spectral norm",
        })
    }

    fn load<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast, keep: bool) -> Result<Loaded<'a>, Unavailable> {
        let [rows, cols] = self.shape();
        let dtype = self.dtype();
        let bytes = matrix_bytes([rows, cols], dtype);
        let mut weights = buffer(usize::try_from(bytes).map_err(|_| Unavailable::OutOfMemory { bytes })?)?;
        let mut lines = weights.chunks_exact_mut(cols * dtype.bytes());
        let write = |line: &[f64]| lines.next().into_iter().for_each(|out| encode(line, dtype, out));
        match &self.formula {
            Formula::Masked { mask } => self.masked(mask, checkpoint, keep, write)?,
            Formula::Normed { g } => self.scaled(&self.norm_factors(g, checkpoint)?, checkpoint, write)?,
            Formula::Spectral { u, v } => self.scaled(&self.spectral_factor(u, v, checkpoint)?, checkpoint, write)?,
        }
        Ok(Loaded::computed(weights, dtype, [rows, cols]).with_cast(cast))
    }

    /// Masked elements are rounded as the original ones are, or zero.
    fn grid<'a>(&'a self, checkpoint: &'a Checkpoint, cast: Cast) -> Result<Option<Grid<'a>>, Unavailable> {
        match &self.formula {
            Formula::Masked { .. } => self.original.grid(checkpoint, cast),
            Formula::Normed { .. } | Formula::Spectral { .. } => Ok(None),
        }
    }
}

/// Writes numbers as elements of this type, rounded to the nearest.
fn encode(numbers: &[f64], dtype: FloatType, out: &mut [u8]) {
    let elements = out.chunks_exact_mut(dtype.bytes()).zip(numbers);
    match dtype {
        FloatType::F64 => elements.for_each(|(out, x)| out.copy_from_slice(&x.to_le_bytes())),
        FloatType::F32 => elements.for_each(|(out, &x)| out.copy_from_slice(&(x as f32).to_le_bytes())),
        FloatType::F16 => elements.for_each(|(out, &x)| out.copy_from_slice(&half::f16::from_f64(x).to_le_bytes())),
        FloatType::BF16 => elements.for_each(|(out, &x)| out.copy_from_slice(&half::bf16::from_f64(x).to_le_bytes())),
    }
}
