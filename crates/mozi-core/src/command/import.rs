//! Many tasks at once.

use super::NewTask;
use crate::id::{ProjectId, TaskId};

/// The most tasks that are taken in at once: while they are written, nobody else's words are.
pub const IMPORT_TASKS: usize = 100_000;
/// The most wrong lines that are named; how many there are is always said.
pub const NAMED_LINES: usize = 10_000;

/// New tasks, all or none.
#[derive(Debug, Clone)]
pub struct ImportTasks {
    /// Where.
    pub project: ProjectId,
    /// The tasks, each in this project, in the order of their creation. They may wait for each other in any order.
    pub lines: Vec<ImportLine>,
    /// What was found wrong before: then nothing is taken in, and all that is wrong is named together.
    pub bad: Vec<BadLine>,
    /// Only look whether they would be taken in.
    pub check_only: bool,
}

/// A task and where it stands in what it came from.
#[derive(Debug, Clone)]
pub struct ImportLine {
    /// The line: 1, 2, 3 …
    pub line: u64,
    /// The task.
    pub task: NewTask,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The line.
    pub line: u64,
    /// The task of that line, as far as known.
    pub task: Option<TaskId>,
    /// Which field.
    pub field: String,
    /// Why: a fragment that follows the field's name.
    pub why: String,
}
