//! An index: the file that says which shard holds each tensor.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::Located;
use crate::checkpoint::json::{self, Pairs};
use crate::error::{Error, Result};

/// A parsed `*.safetensors.index.json`.
pub(in crate::checkpoint) struct Index {
    pub path: PathBuf,
    /// The file that should contain each tensor.
    pub shard_of: BTreeMap<String, PathBuf>,
}

#[derive(Deserialize)]
struct Raw {
    weight_map: Pairs<String>,
}

impl Index {
    /// Reads an index, and confirms that its shards exist.
    pub(super) fn read(path: &Path) -> Result<Index> {
        let refused = |cause: String| Error::input(path, cause).hint("download the index again");
        let text = json::read(path).map_err(|error| refused(format!("cannot be read: {error}")).because(error))?;
        let raw: Raw = serde_json::from_slice(&text)
            .map_err(|error| refused(format!("is not a checkpoint index: {error}")).because(error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut shard_of = BTreeMap::new();
        for (tensor, shard) in raw.weight_map.0 {
            let mut components = Path::new(&shard).components();
            if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
                let cause = format!("names the shard {shard:?}, which is not a plain file name");
                return Err(refused(cause).tensor(tensor));
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
        Ok(Index { path: path.to_owned(), shard_of })
    }

    /// The place in `files` of the shard of each tensor.
    pub fn shards_among(&self, files: &[PathBuf]) -> HashMap<String, usize> {
        let places: HashMap<&Path, usize> =
            files.iter().enumerate().map(|(place, file)| (file.as_path(), place)).collect();
        self.shard_of.iter().filter_map(|(tensor, file)| Some((tensor.clone(), *places.get(file.as_path())?))).collect()
    }
}

impl From<Index> for Located {
    fn from(index: Index) -> Located {
        let mut files: Vec<PathBuf> = index.shard_of.values().cloned().collect();
        files.sort();
        files.dedup();
        Located { files, index: Some(index), notes: Vec::new() }
    }
}
