//! A view of a weight matrix in a mapped file, which converts blocks to the precision of the computation.
//!
//! The bytes need not be aligned. The *tall* form A of a matrix W of shape rows x cols has the shape long x short: it is W itself if
//! rows >= cols, otherwise the transpose of W. The nonzero eigenvalues of A^T A (short x short) are those of W^T W, so the Gram
//! matrix is always formed on the smaller side, and every stage needs only blocks of rows of A.

use std::fmt;
use std::ops::Range;

use faer::MatRef;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use super::dtype::FloatType;

/// Elements that [`MatrixView::scan`] converts at once.
const SCAN_ELEMENTS: usize = 1 << 14;

/// The precision to which weights are rounded before anything is computed.
///
/// [`Cast::Fp16`] reproduces AlphaLoRA's script; it changes alpha by about 1e-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Cast {
    /// Use the weights as they are stored.
    #[default]
    None,
    /// Round to IEEE half precision.
    Fp16,
    /// Round to bfloat16.
    Bf16,
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cast::None => "none",
            Cast::Fp16 => "fp16",
            Cast::Bf16 => "bf16",
        })
    }
}

/// The scalar type of a computation: `f32` or `f64`.
pub trait Element: Copy + Default + Send + 'static {
    /// Rounds to this type.
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

impl Element for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> f64 {
        value
    }
}

/// The result of a pass over all elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scan {
    /// All elements are finite. The largest absolute value.
    Finite(f64),
    /// The first element, in storage order, that is NaN or infinite (after the cast).
    NonFinite {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
    },
}

/// A weight matrix in a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct MatrixView<'a> {
    bytes: &'a [u8],
    dtype: FloatType,
    cast: Cast,
    rows: usize,
    cols: usize,
}

impl<'a> MatrixView<'a> {
    /// Views `bytes` as a row-major matrix of shape rows x cols.
    ///
    /// # Panics
    ///
    /// If the length of `bytes` does not match shape and type.
    pub fn new(bytes: &'a [u8], dtype: FloatType, cast: Cast, rows: usize, cols: usize) -> Self {
        assert_eq!(Some(bytes.len()), rows.checked_mul(cols).and_then(|n| n.checked_mul(dtype.bytes())));
        MatrixView { bytes, dtype, cast, rows, cols }
    }

    /// The larger dimension: Q M, where Q is the aspect ratio.
    pub fn long(&self) -> usize {
        self.rows.max(self.cols)
    }

    /// The smaller dimension M: the number of eigenvalues.
    pub fn short(&self) -> usize {
        self.rows.min(self.cols)
    }

    /// The outer dimension.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Element type of the bytes.
    pub fn dtype(&self) -> FloatType {
        self.dtype
    }

    /// The rounding that is applied to elements as they are read.
    pub fn cast(&self) -> Cast {
        self.cast
    }

    /// The inner dimension: the distance between rows of W in elements.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// True if W is its own tall form.
    pub fn is_tall(&self) -> bool {
        self.rows >= self.cols
    }

    /// Copies the rows `range` of the tall form A without conversion: row by row if W is tall, otherwise column by column.
    ///
    /// # Panics
    ///
    /// If the length of `out` is not that of the block, or the range ends beyond `long`.
    pub fn copy_tall_rows(&self, range: Range<usize>, out: &mut [u8]) {
        let size = self.dtype.bytes();
        assert_eq!(out.len(), range.len() * self.short() * size);
        if self.is_tall() {
            out.copy_from_slice(&self.bytes[range.start * self.cols * size..][..out.len()]);
        } else {
            for (row, run) in out.chunks_exact_mut(range.len() * size).enumerate() {
                run.copy_from_slice(&self.bytes[(row * self.cols + range.start) * size..][..run.len()]);
            }
        }
    }

    /// Copies W[row, cols] without conversion.
    ///
    /// # Panics
    ///
    /// If the length of `out` is not that of the segment, or the segment ends beyond the matrix.
    pub fn copy_segment(&self, row: usize, cols: Range<usize>, out: &mut [u8]) {
        assert!(cols.end <= self.cols);
        let size = self.dtype.bytes();
        out.copy_from_slice(&self.bytes[(row * self.cols + cols.start) * size..][..cols.len() * size]);
    }

