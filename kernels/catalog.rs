//! What this folder defines, read from its text: the kernels of every `.cu` file, and the constants and structs of `abi.cuh`.
//!
//! The build scripts of `htsr`, `kernel-emulator` and `fakecuda` include this file, so that kernels, constants and layouts
//! are written once, in CUDA.
#![allow(dead_code)] // each of them uses a part

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A `.cu` file.
pub struct KernelFile {
    /// Its name without `.cu`.
    pub name: String,
    /// Its kernels, in order.
    pub kernels: Vec<String>,
}

/// The `.cu` files of a folder, by name.
///
/// # Panics
///
/// If a file cannot be read, or defines no kernel.
pub fn kernel_files(folder: &Path) -> Vec<KernelFile> {
    let read = |path: PathBuf| {
        let text = read(&path);
        // A kernel begins at the start of a line: KERNEL(name)(parameters) { ... }
        let name = |line: &str| Some(line.strip_prefix("KERNEL(")?.split_once(')')?.0.to_owned());
        let kernels: Vec<String> = text.lines().filter_map(name).collect();
        assert!(!kernels.is_empty(), "{} defines no KERNEL", path.display());
        KernelFile { name: stem(&path), kernels }
    };
    files(folder, "cu").into_iter().map(read).collect()
}

/// The names of the headers of a folder, in order.
pub fn headers(folder: &Path) -> Vec<String> {
    files(folder, "cuh").iter().map(|path| format!("{}.cuh", stem(path))).collect()
}

/// `abi.cuh` in Rust: a `pub const NAME: u32` for each constant, and a `#[repr(C)] pub struct` for each struct.
///
/// # Panics
///
/// If there is something else in the file than comments, constants and structs of numbers.
pub fn abi_in_rust(folder: &Path) -> String {
    let path = folder.join("abi.cuh");
    let (mut rust, mut comment) = (String::new(), String::new());
    for line in read(&path).lines().map(str::trim).filter(|line| *line != "#pragma once") {
        let unknown = || panic!("{}: neither constant nor struct nor member: {line}", path.display());
        if let Some(text) = line.strip_prefix("//") {
            let _ = writeln!(comment, "///{text}");
            continue;
        }
        // A comment belongs to the line below it.
        let comment = std::mem::take(&mut comment);
        if line.is_empty() {
            continue;
        }
        if line == "};" {
            rust.push_str("}\n");
        } else if let Some(constant) = line.strip_prefix("constexpr unsigned ") {
            let (name, value) = constant.split_once(" = ").unwrap_or_else(unknown);
            let _ = writeln!(rust, "{comment}pub const {name}: u32 = {value}");
        } else if let Some(name) = line.strip_prefix("struct ") {
            let attributes = "#[repr(C)]\n#[derive(Debug, Clone, Copy, Default, PartialEq)]\n";
            let _ = writeln!(rust, "{comment}{attributes}pub struct {name}");
        } else {
            let (kind, name) = line.trim_end_matches(';').rsplit_once(' ').unwrap_or_else(unknown);
            let kind = match kind {
                "double" => "f64",
                "float" => "f32",
                "unsigned" => "u32",
                "unsigned long long" => "u64",
                _ => unknown().0,
            };
            let _ = writeln!(rust, "{comment}    pub {name}: {kind},");
        }
    }
    rust
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
