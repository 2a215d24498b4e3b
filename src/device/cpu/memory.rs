//! The memory of a lane: planned before the run, and asked for without aborting the process.

use super::eigen;
use super::lane::OBLONG;
use super::library::singular_values_bytes;
use super::low_end;
use crate::device::{Failure, Method, Precision};
use crate::fit::Rule;
use crate::matrices::WeightMatrix;

/// Bytes of the rows of W that are decoded at once.
pub(super) const BLOCK_BYTES: usize = 8 << 20;

/// Alignment of buffers: that of the widest vectors, so that the order of operations never depends on an address.
const ALIGNMENT: usize = 128;

/// A growing buffer.
#[derive(Debug, Default)]
pub(super) struct Buffer<T>(Vec<T>);

impl<T: Copy + Default> Buffer<T> {
    /// An aligned slice of `elements` elements. They are what was last written there, unless this is larger than all slices before:
    /// then they are unspecified.
    pub fn get(&mut self, elements: u64) -> Result<&mut [T], Failure> {
        let refused = Failure::OutOfMemory { bytes: elements.saturating_mul(size_of::<T>() as u64) };
        let elements = usize::try_from(elements).map_err(|_| refused.clone())?;
        let wanted = elements.checked_add(ALIGNMENT / size_of::<T>()).ok_or_else(|| refused.clone())?;
        if wanted > self.0.len() {
            // Freed before the larger one is allocated: the content is not kept.
            self.0 = Vec::new();
            self.0.try_reserve_exact(wanted).map_err(|_| refused)?;
            prefer_huge_pages(&mut self.0);
            self.0.resize(wanted, T::default());
        }
        let offset = self.0.as_ptr().align_offset(ALIGNMENT);
        Ok(&mut self.0[offset..][..elements])
    }
}

/// Asks for huge pages where they are to be had: the first touch of a large buffer is then several times as fast, and so are
/// columns that lie far apart.
#[allow(unsafe_code)]
fn prefer_huge_pages<T>(buffer: &mut Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const HUGE: usize = 2 << 20;
        let start = buffer.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        let bytes = std::mem::size_of_val(buffer.spare_capacity_mut());
        let skipped = start.align_offset(HUGE);
        if bytes >= skipped.saturating_add(HUGE) {
            let bytes = (bytes - skipped) / HUGE * HUGE;
            // SAFETY: the pages lie within the buffer, and the advice changes nothing but speed; if it is not taken, so be it.
            unsafe { libc::madvise(start.add(skipped).cast(), bytes, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = buffer;
}

/// Distance between the columns of an n-row buffer, in elements.
///
/// Columns start on cache lines, and never a multiple of 4 KiB apart, which would map them all to the same cache sets.
pub(super) fn stride(n: usize) -> usize {
    let lines = n.div_ceil(16);
    16 * if lines.is_multiple_of(16) { lines + 1 } else { lines }
}

/// Whether the Gram matrix of a matrix of this shape is kept beside the one that the eigensolver destroys.
pub(super) fn keeps_gram<T>(long: usize, short: usize, method: &Method) -> bool {
    let is_square = (long as f64) < OBLONG * short as f64;
    if size_of::<T>() == size_of::<f64>() {
        return method.rule == Rule::Peak && is_square;
    }
    let is_needed = match method.rule {
        Rule::Peak => true,
        Rule::Ks => method.precision == Precision::Auto && is_square,
        Rule::PeakRobust | Rule::Median => false,
    };
    is_needed && short >= low_end::MIN_ORDER
}

/// What matrix products allocate for packing, as seen, and small change.
const OTHER_BYTES: u64 = 5 << 20;

/// Rows of the buffer in which [`triangle`](super::qr::triangle) stacks the triangle so far on the next rows of W.
pub(super) fn stacked_rows(long: usize, short: usize) -> usize {
    long.min(short + short.max(BLOCK_BYTES / size_of::<f64>() / short))
}

/// Bytes that a lane allocates at most for a matrix. (The pages of W that are mapped meanwhile belong to
/// the system, which takes them back when it likes.)
///
/// The Gram matrix with what its eigenvalues take, in f32 or f64 or one after the other; or, where the rule may need it, the
/// rows of a QR factorisation in f64 and then what the singular values of its triangle take. Most matrices need much less than
/// the singular values do.
///
/// What is computed before its spectrum is, as [`WeightMatrix::computed_bytes`] has it, comes on top.
pub fn lane_bytes(matrix: &WeightMatrix, method: &Method) -> u64 {
    solver_bytes(matrix.long(), matrix.eigenvalues(), method) + matrix.computed_bytes()
}

fn solver_bytes(long: usize, short: usize, method: &Method) -> u64 {
    let size = size_of::<f64>() as u64;
    let single = || {
        let [square, mut block, band] = eigen::buffer_bytes::<f32>(long, short);
        let mut kept = 0;
        if keeps_gram::<f32>(long, short, method) {
            let size = size_of::<f32>() as u64;
            kept = eigen::tile_elements(short) * size + low_end::bytes(long, short);
            block = block.max(eigen::cholesky::workspace_elements(short) * size);
        }
        square + block + band + kept
    };
    let double = |refines: bool| {
        let [mut square, mut block, band] = eigen::buffer_bytes::<f64>(long, short);
        let mut scratch = 0;
        if refines {
            let stacked = stride(stacked_rows(long, short)) as u64;
            square = square.max(stacked * short as u64 * size);
            block = block.max((BLOCK_BYTES as u64).max(size * short as u64).min(size * long as u64 * short as u64));
            // 256: the largest block of reflectors that faer keeps beside a matrix.
            scratch = singular_values_bytes(short).max(256 * short as u64 * size);
        }
        let kept = match keeps_gram::<f64>(long, short, method) {
            true => eigen::tile_elements(short) * size,
            false => 0,
        };
        if kept > 0 {
            block = block.max(eigen::cholesky::workspace_elements(short) * size);
        }
        square + block + band + scratch + kept
    };
    OTHER_BYTES
        + match (method.precision, method.rule) {
            (Precision::Auto, _) => single() + double(true),
            (Precision::F64, _) => double(true),
            (Precision::F32, Rule::Peak) => single() + double(true),
            (Precision::F32, _) => single(),
        }
}
