//! The numbered lists of a checkpoint, found from the names of all its tensors.
//!
//! A list is a path with numbered children: `model.layers` of `model.layers.0.mlp.up_proj.weight`. Lists whose paths differ only in
//! numbers (`blocks.0.attentions` and `blocks.1.attentions`) are one [`List`], so that all of them are treated alike. Names that
//! differ only in numbers are one [`Pattern`].

use std::collections::{HashMap, HashSet};

use super::super::skip;
use super::named::Named;
use super::numbers::{self, Number};

pub(super) type ListId = usize;
pub(super) type PatternId = usize;

/// What a tensor means for the structure of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of two or more dimensions, and no table, bias or scale.
    Matrix,
    Normalization,
    Other,
}

/// Names that differ only in numbers, and the number of dimensions.
pub(super) type Key = (String, usize);

/// Names that differ only in numbers.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The index of a tensor that has it.
    pub example: usize,
    /// With `#` for numbers.
    pub path: String,
    pub kind: Kind,
    /// True for kernels of convolutions, as far as the number of dimensions says.
    pub kernel: bool,
    /// True if each tensor has a side of one element.
    pub narrow: bool,
    /// The greatest common divisor of the numbers of rows.
    pub rows: u64,
    /// The list of each number.
    pub lists: Vec<ListId>,
}

/// An element of a list.
#[derive(Debug)]
pub(super) struct Element<'a> {
    /// The name of its list, with the numbers that precede it.
    pub list: &'a str,
    pub number: u32,
    /// Its matrices and normalizations, in order, each once.
    pub patterns: Vec<PatternId>,
    /// How many tensors of it are matrices.
    pub matrices: usize,
}

/// Lists whose paths differ only in numbers.
#[derive(Debug)]
pub(super) struct List<'a> {
    /// With `#` for numbers.
    pub path: String,
    /// False for `encoder_layer_3`.
    pub dotted: bool,
    pub elements: Vec<Element<'a>>,
    /// The lists within its elements that no other list encloses.
    pub inner: Vec<ListId>,
}

impl List<'_> {
    /// The last word of its path that is not a number.
    pub fn word(&self) -> &str {
        self.path.rsplit('.').find(|word| *word != "#").unwrap_or_default()
    }

    /// True if all elements are linear layers, or sequences of them.
    pub fn is_bare(&self, patterns: &[Pattern]) -> bool {
        self.elements.iter().all(|element| self.is_bare_element(element, patterns))
    }

    /// True if an element is a linear layer, or a sequence of them.
    pub fn is_bare_element(&self, element: &Element, patterns: &[Pattern]) -> bool {
        let mut parameters = HashSet::new();
        for pattern in element.patterns.iter().map(|&id| &patterns[id]).filter(|pattern| pattern.kind == Kind::Matrix) {
            let path = &pattern.path[self.path.len()..];
            let words: Vec<&str> = path.split('.').filter(|word| !matches!(*word, "" | "#" | "_#")).collect();
            let [parameter] = words[..] else { return false };
            parameters.insert(parameter);
        }
        parameters.len() <= 1
    }
}

/// All lists and patterns.
#[derive(Debug, Default)]
pub(super) struct Lists<'a> {
    pub patterns: Vec<Pattern>,
    pub lists: Vec<List<'a>>,
    /// The pattern of each tensor, and the numbers in its name.
    pub tensors: Vec<(PatternId, Vec<Number>)>,
    pub pattern_ids: HashMap<Key, PatternId>,
    list_ids: HashMap<String, ListId>,
    elements: HashMap<&'a str, (ListId, usize)>,
}

impl<'a> Lists<'a> {
    /// Finds the lists in these names.
    pub fn of(tensors: &[Named<'a>]) -> Lists<'a> {
        let mut lists = Lists::default();
        for tensor in tensors {
            lists.add(tensor);
        }
        for element in lists.lists.iter_mut().flat_map(|list| &mut list.elements) {
            element.patterns.sort_unstable();
            element.patterns.dedup();
        }
        lists
    }

    fn add(&mut self, tensor: &Named<'a>) {
        let found = numbers::numbers(tensor.name);
        let id = self.pattern_id(tensor, &found);
        let pattern = &mut self.patterns[id];
        pattern.narrow &= tensor.shape.contains(&1);
        pattern.rows = divisor(pattern.rows, tensor.shape.first().copied().unwrap_or(0));
        if self.patterns[id].kind != Kind::Other {
            self.add_to_elements(tensor, id, &found);
        }
        self.tensors.push((id, found));
    }

    fn add_to_elements(&mut self, tensor: &Named<'a>, id: PatternId, found: &[Number]) {
        let kind = self.patterns[id].kind;
        for (depth, number) in found.iter().enumerate() {
            let list = self.patterns[id].lists[depth];
            let Some(value) = number.value(tensor.name) else { continue };
            let elements = &mut self.lists[list].elements;
            let (_, at) = *self.elements.entry(&tensor.name[..number.digits.end]).or_insert_with(|| {
                let list_name = &tensor.name[..number.list];
                elements.push(Element { list: list_name, number: value, patterns: Vec::new(), matrices: 0 });
                (list, elements.len() - 1)
            });
            let element = &mut elements[at];
            element.matrices += usize::from(kind == Kind::Matrix);
            if element.patterns.last() != Some(&id) {
                element.patterns.push(id);
            }
        }
    }

    fn pattern_id(&mut self, tensor: &Named<'a>, found: &[Number]) -> PatternId {
        let path = numbers::without(tensor.name, found);
        let key = (path, tensor.shape.len());
        if let Some(&id) = self.pattern_ids.get(&key) {
            return id;
        }
        let id = self.patterns.len();
        let lists = self.list_ids_of(tensor.name, found);
        self.patterns.push(Pattern {
            example: self.tensors.len(),
            path: key.0.clone(),
            kind: kind(tensor),
            kernel: key.1 > 3,
            narrow: true,
            rows: 0,
            lists,
        });
        self.pattern_ids.insert(key, id);
        id
    }

    fn list_ids_of(&mut self, name: &str, found: &[Number]) -> Vec<ListId> {
        let mut ids: Vec<ListId> = Vec::new();
        for (depth, number) in found.iter().enumerate() {
            let path = numbers::without(&name[..number.list], &found[..depth]);
            let lists = &mut self.lists;
            let id = *self.list_ids.entry(path).or_insert_with_key(|path| {
                let list = List { path: path.clone(), dotted: number.dotted, elements: Vec::new(), inner: Vec::new() };
                lists.push(list);
                lists.len() - 1
            });
            if let Some(&outer) = ids.last()
                && !self.lists[outer].inner.contains(&id)
            {
                self.lists[outer].inner.push(id);
            }
            ids.push(id);
        }
        ids
    }
}

/// The greatest common divisor.
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

fn kind(tensor: &Named) -> Kind {
    match skip::of_structure(tensor.name, tensor.shape.len()) {
        None => Kind::Matrix,
        Some(skip::NORMALIZATION) => Kind::Normalization,
        Some(_) => Kind::Other,
    }
}
