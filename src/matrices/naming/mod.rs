//! The place of each tensor in the model, found from the names and shapes of all of them at once.
//!
//! [`lists`] finds the numbered lists, [`layers`] decides which of them are lists of layers, [`stacks`] names these, and [`roles`]
//! gives different roles to the matrices of a layer. What single words mean is in `families` and `skip`.

mod layers;
mod lists;
mod mtp;
mod named;
mod numbers;
mod roles;
mod stacks;
#[cfg(test)]
mod tests;
mod verdict;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use self::lists::{Key, ListId, Lists, PatternId};
use self::numbers::{Located, Number, locate};
use self::roles::Roles;
use self::verdict::Verdict;
use super::families;
use super::natural::natural;
use super::place::Place;
use super::selection::Selection;

pub(super) use named::{Context, Named, Reading};
use stacks::MTP;
pub(crate) use stacks::is_mtp;

/// The places of all tensors of a checkpoint.
#[derive(Debug)]
pub(super) struct Naming {
    patterns: HashMap<Key, PatternId>,
    verdicts: Vec<Verdict>,
    /// The paths of lists, with `#` for numbers.
    paths: Vec<String>,
    /// Lists that may hold one half of each layer.
    halves: HashSet<String>,
    /// The first multi-token-prediction layer of a list.
    mtp: HashMap<String, u32>,
    /// The names of stacks by their keys.
    stacks: HashMap<String, String>,
    roles: Roles,
    /// The numbers of the matrices of a model without layers.
    order: HashMap<String, u32>,
    selection: Selection,
}

/// What separates a matrix from others.
struct Keys<'a> {
    stack: Cow<'a, str>,
    /// The same for stacks whose matrices have the same roles.
    roles: Cow<'a, str>,
    /// The path within the layer.
    path: String,
}

