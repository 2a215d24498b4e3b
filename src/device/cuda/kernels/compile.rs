//! The source of our kernels, which is part of this program, to code for the GPU at hand.
//!
//! If the build found `nvcc`, its code is tried first. Otherwise, or if it has none for this GPU, NVRTC compiles the source,
//! which takes a second; the result is kept in the user's cache folder, under a name that depends on everything it is made from.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::list::{HEADERS, SOURCES, Source};
use crate::device::cuda::errors::device_error;
use crate::device::cuda::sys::context::{self, Context};
use crate::device::cuda::sys::error::Result;
use crate::device::cuda::sys::library::{self, Component};
use crate::device::cuda::sys::module::Module;
use crate::device::cuda::sys::nvrtc::{self, Image, Program};
use crate::error::Error;

/// Folder for compiled kernels; empty to keep none.
const CACHE_VARIABLE: &str = "HTSR_CACHE";

/// Results must be those of the CPU, operation for operation: no multiplication is fused with an addition.
const OPTIONS: [&CStr; 2] = [c"--std=c++17", c"--fmad=false"];

/// Whether this build has compiled kernels, for `doctor`.
pub fn is_precompiled() -> bool {
    SOURCES.iter().all(|source| source.precompiled.is_some())
}

/// Loads a file of kernels onto a GPU.
///
/// # Errors
///
/// If NVRTC is missing or fails, or the driver refuses what it made.
pub fn module(context: &Arc<Context>, source: &Source) -> Result<Module, Error> {
    if let Some(image) = source.precompiled
        && let Ok(module) = Module::load(context, &[image, &[0]].concat())
    {
        return Ok(module);
    }
    library::load(Component::Nvrtc).map_err(|cause| Error::device(cause).hint(Component::Nvrtc.remedy()))?;
    let target = Target::of(context).map_err(|error| device_error(&error))?;
    let image = cached(source, &target)?;
    Module::load(context, &image).map_err(|error| {
        let driver = context::version().map_or_else(|_| "unknown".into(), version_text);
        let cause = format!(
            "{error}: the driver (CUDA {driver}) refuses kernels that NVRTC {} compiled for {}",
            version_text(target.nvrtc),
            target.architecture()
        );
        Error::device(cause).hint("update the driver, or use an NVRTC that is no newer than it")
    })
}

/// A CUDA version as people write it.
pub fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// What to compile for, and by what.
struct Target {
    nvrtc: i32,
    /// 90 for compute capability 9.0.
    capability: u32,
    /// Whether NVRTC knows the GPU itself. If not, it compiles for an older GPU, and the driver does the rest.
    exact: bool,
}

impl Target {
    fn of(context: &Context) -> Result<Target> {
        let wanted = context.capability()?;
        let nearest = nvrtc::capabilities()?.into_iter().filter(|&capability| capability <= wanted).max();
        let capability = nearest.unwrap_or(wanted);
        Ok(Target { nvrtc: nvrtc::version()?, capability, exact: capability == wanted })
    }

    fn architecture(&self) -> String {
        format!("{}_{}", if self.exact { "sm" } else { "compute" }, self.capability)
    }
}

/// The compiled file, from the cache if it is there.
fn cached(source: &Source, target: &Target) -> Result<Vec<u8>, Error> {
    let file = cache_folder().map(|folder| folder.join(format!("{}-{}.bin", source.name, key(source, target))));
    if let Some(image) = file.as_ref().and_then(|file| std::fs::read(file).ok()).and_then(verified) {
        return Ok(image);
    }
    let image = compile(source, target)?;
    if let Some(file) = file {
        // If the cache cannot be written to, each run takes a second longer.
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

/// A digest of everything that an image depends on.
fn key(source: &Source, target: &Target) -> String {
    let mut digest = Sha256::new();
    let numbers = [target.nvrtc.to_string(), target.architecture()];
    let texts = [source.text].into_iter().chain(HEADERS.iter().map(|(_, text)| *text));
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

/// Writes a digest of the image, then the image, in one step: another process may be reading.
fn keep(file: &std::path::Path, image: &[u8]) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(&Sha256::digest(image))?;
    temporary.write_all(image)?;
    temporary.persist(file)?;
    Ok(())
}

/// The image in a cached file, if it matches its digest.
fn verified(content: Vec<u8>) -> Option<Vec<u8>> {
    let (digest, image) = content.split_at_checked(32)?;
    (Sha256::digest(image)[..] == *digest).then(|| image.to_vec())
}

/// Compiles a file with NVRTC.
fn compile(source: &Source, target: &Target) -> Result<Vec<u8>, Error> {
    let failed = |error| device_error(&error);
    let program = Program::new(source.name, source.text, &HEADERS).map_err(failed)?;
    let architecture = CString::new(format!("--gpu-architecture={}", target.architecture())).expect("no zero byte");
    let options: Vec<&CStr> = [architecture.as_c_str()].into_iter().chain(OPTIONS).collect();
    if let Err(error) = program.compile(&options) {
        let log = program.log().unwrap_or_default();
        let cause = format!("{error} for {}.cu ({}):\n{log}", source.name, target.architecture());
        return Err(Error::device(cause).hint("please report this, with what §(doctor) prints"));
    }
    program.image(if target.exact { Image::Cubin } else { Image::Ptx }).map_err(failed)
}
