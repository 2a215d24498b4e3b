//! Stacks that take part in an allocation, and those that are left out.
//!
//! Named stacks take part, and no others. If none is named, every stack takes part, with two exceptions: heads for
//! multi-token prediction, which are no layers of the model that runs; and minor stacks in which a unit has no alpha, because
//! one small head must not take the allocation from the model. The main stack is the one with the most layers, and a stack
//! with as many; all others are minor.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Unit;
use crate::error::{Error, Result};
use crate::matrices::is_mtp;
use crate::message::verbatim;

/// A stack whose units get no number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// Module path above its layers.
    pub stack: String,
    /// The kind of reason.
    pub kind: LeftOutKind,
    /// The reason for people.
    pub reason: String,
}

impl LeftOut {
    /// The stack and the reason in a sentence: ``stack `head`: layer 2 of head has no alpha``.
    pub fn sentence(&self) -> String {
        let LeftOut { stack, reason, .. } = self;
        if stack.is_empty() {
            format!("the stack without a name: {reason}")
        } else {
            format!("stack `{stack}`: {reason}")
        }
    }
}

/// Why a stack is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftOutKind {
    /// Other stacks were named.
    NotNamed,
    /// It predicts tokens beyond the next one, and was not named.
    MultiTokenPrediction,
    /// It is a minor stack, and a unit of it has no alpha.
    NoAlpha,
}

/// The stacks of `layers`, in order, each with its number of different layers.
pub(super) fn depths<'a>(layers: impl IntoIterator<Item = (&'a str, u32)>) -> Vec<(&'a str, usize)> {
    let mut stacks: Vec<(&str, HashSet<u32>)> = Vec::new();
    for (stack, layer) in layers {
        match stacks.iter_mut().find(|(name, _)| *name == stack) {
            Some((_, numbers)) => drop(numbers.insert(layer)),
            None => stacks.push((stack, HashSet::from([layer]))),
        }
    }
    stacks.into_iter().map(|(stack, numbers)| (stack, numbers.len())).collect()
}

/// Whether `stack` takes part if `named` stacks are, or else the reason why not. `all` are the stacks of the model.
pub(super) fn check_named(named: &[String], all: &[&str], stack: &str) -> Result<(), LeftOutKind> {
    if !named.is_empty() {
        return if named.iter().any(|name| name == stack) { Ok(()) } else { Err(LeftOutKind::NotNamed) };
    }
    let has_others = || all.iter().any(|stack| !is_mtp(stack));
    if is_mtp(stack) && has_others() { Err(LeftOutKind::MultiTokenPrediction) } else { Ok(()) }
}

/// Checks that all `named` stacks are among `all`.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage), with a list of the stacks.
pub(super) fn check_known(named: &[String], all: &[&str]) -> Result<()> {
    let Some(unknown) = named.iter().find(|name| !all.contains(&name.as_str())) else { return Ok(()) };
    let list = all.iter().map(|name| format!("`{}`", verbatim(name))).collect::<Vec<_>>().join(", ");
    let error = Error::usage(format!("no layer is in a stack `{}`", verbatim(unknown)));
    Err(error.hint(format!("§stack takes one of {list}")))
}

/// The units of the stacks that take part if `named` stacks are, and the other stacks. Alphas do not matter.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if no unit is in a named stack.
pub(super) fn choose(named: &[String], units: Vec<Unit>) -> Result<(Vec<Unit>, Vec<LeftOut>)> {
    let all = names(&units);
    let borrowed: Vec<&str> = all.iter().map(String::as_str).collect();
    check_known(named, &borrowed)?;
    let left_out = all.iter().filter_map(|stack| {
        let kind = check_named(named, &borrowed, stack).err()?;
        let reason = match kind {
            LeftOutKind::MultiTokenPrediction => "a head for multi-token prediction",
            _ => "not named",
        };
        Some(LeftOut { stack: stack.clone(), kind, reason: reason.to_owned() })
    });
    let left_out: Vec<LeftOut> = left_out.collect();
    Ok((without(units, &left_out), left_out))
}

