//! Keeping house: what was removed, or would be.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcReport {
    /// Nothing was removed: this is what would be.
    pub dry_run: bool,
    /// By kind: `logs`, `events`, `workspaces`, `blobs`, `sessions`, `temporary`; an open list.
    pub removed: Vec<GcLine>,
    /// What stayed although its time had come, and why.
    pub notes: Vec<String>,
}

/// One kind of what went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcLine {
    /// What it is.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Their size; `null` where they are no files.
    pub bytes: Option<u64>,
}

impl GcReport {
    /// What went, as the board tells it; kinds of which nothing went are left out.
    pub fn removed(&self) -> Vec<core::command::Removed> {
        let some = self.removed.iter().filter(|line| line.count > 0);
        some.map(|line| core::command::Removed {
            kind: line.kind.clone(),
            count: line.count,
            bytes: line.bytes,
        })
        .collect()
    }
}
