//! Decides which list on each path is the list of layers.
//!
//! It is the outermost list, unless its elements are stages: inner lists of like-built blocks hold most of each (Swin, Segformer,
//! the UNets of diffusion models). Then the layers are the elements of the inner lists. Lists within a layer (experts, heads, the
//! sub-layers of a block of T5, the linear layers of an MLP) are never lists of layers.

use std::collections::{HashMap, HashSet};

use super::super::families;
use super::lists::{Element, Kind, List, ListId, Lists, Pattern, PatternId};
use super::stacks::is_generic;

/// What a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// Its elements are layers.
    Layers,
    /// Its elements are stages, whose layers are the elements of these lists.
    Stages(HashSet<ListId>),
    /// Neither, as the linear layers of an MLP.
    Nothing,
}

/// For each pattern, the index of the number that is the layer's. `partial`: lists may miss most of their matrices, as in an adapter.
pub(super) fn positions(lists: &Lists, partial: bool) -> Vec<Option<usize>> {
    let mut structure = Structure { lists, partial, roles: vec![None; lists.lists.len()] };
    for outermost in lists.patterns.iter().filter_map(|pattern| pattern.lists.first()) {
        structure.decide(*outermost);
    }
    lists.patterns.iter().map(|pattern| position(pattern, &structure.roles)).collect()
}

fn position(pattern: &Pattern, roles: &[Option<Role>]) -> Option<usize> {
    let mut at = 0;
    loop {
        match roles[*pattern.lists.get(at)?].as_ref()? {
            Role::Layers => return Some(at),
            Role::Stages(inner) if pattern.lists.get(at + 1).is_some_and(|next| inner.contains(next)) => at += 1,
            Role::Stages(_) => return Some(at),
            Role::Nothing => at += 1,
        }
    }
}

/// The lists of a checkpoint, and what is known about them.
struct Structure<'a> {
    lists: &'a Lists<'a>,
    partial: bool,
    roles: Vec<Option<Role>>,
}

impl<'a> Structure<'a> {
    /// Decides about a list that no list of layers encloses.
    fn decide(&mut self, list: ListId) {
        if self.roles[list].is_some() {
            return;
        }
        let lists = self.lists;
        if self.is_list_of_layers(&lists.lists[list]) {
            return self.settle(list);
        }
        self.roles[list] = Some(Role::Nothing);
        for &inner in &lists.lists[list].inner {
            self.decide(inner);
        }
    }

    /// Decides whether the elements of a list are layers or stages.
    fn settle(&mut self, list: ListId) {
        let stacks = self.stacks_within(list);
        for &stack in &stacks {
            self.settle(stack);
        }
        self.roles[list] = Some(if stacks.is_empty() { Role::Layers } else { Role::Stages(stacks) });
    }

    /// True if the elements of an outermost list are blocks, or the word before the number is one for layers.
    fn is_list_of_layers(&self, list: &List) -> bool {
        if is_alternative(list.word()) {
            return false;
        }
        if is_generic(list.word()) {
            return true;
        }
        let filled = list.elements.iter().filter(|element| element.matrices > 0);
        let is_block = |element: &&Element| {
            element.matrices > 1 || self.partial && !list.is_bare_element(element, &self.lists.patterns)
        };
        let blocks = filled.clone().filter(is_block).count();
        let numbered = list.dotted || self.partial || self.has_equal_siblings(list);
        numbered && blocks * 2 > filled.count()
    }

    /// The lists within the elements of a list that are stacks of layers, if its elements are stages; otherwise none.
    fn stacks_within(&self, stages: ListId) -> HashSet<ListId> {
        let list = &self.lists.lists[stages];
        let stacks: HashSet<ListId> =
            list.inner.iter().copied().filter(|&inner| self.is_stack_of_stage(list, inner)).collect();
        let largest = stacks.iter().flat_map(|&stack| &self.lists.lists[stack].elements);
        let largest = largest.map(|element| self.matrices(element).count()).max().unwrap_or(0);
        let is_stage = |element: &Element| {
            let (inside, outside): (Vec<PatternId>, Vec<PatternId>) =
                self.matrices(element).partition(|&pattern| self.is_within(pattern, &stacks));
            // Kernels of convolutions are not scored, so it does not matter how many of them are outside.
            !inside.is_empty()
                && outside.iter().filter(|&&pattern| !self.lists.patterns[pattern].kernel).count() < largest
        };
        if list.elements.iter().any(is_stage) { stacks } else { HashSet::new() }
    }