    /// Checks that every element is finite, and finds the largest.
    pub fn scan(&self) -> Scan {
        let mut segment = vec![0.0_f64; self.cols.min(SCAN_ELEMENTS)];
        let mut largest = 0.0_f64;
        for row in 0..self.rows {
            for start in (0..self.cols).step_by(SCAN_ELEMENTS) {
                let segment = &mut segment[..SCAN_ELEMENTS.min(self.cols - start)];
                self.read_segment(row, start..start + segment.len(), 1.0, segment);
                if let Some(index) = segment.iter().position(|value| !value.is_finite()) {
                    return Scan::NonFinite { row, col: start + index };
                }
                largest = segment.iter().fold(largest, |largest, value| largest.max(value.abs()));
            }
        }
        Scan::Finite(largest)
    }

    /// Reads the rows `range` of the tall form A, each element times `scale`, into `out`.
    ///
    /// Returns the block, of shape range.len() x short. Each element is rounded only once, after scaling.
    ///
    /// # Panics
    ///
    /// If `out` is shorter than the block, or the range ends beyond `long`.
    pub fn read_tall_rows<'b, T: Element>(&self, range: Range<usize>, scale: f64, out: &'b mut [T]) -> MatRef<'b, T> {
        let (count, short) = (range.len(), self.short());
        let out = &mut out[..count * short];
        if self.is_tall() {
            for (row, line) in range.zip(out.chunks_exact_mut(short)) {
                self.read_segment(row, 0..short, scale, line);
            }
            MatRef::from_row_major_slice(out, count, short)
        } else {
            for (row, line) in out.chunks_exact_mut(count).enumerate() {
                self.read_segment(row, range.clone(), scale, line);
            }
            MatRef::from_column_major_slice(out, count, short)
        }
    }

    /// Reads W[row, cols], each element times `scale`, into `out`. Each element is rounded only once, after scaling.
    ///
    /// Inlined so that it is compiled for the instruction set of the caller.
    ///
    /// # Panics
    ///
    /// If the segment ends beyond the matrix.
    #[inline(always)]
    pub fn read_segment<T: Element>(&self, row: usize, cols: Range<usize>, scale: f64, out: &mut [T]) {
        let size = self.dtype.bytes();
        let bytes = &self.bytes[(row * self.cols + cols.start) * size..][..cols.len() * size];
        match self.dtype {
            FloatType::F64 => self.decode(bytes, scale, out, f64::from_le_bytes),
            FloatType::F32 => self.decode(bytes, scale, out, |b| f32::from_le_bytes(b).into()),
            FloatType::F16 => self.decode(bytes, scale, out, |b| f16_to_f32(u16::from_le_bytes(b)).into()),
            FloatType::BF16 => {
                self.decode(bytes, scale, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into());
            }
        }
    }

    #[inline(always)]
    fn decode<T: Element, const N: usize>(
        &self,
        bytes: &[u8],
        scale: f64,
        out: &mut [T],
        read: impl Fn([u8; N]) -> f64,
    ) {
        match self.cast {
            Cast::None => convert(bytes, out, |b| T::from_f64(read(b) * scale)),
            Cast::Fp16 => convert(bytes, out, |b| T::from_f64(f16::from_f32(to_odd_f32(read(b))).to_f64() * scale)),
            Cast::Bf16 => convert(bytes, out, |b| T::from_f64(bf16::from_f32(to_odd_f32(read(b))).to_f64() * scale)),
        }
    }
}

/// `value` as a single that rounds to the same half as `value` itself: exact if possible, otherwise with the last bit set
/// (rounding to odd: Boldo and Melquiond, IEEE Trans. Comput. 57, 2008).
fn to_odd_f32(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) == value || value.is_nan() {
        return nearest;
    }
    let away = f64::from(nearest).abs() > value.abs();
    f32::from_bits((nearest.to_bits() - u32::from(away)) | 1)
}

