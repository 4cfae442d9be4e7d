//! What prompts are made from: one snapshot of the store.

use mozi_core::{Attempt, Comment, Dependency, Event, Output, Project, Task};

/// All that the prompt of a task may speak of.
#[derive(Debug, Clone)]
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
    /// Its outputs, newest first; inline content where it was loaded.
    pub outputs: Vec<Output>,
    /// Its comments, newest first.
    pub comments: Vec<Comment>,
    /// Its events `review_given` and `status_changed` with a detail, newest first.
    pub remarks: Vec<Event>,
}

/// A task that another depends on, with what it delivered.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// How far it must have come, and has.
    pub dependency: Dependency,
    /// The task itself.
    pub task: Task,
    /// Its outputs.
    pub outputs: Vec<Output>,
}
