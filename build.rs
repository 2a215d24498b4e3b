//! Records the git revision, so that every result can name the code that made it, and compiles the CUDA kernels where NVIDIA's
//! compiler is found. Without it nothing is lost but a second at the first use of a GPU.

use std::path::Path;
use std::process::Command;

/// The files of kernels.
const KERNELS: [&str; 7] = ["alpha_fit", "band_to_tridiagonal", "dense_to_band", "gram", "products", "sturm", "widen"];
/// A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50; a compiler that does not know one leaves it out.
const ARCHITECTURES: [u32; 6] = [80, 86, 89, 90, 100, 120];

fn main() {
    precompile();
    println!("cargo::rustc-env=HTSR_COMMIT={}", commit().unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["HEAD", "refs", "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The commit of the checkout, if this package is one and not a copy inside somebody else's.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-prefix"])?;
    if !top.is_empty() {
        return None;
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    output("git", &arguments)
}

/// What a program prints, if it succeeds.
fn output(program: &str, arguments: &[String]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Compiles every file of kernels into code for all architectures that the compiler knows.
fn precompile() {
    println!("cargo::rustc-check-cfg=cfg(htsr_precompiled)");
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=NVCC");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let nvcc = std::env::var("NVCC").unwrap_or_else(|_| "nvcc".into());
    let Some(known) = output(&nvcc, &["--list-gpu-code".into()]) else { return };
    let architectures =
        ARCHITECTURES.iter().filter(|capability| known.lines().any(|line| line == format!("sm_{capability}")));
    let code = architectures.map(|n| format!("--generate-code=arch=compute_{n},code=sm_{n}")).collect::<Vec<_>>();
    if code.is_empty() {
        return;
    }
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    for name in KERNELS {
        let (source, target) = (format!("kernels/{name}.cu"), format!("{folder}/{name}.fatbin"));
        let fixed = ["--std=c++17", "--fmad=false", "--fatbin", "-o", &target, &source].map(String::from);
        let arguments: Vec<String> = code.iter().cloned().chain(fixed).collect();
        if output(&nvcc, &arguments).is_none() {
            println!("cargo::warning={nvcc} cannot compile {source}; NVRTC will do it at run time");
            return;
        }
    }
    println!("cargo::rustc-cfg=htsr_precompiled");
}
