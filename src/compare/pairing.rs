//! Which layers and matrices of two models are the same ones.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::ComparedModel;
use crate::matrices::renamed;
use crate::rename::Rename;

/// Items that are the same in A and B, by their indices, and those that only one of them has.
pub(super) struct Same {
    /// In the order of A.
    pub pairs: Vec<(usize, usize)>,
    pub only_a: Vec<usize>,
    pub only_b: Vec<usize>,
}

/// Stack and number of a layer.
type Place<'a> = (Cow<'a, str>, u32);

/// The names of a model's layers and matrices.
struct Names<'a> {
    layers: Vec<Place<'a>>,
    tensors: Vec<Cow<'a, str>>,
    /// The layer of each matrix.
    places: Vec<Place<'a>>,
}

/// The same layers, and the same matrices, if `rename` turns names of A into names of B.
pub(super) fn same(a: ComparedModel, b: ComparedModel, rename: Option<&Rename>) -> (Same, Same) {
    let (a, b) = (Names::new(a, rename), Names::new(b, None));
    let are_single = a.has_one_stack() && b.has_one_stack();
    let aliases = layers_of_the_same_tensors(&a, &b);
    let key = |place: &Place| {
        let (stack, number) = place;
        (if are_single { String::new() } else { stack.clone().into_owned() }, *number)
    };
    let of_b = b.layers.iter().map(|place| key(aliases.get(place).copied().unwrap_or(place)));
    let layers = Same::new(a.layers.iter().map(key).collect(), of_b.collect());
    // A rename says what the full names are.
    let is_below = are_single && rename.is_none();
    (layers, Same::new(a.keys(is_below), b.keys(is_below)))
}

/// The usual rename of A under which the most of its matrices pair, or layers if a model has no matrices.
pub(super) fn guess(a: ComparedModel, b: ComparedModel) -> Option<Rename> {
    let has_matrices = !a.matrices.is_empty() && !b.matrices.is_empty();
    let names = |model: ComparedModel| -> Vec<String> {
        match has_matrices {
            true => model.matrices.iter().map(|matrix| matrix.tensor.clone()).collect(),
            false => model.layers.iter().map(|layer| format!("{}.{}", layer.stack, layer.layer)).collect(),
        }
    };
    let (a, b) = (names(a), names(b));
    // A stack without a name has no dot behind it.
    let bare = |name: &String| name.strip_prefix('.').unwrap_or(name).to_owned();
    let (a, b): (Vec<String>, Vec<String>) = (a.iter().map(bare).collect(), b.iter().map(bare).collect());
    let a: Vec<&str> = a.iter().map(String::as_str).collect();
    let b: Vec<&str> = b.iter().map(String::as_str).collect();
    let set: HashSet<&str> = b.iter().copied().collect();
    Rename::guess(&a, &b, |_, new| set.contains(new))
}

impl<'a> Names<'a> {
    fn new(model: ComparedModel<'a>, rename: Option<&Rename>) -> Names<'a> {
        let place = |stack: &'a str, layer: u32| {
            let stack = rename.map_or(Cow::Borrowed(stack), |rename| renamed_stack(stack, rename));
            (stack, layer)
        };
        Names {
            layers: model.layers.iter().map(|layer| place(&layer.stack, layer.layer)).collect(),
            tensors: model.matrices.iter().map(|matrix| renamed(&matrix.tensor, rename)).collect(),
            places: model.matrices.iter().map(|matrix| place(&matrix.stack, matrix.layer)).collect(),
        }
    }

    fn has_one_stack(&self) -> bool {
        self.layers.iter().map(|(stack, _)| stack).collect::<HashSet<_>>().len() == 1
    }

    /// The names of the matrices, without those of their stacks if `is_below`.
    fn keys(&self, is_below: bool) -> Vec<&str> {
        let mut keys = Vec::with_capacity(self.tensors.len());
        for (tensor, (stack, _)) in self.tensors.iter().zip(&self.places) {
            let below = tensor.strip_prefix(&**stack).and_then(|rest| rest.strip_prefix('.'));
            keys.push(below.filter(|_| is_below).unwrap_or(tensor));
        }
        keys
    }
}

/// The new name of a stack; its layers are numbers behind a dot.
fn renamed_stack<'a>(stack: &'a str, rename: &Rename) -> Cow<'a, str> {
    let path = if stack.is_empty() { String::new() } else { format!("{stack}.") };
    match rename.apply(&path) {
        Some(new) => new.trim_end_matches('.').to_owned().into(),
        None => stack.into(),
    }
}

/// The layers of B that have another stack in A, where all of their tensors that A also has are in one layer of the same number, and
/// that layer has those of no other layer of B. Versions of htsr, or of the model, may differ in the names of stacks.
fn layers_of_the_same_tensors<'n>(a: &'n Names, b: &'n Names) -> HashMap<&'n Place<'n>, &'n Place<'n>> {
    let places: HashMap<&str, &Place> = a.tensors.iter().map(|tensor| &**tensor).zip(&a.places).collect();
    let (mut in_a, mut in_b) = (HashMap::<&Place, HashSet<&Place>>::new(), HashMap::<&Place, HashSet<&Place>>::new());
    for (tensor, place) in b.tensors.iter().zip(&b.places) {
        if let Some(other) = places.get(&**tensor) {
            in_a.entry(place).or_default().insert(other);
            in_b.entry(other).or_default().insert(place);
        }
    }
    let only = |places: &HashSet<&'n Place<'n>>| places.iter().copied().next().filter(|_| places.len() == 1);
    let of_b: HashSet<&Place> = b.places.iter().collect();
    let aliases = in_a.iter().filter_map(|(&place, others)| {
        let other = only(others).filter(|other| only(&in_b[other]).is_some())?;
        (place.1 == other.1 && !of_b.contains(other)).then_some((place, other))
    });
    aliases.collect()
}

impl Same {
    fn new<K: Eq + Hash>(a: Vec<K>, b: Vec<K>) -> Same {
        let count = b.len();
        let mut places: HashMap<K, usize> = b.into_iter().zip(0..).collect();
        let (mut pairs, mut only_a) = (Vec::new(), Vec::new());
        for (index, key) in a.into_iter().enumerate() {
            match places.remove(&key) {
                Some(other) => pairs.push((index, other)),
                None => only_a.push(index),
            }
        }
        let paired: HashSet<usize> = pairs.iter().map(|&(_, other)| other).collect();
        let only_b = (0..count).filter(|index| !paired.contains(index)).collect();
        Same { pairs, only_a, only_b }
    }
}
