//! The formats of results on the command line: those of the library, and tables for people.

use std::str::FromStr;

use clap::ValueEnum;

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

/// The format for a file with this extension.
impl FromStr for OutputFormat {
    type Err = ();

    fn from_str(extension: &str) -> Result<OutputFormat, ()> {
        match extension.to_ascii_lowercase().as_str() {
            "txt" => Ok(OutputFormat::Table),
            "json" => Ok(OutputFormat::Json),
            "csv" => Ok(OutputFormat::Csv),
            "md" => Ok(OutputFormat::Md),
            _ => Err(()),
        }
    }
}
