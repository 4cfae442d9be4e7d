//! What templates see.

use std::collections::BTreeMap;

use mozi_core::task::DEFAULT_TASK_TYPE;
use serde::Serialize;

use super::{Mark, PromptMaterial, PromptOptions};

/// The variables of a template.
#[derive(Debug, Serialize)]
pub(super) struct Context {
    role: &'static str,
    agent: String,
    attempt_number: u32,
    callback: &'static str,
    message: Option<String>,
    project_id: String,
    task_id: String,
    title: String,
    description: Option<String>,
    task_type: String,
    priority: i64,
    must_haves: Vec<String>,
    status: &'static str,
    mark: BTreeMap<&'static str, String>,
}

impl Context {
    pub(super) fn new(m: &PromptMaterial, o: &PromptOptions<'_>, marks: &BTreeMap<String, String>) -> Self {
        let spec = &m.task.spec;
        Self {
            role: o.role.as_str(),
            agent: o.agent.to_string(),
            attempt_number: o.attempt_number,
            callback: match o.callback {
                super::Callback::Env => "env",
                super::Callback::Header => "header",
            },
            message: o.message.map(str::to_owned),
            project_id: m.project.id.to_string(),
            task_id: m.task.key.task.to_string(),
            title: spec.title.clone(),
            description: spec.description.clone().filter(|d| !d.trim().is_empty()),
            task_type: Some(spec.task_type.clone())
                .filter(|t| !t.trim().is_empty())
                .unwrap_or_else(|| DEFAULT_TASK_TYPE.into()),
            priority: spec.priority,
            must_haves: spec.must_haves.clone(),
            status: m.task.state.status.as_str(),
            mark: Mark::ALL
                .iter()
                .map(|k| (k.name(), marks.get(k.name()).cloned().unwrap_or_default()))
                .collect(),
        }
    }
}
