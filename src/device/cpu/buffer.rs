//! Buffers that are reused from matrix to matrix, and whose allocation can fail without aborting the process.

use crate::device::Failure;

/// Bytes of weights that are decoded at once.
pub(super) const BLOCK_BYTES: usize = 8 << 20;

/// Alignment of buffers: that of the widest vectors, so that the order of operations never depends on an address.
const ALIGNMENT: usize = 128;

/// A growing buffer.
#[derive(Debug, Default)]
pub(super) struct Buffer<T>(Vec<T>);

impl<T: Copy + Default> Buffer<T> {
    /// An aligned slice of `elements` elements. It holds what was last written there, unless it is larger than all slices
    /// before; then its content is unspecified.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`].
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

/// Requests huge pages where available. They make the first touch of a large buffer several times as fast, and also access
/// to distant columns.
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
            // SAFETY: the pages are inside the buffer's own allocation, and the advice affects only speed, whether or not the
            // kernel follows it.
            unsafe { libc::madvise(start.add(skipped).cast(), bytes, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = buffer;
}

/// Distance between the columns of an n-row buffer, in elements.
///
/// Columns start on cache lines, and their distance is never a multiple of 4 KiB, which would map all of them to the same
/// cache sets.
pub(super) fn stride(n: usize) -> usize {
    let lines = n.div_ceil(16);
    16 * if lines.is_multiple_of(16) { lines + 1 } else { lines }
}
