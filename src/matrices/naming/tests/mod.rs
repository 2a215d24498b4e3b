//! Hand-made names of each kind of model.

mod layers;
mod not_weights;
mod properties;
mod stacks_and_roles;

use super::{Context, Named, Naming, Reading};
use crate::checkpoint::Config;
use crate::matrices::selection::Selection;

/// Places names of two-dimensional tensors; `[3]` at the end of a name stands for three dimensions, `[1]` for one.
struct Model {
    names: Vec<(String, Vec<u64>)>,
    naming: Naming,
}

impl Model {
    fn new(names: &[&str]) -> Model {
        Model::with(names, &Config::default(), false)
    }

    fn with(names: &[&str], config: &Config, partial: bool) -> Model {
        let shape =
            |name: &&str| match name.rsplit_once('[').and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?))) {
                Some((name, "3")) => (name.to_owned(), vec![4, 8, 6]),
                Some((name, "1")) => (name.to_owned(), vec![8]),
                _ => ((*name).to_owned(), vec![12, 8]),
            };
        let names: Vec<(String, Vec<u64>)> = names.iter().map(shape).collect();
        let named: Vec<Named> = names.iter().map(|(name, shape)| Named { name, shape, readable: true }).collect();
        let naming = Naming::new(&named, Context { config, selection: &Selection::default(), partial });
        Model { names, naming }
    }

    /// Stack, layer and role as one text, or the reason why the tensor is skipped.
    fn place(&self, name: &str) -> String {
        let (_, shape) = self.names.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
        match self.naming.place(name, shape.len()) {
            Ok(Some((place, _))) => format!("{}|{}|{}", place.stack, place.layer, place.role),
            Ok(None) => "outside".into(),
            Err(reason) => reason.into(),
        }
    }

    fn reading(&self, name: &str, dimensions: usize) -> Reading {
        self.naming.place(name, dimensions).unwrap().unwrap().1
    }

    #[track_caller]
    fn assert(&self, expected: &[(&str, &str)]) {
        for (name, place) in expected {
            assert_eq!(self.place(name), *place, "{name}");
        }
    }
}

/// `{l}` and `{e}` in each name replaced by numbers below these counts.
fn repeat(names: &[&str], layers: usize, experts: usize) -> Vec<String> {
    let mut all = Vec::new();
    for name in names {
        for layer in 0..layers {
            let name = name.replace("{l}", &layer.to_string());
            let experts = if name.contains("{e}") { experts } else { 1 };
            all.extend((0..experts).map(|expert| name.replace("{e}", &expert.to_string())));
        }
    }
    all.sort();
    all.dedup();
    all
}

fn model(names: &[&str], layers: usize) -> Model {
    let names = repeat(names, layers, 3);
    Model::new(&names.iter().map(String::as_str).collect::<Vec<_>>())
}
