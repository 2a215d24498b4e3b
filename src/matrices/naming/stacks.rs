//! The names of stacks: the path above the layers.
//!
//! A generic word for a list (`layers`, `h`, `blocks` ...) is left out where that leaves the names of all stacks different.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::families;

/// The stack of multi-token-prediction layers.
pub(super) const MTP: &str = "mtp";

/// The path before a generic word for a list of layers, and the word. It may end a word: `single_transformer_blocks`.
fn generic_end(list: &str) -> Option<(&str, &str)> {
    const WORDS: [&str; 8] = ["layers", "layer", "h", "resblocks", "resblock", "blocks", "block", "blk"];
    let end = |word: &str| {
        let before = list.strip_suffix(word)?;
        let path = before.strip_suffix(['.', '_']).or_else(|| before.is_empty().then_some(""))?;
        Some((path, &list[list.len() - word.len()..]))
    };
    WORDS.iter().find_map(|word| end(word))
}

/// True if a list of this name is one of layers whatever its elements are.
pub(super) fn is_generic(word: &str) -> bool {
    generic_end(word).is_some()
}

/// A list that may hold one half of each layer (XLM).
pub(super) struct Half<'a> {
    path: &'a str,
    word: &'a str,
    halves: &'static [&'static str],
}

/// The half that a list of this name holds.
pub(super) fn half(list: &str) -> Option<Half<'_>> {
    let (path, word) = list.rsplit_once('.').unwrap_or(("", list));
    let halves = families::HALVES.iter().find(|halves| halves.contains(&word))?;
    Some(Half { path, word, halves })
}

impl Half<'_> {
    /// The key of the stack that the list is a part of, and the word of the list; `None` if the first two halves are not among
    /// `lists`.
    pub fn whole(&self, lists: &HashSet<String>) -> Option<(String, String)> {
        let sibling = |word: &str| if self.path.is_empty() { word.to_owned() } else { format!("{}.{word}", self.path) };
        let complete = self.halves[..2].iter().all(|half| lists.contains(&sibling(half)));
        complete.then(|| (sibling(&self.halves.join("+")), self.word.to_owned()))
    }
}

/// The name of the stack of each of these keys.
pub(super) fn names(keys: BTreeSet<String>) -> HashMap<String, String> {
    let mut names: HashMap<String, String> = keys.iter().map(|key| (key.clone(), short_name(key))).collect();
    loop {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for name in names.values() {
            *counts.entry(name).or_default() += 1;
        }
        let ambiguous: Vec<String> = names
            .iter()
            .filter(|(key, name)| counts[name.as_str()] > 1 && key != name)
            .map(|(key, _)| key.clone())
            .collect();
        if ambiguous.is_empty() {
            return names;
        }
        for key in ambiguous {
            names.insert(key.clone(), key);
        }
    }
}

fn short_name(key: &str) -> String {
    let (path, word) = key.rsplit_once('.').unwrap_or(("", key));
    if is_mtp(key) {
        return MTP.to_owned();
    }
    let path = if word.contains('+') { Some(path) } else { generic_end(key).map(|(path, _)| path) };
    path.unwrap_or(key).to_owned()
}

/// True for the name of a stack of multi-token-prediction layers.
pub(crate) fn is_mtp(stack: &str) -> bool {
    stack.split('.').any(|word| word == MTP || word.starts_with("mtp_"))
}
