//! Compiles the fake libraries into two folders of OUT_DIR: `new`, and `old` with the cuSOLVER of an earlier CUDA. Without a
//! C++ compiler the crate still builds, and its `FOLDER` is `None`.

#[path = "../../kernels/catalog.rs"]
mod catalog;
#[path = "../kernel-emulator/list.rs"]
mod list;

use std::path::{Path, PathBuf};

const SOURCES: [&str; 14] = [
    "cpp/calls.cpp",
    "cpp/copies.cpp",
    "cpp/cublas.cpp",
    "cpp/device.cpp",
    "cpp/device_calls.cpp",
    "cpp/factorizations.cpp",
    "cpp/memory.cpp",
    "cpp/modules.cpp",
    "cpp/nvrtc.cpp",
    "cpp/report.cpp",
    "cpp/settings.cpp",
    "cpp/stream_calls.cpp",
    "cpp/streams.cpp",
    "cpp/triangular.cpp",
];
/// The files that differ between versions.
const SOLVER: [&str; 2] = ["cpp/cusolver.cpp", "cpp/symmetric.cpp"];
const EMULATOR: [&str; 2] = ["../kernel-emulator/cpp/fibers.cpp", "../kernel-emulator/cpp/kernels.cpp"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(faked)");
    for path in ["cpp", "../kernel-emulator/cpp", "../kernel-emulator/list.rs", "../../kernels"] {
        println!("cargo::rerun-if-changed={path}");
    }
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    match compile() {
        Ok(()) => println!("cargo::rustc-cfg=faked"),
        Err(error) => println!("cargo::warning=CUDA cannot be faked here: {error}"),
    }
}

fn compile() -> Result<(), String> {
    let out = out_folder()?;
    list::write(&catalog::kernel_files(Path::new("../../kernels")), &out);
    let shared = objects(&out.join("objects"), &[&SOURCES[..], &EMULATOR].concat(), false)?;
    for (name, old) in [("new", false), ("old", true)] {
        let folder = out.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let solver = objects(&out.join(format!("objects-{name}")), &SOLVER, old)?;
        // One library has everything. dlsym finds its functions through the others, which depend on it.
        link(&folder, "libcuda.so", &[&shared[..], &solver].concat())?;
        for stub in ["libcublas.so", "libcusolver.so", "libnvrtc.so"] {
            link(&folder, stub, &[folder.join("libcuda.so")])?;
        }
    }
    Ok(())
}

fn out_folder() -> Result<PathBuf, String> {
    std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or("OUT_DIR is not set".into())
}

fn compiler() -> Result<cc::Build, String> {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).debug(false).pic(true);
    build.include("cpp").include("../kernel-emulator/cpp").include("../../kernels").include(out_folder()?);
    // No operation is fused unless the source says so, and only the functions of the API are exported.
    for flag in ["-ffp-contract=off", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-Werror"] {
        build.flag(flag);
    }
    Ok(build)
}

fn objects(folder: &Path, sources: &[&str], old: bool) -> Result<Vec<PathBuf>, String> {
    let mut build = compiler()?;
    // MAJOR * 1000 + MINOR * 100 + PATCH: 11.6.0 has no XsyevBatched, 12.3.4 has a two-stage syevd.
    build.define("FAKECUDA_SOLVER_VERSION", if old { "11600" } else { "12304" });
    if old {
        build.define("FAKECUDA_OLD_SOLVER", None);
    }
    build.out_dir(folder).files(sources).try_compile_intermediates().map_err(|error| error.to_string())
}

fn link(folder: &Path, name: &str, inputs: &[PathBuf]) -> Result<(), String> {
    let mut command = compiler()?.try_get_compiler().map_err(|error| error.to_string())?.to_command();
    command.arg("-shared").arg("-o").arg(folder.join(name)).arg(format!("-Wl,-soname,{name}"));
    command.args(["-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags", "-Wl,--no-as-needed"]);
    // Programs that check for CUDA open a library and close it: counts and handles must survive that.
    command.arg("-Wl,-z,nodelete").args(inputs);
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} cannot be linked: {}", String::from_utf8_lossy(&output.stderr).replace('\n', " ")))
}
