//! Chooses the weight files of a folder.
//!
//! A folder may hold one model in several forms: for two libraries (`model`, `consolidated`), in two precisions (`fp16`), with
//! and without an index. They must never be read together. The standard names decide, as in the libraries that read them; if
//! they cannot, the folder is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::index::Index;
use super::listing::Listing;
use super::names::{STANDARD, SetName};
use super::{Located, hub, pipeline};
use crate::checkpoint::config::Config;
use crate::checkpoint::formats;
use crate::error::{Error, Result};
use crate::message::verbatim;

/// The most names that a message lists.
const LISTED: usize = 6;

/// Finds the weight files of `folder`.
pub(super) fn locate(folder: &Path) -> Result<Located> {
    let listing = Listing::read(folder)?;
    let chosen = listing.choose(folder)?;
    let mut located = match chosen {
        Chosen::Index(index) => {
            Located::from(Index::read(index).map_err(|error| match listing.whole_beside(index) {
                Some(whole) => {
                    error.hint(format!("download what the index names, or give the path of a file: {}", quoted(whole)))
                }
                None => error,
            })?)
        }
        Chosen::Files(files) => Located { files, index: None, notes: Vec::new() },
    };
    let index = located.index.as_ref().map(|index| index.path.as_path());
    if index.is_none()
        && let Some(twins) = listing.twins.iter().find(|twins| located.files.contains(&twins[0]))
    {
        let cause =
            format!("two files have the name of the same shard: {}", verbatim(&file_names(&[&twins[0], &twins[1]])));
        return Err(Error::input(folder, cause).hint("keep the one that belongs to the other shards"));
    }
    let read: Vec<&Path> = match index {
        Some(index) => vec![index],
        None => located.files.iter().map(PathBuf::as_path).collect(),
    };
    let left_out = listing.left_out(&located.files, index);
    if !left_out.is_empty() {
        let (read, left_out) = (file_names(&read), file_names(&left_out));
        located.notes.push(format!("{}: reads {read} and leaves out {left_out}", folder.display()));
    } else if index.is_none() && listing.sets_among(&located.files) > 1 {
        let read = file_names(&read);
        located.notes.push(format!("{}: without an index, {read} are read as parts of one model", folder.display()));
    }
    Ok(located)
}

enum Chosen<'a> {
    Index(&'a Path),
    Files(Vec<PathBuf>),
}

impl Listing {
    fn choose(&self, folder: &Path) -> Result<Chosen<'_>> {
        let mut stems: Vec<&str> = STANDARD.into_iter().filter(|stem| self.has(stem)).collect();
        let file = |name: &str| folder.join(name).is_file();
        if file("params.json") && !file("config.json") {
            // The configuration of the original code: transformers' has another name.
            stems.sort_by_key(|&stem| stem != "consolidated");
        }
        if Config::beside(folder).get("_class_name").is_some() {
            stems.sort_by_key(|&stem| stem != "diffusion_pytorch_model");
        }
        if let Some(stem) = stems.first() {
            return self.standard(folder, stem);
        }
        let plain: Vec<&PathBuf> =
            self.indexes.iter().filter(|(set, _)| set.variant.is_none()).map(|(_, path)| path).collect();
        match (&plain[..], self.indexes.len()) {
            (&[index], _) => Ok(Chosen::Index(index)),
            ([], 0) => self.all(folder),
            _ => Err(several(folder, self.indexes.values())),
        }
    }

    /// The files under a standard name: those without a variant, or of the only variant; by their index, in one file, or all
    /// shards.
    fn standard(&self, folder: &Path, stem: &str) -> Result<Chosen<'_>> {
        let of_stem = || self.sets.keys().chain(self.indexes.keys()).filter(|set| set.stem == stem);
        let mut variants: Vec<&Option<String>> = of_stem().map(|set| &set.variant).collect();
        variants.sort();
        variants.dedup();
        let Some(&variant) = variants.first().filter(|variant| variant.is_none() || variants.len() == 1) else {
            let files =
                self.sets.iter().filter(|(set, _)| set.stem == stem).flat_map(|(_, files)| files.values().take(1));
            return Err(several(folder, files));
        };
        let name = |of| SetName { stem: stem.to_owned(), variant: variant.clone(), of };
        if let Some(index) = self.indexes.get(&name(None)) {
            return Ok(Chosen::Index(index));
        }
        if let Some(whole) = self.sets.get(&name(None)) {
            return self.with_unnamed(folder, whole.values().cloned().collect());
        }
        let same = |set: &&SetName| set.stem == stem && set.variant == *variant;
        match &self.sets.keys().filter(same).collect::<Vec<_>>()[..] {
            &[set] => self.with_unnamed(folder, complete(folder, set, &self.sets[set])?),
            sets => Err(several(folder, sets.iter().flat_map(|&set| self.sets[set].values().take(1)))),
        }
    }

    /// Without a configuration, files under names that are not standard may be further parts of the same model.
    fn with_unnamed(&self, folder: &Path, mut files: Vec<PathBuf>) -> Result<Chosen<'_>> {
        if !folder.join("config.json").exists() && !folder.join("params.json").exists() {
            let unnamed = self.sets.iter().filter(|(set, _)| !STANDARD.contains(&set.stem.as_str()));
            for (set, parts) in unnamed {
                files.extend(complete(folder, set, parts)?);
            }
            files.sort();
        }
        Ok(Chosen::Files(files))
    }

    /// All files, none of which has a standard name.
    fn all(&self, folder: &Path) -> Result<Chosen<'_>> {
        if self.sets.is_empty() {
            return Err(self.no_weights(folder));
        }
        let mut files = Vec::new();
        let mut stems: BTreeMap<&str, &SetName> = BTreeMap::new();
        for (set, parts) in &self.sets {
            if set.of.is_some()
                && let Some(other) = stems.insert(&set.stem, set)
            {
                return Err(several(folder, [other, set].into_iter().flat_map(|set| self.sets[set].values().take(1))));
            }
            files.extend(complete(folder, set, parts)?);
        }
        files.sort();
        Ok(Chosen::Files(files))
    }

    fn no_weights(&self, folder: &Path) -> Error {
        let error = Error::input(folder, "the folder contains no .safetensors file");
        if let Some(unfinished) = self.unfinished.first() {
            return error.hint(format!("{} is an unfinished download: finish it", quoted(unfinished)));
        }
        if let Some(other) = self.others.first() {
            return error.hint(format!("{} {}", quoted(other), formats::describe_foreign(other)));
        }
        let models = hub::models(folder);
        if let Some(first) = models.first() {
            let cause = "is the cache of the Hugging Face Hub, with a folder for each model";
            return Error::input(folder, cause).hint(format!("give one of them, for example {}", quoted(first)));
        }
        match &pipeline::components(folder)[..] {
            [] => match pipeline::foreign_weights(folder) {
                Some(other) => error.hint(format!("{} {}", quoted(&other), formats::describe_foreign(&other))),
                None => error.hint("download the checkpoint's .safetensors files and their index into one folder"),
            },
            [only] => error.hint(format!("did you mean {}?", quoted(&folder.join(only)))),
            several => error.hint(format!(
                "its folders {} contain weights: choose one with §component=NAME",
                verbatim(&several.join(", "))
            )),
        }
    }
}