/// Splits off the minor stacks in which a unit has no alpha. `layers` are those of all stacks.
pub(super) fn drop_unscored<'a>(
    units: Vec<Unit>,
    layers: impl IntoIterator<Item = (&'a str, u32)>,
) -> (Vec<Unit>, Vec<LeftOut>) {
    let present = names(&units);
    let depths: Vec<_> =
        depths(layers).into_iter().filter(|(stack, _)| present.iter().any(|name| name == stack)).collect();
    let most = depths.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
    let is_minor = |stack: &str| depths.iter().any(|(name, depth)| *name == stack && *depth < most);
    let mut left_out: Vec<LeftOut> = Vec::new();
    for unit in units.iter().filter(|unit| unit.alpha.is_none() && is_minor(&unit.stack)) {
        if left_out.iter().all(|left_out| left_out.stack != unit.stack) {
            let reason = format!("{} has no alpha", unit.name());
            left_out.push(LeftOut { stack: unit.stack.clone(), kind: LeftOutKind::NoAlpha, reason });
        }
    }
    (without(units, &left_out), left_out)
}

/// The stacks of `units`, each once, in order.
fn names(units: &[Unit]) -> Vec<String> {
    let mut seen = HashSet::new();
    units.iter().filter(|unit| seen.insert(&unit.stack)).map(|unit| unit.stack.clone()).collect()
}

fn without(units: Vec<Unit>, left_out: &[LeftOut]) -> Vec<Unit> {
    units.into_iter().filter(|unit| left_out.iter().all(|left_out| left_out.stack != unit.stack)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(name: &str, alphas: &[Option<f64>]) -> Vec<Unit> {
        let unit = |(&alpha, layer)| Unit { stack: name.into(), layer: Some(layer), alpha, ..Unit::default() };
        alphas.iter().zip(0..).map(unit).collect()
    }

    fn left_out(units: Vec<Unit>) -> Vec<String> {
        let layers: Vec<(String, u32)> = units.iter().map(|unit| (unit.stack.clone(), unit.layer.unwrap())).collect();
        let (_, left_out) = drop_unscored(units, layers.iter().map(|(stack, layer)| (stack.as_str(), *layer)));
        left_out.into_iter().map(|left_out| left_out.reason).collect()
    }

    #[test]
    fn only_minor_stacks_are_left_out() {
        let full = [Some(2.0); 4];
        let head = || stack("head", &[Some(2.0), None, None]);
        assert_eq!(left_out([head(), stack("model", &full)].concat()), ["layer 1 of head has no alpha"]);
        assert_eq!(
            left_out([stack("a", &full), stack("b", &[Some(2.0), None, Some(2.0), Some(3.0)])].concat()),
            [""; 0]
        );
        assert_eq!(left_out(head()), [""; 0]);
    }

    #[test]
    fn heads_for_multi_token_prediction_take_part_only_if_named_or_alone() {
        let units = [stack("model", &[Some(2.0); 2]), stack("model.mtp", &[Some(3.0)])].concat();
        let stacks = |named: &[&str], units: &[Unit]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            choose(&named, units.to_vec()).map(|(units, _)| names(&units))
        };
        assert_eq!(stacks(&[], &units).unwrap(), ["model"]);
        assert_eq!(stacks(&["model.mtp"], &units).unwrap(), ["model.mtp"]);
        assert_eq!(stacks(&["model.mtp", "model"], &units).unwrap(), ["model", "model.mtp"]);
        assert_eq!(stacks(&[], &stack("mtp", &[Some(2.0)])).unwrap(), ["mtp"]);
        assert_eq!(stacks(&[], &stack("smtp", &[Some(2.0)])).unwrap(), ["smtp"]);
        let error = stacks(&["modle"], &units).unwrap_err();
        assert_eq!(error.to_string(), "no layer is in a stack `modle`");
        assert!(error.hint.unwrap().to_string().contains("`model`, `model.mtp`"));
    }
}
