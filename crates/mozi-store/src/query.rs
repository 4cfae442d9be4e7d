//! Questions and answers of the read side.

use mozi_core::{
    AgentId, Attempt, Comment, Dependency, Event, Output, Project, ProjectId, Session, SessionId, Status,
    Task, Usage, WaitingFor, task::StatusCounts,
};

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; none = this was the last.
    pub next_cursor: Option<String>,
}

/// A task with what hangs on it directly.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// The task.
    pub task: Task,
    /// What it depends on, with the statuses of now.
    pub dependencies: Vec<Dependency>,
    /// Its open attempt.
    pub open: Option<Attempt>,
    /// Why it does not run; empty where it will be claimed at once or has ended.
    pub waiting_for: Vec<WaitingFor>,
}

/// What of a task's page is wanted beside the task itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Its attempts, with what they cost.
    pub attempts: bool,
    /// Its outputs.
    pub outputs: bool,
    /// Its comments.
    pub comments: bool,
    /// Its events, so many at most.
    pub events: Option<usize>,
}

impl Wanted {
    /// Everything, with at most so many events.
    pub const fn all(events: usize) -> Self {
        Self { attempts: true, outputs: true, comments: true, events: Some(events) }
    }
}

/// A task and what was wanted of what hangs on it, all of one moment. What was not wanted is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The task.
    pub view: TaskView,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Its outputs, oldest first, without their bytes.
    pub outputs: Vec<Output>,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

/// An attempt with what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptView {
    /// The attempt.
    pub attempt: Attempt,
    /// Tokens and money, one row per model.
    pub usage: Vec<Usage>,
    /// Its session is still there, and its log with it.
    pub kept: bool,
}

/// By what a list of tasks is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskSort {
    /// The last changed first.
    #[default]
    Updated,
    /// The last created first.
    Created,
    /// The most urgent first, then the oldest.
    Priority,
}

/// Which tasks of a project. Empty or none = all.
#[derive(Debug, Clone)]
pub struct TaskQuery {
    /// The project.
    pub project: ProjectId,
    /// In one of these statuses.
    pub statuses: Vec<Status>,
    /// Named for this agent.
    pub agent: Option<AgentId>,
    /// Of this type.
    pub task_type: Option<String>,
    /// With all these labels.
    pub labels: Vec<(String, String)>,
    /// With this text in id, title or description, without regard to the case of ASCII letters.
    pub q: Option<String>,
    /// In this order.
    pub sort: TaskSort,
    /// The `next_cursor` of the page before.
    pub after: Option<String>,
    /// How many, at most 500.
    pub limit: usize,
}

impl TaskQuery {
    /// The first 50 tasks of a project.
    pub fn all(project: ProjectId) -> Self {
        Self {
            project,
            statuses: Vec::new(),
            agent: None,
            task_type: None,
            labels: Vec::new(),
            q: None,
            sort: TaskSort::default(),
            after: None,
            limit: 50,
        }
    }
}

/// Events of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// The oldest id that the stream still has: who has seen less than the one before it has missed some.
    pub oldest: u64,
}

/// What a runner has on its hands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunnerWork {
    /// Its open sessions with their attempts.
    pub open: Vec<(Session, Option<Attempt>)>,
    /// Ended sessions whose files it is to remove.
    pub clean: Vec<SessionId>,
}

/// All that the prompt of a task may speak of, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptMaterial {
    /// The task.
    pub task: Task,
    /// Its project.
    pub project: Project,
    /// What it depends on.
    pub dependencies: Vec<Upstream>,
    /// The task that it is a part of.
    pub parent: Option<Task>,
    /// Its attempts, with the ends of their logs; newest first.
    pub attempts: Vec<Attempt>,
    /// Its outputs, newest first; with their bytes only where a reviewer's page may show them.
    pub outputs: Vec<Output>,
    /// Its comments, newest first.
    pub comments: Vec<Comment>,
    /// Its events `review_given`, `status_changed` with a detail, and refused late reports; newest first.
    pub remarks: Vec<Event>,
}

/// A task that another depends on, with what it delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// How far it must have come, and has.
    pub dependency: Dependency,
    /// The task itself.
    pub task: Task,
    /// Its outputs, without their bytes.
    pub outputs: Vec<Output>,
}

/// Events of a project that may be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgettable {
    /// The oldest event that is there.
    pub first: u64,
    /// The newest that may go; below `first` where none may.
    pub up_to: u64,
    /// The unfinished task whose events keep more from going.
    pub held_by: Option<mozi_core::TaskId>,
}

impl Forgettable {
    /// How many may go.
    pub fn count(&self) -> u64 {
        self.up_to.saturating_add(1).saturating_sub(self.first)
    }
}

/// Totals over all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Projects, archived ones too.
    pub projects: u64,
    /// Tasks by status.
    pub tasks: StatusCounts,
    /// Open attempts.
    pub open_attempts: u64,
    /// Open sessions, with and without a task.
    pub open_sessions: u64,
    /// Number of the newest event.
    pub last_seq: u64,
}
