//! Records the git revision, so that every result can name the code that made it. Generates the Rust declarations of
//! `kernels/`. Compiles the CUDA kernels if NVIDIA's compiler is found; otherwise the first use of a GPU takes a second
//! longer.

#[path = "kernels/catalog.rs"]
mod catalog;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use catalog::KernelFile;

/// A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50. Architectures that the compiler does not support are left out.
const ARCHITECTURES: [u32; 6] = [80, 86, 89, 90, 100, 120];

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=NVCC");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        generate_kernel_list();
    }
    println!("cargo::rustc-env=HTSR_COMMIT={}", commit().unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["HEAD", "refs", "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// Returns the commit of the checkout. `None` if this package is not a checkout or is a copy inside another repository.
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

/// Runs a program and returns what it prints, if it succeeds.
fn output(program: &str, arguments: &[String]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Writes `abi.rs` and `kernel_list.rs`, which `src/device/cuda/kernels/` includes.
fn generate_kernel_list() {
    let folder = Path::new("kernels");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let files = catalog::kernel_files(folder);
    let precompiled = precompile(&files, &out);
    let write = |name: &str, text: String| std::fs::write(out.join(name), text).expect("OUT_DIR can be written to");
    write("abi.rs", catalog::abi_in_rust(folder));
    write("kernel_list.rs", kernel_list(&files, &catalog::headers(folder), precompiled));
}

/// Returns Rust code with the names of all kernels as an enum, and the texts of all files.
fn kernel_list(files: &[KernelFile], headers: &[String], precompiled: bool) -> String {
    let kernels: Vec<&String> = files.iter().flat_map(|file| &file.kernels).collect();
    let include = |file: &str| format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/kernels/{file}\"))");
    let mut rust =
        String::from("/// All kernels, in the order of their files.\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]\n");
    let variants: String = kernels.iter().map(|kernel| format!("    {},\n", camel_case(kernel))).collect();
    let _ = writeln!(rust, "pub enum KernelName {{\n{variants}}}\n");
    let _ = writeln!(rust, "/// Headers that the files include: names and texts.");
    let entries: String = headers.iter().map(|name| format!("    ({name:?}, {}),\n", include(name))).collect();
    let _ = writeln!(rust, "pub static HEADERS: [(&str, &str); {}] = [\n{entries}];\n", headers.len());
    let _ = writeln!(rust, "/// All files.\npub static SOURCES: [Source; {}] = [", files.len());
    for KernelFile { name, kernels } in files {
        let fatbin = format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.fatbin\")))");
        let precompiled = if precompiled { &fatbin } else { "None" };
        let names: Vec<String> = kernels.iter().map(|kernel| format!("c{kernel:?}")).collect();
        let _ =
            writeln!(rust, "    Source {{\n        name: {name:?},\n        text: {},", include(&format!("{name}.cu")));
        let _ =
            writeln!(rust, "        kernels: &[{}],\n        precompiled: {precompiled},\n    }},", names.join(", "));
    }
    rust.push_str("];\n");
    rust
}

/// Converts `fit_prepare` to `FitPrepare`.
fn camel_case(name: &str) -> String {
    let capitalized = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capitalized).collect()
}

/// Compiles every file of kernels for all architectures that the compiler supports. Returns false if that fails.
fn precompile(files: &[KernelFile], out: &Path) -> bool {
    let nvcc = std::env::var("NVCC").unwrap_or_else(|_| "nvcc".into());
    let Some(known) = output(&nvcc, &["--list-gpu-code".into()]) else { return false };
    let architectures =
        ARCHITECTURES.iter().filter(|capability| known.lines().any(|line| line == format!("sm_{capability}")));
    let code = architectures.map(|n| format!("--generate-code=arch=compute_{n},code=sm_{n}")).collect::<Vec<_>>();
    if code.is_empty() {
        return false;
    }
    for KernelFile { name, .. } in files {
        let (source, target) = (format!("kernels/{name}.cu"), out.join(format!("{name}.fatbin")).display().to_string());
        let fixed = ["--std=c++17", "--fmad=false", "--fatbin", "-o", &target, &source].map(String::from);
        let arguments: Vec<String> = code.iter().cloned().chain(fixed).collect();
        if output(&nvcc, &arguments).is_none() {
            println!("cargo::warning={nvcc} cannot compile {source}; NVRTC will do it at run time");
            return false;
        }
    }
    true
}
