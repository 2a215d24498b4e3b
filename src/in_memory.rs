//! Spectra of matrices in memory.

use half::{bf16, f16};

use crate::checkpoint::{Cast, FloatType, MatrixView};
use crate::device::cpu::Cpu;
use crate::device::{Analysis, Method};
use crate::error::{Error, Result};
use crate::fit::Rule;

/// The types of weights in memory: `f64`, `f32`, `f16` and `bf16` (of the crate `half`).
pub trait Weight: sealed::Weight {}

impl<T: sealed::Weight> Weight for T {}

mod sealed {
    use crate::checkpoint::FloatType;

    pub trait Weight: bytemuck::NoUninit {
        const TYPE: FloatType;
    }
}

impl sealed::Weight for f64 {
    const TYPE: FloatType = FloatType::F64;
}

impl sealed::Weight for f32 {
    const TYPE: FloatType = FloatType::F32;
}

impl sealed::Weight for f16 {
    const TYPE: FloatType = FloatType::F16;
}

impl sealed::Weight for bf16 {
    const TYPE: FloatType = FloatType::BF16;
}

/// Views are little-endian, as files are.
#[cfg(not(target_endian = "little"))]
compile_error!("htsr reads weights as little-endian bytes; this target is big-endian");

/// The spectrum of a matrix in memory and its power law by `rule`, on all cores of the CPU.
///
/// `weights` is row-major, of shape `rows` x `cols`; W and its transpose have the same spectrum. The result is that of
/// [`Scorer`](crate::Scorer) for the same weights in a file.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if `weights` does not have `rows` x `cols` elements,
/// [`Kind::Input`](crate::error::Kind::Input) if the matrix has no spectrum; then [`source`](std::error::Error::source) is a
/// [`Failure`](crate::device::Failure). A spectrum without a power law is not an error: see [`Analysis::fit`].
///
/// # Examples
///
/// ```
/// use htsr::{Rule, analyze};
///
/// // A diagonal matrix with the singular values 1, 2, ... 16.
/// let mut weights = vec![0.0_f32; 16 * 16];
/// (0..16).for_each(|i| weights[i * 16 + i] = i as f32 + 1.0);
/// let analysis = analyze(&weights, 16, 16, Rule::Median)?;
/// assert!((analysis.spectrum.largest() / 256.0 - 1.0).abs() < 1e-6);
/// println!("alpha {:.3}", analysis.fit?.alpha);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn analyze<T: Weight>(weights: &[T], rows: usize, cols: usize, rule: Rule) -> Result<Analysis> {
    if rows.checked_mul(cols) != Some(weights.len()) {
        let error = Error::usage(format!("a matrix of {rows} x {cols} does not have {} elements", weights.len()));
        return Err(error.hint("rows times columns is the number of weights"));
    }
    let view = MatrixView::new(bytemuck::cast_slice(weights), T::TYPE, Cast::None, rows, cols);
    let method = Method { rule, ..Method::default() };
    Cpu::new(None).analyze(method, &view).map_err(|failure| Error::unusable(failure.to_string()).because(failure))
}
