//! Folders of several models: a pipeline of diffusers, or the modules of sentence-transformers. Each model has a subfolder.

use std::path::{Component, Path, PathBuf};

use super::listing::Listing;
use crate::error::{Error, Result};
use crate::message::verbatim;

/// The models that a hint proposes first: those that are trained and fine-tuned.
const MAIN: [&str; 4] = ["transformer", "unet", "prior", "0_Transformer"];

/// The folder of the model to read: that of `component`, or `path` itself.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if there is no such component; [`Kind::Input`](crate::error::Kind::Input) if
/// `path` is a pipeline and no component is given.
pub(super) fn component(path: PathBuf, component: Option<&str>) -> Result<PathBuf> {
    let Some(name) = component else {
        return if path.is_dir() && is_pipeline(&path) { Err(pipeline(&path)) } else { Ok(path) };
    };
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    if plain && path.join(name).is_dir() {
        return Ok(path.join(name));
    }
    let error = Error::usage(format!("has no component `{}`", verbatim(name))).file(&path);
    Err(match &components(&path)[..] {
        [] => error.hint("remove §component: the folder has no subfolder with weights"),
        names => error.hint(format!("its components are {}", verbatim(&names.join(", ")))),
    })
}

/// The subfolders with weights, sorted, those that are usually meant first.
pub(super) fn components(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut found: Vec<String> = entries.filter(|path| path.is_dir() && holds_weights(path)).filter_map(name).collect();
    found.sort_by_key(|name| (!MAIN.contains(&name.as_str()), name.clone()));
    found
}

/// The first file of weights in a format that is not supported in a subfolder.
pub(super) fn foreign_weights(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let listings = entries.filter(|path| path.is_dir()).filter_map(|path| Listing::read(&path).ok());
    listings.filter_map(|listing| listing.others.into_iter().next()).min()
}

fn holds_weights(folder: &Path) -> bool {
    Listing::read(folder).is_ok_and(|listing| listing.holds_weights())
}

fn is_pipeline(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let of_modules = has("modules.json") && !holds_weights(folder);
    (has("model_index.json") || of_modules) && !components(folder).is_empty()
}

fn pipeline(folder: &Path) -> Error {
    let names = components(folder);
    let cause = format!("is a pipeline of several models: {}", verbatim(&names.join(", ")));
    Error::input(folder, cause).hint(format!("choose one, for example §component={}", verbatim(&names[0])))
}
