//! Gram matrices of a batch, from the bytes of the file.

use super::blocks::{Block, blocks};
use super::job::Job;
use super::kernels::abi::{ElementScan, GramSums};
use super::kernels::gram::SUM_BLOCKS;
use super::kernels::widen::Strides;
use super::sys::blas::{self, GramBlock, Product};
use super::sys::error::Result;
use super::sys::memory::DeviceSlice;
use super::sys::scalar::Scalar;
use super::workspace::Workspace;

/// What was found while a Gram matrix was computed.
#[derive(Debug, Clone, Copy)]
pub struct GramSummary {
    /// Index of the first element of W that is not finite.
    pub first_bad: Option<u64>,
    /// The largest absolute value of W.
    pub largest: f64,
    /// The trace of the Gram matrix.
    pub trace: f64,
    /// The sum of the squares of its elements.
    pub squares: f64,
}

/// Computes the Gram matrices of 2^-exponent W, one after the other in `gram`. With `keep`, the weights of a single job stay in
/// `stacked`, in the type of the file.
pub fn gram_matrices<T: Scalar>(workspace: &Workspace, jobs: &[Job], keep: bool) -> Result<Vec<GramSummary>> {
    let Some(first) = jobs.first() else { return Ok(Vec::new()) };
    let (n, count) = (first.view.short(), jobs.len());
    let Workspace { kernels, blas, ring, buffers, stream, .. } = workspace;
    let (gram, scans) = (buffers.gram.first::<T>(count * n * n), buffers.scans.first::<ElementScan>(count));
    let sums = buffers.gram_sums.first::<GramSums>(count * SUM_BLOCKS);
    stream.upload(scans, &vec![ElementScan { first_bad: u64::MAX, largest: 0 }; count])?;
    let blocks: Vec<Block> = jobs.iter().enumerate().flat_map(|(index, job)| blocks(index, &job.view)).collect();
    ring.feed(stream, &blocks, |block, pinned| {
        let weights = buffers.block.first::<u8>(block.bytes());
        stream.copy_from_pinned(weights, pinned)?;
        if keep {
            let place = block.offset()..block.offset() + block.bytes();
            stream.copy_from_pinned(buffers.stacked.all().part(place), pinned)?;
        }
        let (gram, scan) = (gram.chunk(block.job, n * n), scans.chunk(block.job, 1));
        let gram_block = weights_to_multiply::<T>(workspace, &jobs[block.job], block, weights, scan)?;
        blas.add_gram(gram_block, gram, block.rows.start > 0)
    })?;
    if blas::has_strips(n) {
        kernels.mirror(stream, [n, count], gram)?;
    }
    kernels.gram_sums(stream, [n, count], gram, sums)?;
    let scans = stream.download(scans)?;
    let sums = stream.download(sums)?;
    Ok(scans.iter().zip(sums.chunks(SUM_BLOCKS)).map(|(scan, sums)| summary(scan, sums)).collect())
}

/// Checks the weights of a block, and converts them unless they can be multiplied in the type of the file.
fn weights_to_multiply<'w, T: Scalar>(
    workspace: &'w Workspace,
    job: &Job,
    block: &Block,
    weights: DeviceSlice<'w, u8>,
    scan: DeviceSlice<ElementScan>,
) -> Result<GramBlock<'w>> {
    let Workspace { kernels, buffers, stream, .. } = workspace;
    let (runs, layout, columns) = (block.runs(), block.layout(), block.view.short());
    let gram_block = |product, data| GramBlock { product, layout, rows: block.rows.len(), columns, data };
    if let Some(product) = job.native_product::<T>() {
        kernels.scan(stream, job.view.dtype(), runs, weights, scan)?;
        return Ok(gram_block(product, weights));
    }
    let widened = buffers.widened.first::<T>(runs.len());
    let strides = Strides { offset: 0, major: runs.minors, minor: 1 };
    kernels.widen(stream, job.conversion(), (runs, weights), (strides, widened), scan)?;
    Ok(gram_block(Product::of::<T>(), widened.cast()))
}

fn summary(scan: &ElementScan, sums: &[GramSums]) -> GramSummary {
    GramSummary {
        first_bad: (scan.first_bad != u64::MAX).then_some(scan.first_bad),
        largest: f64::from_bits(scan.largest),
        trace: sums.iter().map(|sums| sums.trace).sum(),
        squares: sums.iter().map(|sums| sums.squares).sum(),
    }
}
