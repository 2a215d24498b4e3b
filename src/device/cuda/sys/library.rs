//! Finds and loads the CUDA libraries, and checks them before the first call into them: `cudarc` panics if a library, or a
//! function of one, is missing.
//!
//! A library is taken from the system's search path, or else from the folders in which CUDA is usually installed, by NVIDIA's
//! installers or by pip. A library that was loaded from a folder is found by its name afterwards.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;

use super::library_search::{files, folders};

/// The libraries of CUDA that the engine needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Driver,
    Cublas,
    Cusolver,
    Nvrtc,
}

impl Component {
    pub const ALL: [Component; 4] = [Component::Driver, Component::Cublas, Component::Cusolver, Component::Nvrtc];

    /// The name of the library's file, without prefix and suffix.
    fn library(self) -> &'static str {
        match self {
            Component::Driver if cfg!(windows) => "nvcuda",
            Component::Driver => "cuda",
            Component::Cublas => "cublas",
            Component::Cusolver => "cusolver",
            Component::Nvrtc => "nvrtc",
        }
    }

    /// Libraries that it depends on and that may be in folders of their own, in order.
    fn dependencies(self) -> &'static [&'static str] {
        match self {
            Component::Driver => &[],
            Component::Cublas => &["cublasLt"],
            Component::Cusolver => &["nvJitLink", "cublasLt", "cublas", "cusparse"],
            Component::Nvrtc => &["nvrtc-builtins"],
        }
    }

    /// Every function that is called, and must exist.
    fn symbols(self) -> &'static [&'static str] {
        match self {
            Component::Driver => &[
                "cuInit",
                "cuDriverGetVersion",
                "cuDeviceGetCount",
                "cuDeviceGet",
                "cuDeviceGetName",
                "cuDeviceGetAttribute",
                "cuDevicePrimaryCtxRetain",
                "cuDevicePrimaryCtxRelease_v2",
                "cuCtxSetCurrent",
                "cuMemGetInfo_v2",
                "cuMemAlloc_v2",
                "cuMemFree_v2",
                "cuMemHostAlloc",
                "cuMemFreeHost",
                "cuMemcpyHtoDAsync_v2",
                "cuMemcpyDtoHAsync_v2",
                "cuMemsetD8Async",
                "cuStreamCreate",
                "cuStreamDestroy_v2",
                "cuStreamSynchronize",
                "cuEventCreate",
                "cuEventDestroy_v2",
                "cuEventRecord",
                "cuEventSynchronize",
                "cuModuleLoadData",
                "cuModuleUnload",
                "cuModuleGetFunction",
                "cuLaunchKernel",
            ],
            Component::Cublas => &[
                "cublasCreate_v2",
                "cublasDestroy_v2",
                "cublasSetStream_v2",
                "cublasSetWorkspace_v2",
                "cublasGemmEx",
                "cublasDtrsv_v2",
            ],
            Component::Cusolver => &[
                "cusolverGetVersion",
                "cusolverDnCreate",
                "cusolverDnDestroy",
                "cusolverDnSetStream",
                "cusolverDnCreateParams",
                "cusolverDnDestroyParams",
                "cusolverDnXsyevd_bufferSize",
                "cusolverDnXsyevd",
                "cusolverDnSsytrd_bufferSize",
                "cusolverDnSsytrd",
                "cusolverDnDsytrd_bufferSize",
                "cusolverDnDsytrd",
                "cusolverDnDpotrf_bufferSize",
                "cusolverDnDpotrf",
                "cusolverDnDgeqrf_bufferSize",
                "cusolverDnDgeqrf",
                "cusolverDnDgesvd_bufferSize",
                "cusolverDnDgesvd",
            ],
            Component::Nvrtc => &[
                "nvrtcVersion",
                "nvrtcGetNumSupportedArchs",
                "nvrtcGetSupportedArchs",
                "nvrtcCreateProgram",
                "nvrtcCompileProgram",
                "nvrtcDestroyProgram",
                "nvrtcGetProgramLogSize",
                "nvrtcGetProgramLog",
                "nvrtcGetCUBINSize",
                "nvrtcGetCUBIN",
                "nvrtcGetPTXSize",
                "nvrtcGetPTX",
            ],
        }
    }

    /// True if `cudarc` finds the library by a name that it knows.
    fn is_present(self) -> bool {
        // SAFETY: these load NVIDIA's libraries, whose initializers touch nothing of this process.
        unsafe {
            match self {
                Component::Driver => cudarc::driver::sys::is_culib_present(),
                Component::Cublas => cudarc::cublas::sys::is_culib_present(),
                Component::Cusolver => cudarc::cusolver::sys::is_culib_present(),
                Component::Nvrtc => cudarc::nvrtc::sys::is_culib_present(),
            }
        }
    }

    /// The library that `cudarc` uses; it must be present.
    fn opened(self) -> &'static Library {
        // SAFETY: as above.
        unsafe {
            match self {
                Component::Driver => cudarc::driver::sys::culib(),
                Component::Cublas => cudarc::cublas::sys::culib(),
                Component::Cusolver => cudarc::cusolver::sys::culib(),
                Component::Nvrtc => cudarc::nvrtc::sys::culib(),
            }
        }
    }

    /// What to install if it is missing.
    pub fn remedy(self) -> &'static str {
        match self {
            Component::Driver => "install NVIDIA's driver",
            Component::Cublas => "install CUDA 12 or 13, or `pip install nvidia-cublas`",
            Component::Cusolver => "install CUDA 12 or 13, or `pip install nvidia-cusolver`",
            Component::Nvrtc => "install CUDA 12 or 13, or `pip install nvidia-cuda-nvrtc`",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Component::Driver => "NVIDIA driver",
            Component::Cublas => "cuBLAS",
            Component::Cusolver => "cuSOLVER",
            Component::Nvrtc => "NVRTC",
        })
    }
}

