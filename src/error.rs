//! What can go wrong for the user, as a sentence: which file, which tensor, why, and what to do.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail for the whole run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error; each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line asks for something that cannot be (exit code 2).
    Usage,
    /// A file is missing, damaged or of a kind that is not supported (exit code 3).
    Input,
    /// The device failed; a retry may help (exit code 5).
    Device,
    /// The user stopped the run (exit code 130).
    Interrupted,
}

impl Kind {
    /// The process exit code for an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Input => 3,
            Kind::Device => 5,
            Kind::Interrupted => 130,
        }
    }
}

/// An error that ends the run. Matrices that cannot be scored do not: see [`crate::device::Failure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// The file concerned, if there is one.
    pub file: Option<PathBuf>,
    /// The tensor concerned, if there is one.
    pub tensor: Option<String>,
    /// What is wrong, as a sentence without a full stop.
    pub cause: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Error {
    fn new(kind: Kind, cause: impl Into<String>) -> Self {
        Error { kind, file: None, tensor: None, cause: cause.into(), hint: None }
    }

    /// The command line asks for something that cannot be.
    pub fn usage(cause: impl Into<String>) -> Self {
        Self::new(Kind::Usage, cause)
    }

    /// `file` cannot be used.
    pub fn input(file: &Path, cause: impl Into<String>) -> Self {
        Error { file: Some(file.to_owned()), ..Self::new(Kind::Input, cause) }
    }

    /// The device failed.
    pub fn device(cause: impl Into<String>) -> Self {
        Self::new(Kind::Device, cause)
    }

    /// The user stopped the run.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted; no results were written")
    }

    /// Names the file concerned.
    pub fn file(self, file: &Path) -> Self {
        Error { file: Some(file.to_owned()), ..self }
    }

    /// Names the tensor concerned.
    pub fn tensor(self, tensor: impl Into<String>) -> Self {
        Error { tensor: Some(tensor.into()), ..self }
    }

    /// Says what the user can do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Error { hint: Some(hint.into()), ..self }
    }
}

/// `text` for a terminal: control characters and invisible ones, as those that turn the direction of writing, are escaped. Names come from
/// files that nobody vouches for.
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        let invisible =
            ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{2069}', '\u{e0000}'..='\u{e007f}'];
        c.is_control() || matches!(c, '\u{61c}' | '\u{feff}') || invisible.iter().any(|range| range.contains(&c))
    };
    if !text.contains(harmful) {
        return text.into();
    }
    let escape = |c: char| if harmful(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect::<String>().into()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", printable(&file.to_string_lossy()))?;
        }
        if let Some(tensor) = &self.tensor {
            write!(f, "tensor `{}`: ", printable(tensor))?;
        }
        f.write_str(&printable(&self.cause))
    }
}

impl std::error::Error for Error {}
