//! The parameters of every kernel against the kernel itself, as the C++ compiler sees it.

use kernel_emulator::{Pointee, agrees, signature};

use super::list::{KernelName, SOURCES};
use super::parameters::Parameters;
use super::weights::{Bf16, F16, F32, F64};
use super::{abi, fit, gram, products, sturm, tridiagonal, widen};
use crate::device::cuda::sys::memory::DeviceSlice;

/// Parameters whose types the emulator can compare.
pub trait Codes {
    fn codes() -> Vec<String>;
}

impl<T: Pointee> kernel_emulator::Parameter for DeviceSlice<'_, T> {
    fn code() -> String {
        <*const T as kernel_emulator::Parameter>::code()
    }
}

macro_rules! structure {
    ($($type:ty),*) => {$(
        impl Pointee for $type {
            fn code() -> String {
                size_of::<$type>().to_string()
            }
        }
    )*};
}
structure!(abi::DeviceAccuracy, abi::Candidates, abi::DeviceFit, abi::Interval, abi::GramSums, abi::ElementScan);
structure!(abi::CompensatedSum, Bf16, F16, F32, F64);

/// A kernel and the types of its parameters in Rust.
fn declared<P: Parameters + Codes>() -> (KernelName, Vec<String>) {
    (P::KERNEL, P::codes())
}

macro_rules! both {
    ($($name:ident),*) => {
        [$(declared::<tridiagonal::$name<f32>>(), declared::<tridiagonal::$name<f64>>()),*]
    };
}

fn weights<W: super::weights::Weight + Pointee>() -> Vec<(KernelName, Vec<String>)> {
    vec![
        declared::<widen::Widen<W, f32>>(),
        declared::<widen::Widen<W, f64>>(),
        declared::<products::Along<W>>(),
        declared::<products::Across<W>>(),
    ]
}

fn all() -> Vec<(KernelName, Vec<String>)> {
    let mut all = vec![
        declared::<fit::FitPrepare>(),
        declared::<fit::FitDistances>(),
        declared::<fit::FitSelect>(),
        declared::<gram::GramSums<f32>>(),
        declared::<gram::GramSums<f64>>(),
        declared::<gram::Mirror<f32>>(),
        declared::<gram::Mirror<f64>>(),
        declared::<gram::ClearBelowDiagonal>(),
        declared::<sturm::Bounds<f32>>(),
        declared::<sturm::Bounds<f64>>(),
        declared::<sturm::Bisect<f32>>(),
        declared::<sturm::Bisect<f64>>(),
        declared::<widen::ScanBf16>(),
        declared::<widen::ScanF16>(),
        declared::<products::AddParts>(),
    ];
    all.extend(both![Scale, PanelColumn, PanelFactors, PanelCombine, TakeBand, Chase, TakeTridiagonal]);
    all.extend([weights::<Bf16>(), weights::<F16>(), weights::<F32>(), weights::<F64>()].into_iter().flatten());
    all
}

#[test]
fn parameters_have_the_types_of_the_kernels() {
    if !kernel_emulator::AVAILABLE {
        return; // tests/it/kernels/ says so
    }
    let names: Vec<&str> =
        SOURCES.iter().flat_map(|source| source.kernels).map(|name| name.to_str().unwrap()).collect();
    let mut declared: Vec<Option<Vec<String>>> = vec![None; names.len()];
    for (kernel, codes) in all() {
        let former = declared[kernel as usize].replace(codes);
        assert_eq!(former, None, "{} is declared twice", names[kernel as usize]);
    }
    for (name, codes) in names.into_iter().zip(declared) {
        let kernel = signature(name).unwrap();
        let codes = codes.unwrap_or_else(|| panic!("{name} is not declared"));
        assert!(agrees(&kernel, &codes), "{name} takes {kernel:?}, and Rust gives {codes:?}");
    }
}
