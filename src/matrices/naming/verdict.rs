//! What the names of one pattern mean: a matrix of a layer, a tensor outside of the layers, or one that is no projection matrix.

use std::collections::HashSet;

use super::super::{families, skip};
use super::layers;
use super::lists::{ListId, Lists, Pattern};
use super::named::{Context, Named, Reading};
use super::numbers::{self, Located, locate};

/// What a tensor is, by the pattern of its name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// Not a projection matrix, with the reason.
    Skipped(&'static str),
    Outside,
    /// In a layer.
    Placed {
        /// The index of the number that is the layer's.
        number: usize,
        list: ListId,
        reading: Reading,
    },
}

/// The verdict about each pattern of these tensors.
pub(super) fn verdicts(lists: &Lists, tensors: &[Named], context: Context) -> Vec<Verdict> {
    let positions = layers::positions(lists, context.partial);
    let judge = Judge { lists, context, experts: parents_of_experts(lists) };
    let verdict = |(pattern, position): (&Pattern, Option<usize>)| {
        let tensor = &tensors[pattern.example];
        let numbers = &lists.tensors[pattern.example].1;
        match position.and_then(|at| Some((at, locate(tensor.name, &numbers[at])?))) {
            Some((at, located)) => judge.of(tensor, pattern, at, &located),
            None => skip::outside(tensor.name, tensor.shape.len()).map_or(Verdict::Outside, Verdict::Skipped),
        }
    };
    lists.patterns.iter().zip(positions).map(verdict).collect()
}

struct Judge<'a> {
    lists: &'a Lists<'a>,
    context: Context<'a>,
    /// The paths of modules that contain experts.
    experts: HashSet<&'a str>,
}

impl Judge<'_> {
    /// The verdict about a tensor of a layer.
    fn of(&self, tensor: &Named, pattern: &Pattern, number: usize, located: &Located) -> Verdict {
        let list = pattern.lists[number];
        match (self.in_layer(tensor, pattern, list, located), self.reading(tensor, pattern, located)) {
            (Some(reason), _) => Verdict::Skipped(reason),
            (None, Some(reading)) => Verdict::Placed { number, list, reading },
            (None, None) => Verdict::Skipped(skip::EXPERTS_IN_ROWS),
        }
    }

    /// Why a tensor of a layer is no projection matrix.
    fn in_layer(&self, tensor: &Named, pattern: &Pattern, list: ListId, located: &Located) -> Option<&'static str> {
        let list = &self.lists.lists[list];
        if families::role(located.list, located.rest).is_some() && tensor.shape.len() == 2 {
            return None;
        }
        if families::stacked_role(located.list, located.rest).is_some() && tensor.shape.len() == 3 {
            return None;
        }
        let reason = skip::by_container(list.word());
        if reason.is_some() {
            return reason;
        }
        if list.is_bare(&self.lists.patterns) {
            return skip::outside(tensor.name, tensor.shape.len()).filter(|reason| *reason != skip::ONE_DIMENSIONAL);
        }
        if !located.rest.ends_with(".weight") && tensor.shape.len() == 2 && pattern.narrow {
            return Some(skip::ONE_DIMENSIONAL);
        }
        let reason = skip::in_layer(located.rest, tensor.shape.len());
        reason.or_else(|| self.is_router(&pattern.path).then_some(skip::ROUTER))
    }

    /// True for a gate beside experts, and for what is in it.
    fn is_router(&self, path: &str) -> bool {
        let ends = path.match_indices('.').map(|(dot, _)| dot);
        let mut start = 0;
        for end in ends {
            if matches!(&path[start..end], "gate" | "wg" | "gating")
                && start > 0
                && self.experts.contains(&path[..start - 1])
            {
                return true;
            }
            start = end + 1;
        }
        false
    }

    /// How the matrices of a tensor lie in it; `None` if that is not known.
    fn reading(&self, tensor: &Named, pattern: &Pattern, located: &Located) -> Option<Reading> {
        match *tensor.shape {
            [_, _, _] if families::is_flat(located.list, located.rest) => Some(Reading::Flat),
            [_, _, _] if families::stacked_role(located.list, located.rest).is_some() => Some(Reading::Slices),
            [_, _, _] if holds_experts(located.rest) => Some(Reading::Slices),
            [_, _] if families::experts_in_rows(located.rest) => {
                let experts =
                    self.context.config.get("ffn_config").and_then(|ffn| ffn.get("moe_num_experts")?.as_u64());
                experts.filter(|&experts| experts > 0 && pattern.rows.is_multiple_of(experts)).map(Reading::Rows)
            }
            _ => Some(Reading::Whole),
        }
    }
}

/// True if a three-dimensional tensor at this path of a layer has one matrix for each expert. Other three-dimensional tensors are
/// kernels of convolutions.
fn holds_experts(rest: &str) -> bool {
    let mut words = rest.split('.');
    let experts = words.any(|word| word.contains("expert") || matches!(word, "moe" | "block_sparse_moe"));
    experts && !words.any(numbers::is_number)
}

/// The paths of modules with a child that is named after experts.
fn parents_of_experts<'a>(lists: &'a Lists) -> HashSet<&'a str> {
    let mut parents = HashSet::new();
    for pattern in &lists.patterns {
        let mut start = 0;
        for word in pattern.path.split('.') {
            if word.contains("expert") {
                parents.insert(pattern.path[..start].trim_end_matches('.'));
            }
            start += word.len() + 1;
        }
    }
    parents
}
