//! The values of an option, listed from their definitions.

use clap::ValueEnum;

use crate::cli::definitions::{self, definitions};

/// What separates the list of values from the text in front of it, in the long help of an option.
pub const START_OF_LIST: &str = "\n\n  ";

/// Columns in front of the long help of an option.
const INDENT: usize = 10;

/// What each value of `T` means, in lines of at most `width` columns.
pub fn list<T: ValueEnum>(width: usize) -> String {
    let values: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
    let meaning = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
    definitions(values.iter().map(|value| (value.get_name(), meaning(value))), width)
}

/// `text` with what each value of `T` means, for `--help`.
pub fn explain<T: ValueEnum>(text: &str) -> String {
    let list = list::<T>(definitions::width().saturating_sub(INDENT));
    format!("{text}{START_OF_LIST}{}", list.trim())
}
