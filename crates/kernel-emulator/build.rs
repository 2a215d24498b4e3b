//! Compiles the kernels as C++ for this machine. Without a C++ compiler the crate still builds, and its `AVAILABLE` is false.

#[path = "../../kernels/catalog.rs"]
mod catalog;
#[path = "list.rs"]
mod list;

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(emulated)");
    for path in ["cpp", "list.rs", "../../kernels"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let kernels = Path::new("../../kernels");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("abi.rs"), catalog::abi_in_rust(kernels)).expect("OUT_DIR can be written to");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    list::write(&catalog::kernel_files(kernels), &out);
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").include("cpp").include(kernels).include(&out).opt_level(2);
    // As on the GPU where it matters: no operation is fused unless the source says so.
    build.flag("-ffp-contract=off").flag("-Wall").flag("-Wextra").flag("-Werror");
    build.file("cpp/fibers.cpp").file("cpp/kernels.cpp");
    match build.try_compile("kernels") {
        Ok(()) => println!("cargo::rustc-cfg=emulated"),
        Err(error) => println!("cargo::warning=the CUDA kernels cannot be emulated here: {error}"),
    }
}
