//! Where results go: to stdout, or to a file that appears complete or not at all.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::message::Message;
use crate::report::Document;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::command_line::CommandLine;
use super::format::{OutputFormat, format_of};
use super::interrupt;
use super::printer::Printer;
use super::table;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// table, json, csv or md
    ///
    /// [default: by the extension of --output, or table]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub format: Option<OutputFormat>,
    /// Write the results to this file
    ///
    /// The file appears complete or not at all. `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl OutputArgs {
    /// The file for the results; `None` for stdout.
    pub fn file(&self) -> Option<PathBuf> {
        self.output.clone().filter(|file| !is_stdout(file))
    }
}

/// True for `-`, which is stdout as in other tools. `./-` is a file of that name.
pub fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

/// What a file of the checkpoint is, for [`Output::refuse_overwrite`].
pub const CHECKPOINT: &str = "belongs to the checkpoint";
/// What a file of saved scores is, for [`Output::refuse_overwrite`].
pub const SCORES: &str = "contains the scores to read";

/// The format and the destination of results.
pub struct Output {
    format: OutputFormat,
    destination: Destination,
}

impl Output {
    /// Determines the format and the destination.
    ///
    /// # Errors
    ///
    /// If the format is unknown, or as [`Destination::new`].
    pub fn new(args: OutputArgs) -> Result<Output> {
        Output::among(args, &[])
    }

    /// As [`Output::new`], for a command that also supports files with the extensions `others`.
    pub fn among(args: OutputArgs, others: &[&'static str]) -> Result<Output> {
        let file = args.file();
        let format = match (args.format, &file) {
            (Some(format), _) => format,
            (None, None) => OutputFormat::Table,
            (None, Some(file)) => format_of(file, others)?,
        };
        Ok(Output { format, destination: Destination::new(file)? })
    }

    /// Refuses to overwrite an input; `role` says what the input is.
    pub fn refuse_overwrite<'a>(&self, inputs: impl Iterator<Item = &'a Path>, role: &str) -> Result<()> {
        self.destination.refuse_overwrite(inputs, role)
    }

    /// The format of the results.
    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// Writes `document`.
    pub fn write<J: Serialize>(&self, document: Document<J>, printer: &Printer) -> Result<()> {
        self.write_with(document, "", printer)
    }

    /// Writes `document` and appends `more`.
    pub fn write_with<J: Serialize>(&self, document: Document<J>, more: &str, printer: &Printer) -> Result<()> {
        let document = document.in_style(&CommandLine);
        let footer: Vec<_> = document.footer.iter().map(|(label, text)| (*label, text.to_string())).collect();
        let text = match self.format.of_library() {
            Some(format) => document.render(format).map_err(|error| unwritable(&error))?,
            None => table::render(&document.table, &footer, self.width(printer)),
        };
        let text = text + more;
        self.destination.write(text.as_bytes(), printer)?;
        if self.destination.file.is_some() {
            self.print_footer(&footer, printer);
        }
        Ok(())
    }

    /// Prints the lines below the table, which a file does not show, to stderr.
    fn print_footer(&self, footer: &[(&'static str, String)], printer: &Printer) {
        let width = footer.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, text) in footer {
            printer.note(&format!("{label:width$}  {text}"));
        }
    }

    /// The largest width of a table in columns. `None` in a file: the table has its full width.
    fn width(&self, printer: &Printer) -> Option<usize> {
        if self.destination.file.is_none() { printer.width() } else { None }
    }
}

/// A destination of results, checked before the computation.
pub struct Destination {
    file: Option<PathBuf>,
    binary: bool,
}

impl Destination {
    /// A file, or stdout for none and for `-`, for text.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. Called before the long computation.
    pub fn new(file: Option<PathBuf>) -> Result<Destination> {
        let file = file.filter(|file| !is_stdout(file));
        file.as_deref().map_or(Ok(()), check)?;
        Ok(Destination { file, binary: false })
    }

    /// A file, or stdout, for `what`, which is binary.
    ///
    /// # Errors
    ///
    /// As [`Destination::new`], or if stdout is a terminal.
    pub fn for_bytes(file: Option<PathBuf>, what: &str) -> Result<Destination> {
        let destination = Destination::new(file)?;
        if destination.file.is_none() && io::stdout().is_terminal() {
            let error = Error::usage(format!("refusing to write {what}, which is binary, to a terminal"));
            return Err(error.hint("use --output FILE, or pipe it into a program"));
        }
        Ok(Destination { binary: true, ..destination })
    }

