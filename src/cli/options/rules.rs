//! The two kinds of rules: `--rule` chooses how alphas are fitted, `--allocate` what they are turned into.
//!
//! Each option points at the other where it gets a rule of the other kind.

use std::ffi::OsStr;
use std::fmt;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};

use crate::fit::Rule;

/// The allocation rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AllocationChoice {
    /// LoRA experts in proportion to alpha^beta (arXiv 2410.10054)
    #[default]
    Alphalora,
    /// The same number of experts everywhere
    Uniform,
    /// MoLA's fixed numbers of experts for each quarter of the layers (arXiv 2402.08562)
    Mola,
    /// LoRA ranks in proportion to alpha^beta, within a budget of trainable parameters
    Rank,
    /// A sparsity for each layer (arXiv 2410.10912)
    Alphapruning,
    /// Multipliers of the learning rate (arXiv 2312.00359)
    Tempbalance,
    /// Multipliers of the weight decay (arXiv 2506.14562)
    Alphadecay,
}

impl AllocationChoice {
    /// The option that chooses it, with the other options that it needs.
    fn option(self) -> String {
        let needed = if self == AllocationChoice::Alphapruning { " --sparsity 0.7" } else { "" };
        format!("--allocate {self}{needed}")
    }
}

impl fmt::Display for AllocationChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// Parses a fit rule.
#[derive(Clone)]
pub struct FitRuleParser;

impl TypedValueParser for FitRuleParser {
    type Value = Rule;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Rule, clap::Error> {
        parse_unless(command, arg, value, |allocation: AllocationChoice| {
            let option = allocation.option();
            let hint = match has_option(command, "allocate") {
                true => format!("use {option}"),
                false => format!("`htsr score PATH {option}` scores a model and allocates by it"),
            };
            (format!("`{allocation}` is an allocation rule; a fit rule is expected here"), hint)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Rule::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

/// Parses an allocation rule.
#[derive(Clone)]
pub struct AllocationRuleParser;

impl TypedValueParser for AllocationRuleParser {
    type Value = AllocationChoice;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Self::Value, clap::Error> {
        parse_unless(command, arg, value, |rule: Rule| {
            let hint = match has_option(command, "rule") {
                true => format!("use --rule {rule}"),
                false => format!("`htsr score PATH --rule {rule} -o scores.json` fits a model by it"),
            };
            (format!("`{rule}` is a fit rule; an allocation rule is expected here"), hint)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(AllocationChoice::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

/// Parses a `T`. If the value is an `Other`, `explain` makes the message and the hint.
fn parse_unless<T: ValueEnum + Send + Sync + 'static, Other: ValueEnum>(
    command: &Command,
    arg: Option<&Arg>,
    value: &OsStr,
    explain: impl FnOnce(Other) -> (String, String),
) -> Result<T, clap::Error> {
    let text = value.to_str().unwrap_or_default();
    match (T::from_str(text, false), Other::from_str(text, false)) {
        (Err(_), Ok(other)) => {
            let (cause, hint) = explain(other);
            Err(clap::Error::raw(ErrorKind::InvalidValue, format!("{cause}\n\nhint: {hint}\n")).with_cmd(command))
        }
        _ => EnumValueParser::new().parse_ref(command, arg, value),
    }
}

fn has_option(command: &Command, long: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(long))
}
