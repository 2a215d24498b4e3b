//! `htsr man`: manual pages, made from the same descriptions as the help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use crate::error::{Error, Result};

use super::ending::Ending;
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
    let man = Man::new(command).source(concat!("htsr ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok(Page { file_name: man.get_filename(), text })
}

fn unwritable(error: io::Error) -> Error {
    Error::usage(format!("the page cannot be written: {error}"))
}
