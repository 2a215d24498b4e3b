//! When help, messages and hints are colored. Results never are.

use std::ffi::OsString;

use anstream::ColorChoice;
use clap::ValueEnum;

/// When to use colors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal; NO_COLOR, CLICOLOR and CLICOLOR_FORCE override that
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl ColorWhen {
    /// Finds `--color` among `arguments`, for the errors and the help that parsing them prints. A value that does not exist
    /// is left to the parser.
    pub fn of_arguments(arguments: impl Iterator<Item = OsString>) -> ColorWhen {
        let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy();
            let value = match argument.strip_prefix("--color=") {
                Some(value) => value.to_owned(),
                None if argument == "--color" => arguments.next().unwrap_or_default().to_string_lossy().into_owned(),
                None => continue,
            };
            return ColorWhen::from_str(&value, false).unwrap_or_default();
        }
        ColorWhen::Auto
    }

    /// Makes all later output follow this choice.
    pub fn apply(self) {
        let choice = match self {
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Always => ColorChoice::Always,
            ColorWhen::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_found_before_the_arguments_are_parsed() {
        let of = |text: &str| ColorWhen::of_arguments(text.split(' ').map(OsString::from));
        assert_eq!(of("htsr score --color always m"), ColorWhen::Always);
        assert_eq!(of("htsr --color=never score"), ColorWhen::Never);
        for text in ["htsr score", "htsr --color", "htsr --color=sometimes", "htsr score -- --color=always"] {
            assert_eq!(of(text), ColorWhen::Auto, "{text}");
        }
    }
}
