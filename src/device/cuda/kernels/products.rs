//! `products.cu`: products of weights with vectors, straight from the bytes of the file, as if in twice the precision of f64.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::{CompensatedSum, THREADS};
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::{blocks, per_thread};
use super::weights::{Conversion, Runs, Weight, with_weight};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::stream::Stream;

/// Runs that one thread adds up. A constant, as [`THREADS`] is: results must not depend on the GPU.
const RUNS_PER_PART: usize = 64;
/// Most parts that are computed at the same time.
const MOST_PARTS: usize = 1 << 15;

parameters! {
    /// Each run times x. A block of threads takes a run at a time.
    Along<'m, W> = W::PRODUCT_ALONG => {
        source: DeviceSlice<'m, W>,
        majors: u64,
        minors: u64,
        cast: u32,
        scale: f64,
        x: DeviceSlice<'m, f64>,
        parts: DeviceSlice<'m, CompensatedSum>,
    } where W: Weight
}

parameters! {
    /// The sum of runs times their elements of x, in parts of `height` runs.
    Across<'m, W> = W::PRODUCT_ACROSS => {
        source: DeviceSlice<'m, W>,
        majors: u64,
        minors: u64,
        cast: u32,
        scale: f64,
        x: DeviceSlice<'m, f64>,
        height: u64,
        parts: DeviceSlice<'m, CompensatedSum>,
    } where W: Weight
}

parameters! {
    /// Adds parts to totals, and rounds them.
    AddParts<'m> = KernelName::AddParts => {
        parts: DeviceSlice<'m, CompensatedSum>,
        count: u64,
        slices: u64,
        is_first: u32,
        totals: DeviceSlice<'m, CompensatedSum>,
        rounded: DeviceSlice<'m, f64>,
    }
}

/// The most parts of a product with a block of `rows` x n elements, in either direction.
pub fn part_count(rows: usize, n: usize) -> usize {
    (rows.div_ceil(RUNS_PER_PART) * n).max(n.div_ceil(RUNS_PER_PART) * rows)
}

/// The direction of a product with runs of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A number for each run.
    Along,
    /// A number for each element of a run.
    Across,
}

/// The buffers of a product.
#[derive(Debug, Clone, Copy)]
pub struct ProductBuffers<'m> {
    /// The factor.
    pub x: DeviceSlice<'m, f64>,
    /// At least [`part_count`].
    pub parts: DeviceSlice<'m, CompensatedSum>,
    /// The elements of the product before they are rounded, at least as many as `rounded`.
    pub totals: DeviceSlice<'m, CompensatedSum>,
    /// The elements of the product.
    pub rounded: DeviceSlice<'m, f64>,
}

impl Kernels {
    /// The product of a block of weights with x; or what the block adds to the totals so far, unless it `is_first`.
    pub fn multiply(
        &self,
        stream: &Stream,
        conversion: Conversion,
        (runs, source): (Runs, DeviceSlice<u8>),
        direction: Direction,
        buffers: ProductBuffers,
        is_first: bool,
    ) -> Result<()> {
        let ProductBuffers { x, parts, totals, rounded } = buffers;
        let (majors, minors) = (runs.majors as u64, runs.minors as u64);
        let (cast, scale, count) = (conversion.cast_code(), conversion.scale, rounded.len());
        let slices = match direction {
            Direction::Along => 1,
            Direction::Across => runs.majors.div_ceil(RUNS_PER_PART),
        };
        let sides = match direction {
            Direction::Along => (runs.minors, runs.majors),
            Direction::Across => (runs.majors, runs.minors),
        };
        assert_eq!((x.len(), count), sides);
        let parts = parts.part(0..slices * count);
        with_weight!(conversion.dtype, W => {
            let source = source.cast::<W>().part(0..runs.len());
            match direction {
                Direction::Along => {
                    let grid = [runs.majors.min(self.blocks()) as u32, 1, 1];
                    let shape = blocks(grid, per_thread::<CompensatedSum>(1));
                    // SAFETY: `source` has all elements of the runs, x an element for each of a run, `parts` one for each run.
                    unsafe {
                        self.launch(stream, shape, &Along { source, majors, minors, cast, scale, x, parts })
                    }
                }
                Direction::Across => {
                    let shape = blocks([self.blocks_for(runs.minors), slices.min(MOST_PARTS) as u32, 1], 0);
                    let height = RUNS_PER_PART as u64;
                    // SAFETY: `source` has all elements of the runs, x an element for each run, and `parts` an element for each
                    // of a run in each slice.
                    unsafe {
                        self.launch(stream, shape, &Across { source, majors, minors, cast, scale, x, height, parts })
                    }
                }
            }
        })?;
        let shape = blocks([self.blocks_for(count), 1, 1], 0);
        let totals = totals.part(0..count);
        let (count, slices, is_first) = (count as u64, slices as u64, u32::from(is_first));
        // SAFETY: there are `slices` parts for each total, and a rounded number for each.
        unsafe { self.launch(stream, shape, &AddParts { parts, count, slices, is_first, totals, rounded }) }
    }
}

const _: () = assert!(THREADS.is_power_of_two());
