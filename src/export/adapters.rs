//! LoRA adapters as PEFT is told of them: which modules get one, and patterns that give each its rank and lora_alpha.
//!
//! PEFT tries the keys of a pattern in order and takes the first with `re.match(r"(.*\.)?(KEY)$", name)`, where the name
//! is the module's in the model that is given an adapter, without PEFT's own `base_model.model.` in front (peft 0.21,
//! `get_pattern_key`; the same since 0.15, before which an anchored key matched nothing). A key that is no more than
//! `layers.1.q_proj` could so hit another tower too, and its dots any character. Keys here are full names, escaped and
//! anchored: each matches one module, and their order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Assigned, assigned};
use super::{Rename, Target};
use crate::allocate::{Allocation, Quantity};
use crate::error::{Error, Result};
use crate::report::Report;

/// What a module gets.
pub(super) struct Adapter {
    /// Matches the full name of the module, and no other.
    pub pattern: String,
    pub rank: u32,
    pub lora_alpha: f64,
}

/// All adapters of a model.
pub(super) struct Adapters<'a> {
    pub allocation: &'a Allocation,
    /// The rank that most modules have (the smallest of these), for the field that all others fall back on.
    pub rank: u32,
    /// Its lora_alpha.
    pub lora_alpha: f64,
    /// Names of the modules: their last words, where these name no other module of the checkpoint, else in full.
    pub target_modules: Vec<String>,
    pub adapters: Vec<Adapter>,
}

impl<'a> Adapters<'a> {
    /// The adapters of the ranks that `report` allocates.
    ///
    /// # Errors
    ///
    /// As [`Target::allocation`] and [`assigned`], and if a matrix is not the weight of a module.
    pub fn new(report: &'a Report, target: Target, rename: &Rename) -> Result<Adapters<'a>> {
        let allocation = target.allocation(report, &[Quantity::Rank], "--rule rank")?;
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
        let target_modules = target_modules(&modules, report);
        Ok(Adapters { allocation, rank, lora_alpha, target_modules, adapters })
    }
}

/// Rank and lora_alpha; PEFT refuses a rank of 0.
fn numbers(item: &Assigned<'_>, target: Target) -> Result<(u32, f64)> {
    let rank = item.row.value.real();
    match item.row.lora_alpha {
        Some(lora_alpha) if rank >= 1.0 => Ok((rank as u32, lora_alpha)),
        _ => {
            let cause = format!("{target} takes a rank of at least 1 with its lora_alpha, and the rank is {rank}");
            Err(Error::usage(cause).tensor(&item.matrix.tensor).hint("allocate anew with --rule rank"))
        }
    }
}

/// The most frequent rank, of several the smallest, with its lora_alpha.
fn usual(adapters: &[Adapter]) -> (u32, f64) {
    let mut counts: BTreeMap<u32, (usize, f64)> = BTreeMap::new();
    for adapter in adapters {
        counts.entry(adapter.rank).or_insert((0, adapter.lora_alpha)).0 += 1;
    }
    let most = counts.iter().rev().max_by_key(|(_, (count, _))| *count);
    most.map_or((0, 0.0), |(rank, (_, lora_alpha))| (*rank, *lora_alpha))
}

/// PEFT takes a module whose name is in the list, or ends with a dot and a name in the list.
fn target_modules(modules: &[&str], report: &Report) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let short: BTreeSet<String> = modules.iter().map(|module| last(module)).collect();
    let others = report.skipped.iter().filter_map(|skipped| skipped.tensor.strip_suffix(".weight"));
    if others.map(last).any(|other| short.contains(&other)) {
        return modules.iter().map(|module| (*module).to_owned()).collect();
    }
    short.into_iter().collect()
}
