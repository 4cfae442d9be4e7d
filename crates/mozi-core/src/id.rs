//! Identifiers, parsed once and then trusted.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

/// The longest identifier in bytes.
pub const MAX_ID_BYTES: usize = 127;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadId(pub String);

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an id: an id begins with a letter or digit and goes on with up to 126 letters, digits, '.', '_' or '-'",
            self.0.chars().take(60).collect::<String>()
        )
    }
}

impl std::error::Error for BadId {}

fn check(text: &str) -> Result<(), BadId> {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if first && rest && text.len() <= MAX_ID_BYTES { Ok(()) } else { Err(BadId(text.to_owned())) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as its author wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The id as it is compared: ids are unique without regard to case.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                check(text).map(|()| Self(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }
        impl Eq for $name {}
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for b in self.0.bytes() {
                    state.write_u8(b.to_ascii_lowercase());
                }
                state.write_u8(0xff);
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let fold = |b: u8| b.to_ascii_lowercase();
                self.0.bytes().map(fold).cmp(other.0.bytes().map(fold))
            }
        }
    };
}

text_id!(
    /// The id of a project.
    ProjectId
);
text_id!(
    /// The id of a task, unique within its project.
    TaskId
);
text_id!(
    /// The id of an agent.
    AgentId
);
text_id!(
    /// The id of a runner; the embedded one is called `local`.
    RunnerId
);

impl TaskId {
    /// The id that a task gets when its author names none.
    pub fn from_number(n: u64) -> Self {
        Self(n.to_string().into())
    }
}

/// A task of a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// Its project.
    pub project: ProjectId,
    /// Its id there.
    pub task: TaskId,
}

impl TaskKey {
    /// The key of `task` in `project`.
    pub fn new(project: ProjectId, task: TaskId) -> Self {
        Self { project, task }
    }
}

/// The number of an attempt at a task: 1, 2, 3 …
pub type AttemptNumber = u32;

/// The id of a session, made by whoever asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub uuid::Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        uuid::Uuid::parse_str(text).map(Self).map_err(|_| BadId(text.to_owned()))
    }
}
