//! The folders in which CUDA libraries are usually installed, beyond the system's search path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Folders to search first, separated as in PATH.
const FOLDERS_VARIABLE: &str = "HTSR_CUDA_PATH";

/// The files of a library in a folder, the newest version first.
pub fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let prefix = format!("{}{name}", std::env::consts::DLL_PREFIX);
    let is_library = |path: &PathBuf| {
        let file = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        // cusolver, but not cusolverMg; nvrtc, but not nvrtc-builtins: libNAME.so.VERSION, NAME64_VERSION.dll.
        let rest = file.strip_prefix(&prefix);
        let matches = |rest: &str| rest.starts_with(".so") || (rest.starts_with("64_") && rest.ends_with(".dll"));
        rest.is_some_and(matches)
    };
    let mut files: Vec<PathBuf> = entries(folder).into_iter().filter(is_library).collect();
    files.sort_by(|a, b| b.cmp(a));
    files
}

/// Existing folders beyond the search path.
pub fn folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut folders: Vec<PathBuf> =
        variable(FOLDERS_VARIABLE).iter().flat_map(|list| std::env::split_paths(list).collect::<Vec<_>>()).collect();
    let roots = ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from);
    for root in roots.chain([PathBuf::from("/usr/local/cuda"), PathBuf::from("/opt/cuda")]) {
        folders.extend(["lib64", "lib", "bin", "targets/x86_64-linux/lib"].map(|folder| root.join(folder)));
    }
    // pip puts each library into site-packages/nvidia/NAME/lib.
    for packages in python_packages() {
        folders.extend(entries(&packages.join("nvidia")).into_iter().map(|package| package.join("lib")));
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// The package folders of the Python installations that are likely to be used.
fn python_packages() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        // A virtual environment's python3 is a link: both its folder and its target matter.
        let python = folder.join("python3");
        if python.exists() {
            prefixes.extend(folder.parent().map(Path::to_owned));
            let real = python.canonicalize().ok();
            prefixes.extend(real.as_deref().and_then(|real| Some(real.parent()?.parent()?.to_owned())));
        }
    }
    prefixes.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local")));
    prefixes.extend([PathBuf::from("/usr/local"), PathBuf::from("/usr")]);
    let mut packages = Vec::new();
    for lib in prefixes.iter().map(|prefix| prefix.join("lib")) {
        let is_python =
            |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("python3"));
        for python in entries(&lib).into_iter().filter(is_python) {
            packages.extend(["site-packages", "dist-packages"].map(|folder| python.join(folder)));
        }
    }
    packages
}

/// The entries of a folder, in order of name; none if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}
