//! `htsr completions`: what a shell needs to complete commands and options.

use clap::Command;
use clap_complete::Shell;

use crate::error::Result;

use super::ending::Ending;
use super::help;
use super::output::Destination;
use super::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the completion script of `command`.
pub fn run(args: &CompletionsArgs, command: Command, printer: &Printer) -> Result<Ending> {
    let mut command = help::with_values(command);
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    Destination::new(None)?.write(&script, printer)?;
    Ok(Ending::Complete)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use crate::cli::usage;

    /// Every description that a completion script contains.
    fn descriptions(command: &Command) -> Vec<String> {
        let of_arg = |arg: &clap::Arg| {
            let values = arg.get_possible_values().into_iter().filter_map(|value| value.get_help().cloned());
            arg.get_help().cloned().into_iter().chain(values).map(|help| help.to_string()).collect::<Vec<_>>()
        };
        let own =
            command.get_about().map(ToString::to_string).into_iter().chain(command.get_arguments().flat_map(of_arg));
        own.chain(command.get_subcommands().flat_map(descriptions)).collect()
    }

    /// The scripts for zsh and fish put descriptions of values in double quotes and do not escape such quotes in them.
    #[test]
    fn no_description_contains_double_quotes() {
        let all = descriptions(&usage::command());
        assert!(all.len() > 100);
        let quoted: Vec<&String> = all.iter().filter(|text| text.contains('"')).collect();
        assert!(quoted.is_empty(), "{quoted:?}");
    }
}
