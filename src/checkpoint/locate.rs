//! Finds the files of the checkpoint at a path.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::formats;
use super::json::{self, Pairs};
use crate::error::{Error, Result};

pub(super) const INDEX_NAME: &str = "model.safetensors.index.json";

/// The files of a checkpoint, before any is opened.
pub(super) struct Located {
    pub files: Vec<PathBuf>,
    pub index: Option<Index>,
}

/// A parsed `*.safetensors.index.json`.
pub(super) struct Index {
    pub path: PathBuf,
    /// The file that should contain each tensor.
    pub shard_of: BTreeMap<String, PathBuf>,
}

/// Finds the files of a file, an index or a folder. In a folder, an index takes precedence; without one, all files of a known
/// format count.
pub(super) fn locate(path: &Path) -> Result<Located> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        Error::input(path, format!("cannot be opened: {error}"))
            .hint("give the path of a .safetensors file or of the folder of a downloaded checkpoint")
            .because(error)
    })?;
    if metadata.is_dir() {
        let index = path.join(INDEX_NAME);
        return if index.is_symlink() || index.exists() { from_index(&index) } else { from_folder(path) };
    }
    if path.to_string_lossy().ends_with(".safetensors.index.json") {
        return from_index(path);
    }
    Ok(Located { files: vec![path.to_owned()], index: None })
}

fn from_folder(folder: &Path) -> Result<Located> {
    let unreadable = |error: std::io::Error| {
        Error::input(folder, format!("cannot be listed: {error}"))
            .hint("check that you have permission to read it")
            .because(error)
    };
    let mut files = Vec::new();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if formats::has_known_extension(&path) => files.push(path),
            Some("bin" | "pt" | "pth" | "gguf" | "ckpt" | "h5") => others.push(path),
            _ if path.join("config.json").exists() || path.join(INDEX_NAME).exists() => others.push(path),
            _ => {}
        }
    }
    if files.is_empty() {
        let hint = match others.iter().min() {
            Some(other) if other.is_dir() => format!("did you mean {}?", other.display()),
            Some(other) => format!("{} is in another format: convert the model to safetensors first", other.display()),
            None => "download the checkpoint's .safetensors files and their index into one folder".into(),
        };
        return Err(Error::input(folder, "the folder contains no .safetensors file").hint(hint));
    }
    files.sort();
    Ok(Located { files, index: None })
}

fn from_index(path: &Path) -> Result<Located> {
    #[derive(Deserialize)]
    struct Raw {
        weight_map: Pairs<String>,
    }

    let refused = |cause: String| Error::input(path, cause).hint("download the index again");
    let text = json::read(path).map_err(|error| refused(format!("cannot be read: {error}")).because(error))?;
    let raw: Raw = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("is not a checkpoint index: {error}")).because(error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shard_of = BTreeMap::new();
    for (tensor, shard) in raw.weight_map.0 {
        let mut components = Path::new(&shard).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            return Err(refused(format!("names the shard {shard:?}, which is not a plain file name")).tensor(tensor));
        }
        let file = folder.join(&shard);
        if !file.exists() {
            let cause = format!("the index names the shard {shard}, which is missing");
            return Err(Error::input(path, cause)
                .tensor(tensor)
                .hint("the download is incomplete: download the missing shard"));
        }
        if shard_of.insert(tensor.clone(), file).is_some() {
            return Err(refused("appears twice in the index".into()).tensor(tensor));
        }
    }
    if shard_of.is_empty() {
        return Err(refused("lists no tensor".into()));
    }
    let mut files: Vec<PathBuf> = shard_of.values().cloned().collect();
    files.sort();
    files.dedup();
    Ok(Located { files, index: Some(Index { path: path.to_owned(), shard_of }) })
}
