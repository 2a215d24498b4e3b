//! The number of layers that `config.json` states, compared with those that the files have.
//!
//! A model that was downloaded or saved in part has fewer. What a configuration counts as a layer depends on the family, so only a
//! certain difference counts: no list of layers reaches the number, the largest list has numbers below it only, and the family
//! is none of those known to count something else.

use std::collections::{BTreeSet, HashMap};

use crate::checkpoint::{Checkpoint, Config};
use crate::error::Error;
use crate::message::verbatim;

/// The fields for the number of layers. Where a configuration has several, the smallest counts: in LongCat,
/// `num_hidden_layers` counts the halves of layers, `num_layers` whole ones.
const FIELDS: [&str; 4] = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"];

/// Types of models whose configuration counts something else: the uses of one shared layer (ALBERT, HRM), convolutions, sums
/// over stages or towers.
const OTHERWISE: [&str; 10] = [
    "albert",
    "align",
    "align_vision_model",
    "clap",
    "efficientnet",
    "funnel",
    "hrm_text",
    "levit",
    "pp_lcnet",
    "slanet",
];

/// Words of stacks that are no part of the language model, which the number is about if it is in a section of its own.
const SENSES: [&str; 6] = ["vision", "visual", "vit", "image", "audio", "speech"];

/// How many missing layers a message names.
const NAMED: usize = 5;

/// The layers of one list, `model.layers` for example.
#[derive(Default)]
struct List {
    numbers: BTreeSet<u64>,
    bytes: u64,
}

/// One problem if layers of the checkpoint are certainly missing, according to its configuration, and one for its base.
pub(crate) fn missing_layers(checkpoint: &Checkpoint) -> Vec<Error> {
    [Some(checkpoint), checkpoint.base()].into_iter().flatten().filter_map(missing_in).collect()
}

fn missing_in(checkpoint: &Checkpoint) -> Option<Error> {
    // A file that is given by its path may be meant as a part of a model.
    let is_file = checkpoint.shards().iter().any(|shard| shard.path == checkpoint.path());
    if is_file || checkpoint.adapter().is_some() {
        return None;
    }
    let config = checkpoint.config();
    let (field, count) = stated(config)?;
    let (name, list) = incomplete(lists(checkpoint, config), count)?;
    let named: Vec<String> = (0..count)
        .filter(|number| !list.numbers.contains(number))
        .take(NAMED)
        .map(|number| number.to_string())
        .collect();
    let missing = count - list.numbers.len() as u64;
    let more = missing - named.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let layers = if missing == 1 { "layer" } else { "layers" };
    let cause = format!(
        "states {count} layers ({field}), but {} has only {}: {layers} {}{more} missing",
        verbatim(name),
        list.numbers.len(),
        named.join(", "),
    );
    let hint = "the checkpoint is incomplete: download or save the other layers; if it is complete, correct the number";
    Some(Error::input(config.path()?, cause).hint(hint))
}

/// The number of layers that the configuration states, and its field.
fn stated(config: &Config) -> Option<(&'static str, u64)> {
    let types = [config.model_type(), config.text("model_type").and_then(|value| value.as_str())];
    let is_otherwise = types.iter().flatten().any(|name| OTHERWISE.contains(name));
    // diffusers counts the layers of each block.
    if is_otherwise || config.get("_class_name").is_some() {
        return None;
    }
    let numbers = FIELDS.iter().filter_map(|field| Some((*field, config.text_number(field)?)));
    numbers.min_by_key(|&(_, number)| number).filter(|&(_, number)| number > 0)
}

/// The outermost numbered lists.
fn lists<'a>(checkpoint: &'a Checkpoint, config: &Config) -> HashMap<&'a str, List> {
    let mut lists: HashMap<&str, List> = HashMap::new();
    for tensor in checkpoint.tensors().filter(|tensor| tensor.listed) {
        let Some((name, number)) = outermost(&tensor.info.name) else { continue };
        let list = lists.entry(name).or_default();
        list.numbers.insert(number);
        list.bytes += tensor.info.bytes;
    }
    if config.has_text_section() {
        lists.retain(|name, _| !SENSES.iter().any(|word| name.contains(word)));
    }
    lists
}

/// The largest list, if its numbers are some of `0..count`, and no list has all of them.
fn incomplete(lists: HashMap<&str, List>, count: u64) -> Option<(&str, List)> {
    let has_all = |list: &List| list.numbers.range(..count).count() as u64 == count;
    if lists.values().any(has_all) {
        return None;
    }
    let largest = lists.into_iter().max_by_key(|&(name, ref list)| (list.bytes, name))?;
    largest.1.numbers.last().is_some_and(|&last| last < count).then_some(largest)
}

/// The first number in a dotted name, and the path before it.
fn outermost(name: &str) -> Option<(&str, u64)> {
    let mut start = 0;
    for word in name.split('.') {
        if let Ok(number) = word.parse()
            && !word.starts_with('+')
        {
            return Some((&name[..start.max(1) - 1], number));
        }
        start += word.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(numbers: &[u64], bytes: u64) -> List {
        List { numbers: numbers.iter().copied().collect(), bytes }
    }

    #[test]
    fn the_outermost_number_counts() {
        for (name, expected) in [
            ("model.layers.12.mlp.experts.3.weight", Some(("model.layers", 12))),
            ("0.weight", Some(("", 0))),
            ("h.0.weight", Some(("h", 0))),
            ("a.+1.b", None),
            ("a.b1", None),
            ("", None),
        ] {
            assert_eq!(outermost(name), expected, "{name}");
        }
    }

    #[test]
    fn only_a_list_that_no_other_one_excuses_is_incomplete() {
        let found = |lists: &[(&'static str, &[u64], u64)], count| {
            let lists = lists.iter().map(|&(name, numbers, bytes)| (name, list(numbers, bytes))).collect();
            incomplete(lists, count).map(|(name, _)| name)
        };
        assert_eq!(found(&[("layers", &[0, 1, 3], 9)], 4), Some("layers"));
        assert_eq!(found(&[("layers", &[0, 1, 2, 3], 9)], 4), None);
        assert_eq!(found(&[("layers", &[0, 1, 2, 3, 4], 9)], 4), None, "with a layer for multi-token prediction");
        assert_eq!(found(&[("layers", &[1, 4], 9)], 4), None, "counted otherwise");
        assert_eq!(found(&[("encoder", &[0, 1], 5), ("decoder", &[0], 9)], 2), None);
        assert_eq!(found(&[("encoder", &[0], 5), ("decoder", &[1], 9)], 2), Some("decoder"));
        assert_eq!(found(&[("layers", &[0], 9)], u64::MAX), Some("layers"));
        assert_eq!(found(&[], 2), None);
    }
}
