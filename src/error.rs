//! What can go wrong for the user, as a sentence: which file, which tensor, why, and what to do.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::message::{Message, Plain, Style};

/// The result of everything in this crate that can fail for the whole run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error. Each kind has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The options are invalid or do not fit together (exit code 2).
    Usage,
    /// A file is missing, damaged, or of a kind that is not supported (exit code 3).
    Input,
    /// The device failed; retrying may help (exit code 5).
    Device,
    /// The user stopped the run (exit code 130).
    Interrupted,
}

impl Kind {
    /// The exit code of a process that ends with an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Input => 3,
            Kind::Device => 5,
            Kind::Interrupted => 130,
        }
    }
}

/// An error that ends the run, or a problem that one matrix has.
///
/// `Display` writes file, tensor and cause in one line. [`source`](std::error::Error::source) returns the underlying error, if
/// there is one: an [`io::Error`](std::io::Error), or the [`Failure`](crate::device::Failure) or
/// [`NoFit`](crate::fit::NoFit) of a matrix.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Error {
    /// Who has to act.
    pub kind: Kind,
    /// The file concerned, if any.
    pub file: Option<PathBuf>,
    /// The tensor concerned, if any.
    pub tensor: Option<String>,
    /// What is wrong: a sentence without a full stop.
    pub cause: Message,
    /// What the user can do about it.
    pub hint: Option<Message>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Errors are equal if they read the same.
impl PartialEq for Error {
    fn eq(&self, other: &Error) -> bool {
        let words = |error: &Error| {
            let Error { kind, file, tensor, cause, hint, source: _ } = error.clone();
            (kind, file, tensor, cause, hint)
        };
        words(self) == words(other)
    }
}

impl Error {
    fn new(kind: Kind, cause: impl Into<Message>) -> Self {
        Error { kind, file: None, tensor: None, cause: cause.into(), hint: None, source: None }
    }

    /// The options are invalid or do not fit together.
    pub fn usage(cause: impl Into<Message>) -> Self {
        Self::new(Kind::Usage, cause)
    }

    /// `file` cannot be used.
    pub fn input(file: &Path, cause: impl Into<Message>) -> Self {
        Error { file: Some(file.to_owned()), ..Self::new(Kind::Input, cause) }
    }

    /// An input cannot be used; the caller, who knows the file, names it.
    pub fn unusable(cause: impl Into<Message>) -> Self {
        Self::new(Kind::Input, cause)
    }

    /// The device failed.
    pub fn device(cause: impl Into<Message>) -> Self {
        Self::new(Kind::Device, cause)
    }

    /// The user stopped the run.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted; no report was written")
    }

    /// Names the file concerned.
    pub fn file(self, file: &Path) -> Self {
        Error { file: Some(file.to_owned()), ..self }
    }

    /// Names the tensor concerned.
    pub fn tensor(self, tensor: impl Into<String>) -> Self {
        Error { tensor: Some(tensor.into()), ..self }
    }

    /// Adds what the user can do about it.
    pub fn hint(self, hint: impl Into<Message>) -> Self {
        Error { hint: Some(hint.into()), ..self }
    }

    /// Adds the error below this one.
    pub fn because(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error { source: Some(Arc::new(source)), ..self }
    }

    /// File, tensor and cause in one line, options and commands as `style` writes them.
    pub fn in_style(&self, style: &dyn Style) -> String {
        let file = self.file.as_ref().map(|file| format!("{}: ", file.to_string_lossy())).unwrap_or_default();
        let tensor = self.tensor.as_ref().map(|tensor| format!("tensor `{tensor}`: ")).unwrap_or_default();
        printable(&format!("{file}{tensor}{}", self.cause.in_style(style))).into_owned()
    }
}

/// `text` for a terminal: control characters and invisible ones, such as those that reverse the direction of writing, are
/// escaped. Names come from untrusted files.
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
        f.write_str(&self.in_style(&Plain))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
