//! NVRTC: the compiler of CUDA source at run time.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::null_mut;

use cudarc::nvrtc::sys::{self, nvrtcResult as Status};

use super::error::{CallError, Result};

fn check(call: &'static str, status: Status) -> Result<()> {
    if status == Status::NVRTC_SUCCESS {
        return Ok(());
    }
    let out_of_memory = (status == Status::NVRTC_ERROR_OUT_OF_MEMORY).then_some(0);
    Err(CallError { call, status: format!("{status:?}"), out_of_memory })
}

macro_rules! nvrtc {
    ($name:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($name), sys::$name($($argument),*))
    };
}

/// NVRTC's version, as the driver counts: 1000 major + 10 minor.
pub fn version() -> Result<i32> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two integers.
    unsafe { nvrtc!(nvrtcVersion(&mut major, &mut minor)) }?;
    Ok(1000 * major + 10 * minor)
}

/// The compute capabilities that NVRTC can compile for: 90 for 9.0.
pub fn capabilities() -> Result<Vec<u32>> {
    let mut count = 0;
    // SAFETY: writes one integer.
    unsafe { nvrtc!(nvrtcGetNumSupportedArchs(&mut count)) }?;
    let mut capabilities: Vec<c_int> = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: writes as many integers as the library said.
    unsafe { nvrtc!(nvrtcGetSupportedArchs(capabilities.as_mut_ptr())) }?;
    Ok(capabilities.into_iter().filter_map(|capability| u32::try_from(capability).ok()).collect())
}

/// What a program is compiled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Machine code for one GPU architecture.
    Cubin,
    /// Code that the driver compiles further.
    Ptx,
}

/// A source file and the headers that it includes.
#[derive(Debug)]
pub struct Program(sys::nvrtcProgram);

impl Program {
    /// `headers` are names and texts.
    ///
    /// # Panics
    ///
    /// If a text has a zero byte.
    pub fn new(name: &str, text: &str, headers: &[(&str, &str)]) -> Result<Program> {
        let terminated = |text: &str| CString::new(text).expect("source text has no zero byte");
        let (name, text) = (terminated(name), terminated(text));
        let headers: Vec<[CString; 2]> =
            headers.iter().map(|&(name, text)| [terminated(name), terminated(text)]).collect();
        let of_headers = |part: usize| headers.iter().map(|header| header[part].as_ptr()).collect::<Vec<_>>();
        let (names, texts) = (of_headers(0), of_headers(1));
        let mut program = Program(null_mut());
        // SAFETY: all strings end with zero and outlive the call, after which NVRTC has copies.
        unsafe {
            nvrtc!(nvrtcCreateProgram(
                &mut program.0,
                text.as_ptr(),
                name.as_ptr(),
                headers.len() as c_int,
                texts.as_ptr(),
                names.as_ptr()
            ))
        }?;
        Ok(program)
    }

    pub fn compile(&self, options: &[&CStr]) -> Result<()> {
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program exists, the options end with zero and outlive the call.
        unsafe { nvrtc!(nvrtcCompileProgram(self.0, options.len() as c_int, options.as_ptr())) }
    }

    /// The compiled program. It ends with a zero byte.
    pub fn image(&self, kind: Image) -> Result<Vec<u8>> {
        let mut bytes = 0;
        // SAFETY: sizes are written first, then as many bytes as they say.
        let mut image = unsafe {
            match kind {
                Image::Cubin => nvrtc!(nvrtcGetCUBINSize(self.0, &mut bytes))?,
                Image::Ptx => nvrtc!(nvrtcGetPTXSize(self.0, &mut bytes))?,
            }
            let mut image = vec![0_u8; bytes];
            match kind {
                Image::Cubin => nvrtc!(nvrtcGetCUBIN(self.0, image.as_mut_ptr().cast()))?,
                Image::Ptx => nvrtc!(nvrtcGetPTX(self.0, image.as_mut_ptr().cast()))?,
            }
            image
        };
        if image.last() != Some(&0) {
            image.push(0);
        }
        Ok(image)
    }

    /// What the compiler printed.
    pub fn log(&self) -> Result<String> {
        let mut bytes = 0;
        // SAFETY: the size is written first, then as many bytes as it says.
        let text = unsafe {
            nvrtc!(nvrtcGetProgramLogSize(self.0, &mut bytes))?;
            let mut text = vec![0_u8; bytes];
            nvrtc!(nvrtcGetProgramLog(self.0, text.as_mut_ptr().cast()))?;
            text
        };
        Ok(String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: created once, destroyed once.
            let _ = unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
        }
    }
}