    /// True if the elements of `inner` are blocks that are built alike. Where no two of them are side by side, or
    /// each has only one matrix, the word decides.
    fn is_stack_of_stage(&self, stages: &List, inner: ListId) -> bool {
        let list = &self.lists.lists[inner];
        if is_alternative(list.word()) || is_part_of_layer(list.word()) || !list.dotted {
            return false;
        }
        if list.is_bare(&self.lists.patterns) || self.is_known_layer(stages, list) {
            return false;
        }
        let has_norms = |list: &List| list.elements.iter().any(|element| self.is_normalized(element));
        if has_norms(stages) && !has_norms(list) {
            return false;
        }
        match self.siblings(list) {
            Siblings::Equal if list.elements.iter().any(|element| self.matrices(element).nth(1).is_some()) => true,
            Siblings::Equal | Siblings::None => is_generic(list.word()),
            Siblings::Different => false,
        }
    }

    /// True if matrices within `inner` belong to a family whose layers are the elements of `outer` (the sub-layers of T5).
    fn is_known_layer(&self, outer: &List, inner: &List) -> bool {
        let rest = |pattern: PatternId| {
            Some(self.lists.patterns[pattern].path.get(outer.path.len() + ".#.".len()..)?.replace('#', "0"))
        };
        let is_known = |rest: String| families::role(&outer.path, &rest).is_some();
        inner.elements.first().is_some_and(|element| self.matrices(element).filter_map(rest).any(is_known))
    }

    fn siblings(&self, list: &List) -> Siblings {
        let mut elements: Vec<&Element> =
            list.elements.iter().filter(|element| self.matrices(element).next().is_some()).collect();
        elements.sort_by_key(|element| (element.list, element.number));
        let mut found = Siblings::None;
        for siblings in elements.chunk_by(|a, b| a.list == b.list).filter(|siblings| siblings.len() > 1) {
            let mut counts: HashMap<Vec<PatternId>, usize> = HashMap::new();
            for element in siblings {
                *counts.entry(self.matrices(element).collect()).or_default() += 1;
            }
            // Kinds of blocks may alternate (LeViT), and a stage may end with one of its own.
            let alike: usize = counts.into_values().filter(|&count| count > 1).sum();
            if alike * 2 > siblings.len() {
                return Siblings::Equal;
            }
            found = Siblings::Different;
        }
        found
    }

    fn has_equal_siblings(&self, list: &List) -> bool {
        matches!(self.siblings(list), Siblings::Equal) && list.elements.iter().all(|element| element.matrices > 1)
    }

    fn is_within(&self, pattern: PatternId, stacks: &HashSet<ListId>) -> bool {
        self.lists.patterns[pattern].lists.iter().any(|list| stacks.contains(list))
    }

    fn matrices<'e>(&self, element: &'e Element) -> impl Iterator<Item = PatternId> + Clone + use<'e, 'a> {
        let patterns = &self.lists.patterns;
        element.patterns.iter().copied().filter(|&pattern| patterns[pattern].kind == Kind::Matrix)
    }

    fn is_normalized(&self, element: &Element) -> bool {
        element.patterns.iter().any(|&pattern| self.lists.patterns[pattern].kind == Kind::Normalization)
    }
}

/// How the elements of a list that are side by side compare.
enum Siblings {
    /// There are no two.
    None,
    /// Somewhere most have the same matrices as another.
    Equal,
    Different,
}

/// Experts and heads: a layer uses several of them at once, or one of them.
fn is_alternative(word: &str) -> bool {
    word.contains("expert") || word == "heads" || word.ends_with("_heads")
}

/// Modules of a layer, of which some models have several.
fn is_part_of_layer(word: &str) -> bool {
    matches!(word, "attn" | "self_attn" | "cross_attn" | "attention" | "mlp" | "mlps" | "ffn" | "ffns" | "ff")
}