fn quoted(path: &Path) -> String {
    verbatim(&path.to_string_lossy())
}

/// All shards of a set in order.
///
/// # Errors
///
/// If one that their names announce is missing.
fn complete(folder: &Path, set: &SetName, parts: &BTreeMap<u32, PathBuf>) -> Result<Vec<PathBuf>> {
    let Some(of) = set.of else { return Ok(parts.values().cloned().collect()) };
    let first = u32::from(!parts.contains_key(&0));
    let numbers = first..of.saturating_add(first);
    if let Some((number, file)) = parts.iter().find(|(number, _)| !numbers.contains(number)) {
        let cause = format!("is numbered {number}, but its name states {of} shards");
        return Err(Error::input(file, cause).hint("keep only the shards of one checkpoint in the folder"));
    }
    let missing = of as usize - parts.len();
    if missing == 0 {
        return Ok(parts.values().cloned().collect());
    }
    let (&number, example) = parts.iter().next().expect("a set has files");
    let pattern = example.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let absent = numbers.filter(|number| !parts.contains_key(number)).take(LISTED);
    let shown: Vec<String> = absent.map(|other| renumbered(&pattern, number, &other.to_string())).collect();
    let more = missing - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let are = if missing == 1 { "is" } else { "are" };
    let cause = format!("{missing} of {of} shards {are} missing: {}{more}", verbatim(&shown.join(", ")));
    Err(Error::input(folder, cause).hint("the download is incomplete: download the missing shards"))
}

/// The name of the shard `other`, given that of the shard `number`.
fn renumbered(name: &str, number: u32, other: &str) -> String {
    let Some((before, after)) = name.split_once("-of-") else { return other.to_owned() };
    let (stem, digits) = before.rsplit_once('-').unwrap_or((before, ""));
    debug_assert_eq!(digits.parse(), Ok(number));
    format!("{stem}-{other:0>width$}-of-{after}", width = digits.len())
}

/// The refusal of a folder with several checkpoints, of which nothing says which is meant.
fn several<'a>(folder: &Path, files: impl IntoIterator<Item = &'a PathBuf>) -> Error {
    let files: Vec<&Path> = files.into_iter().map(PathBuf::as_path).collect();
    let cause = format!("the folder contains several checkpoints: {}", verbatim(&file_names(&files)));
    Error::input(folder, cause)
        .hint("give the path of the file or index to read, or keep only one checkpoint in the folder")
}

fn file_names(files: &[&Path]) -> String {
    let name = |file: &&Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let more = files.len().saturating_sub(LISTED);
    let shown = files.iter().take(LISTED).map(name).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
