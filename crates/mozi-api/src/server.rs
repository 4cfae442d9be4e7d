//! What the process of a board can be told: read the configuration again, claim nothing more.

use mozi_core::command::ConfigRead;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A configuration that was taken, as it differs from the one before; keys as they stand in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The file.
    #[schema(example = "/home/me/.config/mozi/mozi.toml")]
    pub file: String,
    /// Agents, projects, hooks and so on that are new.
    #[schema(example = json!(["agents.writer"]))]
    pub added: Vec<String>,
    /// Those that are gone. What runs of them runs to its end.
    pub removed: Vec<String>,
    /// Keys with another value, which holds for what is started from now on.
    #[schema(example = json!(["runner.max_sessions"]))]
    pub changed: Vec<String>,
    /// Keys with another value that holds only after a restart.
    pub needs_restart: Vec<String>,
}

/// Nothing more to say (body of `POST /api/config/reload`; may be left out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadConfig {}

impl Reloaded {
    /// What the board was told of it; none if that is no configuration that was taken.
    pub fn of(file: String, read: ConfigRead) -> Option<Self> {
        match read {
            ConfigRead::Taken { added, removed, changed, needs_restart } => {
                Some(Self { file, added, removed, changed, needs_restart })
            }
            ConfigRead::Refused { .. } => None,
        }
    }

    /// What the board is told of it.
    pub fn into_read(self) -> ConfigRead {
        let Self { file: _, added, removed, changed, needs_restart } = self;
        ConfigRead::Taken { added, removed, changed, needs_restart }
    }
}

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigMistake {
    /// On which line, from 1; `null` for the file as a whole.
    pub line: Option<u64>,
    /// In which column, in characters from 1.
    pub column: Option<u64>,
    /// What is wrong, and what was probably meant.
    pub text: String,
}

/// Claim and start nothing for so long; repeated as long as that is wished. `0` ends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Seconds, at most 3600.
    #[schema(maximum = 3600, example = 60)]
    pub seconds: u32,
}

/// Whether the board drains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draining {
    /// Nothing is claimed or started.
    pub draining: bool,
    /// Sessions that are still alive.
    pub active_sessions: u64,
}
