//! Parsing the command line, with the parser's messages corrected where their advice cannot work.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::args::Args;

/// The complete command line.
pub fn command() -> Command {
    // `--experts -5` is a wrong number, not an unknown option `-5`.
    let accept_negative = |arg: Arg| match arg.get_long().is_some() && arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    Args::command().mut_subcommands(|subcommand| subcommand.mut_args(accept_negative))
}

/// Parses the arguments of this process. If they are wrong or ask for help, prints that and ends the process.
pub fn parse() -> Args {
    let mut command = command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    match parsed.and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => correct(error, &command).exit(),
    }
}

/// Takes out tips that do not work, and says which commands have an unknown option.
fn correct(mut error: Error, command: &Command) -> Error {
    let mut tips: Vec<StyledStr> = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    // `-- --option` makes a file name of the option. No user wants that, and most commands have no place for it.
    tips.retain(|tip| !tip.to_string().contains("as a value, use"));
    if tips.is_empty()
        && error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
    {
        tips.extend(commands_with(option, command));
    }
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// Names the commands that have `option`, if there are any.
fn commands_with(option: &str, command: &Command) -> Option<StyledStr> {
    let long = option.strip_prefix("--")?;
    let has = |subcommand: &&Command| {
        let mut options = subcommand.get_arguments().filter(|arg| !arg.is_global_set());
        options.any(|arg| arg.get_long() == Some(long))
    };
    let names: Vec<String> =
        command.get_subcommands().filter(has).map(|command| format!("'htsr {}'", command.get_name())).collect();
    let (last, rest) = names.split_last()?;
    let names = if rest.is_empty() { last.clone() } else { format!("{} and {last}", rest.join(", ")) };
    Some(format!("'{option}' is an option of {names}").into())
}
