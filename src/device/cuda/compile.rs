//! The source of our kernels, which is part of this program, to code for the GPU at hand.
//!
//! If the build found `nvcc`, its code is tried first. Otherwise, or if it has none for this GPU, NVRTC compiles the source,
//! which takes a second; the result is kept in the user's cache folder, under a name that depends on all that went into it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::Write;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::Arc;

use cudarc::nvrtc::sys::{self, nvrtcResult as Status};
use sha2::{Digest, Sha256};

use super::device_error;
use super::driver::{self, Context, Fault, Module, Result};
use super::library::{self, Component};
use crate::error::Error;

/// Folder for compiled kernels; empty to keep none.
const CACHE_VARIABLE: &str = "HTSR_CACHE";

/// What the files of kernels include, by name.
const HEADERS: [(&CStr, &str); 2] = [
    (c"common.cuh", include_str!("../../../kernels/common.cuh")),
    (c"weights.cuh", include_str!("../../../kernels/weights.cuh")),
];

/// Results must be those of the CPU, operation for operation: no multiplication is fused with an addition.
const OPTIONS: [&CStr; 2] = [c"--std=c++17", c"--fmad=false"];

/// A file of kernels.
pub(super) struct Source {
    name: &'static str,
    text: &'static str,
    /// What `nvcc` made of it, if the build found one.
    precompiled: Option<&'static [u8]>,
}

macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            text: include_str!(concat!("../../../kernels/", $name, ".cu")),
            #[cfg(htsr_precompiled)]
            precompiled: Some(include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".fatbin"))),
            #[cfg(not(htsr_precompiled))]
            precompiled: None,
        }
    };
}

/// All kernels.
pub(super) static SOURCES: [Source; 7] = [
    source!("alpha_fit"),
    source!("band_to_tridiagonal"),
    source!("dense_to_band"),
    source!("gram"),
    source!("products"),
    source!("sturm"),
    source!("widen"),
];

impl Source {
    /// True if the text has a kernel of that name.
    pub fn defines(&self, kernel: &CStr) -> bool {
        let name = kernel.to_str().unwrap_or_default();
        self.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
    }
}

/// How the kernels of this build come to a GPU, for `doctor`.
pub(super) fn is_precompiled() -> bool {
    SOURCES.iter().all(|source| source.precompiled.is_some())
}

/// Loads a file of kernels onto a GPU.
///
/// # Errors
///
/// If NVRTC is missing or fails, or the driver refuses what it made.
pub(super) fn module(context: &Arc<Context>, source: &Source) -> Result<Module, Error> {
    if let Some(image) = source.precompiled
        && let Ok(module) = Module::load(context, &terminated(image.to_vec()))
    {
        return Ok(module);
    }
    library::load(Component::Nvrtc).map_err(|cause| Error::device(cause).hint(Component::Nvrtc.remedy()))?;
    let target = Target::of(context).map_err(|fault| device_error(&fault))?;
    let image = cached(source, &target)?;
    Module::load(context, &image).map_err(|fault| {
        let driver = driver::version().map_or_else(|_| "unknown".into(), shown);
        let cause = format!(
            "{fault}: the driver (CUDA {driver}) refuses kernels that NVRTC {} compiled for {}",
            shown(target.nvrtc),
            target.architecture()
        );
        Error::device(cause).hint("update the driver, or use an NVRTC that is no newer than it")
    })
}

/// A CUDA version as people write it.
pub(super) fn shown(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// NVRTC's version, as the driver counts: 1000 major + 10 minor.
pub(super) fn version() -> Result<i32> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two integers.
    unsafe { nvrtc("nvrtcVersion", sys::nvrtcVersion(&mut major, &mut minor)) }?;
    Ok(1000 * major + 10 * minor)
}

fn nvrtc(call: &'static str, status: Status) -> Result<()> {
    if status == Status::NVRTC_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::NVRTC_ERROR_OUT_OF_MEMORY).then_some(0);
    Err(Fault { call, status: format!("{status:?}"), out_of_memory })
}

/// What to compile for, and by what.
struct Target {
    nvrtc: i32,
    /// 90 for compute capability 9.0.
    capability: u32,
    /// Whether NVRTC knows the GPU itself; if not, the code is for an older one, and the driver finishes it.
    exact: bool,
}

impl Target {
    fn of(context: &Context) -> Result<Target> {
        let mut count = 0;
        // SAFETY: writes one integer.
        unsafe { nvrtc("nvrtcGetNumSupportedArchs", sys::nvrtcGetNumSupportedArchs(&mut count)) }?;
        let mut known: Vec<c_int> = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: writes as many integers as the library said.
        unsafe { nvrtc("nvrtcGetSupportedArchs", sys::nvrtcGetSupportedArchs(known.as_mut_ptr())) }?;
        let known = known.into_iter().filter_map(|capability| u32::try_from(capability).ok());
        let wanted = context.capability()?;
        let nearest = known.filter(|&capability| capability <= wanted).max();
        let capability = nearest.unwrap_or(wanted);
        Ok(Target { nvrtc: version()?, capability, exact: capability == wanted })
    }

    fn architecture(&self) -> String {
        format!("{}_{}", if self.exact { "sm" } else { "compute" }, self.capability)
    }
}

