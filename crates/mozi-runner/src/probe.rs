//! What stands in the way of agents, for whoever asks without running them.

use mozi_core::AgentId;

use crate::config::RunnerConfig;
use crate::runtime::{self, openclaw::Versions};

/// What stands in the way of starting each agent, in words; none = nothing that is known.
pub async fn obstacles(config: &RunnerConfig) -> Vec<(AgentId, Option<String>)> {
    let versions = Versions::default();
    let mut found = Vec::with_capacity(config.agents.len());
    for (id, agent) in &config.agents {
        found.push((id.clone(), runtime::obstacle(config, agent, &versions).await));
    }
    found
}
