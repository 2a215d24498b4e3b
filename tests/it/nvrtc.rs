//! NVIDIA's run-time compiler accepts every kernel for every supported architecture. This needs no GPU.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write;
use std::ptr::null_mut;

use libloading::{Library, Symbol};

#[path = "../../kernels/catalog.rs"]
mod catalog;

/// A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50.
const ARCHITECTURES: [&str; 6] = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

type Create = unsafe extern "C" fn(
    *mut *mut c_void,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int;
type LogSize = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
type Log = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut *mut c_void) -> c_int;

/// Compiles `source` and returns the compiler's log, as `Err` if it refused.
#[allow(unsafe_code)]
fn compile(
    library: &Library,
    name: &str,
    source: &CStr,
    headers: &[(CString, CString)],
    architecture: &str,
) -> Result<String, String> {
    let architecture = CString::new(format!("--gpu-architecture={architecture}")).unwrap();
    let options = [architecture.as_ptr(), c"--std=c++17".as_ptr(), c"--fmad=false".as_ptr()];
    let name = CString::new(name).unwrap();
    // SAFETY: the signatures are those of nvrtc.h; all strings end with zero and outlive the calls; the log has the size
    // that the library states.
    unsafe {
        let create: Symbol<Create> = library.get(b"nvrtcCreateProgram").unwrap();
        let run: Symbol<Compile> = library.get(b"nvrtcCompileProgram").unwrap();
        let log_size: Symbol<LogSize> = library.get(b"nvrtcGetProgramLogSize").unwrap();
        let log: Symbol<Log> = library.get(b"nvrtcGetProgramLog").unwrap();
        let destroy: Symbol<Destroy> = library.get(b"nvrtcDestroyProgram").unwrap();
        let mut program = null_mut();
        let count = headers.len() as c_int;
        let (names, texts): (Vec<_>, Vec<_>) =
            headers.iter().map(|(name, text)| (name.as_ptr(), text.as_ptr())).unzip();
        let created = create(&mut program, source.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr());
        assert_eq!(created, 0);
        let outcome = run(program, options.len() as c_int, options.as_ptr());
        let mut size = 0;
        assert_eq!(log_size(program, &mut size), 0);
        let mut text = vec![0_u8; size.max(1)];
        assert_eq!(log(program, text.as_mut_ptr().cast()), 0);
        destroy(&mut program);
        let text = CStr::from_bytes_until_nul(&text).unwrap().to_string_lossy().into_owned();
        if outcome == 0 { Ok(text) } else { Err(text) }
    }
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let root = crate::support::root();
    let path = root.join("fixtures/nvrtc/libnvrtc.so.13");
    let message = "SKIPPED: fixtures/nvrtc is missing; scripts/fetch-fixtures gets it from PyPI (Linux on x86-64)";
    if !path.exists() {
        assert!(std::env::var_os("CI").is_none(), "{message}");
        let _ = writeln!(std::io::stderr(), "\n{message}");
        return;
    }
    // SAFETY: NVRTC is an ordinary library, and its initialization touches nothing of this process.
    #[allow(unsafe_code)]
    let library = unsafe { Library::new(&path) }.unwrap();
    let read = |name: &str| CString::new(std::fs::read(root.join("kernels").join(name)).unwrap()).unwrap();
    let folder = root.join("kernels");
    let headers: Vec<(CString, CString)> =
        catalog::headers(&folder).into_iter().map(|name| (CString::new(&*name).unwrap(), read(&name))).collect();
    for file in catalog::kernel_files(&folder) {
        let name = &format!("{}.cu", file.name);
        for architecture in ARCHITECTURES {
            let log = compile(&library, name, &read(name), &headers, architecture);
            assert_eq!(log.as_deref(), Ok(""), "{name} for {architecture}");
        }
    }
    let broken = c"extern \"C\" __global__ void broken() { undefined(); }";
    let log = compile(&library, "broken.cu", broken, &headers, "sm_90").unwrap_err();
    assert!(log.contains("undefined"), "{log}");
}
