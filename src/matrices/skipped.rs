//! Tensors that are not scored, with their reasons.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unread::UnreadWeight;

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
    /// The weight in it, if it is one of a layer that would be scored if it could be read.
    #[serde(skip)]
    pub(crate) unread: Option<UnreadWeight>,
}

impl Skipped {
    pub(super) fn new(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { tensor: tensor.to_owned(), reason: reason.into(), unpaired: false, unread: None }
    }

    pub(super) fn unpaired(tensor: &str, reason: impl Into<String>) -> Skipped {
        Skipped { unpaired: true, ..Skipped::new(tensor, reason) }
    }

    /// The same, and the weight that is missing from its layer.
    pub(super) fn with_unread(self, weight: UnreadWeight) -> Skipped {
        Skipped { unread: Some(weight), ..self }
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
