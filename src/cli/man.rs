//! `htsr man`: manual pages, made from the same descriptions as the help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_mangen::Man;

use crate::error::{Error, Result};

use super::ending::Ending;
use super::help;
use super::options::choices;
use super::output::{self, Destination};
use super::printer::Printer;
use super::words::count;

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write the pages of htsr and of each command into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A manual page.
struct Page {
    file_name: String,
    text: Vec<u8>,
}

/// Prints the page htsr(1), or writes the pages of all commands into a folder.
pub fn run(args: &ManArgs, mut command: Command, printer: &Printer) -> Result<Ending> {
    // Subcommands get their full names and the global options.
    command.build();
    match &args.dir {
        None => Destination::new(None)?.write(&page(command).map_err(unwritable)?.text, printer)?,
        Some(folder) => write_all(command, folder, printer)?,
    }
    Ok(Ending::Complete)
}

fn write_all(command: Command, folder: &Path, printer: &Printer) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let error = Error::usage(format!("cannot be created: {error}")).file(folder);
        error.hint("--dir takes a folder for the pages")
    })?;
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
    let pages = subcommands.len() + 1;
    for command in std::iter::once(command).chain(subcommands) {
        let Page { file_name, text } = page(command).map_err(unwritable)?;
        output::write_file(&folder.join(file_name), &text)?;
    }
    printer.note(&format!("wrote {} in {}", count(pages, "page", "pages"), folder.display()));
    Ok(())
}

fn page(command: Command) -> io::Result<Page> {
    let is_whole = command.has_subcommands();
    let man = Man::new(for_manual(command)).source(concat!("htsr ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if is_whole {
        man.render_subcommands_section(&mut text)?;
        text.extend(section("TOPICS", &help::topics()).bytes());
        text.extend(section("EXIT STATUS", &help::list_of_exit_codes()).bytes());
    } else {
        text.extend(b".SH \"SEE ALSO\"\n\\fBhtsr\\fR(1), \\fBhtsr\\-help\\fR(1)\n");
    }
    Ok(Page { file_name: man.get_filename(), text })
}

/// A section whose lines stay as they are.
fn section(heading: &str, lines: &str) -> String {
    let lines = lines.replace('\\', "\\e").replace('-', "\\-");
    format!(".SH \"{heading}\"\n.nf\n{}\n.fi\n", lines.trim_end())
}

/// `command` with descriptions that suit a page.
fn for_manual(mut command: Command) -> Command {
    // Otherwise, the synopsis lists all options, without their values.
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let command = command.override_usage(usage).mut_args(option_for_manual);
    match command.has_subcommands() {
        true => command.about("fit the heavy tails of a checkpoint's spectra, and allocate LoRA experts to its layers"),
        false => command,
    }
}

/// Pages leave out the description of an option that `-h` hides, and join the lines of a list of values.
fn option_for_manual(option: Arg) -> Arg {
    let option = option.hide_short_help(false);
    let help = option.get_long_help().map(ToString::to_string).unwrap_or_default();
    match help.split_once(choices::START_OF_LIST) {
        Some((text, _)) => option.long_help(text.to_owned()).hide_possible_values(false),
        None => option,
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::usage(format!("the page cannot be written: {error}"))
}
