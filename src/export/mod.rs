//! Files that other tools take as they are: scores and allocations in the form that each tool reads.
//!
//! A [`Target`] is such a form. Tools that prune or attach adapters know the modules of a model by name, others by their
//! place; every target says which scores and which rules of allocation it can express, and refuses the others, because a
//! tool that gets a file it half understands trains something else without a word. Each target is a file;
//! `docs/exports.md` shows how the tools are called, and `tests/consumers` feeds the real ones.

mod adapters;
mod alphapruning;
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
mod rename;
mod yaml;

use std::fmt;

pub use rename::Rename;

use crate::allocate::{Allocation, Quantity};
use crate::error::{Error, Kind, Result};
use crate::report::{Document, Format, Provenance, Report};

/// A form that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Target {
    /// JSON for `LoraConfig(**...)` of Hugging Face PEFT: r, lora_alpha, target_modules, rank_pattern, alpha_pattern (ranks)
    Peft,
    /// YAML for a configuration of Axolotl: lora_rank_pattern, lora_alpha_pattern and their kind (ranks)
    Axolotl,
    /// Options for MoLA's command line: --number_experts and --top_k (experts), or --lora_r (ranks)
    Mola,
    /// The alphas as a .npy for --ww_metric_cache of AlphaPruning, which makes sparsities of them itself
    Alphapruning,
    /// YAML, a recipe of llm-compressor with a list of sparsities (sparsities)
    LlmCompressor,
    /// JSON with parameter groups for an optimizer of torch (multipliers of learning rate or weight decay)
    Optimizer,
    /// The table, comma-separated, in full precision
    Csv,
    /// Everything, as `htsr score` and `htsr allocate` write it
    Json,
    /// The table in Markdown
    Md,
    /// The table as a Parquet file, with the provenance in its metadata
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Target {
    /// True if it is no text.
    pub fn is_binary(self) -> bool {
        match self {
            Target::Alphapruning => true,
            #[cfg(feature = "parquet")]
            Target::Parquet => true,
            _ => false,
        }
    }

    /// True if it is a table, with rows to choose.
    pub fn is_table(self) -> bool {
        match self {
            Target::Csv | Target::Json | Target::Md => true,
            #[cfg(feature = "parquet")]
            Target::Parquet => true,
            _ => false,
        }
    }

    /// True if it names modules or parameters of a model.
    pub fn names_modules(self) -> bool {
        matches!(self, Target::Peft | Target::Axolotl | Target::LlmCompressor | Target::Optimizer)
    }

    /// The contents of the file; `document` is `report` with the rows of a table, and `rename` says how modules of the model
    /// are named other than in the checkpoint.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] if the rule of allocation does not fit the target, or a value cannot be expressed in it;
    /// [`Kind::Input`] without a file if the scores lack what the target needs, as the names of tensors.
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

    /// The allocation of `report`, if it gives out what the target takes; `remedy` names rules that do: `--rule rank`.
    fn allocation<'a>(self, report: &'a Report, taken: &[Quantity], remedy: &str) -> Result<&'a Allocation> {
        let names: Vec<&str> = taken.iter().map(|quantity| quantity.plural()).collect();
        let names = names.join(" or ");
        let hint = format!("add {remedy}, or export what `htsr allocate` made with it");
        let Some(row) = &report.allocation else {
            let cause = format!("{self} takes {names}, and these are scores without an allocation");
            return Err(Error::usage(cause).hint(hint));
        };
        if !taken.contains(&row.allocation.quantity) {
            let (rule, given) = (row.allocation.plan.rule.name(), row.allocation.quantity.plural());
            let cause = format!("{self} takes {names}, and the allocation rule {rule} gives {given}");
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

/// The scores lack what the target needs; whoever knows the file names it.
fn unusable(cause: impl Into<String>) -> Error {
    Error { kind: Kind::Input, ..Error::usage(cause) }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::usage(format!("the export cannot be written: {error}"))
}

/// `value` as indented JSON.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| unwritable(error.into()))?;
    Ok([text, b"\n".to_vec()].concat())
}

/// Where an export comes from, in a line, for formats with comments.
fn origin(provenance: &Provenance, allocation: &Allocation) -> String {
    let Provenance { version, commit, input, .. } = provenance;
    format!("{} {} from {:?} by htsr {version} ({commit})", allocation.quantity, allocation.plan.rule, input.path)
}
