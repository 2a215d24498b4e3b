//! The values of an option, listed from their definitions.

use clap::ValueEnum;

/// What each value of `T` means: a line for each, indented and aligned.
pub fn list<T: ValueEnum>() -> String {
    let values: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
    let width = values.iter().map(|value| value.get_name().len()).max().unwrap_or(0);
    let line = |value: &clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        format!("  {:width$}  {help}", value.get_name())
    };
    values.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `text` with what each value of `T` means, for `--help`.
pub fn explain<T: ValueEnum>(text: &str) -> String {
    format!("{text}\n\n{}", list::<T>())
}
