//! What went wrong, why, and what to do about it.

use std::{fmt, path::Path};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Refused or failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// No board answers.
    NoBoard = 3,
    /// Not authorised.
    NotAuthorised = 4,
    /// A task that was waited for ended in another status than `done`, or needs a person.
    Otherwise = 5,
}

/// A command that did not do what was asked.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Which exit status it ends with.
    pub exit: Exit,
    /// What could not be done, and why.
    pub what: String,
    /// The way out.
    pub hint: Option<String>,
    /// The stable word for it, where there is one.
    pub code: Option<String>,
    /// What belongs to it, for machines.
    pub more: Option<serde_json::Value>,
    /// Nothing is printed: whoever read the output has gone away, or all has been said.
    pub quiet: bool,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), hint: None, code: None, more: None, quiet: false }
    }
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }
    /// Could not `doing` the file or folder at `path`.
    pub(crate) fn io(doing: &str, path: &Path, why: &std::io::Error) -> Self {
        Self::new(format!("could not {doing} {}: {}", path.display(), plain(why)))
    }
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, quiet: true, ..Self::new("") }
    }
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    #[must_use]
    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// An I/O error without the number that the system has for it.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let short = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = short.chars();
    match (chars.next(), error.raw_os_error()) {
        (Some(first), Some(_)) => first.to_lowercase().chain(chars).collect(),
        _ => short.to_owned(),
    }
}
