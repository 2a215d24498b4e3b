//! Multi-token-prediction layers that are numbered like further layers of the model: DeepSeek-V3, GLM-4.5.

use std::collections::HashMap;

use super::lists::{Element, List, Lists};
use crate::checkpoint::Config;

/// The fields that give the number of these layers.
const COUNTS: [&str; 6] = [
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "mtp_num_hidden_layers",
    "mtp_num_layers",
    "num_mtp_modules",
    "num_mtp_predictors",
];

/// The module that joins a hidden state and an embedding: no other kind of layer has one.
const JOINS: &str = ".eh_proj.weight";

/// The number of the first such layer, for each list that has one. Without a `config.json`, the modules of a layer decide.
pub(super) fn first_layers(lists: &Lists, config: &Config) -> HashMap<String, u32> {
    let hidden = config.text_number("num_hidden_layers").and_then(|count| u32::try_from(count).ok());
    let counts = COUNTS.iter().filter_map(|name| config.text_number(name));
    let further = counts.max().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let mut first = HashMap::new();
    for list in &lists.lists {
        let mut elements: Vec<&Element> = list.elements.iter().collect();
        elements.sort_by_key(|element| (element.list, element.number));
        for elements in elements.chunk_by(|a, b| a.list == b.list) {
            let joined = elements.iter().find(|element| has_join(lists, list, element)).map(|element| element.number);
            let found = match hidden {
                Some(hidden) if further > 0 => {
                    let range = hidden..hidden.saturating_add(further);
                    let is_last = elements.last().is_some_and(|last| range.contains(&last.number));
                    (is_last && is_different(elements, hidden)).then_some(hidden)
                }
                _ => joined,
            };
            first.extend(found.map(|number| (elements[0].list.to_owned(), number)));
        }
    }
    first
}

fn has_join(lists: &Lists, list: &List, element: &Element) -> bool {
    let rest = |pattern: usize| lists.patterns[pattern].path.get(list.path.len() + ".#".len()..);
    element.patterns.iter().any(|&pattern| rest(pattern) == Some(JOINS))
}

/// True if the layers from `hidden` on have a matrix that no layer before has. Towers of other inputs may have as many layers.
fn is_different(elements: &[&Element], hidden: u32) -> bool {
    let before =
        |pattern: &usize| elements.iter().any(|e| e.number < hidden && e.patterns.binary_search(pattern).is_ok());
    elements
        .iter()
        .filter(|element| element.number >= hidden)
        .all(|element| element.patterns.iter().any(|p| !before(p)))
}
