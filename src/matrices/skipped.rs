//! Tensors that are not scored, with their reasons.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A tensor that is not scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Full name.
    pub tensor: String,
    /// Why, as a phrase.
    pub reason: String,
    /// True if only a partner is missing: the tensor of the same name in the other checkpoint, the other factor of an update, or
    /// the scale factors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpaired: bool,
}

impl Skipped {
    pub(super) fn new(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { tensor: tensor.to_owned(), reason: reason.into(), unpaired: false }
    }

    pub(super) fn unpaired(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { unpaired: true, ..Skipped::new(tensor, reason) }
    }
}

/// Counts skipped tensors by reason, the most frequent first: `49 bias, 12 normalization`.
pub fn summarize(skipped: &[Skipped]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for Skipped { reason, .. } in skipped {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| Reverse(count));
    counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}
