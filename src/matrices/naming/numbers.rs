//! The numbers in a tensor's name, and the name without them.
//!
//! A number is an element of a dotted path (`layers.3`), or ends a word (`encoder_layer_3`) where no dotted number precedes it. The
//! last element of a path is a parameter, never a number.

use std::ops::Range;

/// One number of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// Where the name of its list ends: `model.layers` of `model.layers.3.mlp`.
    pub list: usize,
    /// The digits, which end the name of its element.
    pub digits: Range<usize>,
    /// False for `encoder_layer_3`.
    pub dotted: bool,
}

impl Number {
    /// The value in the name that it was found in.
    pub fn value(&self, name: &str) -> Option<u32> {
        name.get(self.digits.clone())?.parse().ok()
    }
}

/// The parts of the name of a tensor in a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located<'n> {
    pub list: &'n str,
    pub number: u32,
    pub rest: &'n str,
}

/// Numbers of a name that are looked at. No model nests its modules deeper.
const MOST_NUMBERS: usize = 8;

/// The numbers of `name`, from the outside to the inside, up to a depth that models have.
pub(super) fn numbers(name: &str) -> Vec<Number> {
    let mut found: Vec<Number> = Vec::new();
    let mut start = 0;
    for word in name.split('.') {
        let end = start + word.len();
        if end == name.len() || found.len() == MOST_NUMBERS {
            break;
        }
        if is_number(word) {
            found.push(Number { list: start.saturating_sub(1), digits: start..end, dotted: true });
        } else if let Some((before, _)) = numbered_word(word)
            && !found.iter().any(|number| number.dotted)
            && !before.starts_with("expert")
        {
            let list = start + before.len();
            found.push(Number { list, digits: list + 1..end, dotted: false });
        }
        start = end + 1;
    }
    found
}

/// `name` with `#` for its `numbers`, and `expert_#` for `expert_3`.
pub(super) fn without(name: &str, numbers: &[Number]) -> String {
    let mut text = String::with_capacity(name.len());
    let mut done = 0;
    for Number { digits, .. } in numbers {
        text.push_str(&name[done..digits.start]);
        text.push('#');
        done = digits.end;
    }
    text.push_str(&name[done..]);
    if !text.contains("expert_") && !text.contains("experts_") {
        return text;
    }
    let word = |word: &str| match expert(word) {
        Some(expert) => format!("{expert}_#"),
        None => word.to_owned(),
    };
    text.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// The parts of `name` around a number of it.
pub(super) fn locate<'n>(name: &'n str, number: &Number) -> Option<Located<'n>> {
    let rest = name.get(number.digits.end + 1..)?;
    Some(Located { list: &name[..number.list], number: number.value(name)?, rest })
}

/// True for digits that fit a number of a layer.
pub(super) fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u32>().is_ok()
}

/// `expert` of `expert_3`.
pub(super) fn expert(word: &str) -> Option<&str> {
    numbered_word(word).map(|(before, _)| before).filter(|before| matches!(*before, "expert" | "experts"))
}

/// `encoder_layer_3` as `encoder_layer` and `3`.
fn numbered_word(word: &str) -> Option<(&str, &str)> {
    let (before, digits) = word.rsplit_once('_')?;
    (before.ends_with(|last: char| last.is_alphabetic()) && is_number(digits)).then_some((before, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_elements_of_the_path_or_end_a_word_outside_of_dotted_numbers() {
        for (name, pattern, lists) in [
            (
                "model.layers.3.mlp.experts.17.w1.weight",
                "model.layers.#.mlp.experts.#.w1.weight",
                vec!["model.layers", "model.layers.3.mlp.experts"],
            ),
            ("block.2.4.mlp.weight", "block.#.#.mlp.weight", vec!["block", "block.2"]),
            ("0.weight", "#.weight", vec![""]),
            (
                "encoder.layers.encoder_layer_2.fc.weight",
                "encoder.layers.encoder_layer_#.fc.weight",
                vec!["encoder.layers.encoder_layer"],
            ),
            ("conformer.0.ffw_layer_1.weight", "conformer.#.ffw_layer_1.weight", vec!["conformer"]),
            ("b.0.mlp.experts.expert_3.wi.weight", "b.#.mlp.experts.expert_#.wi.weight", vec!["b"]),
            ("layers.3.weights.5", "layers.#.weights.5", vec!["layers"]),
            ("layers.99999999999.fc.weight", "layers.99999999999.fc.weight", vec![]),
            ("fc1.weight", "fc1.weight", vec![]),
            (
                "0.1.2.3.4.5.6.7.8.9.w",
                "#.#.#.#.#.#.#.#.8.9.w",
                (0..8).map(|depth| &"0.1.2.3.4.5.6"[..(2 * depth).max(1) - 1]).collect(),
            ),
        ] {
            let found = numbers(name);
            let prefixes: Vec<&str> = found.iter().map(|number| &name[..number.list]).collect();
            assert_eq!((without(name, &found).as_str(), prefixes), (pattern, lists), "{name}");
        }
    }
}
