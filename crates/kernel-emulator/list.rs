//! The list of kernels for `cpp/kernels.cpp`; included by the build scripts that compile it.

use std::path::Path;

use super::catalog::KernelFile;

/// Writes `kernel_files.inc`, which includes every file, and `kernel_entries.inc`, an ENTRY(name) for every kernel.
///
/// # Panics
///
/// If the folder cannot be written to.
pub fn write(files: &[KernelFile], folder: &Path) {
    let includes: String = files.iter().map(|file| format!("#include \"{}.cu\"\n", file.name)).collect();
    let kernels = files.iter().flat_map(|file| &file.kernels);
    let entries: String = kernels.map(|kernel| format!("ENTRY({kernel})\n")).collect();
    for (name, text) in [("kernel_files.inc", includes), ("kernel_entries.inc", entries)] {
        std::fs::write(folder.join(name), text).expect("the output folder can be written to");
    }
}