    /// Refuses to overwrite an input; `role` says what the input is: `belongs to the checkpoint`.
    pub fn refuse_overwrite<'a>(&self, inputs: impl Iterator<Item = &'a Path>, role: &str) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| refuse_overwrite(file, inputs, role))
    }

    /// Writes `results`. If the file can no longer be written, text goes to stdout: it may be hours of work.
    pub fn write(&self, results: &[u8], printer: &Printer) -> Result<()> {
        let Some(file) = &self.file else {
            return printer.results(results).map_err(|error| unwritable(&error));
        };
        match replace(file, results) {
            Ok(()) => {
                printer.note(&format!("wrote {}", file.display()));
                Ok(())
            }
            Err(error) if self.binary => Err(cannot_write(file, &error)),
            Err(error) => {
                printer.results(results).map_err(|error| unwritable(&error))?;
                Err(cannot_write(file, &error).hint("the results were written to stdout instead"))
            }
        }
    }
}

/// Refuses to overwrite an input; `role` says what the input is.
pub fn refuse_overwrite<'a>(file: &Path, mut inputs: impl Iterator<Item = &'a Path>, role: &str) -> Result<()> {
    let target = target(file);
    if inputs.any(|input| fs::canonicalize(input).is_ok_and(|input| input == target)) {
        let error = Error::usage(format!("{role} and would be overwritten")).file(file);
        return Err(error.hint("use another name for this file"));
    }
    Ok(())
}

/// True if both paths are the same file, also if it does not exist yet.
pub fn is_same(a: &Path, b: &Path) -> bool {
    let place = |file: &Path| std::path::absolute(target(file)).ok();
    place(a) == place(b)
}

/// Checks that `file` can be written.
pub fn check(file: &Path) -> Result<()> {
    check_writable(file).map_err(|error| cannot_write(file, &error))
}

/// Writes `file`, which appears complete or not at all.
pub fn write_file(file: &Path, bytes: &[u8]) -> Result<()> {
    replace(file, bytes).map_err(|error| cannot_write(file, &error))
}

fn unwritable(error: &io::Error) -> Error {
    let error = Error::usage(format!("the results cannot be written: {error}"));
    error.hint("check the free space, or use --output FILE to write elsewhere")
}

fn cannot_write(file: &Path, error: &io::Error) -> Error {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.display().to_string();
    let hint = match error.kind() {
        io::ErrorKind::IsADirectory => "add the name of a file in this folder".to_owned(),
        io::ErrorKind::NotFound if !Path::new(&folder).exists() => format!("create the folder {folder} first"),
        io::ErrorKind::NotADirectory => format!("{folder} is not a folder; use a file in a folder that exists"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("check that you may write to the folder {folder} and to the file, or use another folder")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space on the disk of {folder}, or use another folder")
        }
        _ => format!("check that the folder {folder} exists and that you may write to it"),
    };
    // Without the name of the temporary file.
    let cause = error.get_ref().and_then(|outer| outer.source()).map_or_else(|| error.to_string(), ToString::to_string);
    Error::usage(format!("cannot be written: {cause}")).file(file).hint(Message::literal(&hint))
}

/// The real file behind `file`: follows links instead of replacing them, even if the target does not exist yet.
fn target(file: &Path) -> PathBuf {
    const MOST_LINKS: usize = 40;
    let mut target = file.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(real) = fs::canonicalize(&target) {
            return real;
        }
        // Pipes in /dev/fd exist and have no path.
        let is_there = fs::metadata(&target).is_ok();
        match (fs::read_link(&target), target.parent()) {
            (Ok(link), Some(folder)) if !is_there => target = folder.join(link),
            _ => break,
        }
    }
    target
}

/// Pipes and devices (`/dev/stdout`) cannot be replaced; they are written to.
fn is_special(target: &Path) -> io::Result<bool> {
    match fs::metadata(target) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
        Ok(metadata) => Ok(!metadata.is_file()),
        Err(_) => Ok(false),
    }
}

fn temporary_beside(target: &Path) -> io::Result<NamedTempFile> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".htsr-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Like any other program: the umask applies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn check_writable(file: &Path) -> io::Result<()> {
    let target = target(file);
    let open = || fs::OpenOptions::new().write(true).open(&target).map(drop);
    if is_special(&target)? {
        return if is_pipe(&target) { Ok(()) } else { open() };
    }
    if target.exists() {
        open()?;
    }
    temporary_beside(&target)?.close()
}

/// True for a pipe, which must not be opened for a check: closing it signals the end to its reader.
fn is_pipe(target: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        fs::metadata(target).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = target;
        false
    }
}

fn replace(file: &Path, results: &[u8]) -> io::Result<()> {
    let target = target(file);
    if is_special(&target)? {
        return fs::OpenOptions::new().write(true).open(&target)?.write_all(results);
    }
    let temporary = temporary_beside(&target)?;
    let _cleanup = interrupt::remove_on_exit(temporary.path());
    let mut temporary = temporary; // removed before it is forgotten
    temporary.write_all(results)?;
    if let Ok(replaced) = fs::metadata(&target) {
        temporary.as_file().set_permissions(replaced.permissions())?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    Ok(())
}