/// The value of an IEEE half, without branches, so that the compiler can vectorize it, unlike the conversion of `half`.
#[inline(always)]
fn f16_to_f32(half: u16) -> f32 {
    let bits = u32::from(half);
    // As bits of a single, exponent and significand represent 2^-112 times the value, also for subnormal numbers.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    // The largest exponent means infinity or NaN in both formats.
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

#[inline(always)]
fn convert<T, const N: usize>(bytes: &[u8], out: &mut [T], element: impl Fn([u8; N]) -> T) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (chunk, value) in chunks.iter().zip(out) {
        *value = element(*chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tall_rows_of_a_wide_matrix_are_its_columns() {
        let bytes: Vec<u8> = (0..6).flat_map(|i| bf16::from_f32(i as f32).to_le_bytes()).collect();
        let mut out = [0.0_f64; 4];
        let wide = MatrixView::new(&bytes, FloatType::BF16, Cast::None, 2, 3);
        let block = wide.read_tall_rows(1..3, 2.0, &mut out);
        assert_eq!([block[(0, 0)], block[(0, 1)], block[(1, 0)], block[(1, 1)]], [2.0, 8.0, 4.0, 10.0]);
        let tall = MatrixView::new(&bytes, FloatType::BF16, Cast::None, 3, 2);
        let block = tall.read_tall_rows(1..3, 1.0, &mut out);
        assert_eq!([block[(0, 0)], block[(0, 1)], block[(1, 0)], block[(1, 1)]], [2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn bytes_may_be_unaligned_and_of_every_type() {
        let values = [1.0_f64, -0.5, 2.0, 0.25];
        let encode = |bytes_of: &dyn Fn(f64) -> Vec<u8>| -> Vec<u8> {
            std::iter::once(0xff).chain(values.iter().flat_map(|&v| bytes_of(v))).collect()
        };
        for (dtype, bytes) in [
            (FloatType::F64, encode(&|v| v.to_le_bytes().to_vec())),
            (FloatType::F32, encode(&|v| (v as f32).to_le_bytes().to_vec())),
            (FloatType::F16, encode(&|v| f16::from_f64(v).to_le_bytes().to_vec())),
            (FloatType::BF16, encode(&|v| bf16::from_f64(v).to_le_bytes().to_vec())),
        ] {
            let mut out = [0.0_f64; 4];
            MatrixView::new(&bytes[1..], dtype, Cast::None, 2, 2).read_tall_rows(0..2, 1.0, &mut out);
            assert_eq!(out, values, "{dtype}");
        }
    }

    #[test]
    fn all_halves() {
        for bits in 0..=u16::MAX {
            let (got, expected) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{bits:x}");
        }
    }

    #[test]
    fn casts_round_to_the_nearest_and_ties_to_even() {
        let cast = |value: f64, dtype: FloatType, cast: Cast| {
            let bytes = match dtype {
                FloatType::F32 => (value as f32).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            };
            let mut out = [0.0_f64];
            MatrixView::new(&bytes, dtype, cast, 1, 1).read_tall_rows(0..1, 1.0, &mut out);
            out[0]
        };
        let p = |exponent: i32| 2.0_f64.powi(exponent);
        for sign in [1.0, -1.0] {
            // bf16 has 8 bits and fp16 has 11: a tie, just above, just below, and the tie of the odd neighbor.
            for (kind, ulp) in [(Cast::Bf16, p(-7)), (Cast::Fp16, p(-10))] {
                for (value, rounded) in [
                    (1.0 + ulp / 2.0, 1.0),
                    (1.0 + ulp / 2.0 + p(-23), 1.0 + ulp),
                    (1.0 + ulp / 2.0 - p(-23), 1.0),
                    (1.0 + 1.5 * ulp, 1.0 + 2.0 * ulp),
                ] {
                    assert_eq!(cast(sign * value, FloatType::F32, kind), sign * rounded, "{kind} {value}");
                    assert_eq!(cast(sign * value, FloatType::F64, kind), sign * rounded, "{kind} {value}");
                }
                // Beyond the precision of f32.
                for (value, rounded) in [(1.0 + ulp / 2.0 + p(-50), 1.0 + ulp), (1.0 + ulp / 2.0 - p(-50), 1.0)] {
                    assert_eq!(cast(sign * value, FloatType::F64, kind), sign * rounded, "{kind} {value}");
                }
            }
        }
        assert_eq!(cast(65519.999, FloatType::F64, Cast::Fp16), 65504.0);
        assert_eq!(cast(65520.0, FloatType::F64, Cast::Fp16), f64::INFINITY);
        assert_eq!(cast(1e300, FloatType::F64, Cast::Bf16), f64::INFINITY);
        assert_eq!(cast(p(-25) + p(-60), FloatType::F64, Cast::Fp16), p(-24));
        assert_eq!(cast(p(-25), FloatType::F64, Cast::Fp16), 0.0);
    }

    #[test]
    fn a_cast_can_overflow_and_the_scan_finds_where() {
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 70000.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let view = |cast| MatrixView::new(&bytes, FloatType::F32, cast, 2, 2).scan();
        assert_eq!(view(Cast::None), Scan::Finite(70000.0));
        assert_eq!(view(Cast::Fp16), Scan::NonFinite { row: 1, col: 1 });
        assert_eq!(view(Cast::Bf16), Scan::Finite(70144.0));
    }
}
