//! Whether the board is there, and which.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which board this is (`GET /api/version`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The program's version.
    pub version: String,
    /// The version of this interface: it only grows.
    pub api: u32,
}

/// Whether the board lives or takes requests (`GET /healthz`, `/readyz`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or what is wrong.
    pub status: String,
}
