//! `htsr completions`: what a shell needs to complete commands and options.

use clap::Command;
use clap_complete::Shell;

use crate::error::Result;

use super::ending::Ending;
use super::output::Destination;
use super::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the completion script of `command`.
pub fn run(args: &CompletionsArgs, mut command: Command, printer: &Printer) -> Result<Ending> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    Destination::new(None)?.write(&script, printer)?;
    Ok(Ending::Complete)
}
