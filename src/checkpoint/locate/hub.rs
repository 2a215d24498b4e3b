//! The cache of the Hugging Face Hub, in which `models--ORG--NAME/snapshots/COMMIT` is the folder of a model.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::message::verbatim;

const PREFIX: &str = "models--";
/// The most paths that a message lists.
const LISTED: usize = 6;

/// The snapshot that `refs/main` of a cache folder names, or its only snapshot. `None` if `folder` is no cache folder.
///
/// # Errors
///
/// If that snapshot is missing, or there are several and none is named.
pub(super) fn snapshot(folder: &Path) -> Result<Option<PathBuf>> {
    let snapshots = folder.join("snapshots");
    if !is_cache_folder(folder) || !snapshots.is_dir() {
        return Ok(None);
    }
    if let Ok(commit) = std::fs::read_to_string(folder.join("refs").join("main")) {
        let commit = commit.trim();
        // The name of one folder, never a path.
        let plain = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let named = snapshots.join(commit);
        if !plain || !named.is_dir() {
            let cause = format!("refs/main names the snapshot {commit:?}, which is missing");
            return Err(Error::input(folder, cause).hint(match &all(&snapshots)[..] {
                [] => "the download is incomplete: download the model again".to_owned(),
                others => format!("download the model again, or give the path of another snapshot: {}", listed(others)),
            }));
        }
        return Ok(Some(named));
    }
    match &all(&snapshots)[..] {
        [] => Err(Error::input(folder, "the cache folder has no snapshot").hint("download the model again")),
        [only] => Ok(Some(only.clone())),
        found => {
            let cause = format!("the cache folder has {} snapshots, and no refs/main to choose one", found.len());
            Err(Error::input(folder, cause).hint(format!("give the path of one: {}", listed(found))))
        }
    }
}

/// The folders of all snapshots.
fn all(snapshots: &Path) -> Vec<PathBuf> {
    folders(snapshots).collect()
}

/// The folders of models in the cache `folder`.
pub(super) fn models(folder: &Path) -> Vec<PathBuf> {
    folders(folder).filter(|path| is_named(path)).collect()
}

/// The folders within `folder`, sorted.
fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found.into_iter()
}

fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().take(LISTED).map(|path| path.to_string_lossy()).collect();
    let more = paths.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", verbatim(&shown.join(", ")))
}

fn is_cache_folder(folder: &Path) -> bool {
    is_named(folder) || folder.canonicalize().is_ok_and(|path| is_named(&path))
}

fn is_named(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

/// What to do about a path that does not exist. It may be the id of a model on the Hub, which the cache may have.
pub(super) fn hint_for_missing(path: &Path) -> String {
    let general = "give the path of a .safetensors file or of the folder of a downloaded checkpoint";
    let Some(id) = path.to_str().filter(|text| is_id(text)) else { return general.into() };
    let cached = cache().map(|cache| cache.join(format!("{PREFIX}{}", id.replace('/', "--"))));
    match cached.filter(|folder| folder.is_dir()) {
        Some(folder) => {
            let path = snapshot(&folder).ok().flatten().unwrap_or(folder);
            let path = verbatim(&path.to_string_lossy());
            format!("the model {id} is in the cache of the Hugging Face Hub: give the path {path}")
        }
        None if id.contains('/') => format!(
            "if {id} is a model on the Hugging Face Hub, run `hf download {id}` and give the path that it prints"
        ),
        None => general.into(),
    }
}

/// True for `ORG/NAME`, and for `NAME`, which a few old models have.
fn is_id(text: &str) -> bool {
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    let file = text.rsplit_once('.').is_some_and(|(_, end)| matches!(end, "safetensors" | "json" | "gguf" | "bin"));
    !file && text.split_once('/').map_or(plain(text), |(org, name)| plain(org) && plain(name))
}

/// The folder of the cache, as `huggingface_hub` finds it.
fn cache() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home =
        || Some(variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?.join("huggingface"));
    let of_hub = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
    of_hub.or_else(|| Some(variable("HF_HOME").or_else(home)?.join("hub")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        for id in ["me/tiny", "meta-llama/Llama-3.1-8B", "a/b_c", "gpt2"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["./tiny", "/me/tiny", "a/b/c", "a/model.safetensors", "a/", "../a", "a b/c"] {
            assert!(!is_id(path), "{path}");
        }
    }
}
