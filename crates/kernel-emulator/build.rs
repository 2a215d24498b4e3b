//! Compiles the kernels as C++ for this machine. Without a C++ compiler the crate still builds, and says so when used.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(emulated)");
    println!("cargo::rerun-if-changed=cpp");
    println!("cargo::rerun-if-changed=../../kernels");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").include("cpp").include("../../kernels").opt_level(2);
    // As on the GPU where it matters: no operation is fused behind the source's back.
    build.flag("-ffp-contract=off").flag("-Wall").flag("-Wextra").flag("-Werror");
    build.file("cpp/fibers.cpp").file("cpp/kernels.cpp");
    match build.try_compile("kernels") {
        Ok(()) => println!("cargo::rustc-cfg=emulated"),
        Err(error) => println!("cargo::warning=the CUDA kernels cannot be emulated here: {error}"),
    }
}