/// A component that can be called.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file, if the system reports it.
    pub path: Option<PathBuf>,
}

/// Finds and loads a component, once for the process.
///
/// # Errors
///
/// A sentence that says what is missing.
pub fn load(component: Component) -> Result<Loaded, String> {
    static LOADED: [OnceLock<Result<Loaded, String>>; 4] = [const { OnceLock::new() }; 4];
    LOADED[component as usize].get_or_init(|| find(component)).clone()
}

/// True if the library has a function that only newer versions have. It must have been loaded.
pub fn has(component: Component, symbol: &str) -> bool {
    // SAFETY: the address is not used.
    unsafe { component.opened().get::<*const ()>(symbol.as_bytes()).is_ok() }
}

fn find(component: Component) -> Result<Loaded, String> {
    // Loaded for the life of the process: `cudarc` would load and unload it to look, which is slow for some and unsafe for others.
    let names = cudarc::get_lib_name_candidates(component.library());
    names.iter().find_map(|name| open(Path::new(name)));
    if !component.is_present() {
        let folders = folders();
        for name in component.dependencies().iter().chain([&component.library()]) {
            folders.iter().flat_map(|folder| files(folder, name)).find_map(|path| open(&path));
        }
        if !component.is_present() {
            let searched = if component == Component::Driver { String::new() } else { searched(&folders) };
            let file =
                format!("{}{}{}", std::env::consts::DLL_PREFIX, component.library(), std::env::consts::DLL_SUFFIX);
            return Err(format!("{component} was not found: no {file} on the library search path{searched}"));
        }
    }
    component.opened();
    let path = mapped_path(component.library());
    if let Some(symbol) = component.symbols().iter().find(|symbol| !has(component, symbol)) {
        let file = path.map_or_else(String::new, |path| format!(" ({})", path.display()));
        return Err(format!("{component}{file} is too old: it has no {symbol}"));
    }
    Ok(Loaded { path })
}

fn searched(folders: &[PathBuf]) -> String {
    match folders {
        [] => String::new(),
        [one] => format!(", nor in {}", one.display()),
        [first, rest @ ..] => format!(", nor in {} and {} other folders", first.display(), rest.len()),
    }
}

/// Loads a library for the life of the process.
fn open(path: &Path) -> Option<()> {
    // SAFETY: as in `is_present`.
    let library = unsafe { Library::new(path) }.ok()?;
    // It is needed for the life of the process.
    std::mem::forget(library);
    Some(())
}

/// The file from which a library was loaded, if the system reports it.
fn mapped_path(library: &str) -> Option<PathBuf> {
    let prefix = format!("{}{library}", std::env::consts::DLL_PREFIX);
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..])));
    let is_library = |path: &PathBuf| {
        let rest = path.file_name().and_then(OsStr::to_str).and_then(|file| file.strip_prefix(&prefix));
        rest.is_some_and(|rest| rest.starts_with(".so"))
    };
    paths.into_iter().find(is_library)
}