/// The image, from the cache if it is there.
fn cached(source: &Source, target: &Target) -> Result<Vec<u8>, Error> {
    let file = cache_folder().map(|folder| folder.join(format!("{}-{}.bin", source.name, key(source, target))));
    if let Some(image) = file.as_ref().and_then(|file| std::fs::read(file).ok()).and_then(verified) {
        return Ok(image);
    }
    let image = compile(source, target)?;
    if let Some(file) = file {
        // A cache that cannot be written to costs a second each time, and nothing else.
        let _ = keep(&file, &image);
    }
    Ok(image)
}

fn cache_folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(CACHE_VARIABLE) {
        return (!folder.is_empty()).then(|| PathBuf::from(folder));
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Some(base.or_else(|| variable("LOCALAPPDATA"))?.join("htsr"))
}

/// A digest of all that an image depends on.
fn key(source: &Source, target: &Target) -> String {
    let mut digest = Sha256::new();
    let numbers = [target.nvrtc.to_string(), target.architecture()];
    let texts = [source.text].into_iter().chain(HEADERS.map(|(_, text)| text));
    for part in texts.chain(numbers.iter().map(String::as_str)) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    OPTIONS.iter().for_each(|option| digest.update(option.to_bytes_with_nul()));
    hexadecimal(&digest.finalize()[..16])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes an image behind its digest, in one step: others may be reading.
fn keep(file: &std::path::Path, image: &[u8]) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(&Sha256::digest(image))?;
    temporary.write_all(image)?;
    temporary.persist(file)?;
    Ok(())
}

/// The image of a cached file, if it is whole.
fn verified(content: Vec<u8>) -> Option<Vec<u8>> {
    let (digest, image) = content.split_at_checked(32)?;
    (Sha256::digest(image)[..] == *digest).then(|| image.to_vec())
}

/// A program that NVRTC holds.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created once, destroyed once.
        let _ = unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

fn compile(source: &Source, target: &Target) -> Result<Vec<u8>, Error> {
    let text = |text: &str| CString::new(text).expect("the kernels hold no zero byte");
    let (name, code, texts) = (text(source.name), text(source.text), HEADERS.map(|(_, header)| text(header)));
    let (headers, names) = (texts.each_ref().map(|text| text.as_ptr()), HEADERS.map(|(name, _)| name.as_ptr()));
    let count = headers.len() as c_int;
    let mut program = Program(null_mut());
    // SAFETY: all strings end with zero and outlive the call, after which NVRTC has copies.
    let created = unsafe {
        sys::nvrtcCreateProgram(&mut program.0, code.as_ptr(), name.as_ptr(), count, headers.as_ptr(), names.as_ptr())
    };
    nvrtc("nvrtcCreateProgram", created).map_err(|fault| device_error(&fault))?;
    let architecture = text(&format!("--gpu-architecture={}", target.architecture()));
    let options: Vec<*const c_char> = [architecture.as_c_str()].into_iter().chain(OPTIONS).map(CStr::as_ptr).collect();
    // SAFETY: the program exists, the options end with zero and outlive the call.
    let compiled = unsafe { sys::nvrtcCompileProgram(program.0, options.len() as c_int, options.as_ptr()) };
    if let Err(fault) = nvrtc("nvrtcCompileProgram", compiled) {
        let log = log(&program).unwrap_or_default();
        let cause = format!("{fault} for {}.cu ({}):\n{log}", source.name, target.architecture());
        return Err(Error::device(cause).hint("please report this, with what `htsr doctor` prints"));
    }
    image(&program, target.exact).map_err(|fault| device_error(&fault))
}

fn image(program: &Program, exact: bool) -> Result<Vec<u8>> {
    let mut bytes = 0;
    // SAFETY: sizes are written first, then as many bytes as they say.
    unsafe {
        if exact {
            nvrtc("nvrtcGetCUBINSize", sys::nvrtcGetCUBINSize(program.0, &mut bytes))?;
            let mut image = vec![0_u8; bytes];
            nvrtc("nvrtcGetCUBIN", sys::nvrtcGetCUBIN(program.0, image.as_mut_ptr().cast()))?;
            Ok(terminated(image))
        } else {
            nvrtc("nvrtcGetPTXSize", sys::nvrtcGetPTXSize(program.0, &mut bytes))?;
            let mut image = vec![0_u8; bytes];
            nvrtc("nvrtcGetPTX", sys::nvrtcGetPTX(program.0, image.as_mut_ptr().cast()))?;
            Ok(terminated(image))
        }
    }
}

/// With a zero byte at the end.
fn terminated(mut image: Vec<u8>) -> Vec<u8> {
    if image.last() != Some(&0) {
        image.push(0);
    }
    image
}

fn log(program: &Program) -> Result<String> {
    let mut bytes = 0;
    // SAFETY: the size is written first, then as many bytes as it says.
    let text = unsafe {
        nvrtc("nvrtcGetProgramLogSize", sys::nvrtcGetProgramLogSize(program.0, &mut bytes))?;
        let mut text = vec![0_u8; bytes];
        nvrtc("nvrtcGetProgramLog", sys::nvrtcGetProgramLog(program.0, text.as_mut_ptr().cast()))?;
        text
    };
    Ok(String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_owned())
}
