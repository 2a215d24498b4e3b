//! The weight files, indexes and other models in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::names::{self, SetName};
use crate::checkpoint::formats;
use crate::error::{Error, Result};

/// The files of one folder that matter here.
#[derive(Default)]
pub(super) struct Listing {
    /// Weight files by the set that they belong to, with the numbers of shards.
    pub sets: BTreeMap<SetName, BTreeMap<u32, PathBuf>>,
    /// Further files that have the name of a shard of `sets` in another form: `model-1-of-2` beside `model-00001-of-00002`.
    pub twins: Vec<[PathBuf; 2]>,
    pub indexes: BTreeMap<SetName, PathBuf>,
    /// Weight files under the name of a download that is not finished.
    pub unfinished: Vec<PathBuf>,
    /// Files in formats that are not supported.
    pub others: Vec<PathBuf>,
}

impl Listing {
    /// Lists `folder`.
    pub fn read(folder: &Path) -> Result<Listing> {
        let unreadable = |error: std::io::Error| {
            Error::input(folder, format!("cannot be listed: {error}"))
                .hint("check that you have permission to read it")
                .because(error)
        };
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') {
                // Hidden: caches, and the `._NAME` that macOS writes beside every file on foreign disks.
                continue;
            }
            if formats::has_known_extension(&path) {
                let Some(names::WeightsName { set, shard }) = names::weights(&name) else { continue };
                let number = shard.map_or(0, |(number, _)| number);
                if let Some(twin) = listing.sets.entry(set).or_default().insert(number, path.clone()) {
                    listing.twins.push([path, twin]);
                }
            } else if let Some(set) = names::index(&name) {
                listing.indexes.insert(set, path);
            } else if names::is_unfinished(&name) {
                listing.unfinished.push(path);
            } else if formats::is_foreign_weights(&path) {
                listing.others.push(path);
            }
        }
        listing.others.sort();
        listing.unfinished.sort();
        Ok(listing)
    }

    /// True if there are weight files or an index.
    pub fn holds_weights(&self) -> bool {
        !self.sets.is_empty() || !self.indexes.is_empty()
    }

    /// True if there are files or an index under this name.
    pub fn has(&self, stem: &str) -> bool {
        self.sets.keys().chain(self.indexes.keys()).any(|set| set.stem == stem)
    }

    /// The file that holds the same model as the shards of `index`, by its name.
    pub fn whole_beside(&self, index: &Path) -> Option<&Path> {
        let (set, _) = self.indexes.iter().find(|(_, path)| *path == index)?;
        self.sets.get(set)?.values().next().map(PathBuf::as_path)
    }

    /// The weight files that are not among `read`, and the indexes except `index`.
    pub fn left_out(&self, read: &[PathBuf], index: Option<&Path>) -> Vec<&Path> {
        let files = self.sets.values().flat_map(BTreeMap::values).chain(self.twins.iter().map(|[_, twin]| twin));
        let files = files.map(PathBuf::as_path).filter(|file| !read.iter().any(|read| read == file));
        let indexes = self.indexes.values().map(PathBuf::as_path).filter(|&other| Some(other) != index);
        let mut left_out: Vec<&Path> = files.chain(indexes).collect();
        left_out.sort();
        left_out
    }

    /// The number of sets of which files are among `read`.
    pub fn sets_among(&self, read: &[PathBuf]) -> usize {
        self.sets.values().filter(|parts| parts.values().any(|file| read.contains(file))).count()
    }
}
