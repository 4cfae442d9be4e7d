//! What templates see.

use std::{collections::BTreeMap, time::Duration};

use mozi_core::{
    Attempt, Role, Task, VerdictMode, attempt::Verdict, project::RequireOutput, task::DEFAULT_TASK_TYPE,
};
use serde::Serialize;

use super::{
    Callback, Marks, PromptMaterial, PromptOptions, Upstream,
    calls::Calls,
    cut,
    history::History,
    outputs::{self, OutputView},
    time,
};

/// The most dependencies, and outputs of one of them, that are listed.
const DEPENDENCIES: usize = 50;
const OUTPUTS: usize = 20;
/// The most results that a reviewer's page lists.
const RESULTS: usize = 100;
/// The longest title, in characters.
const TITLE: usize = 500;

/// The variables of a template.
#[derive(Debug, Serialize)]
pub(super) struct Context {
    /// `executor` or `reviewer`.
    role: &'static str,
    /// The agent's id.
    agent: String,
    attempt_number: u32,
    /// `env` or `header`.
    callback: &'static str,
    /// `report` or `exit`.
    verdict: &'static str,
    /// What somebody who started it by name wants it told.
    message: Option<String>,
    pub(super) project: ProjectView,
    pub(super) task: TaskView,
    dependencies: Vec<DependencyView>,
    dependencies_left_out: usize,
    /// What a reviewer decides on, newest first.
    results: Vec<OutputView>,
    results_left_out: usize,
    /// The executor attempt that a reviewer decides on.
    result_of: Option<ResultOf>,
    history: History,
    pub(super) call: Calls,
    mark: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProjectView {
    id: String,
    name: Option<String>,
    require_output: bool,
    agents_may_create: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    r#type: String,
    priority: i64,
    pub(super) must_haves: Vec<String>,
    labels: Vec<String>,
    status: &'static str,
    time_limit: Option<String>,
    parent: Option<Reference>,
}

/// Another task.
#[derive(Debug, Serialize)]
struct Reference {
    id: String,
    title: String,
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct DependencyView {
    #[serde(flatten)]
    task: Reference,
    outputs: Vec<OutputView>,
    outputs_left_out: usize,
}

#[derive(Debug, Serialize)]
struct ResultOf {
    number: u32,
    agent: String,
    outcome: Option<&'static str>,
    vouched: bool,
}

impl Context {
    pub(super) fn new(m: &PromptMaterial, o: &PromptOptions<'_>, marks: &Marks) -> Self {
        let (results, results_left_out, result_of, shown) = match o.role {
            Role::Executor => (Vec::new(), 0, None, Vec::new()),
            Role::Reviewer => results(m, o.attempt_number),
        };
        Self {
            role: o.role.as_str(),
            agent: o.agent.to_string(),
            attempt_number: o.attempt_number,
            callback: match o.callback.of(o.role) {
                Callback::Env => "env",
                Callback::Header => "header",
                Callback::Url => "url",
                Callback::Anonymous => "anonymous",
            },
            verdict: match o.role {
                Role::Executor => o.verdict_mode.as_str(),
                // An exit status is no decision on somebody's work.
                Role::Reviewer => VerdictMode::Report.as_str(),
            },
            message: o.message.map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned),
            project: ProjectView {
                id: m.project.id.to_string(),
                name: m.project.name.clone(),
                require_output: m.project.settings.require_output != RequireOutput::Never,
                agents_may_create: m.project.settings.agents_may_create,
            },
            task: TaskView::new(m, o),
            dependencies: m.dependencies.iter().take(DEPENDENCIES).map(DependencyView::new).collect(),
            dependencies_left_out: m.dependencies.len().saturating_sub(DEPENDENCIES),
            results,
            results_left_out,
            result_of,
            history: History::new(m, o.role, o.attempt_number, &shown),
            call: Calls::new(&m.task.key, o, marks),
            mark: marks.iter().map(|(name, mark)| (name.to_string(), mark.clone())).collect(),
        }
    }
}

impl TaskView {
    fn new(m: &PromptMaterial, o: &PromptOptions<'_>) -> Self {
        let spec = &m.task.spec;
        let open = m.attempts.iter().find(|a| a.number == o.attempt_number);
        let limit = open.and_then(|a| a.timeout_ms).map(Duration::from_millis).or(spec.timeout);
        let task_type = spec.task_type.trim();
        Self {
            id: m.task.key.task.to_string(),
            title: cut::line(&spec.title, TITLE),
            description: spec.description.clone().filter(|d| !d.trim().is_empty()),
            r#type: if task_type.is_empty() { DEFAULT_TASK_TYPE } else { task_type }.to_owned(),
            priority: spec.priority,
            must_haves: spec.must_haves.iter().filter(|t| !t.trim().is_empty()).cloned().collect(),
            labels: spec.labels.iter().map(|(k, v)| format!("{k}={v}")).collect(),
            status: m.task.state.status.as_str(),
            time_limit: limit.map(time::length),
            parent: m.parent.as_ref().map(Reference::to),
        }
    }
}

impl Reference {
    fn to(task: &Task) -> Self {
        Self {
            id: task.key.task.to_string(),
            title: cut::line(&task.spec.title, TITLE),
            status: task.state.status.as_str(),
        }
    }
}

impl DependencyView {
    fn new(up: &Upstream) -> Self {
        Self {
            task: Reference::to(&up.task),
            outputs: up.outputs.iter().take(OUTPUTS).map(OutputView::new).collect(),
            outputs_left_out: up.outputs.len().saturating_sub(OUTPUTS),
        }
    }
}

/// What a reviewer decides on: the outputs of the newest executor attempt that has some, and those of people.
fn results(m: &PromptMaterial, number: u32) -> (Vec<OutputView>, usize, Option<ResultOf>, Vec<u32>) {
    let executors: Vec<&Attempt> =
        m.attempts.iter().filter(|a| a.role == Role::Executor && a.number < number).collect();
    let delivered = |a: &Attempt| m.outputs.iter().any(|o| o.attempt_number == Some(a.number));
    let of = executors.iter().find(|a| delivered(a)).or_else(|| executors.first());
    let belongs = |n: Option<u32>| n.is_none() || n == of.map(|a| a.number);
    let all: Vec<_> = m.outputs.iter().filter(|o| belongs(o.attempt_number)).collect();
    let views = outputs::with_content(all.iter().take(RESULTS).copied());
    let left_out = all.len().saturating_sub(views.len());
    let result_of = of.map(|a| ResultOf {
        number: a.number,
        agent: a.agent.to_string(),
        outcome: a.outcome.map(mozi_core::Outcome::as_str),
        vouched: a.verdict == Some(Verdict::Review),
    });
    (views, left_out, result_of, all.iter().map(|o| o.id).collect())
}
