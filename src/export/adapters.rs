//! LoRA adapters for PEFT: which modules get one, and the patterns that set each module's rank and lora_alpha.
//!
//! PEFT tries the keys of a pattern in order and takes the first for which `re.match(r"(.*\.)?(KEY)$", name)` succeeds.
//! `name` is the module's name in the model that receives the adapter, without PEFT's `base_model.model.` prefix (peft
//! 0.21, `get_pattern_key`; the same since 0.15; in earlier versions an anchored key matched nothing). A short key such
//! as `layers.1.q_proj` could also match a module of another tower, and its dots any character. So the keys here are
//! full names, escaped and anchored: each matches exactly one module, and their order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use super::Target;
use super::modules::{Assigned, assigned, unassigned, unwrapped};
use crate::allocate::{Allocation, Group, Quantity};
use crate::error::{Error, Result};
use crate::rename::Rename;
use crate::report::Report;

/// The adapter of one module.
pub(super) struct Adapter {
    /// A pattern that matches the full name of this module and no other.
    pub pattern: String,
    pub rank: u32,
    pub lora_alpha: f64,
}

/// All adapters of a model.
pub(super) struct Adapters<'a> {
    pub allocation: &'a Allocation,
    /// The most frequent rank (the smallest of several): the default for all modules without a pattern.
    pub rank: u32,
    /// The lora_alpha of that rank.
    pub lora_alpha: f64,
    /// Names of the modules: the last component if it names no other module of the checkpoint, otherwise the full name.
    pub target_modules: Vec<String>,
    pub adapters: Vec<Adapter>,
}

impl<'a> Adapters<'a> {
    /// The adapters for the ranks that `report` allocates.
    ///
    /// # Errors
    ///
    /// Those of [`Target::allocation`] and [`assigned`]; [`Kind::Usage`](crate::error::Kind::Usage) if a matrix is not
    /// the weight of a module.
    pub fn new(report: &'a Report, target: Target, rename: &Rename) -> Result<Adapters<'a>> {
        let allocation = target.allocation(report, &[Quantity::Rank], "§allocate=rank", Group::Layer)?;
        let assigned = assigned(report, allocation, target, rename)?;
        let mut modules = Vec::with_capacity(assigned.len());
        let mut adapters = Vec::with_capacity(assigned.len());
        for item in &assigned {
            let module = item.module(target)?;
            let (rank, lora_alpha) = numbers(item, target)?;
            modules.push(module);
            adapters.push(Adapter { pattern: format!("^{}", regex::escape(module)), rank, lora_alpha });
        }
        let (rank, lora_alpha) = usual(&adapters);
        let others = unassigned(report, allocation).map(|(tensor, _)| tensor);
        let target_modules = target_modules(&modules, others);
        Ok(Adapters { allocation, rank, lora_alpha, target_modules, adapters })
    }
}

/// Rank and lora_alpha; PEFT rejects a rank of 0.
fn numbers(item: &Assigned<'_>, target: Target) -> Result<(u32, f64)> {
    let rank = item.row.value.real();
    match item.row.lora_alpha {
        Some(lora_alpha) if rank >= 1.0 => Ok((rank as u32, lora_alpha)),
        _ => {
            let cause = format!("{target} needs ranks of at least 1 with a lora_alpha, and this rank is {rank}");
            Err(Error::usage(cause).tensor(&item.matrix.tensor).hint("allocate again with §allocate=rank"))
        }
    }
}

/// The most frequent rank (the smallest of several) with its lora_alpha.
fn usual(adapters: &[Adapter]) -> (u32, f64) {
    let mut counts: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for adapter in adapters {
        counts.entry(adapter.rank).or_insert((0, adapter.lora_alpha)).0 += 1;
    }
    let most = counts.iter().rev().max_by_key(|(_, (count, _))| *count);
    most.map_or((0, 0.0), |(rank, (_, lora_alpha))| (*rank, *lora_alpha))
}

/// PEFT matches a module whose name is in the list, or ends with a dot and a name in the list.
fn target_modules<'a>(modules: &[&str], others: impl Iterator<Item = &'a str>) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let short: BTreeSet<String> = modules.iter().map(|module| last(module)).collect();
    let other = |tensor| Some(last(unwrapped(tensor).strip_suffix(".weight")?));
    if others.filter_map(other).any(|other| short.contains(&other)) {
        return modules.iter().map(|module| (*module).to_owned()).collect();
    }
    short.into_iter().collect()
}
