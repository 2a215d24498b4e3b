//! Exports: files with scores and allocations in the formats that other tools read.
//!
//! A [`Target`] is such a format. Tools that prune or attach adapters identify the modules of a model by name, others
//! by position. Every target declares which scores and allocation rules it can express and rejects all others, because
//! a tool that only partly understands a file silently trains something else. Each target is one file;
//! `docs/exports.md` shows how to call the tools, and `tests/consumers` feeds the exports to the real ones.

mod adapters;
mod alphapruning;
mod alphas;
mod axolotl;
mod blocks;
mod llm_compressor;
mod modules;
mod mola;
mod npy;
mod optimizer;
#[cfg(feature = "parquet")]
mod parquet;
mod peft;
mod text;
mod yaml;

use std::fmt;

use alphas::without_alpha;
use modules::nameless;
use text::unwritable;

use crate::allocate::{Allocation, AllocationPlan, Group, Quantity};
use crate::error::{Error, Result};
use crate::message::verbatim;
use crate::rename::Rename;
use crate::report::{Document, Format, Report};

/// A format that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Target {
    /// JSON for `LoraConfig(**...)` of Hugging Face PEFT: r, lora_alpha, target_modules, rank_pattern, alpha_pattern
    /// (ranks)
    Peft,
    /// YAML for a configuration of Axolotl: lora_rank_pattern, lora_alpha_pattern and related keys (ranks)
    Axolotl,
    /// Options for MoLA's command line: --number_experts and --top_k (experts), or --lora_r (ranks)
    Mola,
    /// The alphas as a .npy file for AlphaPruning's --ww_metric_cache; it computes the sparsities itself
    Alphapruning,
    /// YAML recipe for llm-compressor with a list of sparsities (sparsities)
    LlmCompressor,
    /// JSON with parameter groups for a torch optimizer (multipliers of learning rate or weight decay)
    Optimizer,
    /// The table, comma-separated, in full precision
    Csv,
    /// Everything, as written by `htsr score` and `htsr allocate`
    Json,
    /// The table in Markdown
    Md,
    /// The table as a Parquet file, with the provenance in its metadata
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Target {
    /// True for a binary format.
    pub fn is_binary(self) -> bool {
        match self {
            Target::Alphapruning => true,
            #[cfg(feature = "parquet")]
            Target::Parquet => true,
            _ => false,
        }
    }

    /// True for a table, whose rows can be selected.
    pub fn is_table(self) -> bool {
        match self {
            Target::Csv | Target::Json | Target::Md => true,
            #[cfg(feature = "parquet")]
            Target::Parquet => true,
            _ => false,
        }
    }

    /// True for a format that names modules or parameters of a model.
    pub fn names_modules(self) -> bool {
        matches!(self, Target::Peft | Target::Axolotl | Target::LlmCompressor | Target::Optimizer)
    }

    /// The contents of the file. `document` is `report` with the rows of a table; `rename` maps names of modules in the
    /// checkpoint to names in the model.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the allocation rule does not fit the target or the target cannot express a value;
    /// [`Kind::Input`](crate::error::Kind::Input) without a file if the scores lack something that the target needs, such as tensor names.
    pub fn render(self, report: &Report, document: &Document<'_, Report>, rename: &Rename) -> Result<Vec<u8>> {
        let format = |format| document.render(format).map(String::into_bytes).map_err(unwritable);
        match self {
            Target::Peft => peft::render(report, rename),
            Target::Axolotl => axolotl::render(report, rename),
            Target::Mola => mola::render(report),
            Target::Alphapruning => alphapruning::render(report),
            Target::LlmCompressor => llm_compressor::render(report, rename),
            Target::Optimizer => optimizer::render(report, rename),
            Target::Csv => format(Format::Csv),
            Target::Json => format(Format::Json),
            Target::Md => format(Format::Md),
            #[cfg(feature = "parquet")]
            Target::Parquet => parquet::render(&document.table, &report.provenance).map_err(unwritable),
        }
    }

    /// Checks, before an allocation by `plan`, that this target can express it for these scores.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) without a file if a layer has no alpha and the target cannot leave it out.
    pub fn check(self, report: &Report, plan: &AllocationPlan) -> Result<()> {
        if self == Target::Mola { mola::check(report, plan) } else { Ok(()) }
    }

    /// The allocation of `report`, if its quantity is one of `taken`. `remedy` names rules that allocate one to each of
    /// `group`: `§allocate=rank`.
    fn allocation<'a>(
        self,
        report: &'a Report,
        taken: &[Quantity],
        remedy: &str,
        group: Group,
    ) -> Result<&'a Allocation> {
        if self.names_modules() && report.matrices.is_empty() {
            return Err(nameless(self));
        }
        let names: Vec<&str> = taken.iter().map(|quantity| quantity.plural()).collect();
        let names = names.join(" or ");
        let without = without_alpha(report, &AllocationPlan::default().with_group(group)).map(|name| verbatim(&name));
        let hint = match (without, group) {
            (None, _) => format!("add {remedy}, or export a file that §(allocate) wrote with it"),
            (Some(unit), _) if taken.contains(&Quantity::Experts) => {
                format!("{unit} has no alpha; add §allocate=uniform, which needs none")
            }
            (Some(unit), Group::Layer) => format!(
                "{unit} has no alpha; score the model without it (§layers) or with another fit rule (§rule), and add {remedy}"
            ),
            (Some(unit), _) => format!(
                "{unit} has no alpha; score the model without it (§exclude) or with another fit rule (§rule), and add {remedy}"
            ),
        };
        let Some(row) = &report.allocation else {
            let cause = format!("{self} needs {names}, and these scores have no allocation");
            return Err(Error::usage(cause).hint(hint));
        };
        if !taken.contains(&row.allocation.quantity) {
            let (rule, given) = (row.allocation.plan.rule.name(), row.allocation.quantity.plural());
            let cause = format!("{self} needs {names}, and the allocation rule {rule} gives {given}");
            return Err(Error::usage(cause).hint(hint));
        }
        Ok(&row.allocation)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Peft => "peft",
            Target::Axolotl => "axolotl",
            Target::Mola => "mola",
            Target::Alphapruning => "alphapruning",
            Target::LlmCompressor => "llm-compressor",
            Target::Optimizer => "optimizer",
            Target::Csv => "csv",
            Target::Json => "json",
            Target::Md => "md",
            #[cfg(feature = "parquet")]
            Target::Parquet => "parquet",
        })
    }
}