impl Naming {
    /// Places these tensors.
    pub fn new(tensors: &[Named], context: Context) -> Naming {
        let names: Vec<Cow<str>> = tensors.iter().map(|tensor| unwrapped(tensor.name)).collect();
        let renamed = tensors.iter().zip(&names).map(|(tensor, name)| Named { name, ..*tensor });
        let mut tensors: Vec<Named> = renamed.filter(|tensor| context.selection.state(tensor.name).is_none()).collect();
        // The order in the files does not matter.
        tensors.sort_by_key(|tensor| (tensor.name, tensor.shape.len()));
        let lists = Lists::of(&tensors);
        let list_names = lists.lists.iter().flat_map(|list| &list.elements).map(|element| element.list);
        let mut naming = Naming {
            verdicts: verdict::verdicts(&lists, &tensors, context),
            patterns: HashMap::new(),
            paths: lists.lists.iter().map(|list| list.path.clone()).collect(),
            halves: list_names.filter(|list| stacks::half(list).is_some()).map(str::to_owned).collect(),
            mtp: mtp::first_layers(&lists, context.config),
            stacks: HashMap::new(),
            roles: Roles::default(),
            order: HashMap::new(),
            selection: context.selection.clone(),
        };
        naming.name_stacks_and_roles(&tensors, &lists.tensors);
        if naming.verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Placed { .. })) {
            naming.number_in_order(&tensors, &lists.tensors);
        }
        naming.patterns = lists.pattern_ids;
        naming
    }

    fn name_stacks_and_roles(&mut self, tensors: &[Named], found: &[(PatternId, Vec<Number>)]) {
        let mut stacks = BTreeSet::new();
        let mut roles = Roles::default();
        for (tensor, (pattern, numbers)) in tensors.iter().zip(found) {
            let &Verdict::Placed { number, list, reading } = &self.verdicts[*pattern] else { continue };
            if !tensor.readable || reading == Reading::Whole && tensor.shape.len() != 2 {
                continue;
            }
            let Some(located) = locate(tensor.name, &numbers[number]) else { continue };
            let keys = self.keys(&located, list);
            roles.add(&keys.roles, (&keys.stack, located.number), keys.path, || role(&located));
            if !stacks.contains(&*keys.stack) {
                stacks.insert(keys.stack.into_owned());
            }
        }
        roles.separate();
        self.roles = roles;
        self.stacks = stacks::names(stacks);
    }

    fn number_in_order(&mut self, tensors: &[Named], found: &[(PatternId, Vec<Number>)]) {
        let outside = |(tensor, (pattern, _)): &(&Named, &(PatternId, Vec<Number>))| {
            tensor.readable && tensor.shape.len() == 2 && matches!(self.verdicts[*pattern], Verdict::Outside)
        };
        let outside = tensors.iter().zip(found).filter(outside);
        let mut names: Vec<String> = outside.map(|(tensor, _)| tensor.name.to_owned()).collect();
        names.sort_by_cached_key(|name| (natural(name), name.clone()));
        self.order = names.into_iter().zip(0..).collect();
    }

    /// The number of matrices that count as layers because the checkpoint has no numbered layers.
    pub fn unnumbered(&self) -> usize {
        self.order.len()
    }

    /// The place of a tensor and how its matrices lie in it; `None` if it is in no layer.
    ///
    /// # Errors
    ///
    /// The reason why it is not a projection matrix.
    pub fn place(&self, name: &str, dimensions: usize) -> Result<Option<(Place, Reading)>, &'static str> {
        if let Some(reason) = self.selection.state(name) {
            return Err(reason);
        }
        let name = &*unwrapped(name);
        let numbers = numbers::numbers(name);
        let pattern = self.patterns.get(&(numbers::without(name, &numbers), dimensions));
        match pattern.map(|&pattern| &self.verdicts[pattern]) {
            Some(&Verdict::Skipped(reason)) => Err(reason),
            Some(&Verdict::Placed { number, list, reading }) => {
                let located = numbers.get(number).and_then(|number| locate(name, number));
                Ok(located.map(|located| (self.place_of(&located, list), reading)))
            }
            Some(Verdict::Outside) | None => Ok(self.order.get(name).map(|&layer| {
                let place = Place { stack: String::new(), layer, role: last_word(&roles::path(name)).to_owned() };
                (place, Reading::Whole)
            })),
        }
    }

    fn place_of(&self, located: &Located, list: ListId) -> Place {
        let keys = self.keys(located, list);
        let role = self.roles.of(&keys.roles, &keys.path).map_or_else(|| role(located), str::to_owned);
        let stack = self.stacks.get(&*keys.stack).cloned().unwrap_or_else(|| keys.stack.into_owned());
        Place { stack, layer: located.number, role }
    }

    fn keys<'k>(&'k self, located: &Located<'k>, list: ListId) -> Keys<'k> {
        let Located { list: name, number, rest } = *located;
        let path = roles::path(rest);
        if self.mtp.get(name).is_some_and(|&first| number >= first) {
            let of = |list: &str| format!("{list}.{MTP}").into();
            return Keys { stack: of(name), roles: of(&self.paths[list]), path };
        }
        match stacks::half(name).and_then(|half| half.whole(&self.halves)) {
            Some((stack, half)) => {
                Keys { roles: stack.clone().into(), stack: stack.into(), path: format!("{half}.{path}") }
            }
            None => Keys { stack: name.into(), roles: self.paths[list].as_str().into(), path },
        }
    }
}

/// The role of a matrix if no other of its layer has it.
fn role(located: &Located) -> String {
    let known =
        families::role(located.list, located.rest).or_else(|| families::stacked_role(located.list, located.rest));
    known.unwrap_or_else(|| last_word(&roles::path(located.rest)).to_owned())
}

fn last_word(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The name without PEFT's wrapper.
fn unwrapped(name: &str) -> Cow<'_, str> {
    if name.contains(".base_layer.") { name.replace(".base_layer.", ".").into() } else { name.into() }
}
