//! Finds the files of the checkpoint at a path.
//!
//! A path is a file, an index, the folder of a model, a folder of the Hugging Face cache, or the folder of a pipeline of
//! several models. A folder may hold the same model more than once: one is chosen and said, or all are refused.

mod folder;
mod hub;
mod index;
mod listing;
mod names;
mod pipeline;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
pub(super) use index::Index;

pub(super) const INDEX_NAME: &str = "model.safetensors.index.json";

/// The file or folder that a path means, before any file is opened.
pub(super) struct Place {
    pub path: PathBuf,
    /// What the user should know about the choice.
    pub notes: Vec<String>,
}

/// The files of a checkpoint, before any is opened.
pub(super) struct Located {
    pub files: Vec<PathBuf>,
    pub index: Option<Index>,
    /// What the user should know about the choice of files.
    pub notes: Vec<String>,
}

impl Located {
    pub(super) fn file(file: PathBuf) -> Located {
        Located { files: vec![file], index: None, notes: Vec::new() }
    }
}

/// Resolves a folder of the Hugging Face cache to its snapshot, and the folder of a pipeline to its `component`.
pub(super) fn resolve(path: &Path, component: Option<&str>) -> Result<Place> {
    if let Err(error) = std::fs::metadata(path) {
        let failed = Error::input(path, format!("cannot be opened: {error}"));
        return Err(failed.hint(hub::hint_for_missing(path)).because(error));
    }
    let (path, notes) = match hub::snapshot(path)? {
        Some(snapshot) => {
            let note = format!("{} is the snapshot of {} that is read", snapshot.display(), path.display());
            (snapshot, vec![note])
        }
        None => (path.to_owned(), Vec::new()),
    };
    Ok(Place { path: pipeline::component(path, component)?, notes })
}

/// True if `path` has the name of an index.
pub(crate) fn is_index(path: &Path) -> bool {
    names::index(&path.file_name().unwrap_or_default().to_string_lossy()).is_some()
}

/// Finds the files of a file, an index or a folder.
pub(super) fn locate(path: &Path) -> Result<Located> {
    if path.is_dir() {
        return folder::locate(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_index(path) {
        return Index::read(path).map(Located::from);
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        let error = Error::input(path, "is a JSON file, and the weights are in other files");
        return Err(error.hint("give the path of its folder, or of a .safetensors file"));
    }
    let mut located = Located::file(path.to_owned());
    if let Some(names::WeightsName { shard: Some((number, of)), .. }) = names::weights(&name) {
        located.notes.push(format!(
            "{} is file {number} of {of}: only its tensors are read; give the folder for the whole model",
            path.display()
        ));
    }
    Ok(located)
}
