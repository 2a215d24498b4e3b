//! Axolotl: a YAML fragment with PEFT's patterns for its configuration.
//!
//! The keys are those of axolotl 0.19 (`LoraConfig` in `axolotl.utils.schemas.peft`), which passes the patterns to PEFT
//! and accepts only positive whole numbers.

use std::fmt::Write;

use super::adapters::Adapters;
use super::text::origin;
use super::{Target, peft, yaml};
use crate::error::{Error, Result};
use crate::rename::Rename;
use crate::report::Report;

pub(super) fn render(report: &Report, rename: &Rename) -> Result<Vec<u8>> {
    let Adapters { allocation, rank, lora_alpha, target_modules, adapters } =
        Adapters::new(report, Target::Axolotl, rename)?;
    let whole = |lora_alpha: f64| {
        peft::whole(lora_alpha).ok_or_else(|| {
            let cause = format!("axolotl needs whole numbers for lora_alpha, and one is {lora_alpha}");
            Error::usage(cause).hint("allocate with a whole number for §lora-scaling, or with one §lora-alpha for all")
        })
    };
    let mut alphas = String::new();
    let mut ranks = String::new();
    for adapter in &adapters {
        let key = yaml::string(&adapter.pattern);
        // Writing to a string cannot fail.
        let _ = writeln!(ranks, "  {key}: {}", adapter.rank);
        let _ = writeln!(alphas, "  {key}: {}", whole(adapter.lora_alpha)?);
    }
    let modules = yaml::list(2, target_modules.iter().map(|module| yaml::string(module)));
    let text = format!(
        "# {}\nadapter: lora\nlora_r: {rank}\nlora_alpha: {}\nlora_target_modules:\n{modules}lora_rank_pattern:\n{ranks}lora_alpha_pattern:\n{alphas}",
        origin(&report.provenance, allocation),
        whole(lora_alpha)?,
    );
    Ok(text.into_bytes())
}
