//! The roles of matrices within their layers.
//!
//! A role is the path of a known family, or the last word of the path. Where two matrices of a layer would have the same role, both
//! get the shortest ending of their paths that no other matrix of the stack has, in all layers alike. Numbers within the path are
//! left out if the ending is unique without them. Experts share their roles: their numbers never count.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};

use super::numbers::{expert, is_number};

/// Words of the longest role that is shorter than the whole path.
const MOST_WORDS: usize = 16;

/// Roles by group of stacks and path within the layer.
#[derive(Debug, Default)]
pub(super) struct Roles {
    groups: HashMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    ids: HashMap<String, usize>,
    roles: Vec<String>,
    /// The matrices of each layer, by stack and number.
    layers: HashMap<String, HashMap<u32, Vec<usize>>>,
}

impl Roles {
    /// Adds a matrix at `path` (from [`path`]) of a layer of a stack. Stacks of one group have the same roles. `role`: its role if no other matrix of the layer has it.
    pub fn add(&mut self, group: &str, (stack, layer): (&str, u32), path: String, role: impl FnOnce() -> String) {
        let Group { ids, roles, layers } = self.groups.entry(group.to_owned()).or_default();
        let id = *ids.entry(path).or_insert_with(|| {
            roles.push(role());
            roles.len() - 1
        });
        let matrices = layers.entry(stack.to_owned()).or_default().entry(layer).or_default();
        if matrices.last() != Some(&id) {
            matrices.push(id);
        }
    }

    /// Makes the roles of each layer different. Call once, after all matrices have been added.
    pub fn separate(&mut self) {
        for group in self.groups.values_mut() {
            group.separate();
        }
    }

    /// The role of a matrix that was added.
    pub fn of(&self, group: &str, path: &str) -> Option<&str> {
        let group = self.groups.get(group)?;
        Some(&group.roles[*group.ids.get(path)?])
    }
}

impl Group {
    fn separate(&mut self) {
        let ambiguous = self.ambiguous();
        if ambiguous.is_empty() {
            return;
        }
        let plain: HashMap<&str, String> = self.ids.keys().map(|path| (path.as_str(), without_numbers(path))).collect();
        let plain_counts = counts(plain.values().map(String::as_str));
        // Needed only where paths differ in nothing but their numbers.
        let counts = LazyCell::new(|| counts(plain.keys().copied()));
        for (path, &id) in &self.ids {
            if ambiguous.contains(&self.roles[id]) {
                let is_named = |ending: &&str| !is_number(ending.split('.').next().unwrap_or_default());
                let mut plain = endings(&plain[path.as_str()]).filter(is_named);
                let mut numbered = endings(path).filter(is_named);
                let ending = plain.find(|ending| plain_counts[ending] == 1);
                let ending = ending.or_else(|| numbered.find(|ending| counts[ending] == 1));
                self.roles[id] = ending.unwrap_or(path).to_owned();
            }
        }
    }

    /// The roles that several matrices of some layer have.
    fn ambiguous(&mut self) -> HashSet<String> {
        let mut seen = HashSet::new();
        let mut ambiguous = HashSet::new();
        for mut layer in self.layers.drain().flat_map(|(_, layers)| layers.into_values()) {
            layer.sort_unstable();
            layer.dedup();
            if !seen.insert(layer.clone()) {
                continue;
            }
            let mut roles = HashSet::new();
            ambiguous.extend(layer.iter().map(|&id| &self.roles[id]).filter(|role| !roles.insert(*role)).cloned());
        }
        ambiguous
    }
}

/// How many of these paths have each ending.
fn counts<'a>(paths: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for ending in paths.flat_map(endings) {
        *counts.entry(ending).or_default() += 1;
    }
    counts
}

/// The endings of a path that start with a whole word, from the shortest to the path itself, up to a length that names have.
fn endings(path: &str) -> impl Iterator<Item = &str> {
    let starts = path.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]);
    starts.take(MOST_WORDS).map(|start| &path[start..])
}

/// The path without its numbers, except one at its end, which names the matrix (`ff.net.2`).
fn without_numbers(path: &str) -> String {
    let (parents, matrix) = path.rsplit_once('.').unwrap_or(("", path));
    let words = parents.split('.').filter(|word| !word.is_empty() && !is_number(word));
    words.chain([matrix]).collect::<Vec<_>>().join(".")
}

/// The path of a matrix in its layer, without `.weight` and without the numbers of experts.
pub(super) fn path(name: &str) -> String {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    let mut words: Vec<&str> = Vec::new();
    for word in name.split('.') {
        let of_expert = is_number(word) && words.last().is_some_and(|before| before.contains("expert"));
        if !of_expert && expert(word).is_none() {
            words.push(word);
        }
    }
    words.join(".")
}
