//! The formats of results on the command line: those of the library, and tables for people.

use std::ffi::OsStr;
use std::path::Path;

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::report::Format;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people
    Table,
    /// Everything, for programs
    Json,
    /// One record per row, in full precision, each with its provenance
    Csv,
    /// A Markdown table
    Md,
}

impl OutputFormat {
    /// The library's format; `None` for a table.
    pub fn of_library(self) -> Option<Format> {
        match self {
            OutputFormat::Table => None,
            OutputFormat::Json => Some(Format::Json),
            OutputFormat::Csv => Some(Format::Csv),
            OutputFormat::Md => Some(Format::Md),
        }
    }
}

/// The formats by the extension of a file.
const BY_EXTENSION: [(&str, OutputFormat); 4] =
    [("json", OutputFormat::Json), ("csv", OutputFormat::Csv), ("md", OutputFormat::Md), ("txt", OutputFormat::Table)];

/// Determines the format of `file` by its extension.
///
/// # Errors
///
/// If the extension is not one of these formats; the hint also names `others`, which the command supports besides.
pub fn format_of(file: &Path, others: &[&'static str]) -> Result<OutputFormat> {
    let found = file.extension().and_then(|extension| of_extension(extension, &BY_EXTENSION));
    found.ok_or_else(|| {
        let hint = format!("use {}, or add --format", extensions(others));
        Error::usage("unrecognized file extension").file(file).hint(hint)
    })
}

/// The value in `list` for an extension, whose case does not matter.
pub fn of_extension<T: Copy>(extension: &OsStr, list: &[(&str, T)]) -> Option<T> {
    list.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known)).map(|&(_, value)| value)
}

/// `.svg, .png, .json, .csv, .md or .txt`, with `others` in front.
pub fn extensions(others: &[&'static str]) -> String {
    let names = others.iter().copied().chain(BY_EXTENSION.map(|(name, _)| name)).map(|name| format!(".{name}"));
    let names: Vec<String> = names.collect();
    names.split_last().map_or_else(String::new, |(last, rest)| format!("{} or {last}", rest.join(", ")))
}
