//! `widen.cu`: converts weights from the type of the file to that of the computation, and checks every element.
#![allow(unsafe_code)]

use super::Kernels;
use super::abi::ElementScan;
use super::list::KernelName;
use super::parameters::parameters;
use super::shape::blocks;
use super::weights::{Bf16, Conversion, F16, Runs, Weight, with_weight};
use crate::checkpoint::FloatType;
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::memory::DeviceSlice;
use crate::device::cuda::sys::scalar::Scalar;
use crate::device::cuda::sys::stream::{LaunchShape, Stream};

parameters! {
    /// Converts weights of type W to numbers of type T, and checks them.
    Widen<'m, W, T> = W::WIDEN[T::REAL as usize] => {
        source: DeviceSlice<'m, W>,
        majors: u64,
        minors: u64,
        first: u64,
        pitch: u64,
        cast: u32,
        scale: f64,
        target: DeviceSlice<'m, T>,
        major_stride: u64,
        minor_stride: u64,
        scan: DeviceSlice<'m, ElementScan>,
    } where W: Weight, T: Scalar
}

parameters! {
    /// Checks weights in bf16.
    ScanBf16<'m> = KernelName::ScanBf16 => {
        source: DeviceSlice<'m, Bf16>,
        majors: u64,
        minors: u64,
        first: u64,
        pitch: u64,
        scan: DeviceSlice<'m, ElementScan>,
    }
}

parameters! {
    /// Checks weights in fp16.
    ScanF16<'m> = KernelName::ScanF16 => {
        source: DeviceSlice<'m, F16>,
        majors: u64,
        minors: u64,
        first: u64,
        pitch: u64,
        scan: DeviceSlice<'m, ElementScan>,
    }
}

/// Where converted elements go: element `minor` of run `major` to number offset + major * major_stride + minor * minor_stride.
#[derive(Debug, Clone, Copy)]
pub struct Strides {
    pub offset: usize,
    pub major: usize,
    pub minor: usize,
}

impl Kernels {
    /// A grid that covers runs of elements, but has no more blocks than keep the GPU busy.
    fn over(&self, runs: Runs) -> LaunchShape {
        let across = self.blocks_for(runs.minors);
        let down = runs.majors.min((self.blocks() / across as usize).max(1)) as u32;
        blocks([across, down, 1], 0)
    }

    /// Checks the elements in `source`, which are 16-bit numbers, and updates the first of `scan`.
    ///
    /// # Panics
    ///
    /// If the type is not 16 bits wide.
    pub fn scan(
        &self,
        stream: &Stream,
        dtype: FloatType,
        runs: Runs,
        source: DeviceSlice<u8>,
        scan: DeviceSlice<ElementScan>,
    ) -> Result<()> {
        let [majors, minors, first, pitch] = [runs.majors, runs.minors, runs.first, runs.pitch].map(|n| n as u64);
        let (shape, scan) = (self.over(runs), scan.part(0..1));
        // SAFETY: `source` has all elements of the runs, and `scan` an entry.
        unsafe {
            match dtype {
                FloatType::BF16 => {
                    let source = source.cast().part(0..runs.len());
                    self.launch(stream, shape, &ScanBf16 { source, majors, minors, first, pitch, scan })
                }
                FloatType::F16 => {
                    let source = source.cast().part(0..runs.len());
                    self.launch(stream, shape, &ScanF16 { source, majors, minors, first, pitch, scan })
                }
                FloatType::F32 | FloatType::F64 => unreachable!("only 16-bit numbers are multiplied in their own type"),
            }
        }
    }

    /// Converts the elements in `source` into `target`, and updates the first of `scan`.
    pub fn widen<T: Scalar>(
        &self,
        stream: &Stream,
        conversion: Conversion,
        (runs, source): (Runs, DeviceSlice<u8>),
        (strides, target): (Strides, DeviceSlice<T>),
        scan: DeviceSlice<ElementScan>,
    ) -> Result<()> {
        let last = (runs.majors - 1) * strides.major + (runs.minors - 1) * strides.minor;
        let target = target.part(strides.offset..strides.offset + last + 1);
        with_weight!(conversion.dtype, W => {
            let parameters = Widen::<W, T> {
                source: source.cast().part(0..runs.len()),
                majors: runs.majors as u64,
                minors: runs.minors as u64,
                first: runs.first as u64,
                pitch: runs.pitch as u64,
                cast: conversion.cast_code(),
                scale: conversion.scale,
                target,
                major_stride: strides.major as u64,
                minor_stride: strides.minor as u64,
                scan: scan.part(0..1),
            };
            // SAFETY: `source` has all elements of the runs, `target` all places that they go to, and `scan` an entry.
            unsafe { self.launch(stream, self.over(runs), &parameters) }
        })
    }
}
