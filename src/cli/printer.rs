//! The only writer to the standard streams: results go to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use crate::cli::command_line::CommandLine;
use crate::error::{Error, printable};
use crate::matrices::Skipped;
use anstyle::{AnsiColor, Style};

#[derive(Debug, clap::Args)]
pub struct Verbosity {
    /// Print only errors and warnings to stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print each scored matrix and skipped tensor to stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Prints results and messages. Messages are colored by [`ColorWhen`](super::color::ColorWhen), results never.
#[derive(Debug, Clone)]
pub struct Printer {
    quiet: bool,
    verbose: bool,
}

impl Printer {
    pub fn new(verbosity: &Verbosity) -> Printer {
        Printer { quiet: verbosity.quiet, verbose: verbosity.verbose }
    }

    /// True if details were requested.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// True if a progress bar would be seen.
    pub fn shows_bar(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// True if lines of progress are printed in place of a bar.
    pub fn shows_progress_lines(&self) -> bool {
        !self.quiet && !io::stderr().is_terminal()
    }

    /// Writes results.
    ///
    /// It is not an error if the reader closes the pipe early (`| head`).
    pub fn results(&self, results: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(results).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    /// The width for tables on stdout: that of the terminal. `None` in a pipe: there is no limit.
    pub fn width(&self) -> Option<usize> {
        let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        terminal.filter(|&columns| columns > 0)
    }

    /// The width for drawings on stdout, and whether they may go beyond ASCII: on a terminal with a UTF-8 locale.
    pub fn drawing(&self) -> (usize, bool) {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
        let utf8 =
            locale.is_some_and(|locale| locale.to_string_lossy().to_lowercase().replace('-', "").contains("utf8"));
        (self.width().unwrap_or(80), io::stdout().is_terminal() && (utf8 || cfg!(windows)))
    }

    /// Prints the error that ends the command.
    pub fn error(&self, error: &Error) {
        self.message(ERROR, "error", &error.in_style(&CommandLine), hint_of(error).as_deref());
    }

    /// Prints what the user should know before using the results.
    pub fn warning(&self, text: &str, hint: Option<&str>) {
        self.message(WARNING, "warning", text, hint);
    }

    /// Prints errors as warnings. Neighbors with the same hint share it.
    pub fn warnings(&self, errors: &[Error]) {
        for group in errors.chunk_by(|a, b| a.hint == b.hint) {
            for (index, error) in group.iter().enumerate() {
                let hint = hint_of(error).filter(|_| index + 1 == group.len());
                self.warning(&error.in_style(&CommandLine), hint.as_deref());
            }
        }
    }

    /// Prints a message, unless `--quiet` is given.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&printable(text));
        }
    }

    /// Prints a message with `--verbose` only.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.line(&printable(text));
        }
    }

    /// Lists the tensors that are not scored, with `--verbose` only.
    pub fn skipped(&self, skipped: &[Skipped]) {
        for Skipped { tensor, reason, .. } in skipped {
            self.detail(&format!("skipped {tensor}: {reason}"));
        }
    }

    fn message(&self, style: Style, label: &str, text: &str, hint: Option<&str>) {
        self.line(&format!("{style}{label}:{style:#} {}", printable(text)));
        if let Some(hint) = hint {
            self.line(&format!("\n{HINT}hint:{HINT:#} {}\n", printable(hint)));
        }
    }

    fn line(&self, text: &str) {
        // An error of stderr cannot be reported anywhere.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

fn hint_of(error: &Error) -> Option<String> {
    error.hint.as_ref().map(|hint| hint.in_style(&CommandLine))
}
