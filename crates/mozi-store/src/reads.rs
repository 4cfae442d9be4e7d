//! What can be asked. Each question is answered on one snapshot.
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself would be for one lifetime of a snapshot, a question is for all"
)]

use std::time::Duration;

use mozi_core::{
    Agent, AgentId, Attempt, AttemptNumber, Event, Identity, Output, Project, ProjectId, Runner, RunnerId,
    Session, SessionId, TaskId, TaskKey, Timestamp, Token, TokenHash, User,
};

use crate::{
    AttemptView, EventPage, Forgettable, IdempotencyKey, Overview, OverviewQuery, PAGE_LIMIT, Page,
    PromptMaterial, ReadError, Recalled, RunnerWork, Store, TaskPage, TaskQuery, TaskView, Totals, Wanted,
    sqlite::Snapshot,
};

/// How long one part of a check may take: the soundness of a large file is not seen in seconds.
const CHECK_LIMIT: Duration = Duration::from_mins(10);

impl Store {
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.inner.readers.ask(question).await
    }

    /// Whose credential it is; an expired or revoked one is nobody's.
    ///
    /// # Errors
    /// As for every question.
    pub async fn identify(&self, hash: TokenHash, now: Timestamp) -> Result<Identity, ReadError> {
        self.read(move |s| s.identify(hash, now)).await
    }

    /// When a credential ends by itself, as far as known: its own end or that of its user.
    ///
    /// # Errors
    /// As for every question.
    pub async fn ends_at(&self, hash: TokenHash) -> Result<Option<Timestamp>, ReadError> {
        self.read(move |s| s.ends_at(hash)).await
    }

    /// What was answered under a key: for commands that take something from elsewhere first. Carrying a command out
    /// looks for itself.
    ///
    /// # Errors
    /// As for every question.
    pub async fn recall(&self, key: IdempotencyKey, now: Timestamp) -> Result<Recalled, ReadError> {
        self.read(move |s| s.recall(&key, now)).await
    }

    /// A project.
    ///
    /// # Errors
    /// As for every question.
    pub async fn project(&self, id: &ProjectId) -> Result<Option<Project>, ReadError> {
        let id = id.clone();
        self.read(move |s| s.project(&id)).await
    }

    /// Projects by id.
    ///
    /// # Errors
    /// As for every question, and for a cursor that is none.
    pub async fn projects(&self, after: Option<String>, limit: usize) -> Result<Page<Project>, ReadError> {
        self.read(move |s| s.projects(after.as_deref(), limit)).await
    }

    /// A task with what hangs on it directly.
    ///
    /// # Errors
    /// As for every question.
    pub async fn task(&self, key: &TaskKey, now: Timestamp) -> Result<Option<TaskView>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.task_view(&key, now)).await
    }

    /// A task with what is wanted of what hangs on it.
    ///
    /// # Errors
    /// As for every question.
    pub async fn task_page(
        &self,
        key: &TaskKey,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Option<TaskPage>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.task_page(&key, wanted, now)).await
    }

    /// Tasks of a project.
    ///
    /// # Errors
    /// As for every question, and for a cursor that is none of this list.
    pub async fn tasks(&self, query: TaskQuery, now: Timestamp) -> Result<Page<TaskView>, ReadError> {
        self.read(move |s| s.tasks(&query, now)).await
    }

    /// Whether an attempt at `own` may read `other`: itself, what it depends on, its parent, its own subtasks.
    ///
    /// # Errors
    /// As for every question.
    pub async fn related(&self, own: &TaskKey, other: &TaskKey) -> Result<bool, ReadError> {
        let (own, other) = (own.clone(), other.clone());
        self.read(move |s| s.related(&own, &other)).await
    }

    /// An attempt.
    ///
    /// # Errors
    /// As for every question.
    pub async fn attempt(&self, key: &TaskKey, number: AttemptNumber) -> Result<Option<Attempt>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.attempt(&key, number)).await
    }

    /// An attempt with what it cost.
    ///
    /// # Errors
    /// As for every question.
    pub async fn attempt_view(
        &self,
        key: &TaskKey,
        number: AttemptNumber,
    ) -> Result<Option<AttemptView>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.attempt_view(&key, number)).await
    }

    /// An output, with its bytes where they are in the database.
    ///
    /// # Errors
    /// As for every question.
    pub async fn output(&self, key: &TaskKey, id: u32) -> Result<Option<Output>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.output(&key, id)).await
    }

    /// Events of a project, or of the stream of what belongs to no project, with an id above `after`.
    ///
    /// # Errors
    /// As for every question.
    pub async fn events(
        &self,
        project: Option<&ProjectId>,
        after: u64,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        let project = project.cloned();
        self.read(move |s| s.events(project.as_ref(), after, limit)).await
    }

    /// Events of all projects in the order of commits, each with its number there, above `after`.
    ///
    /// # Errors
    /// As for every question.
    pub async fn all_events(&self, after: u64, limit: usize) -> Result<Vec<(u64, Event)>, ReadError> {
        self.read(move |s| s.all_events(after, limit)).await
    }

    /// The number of the newest event over all projects; 0 for none.
    ///
    /// # Errors
    /// As for every question.
    pub async fn last_seq(&self) -> Result<u64, ReadError> {
        self.read(|s| s.last_seq()).await
    }

    /// The number of the oldest event that is kept; 1 where there is none yet.
    ///
    /// # Errors
    /// As for every question.
    pub async fn oldest_seq(&self) -> Result<u64, ReadError> {
        self.read(|s| s.oldest_seq()).await
    }

    /// Sessions, newest first: the open ones, the ended ones, or all.
    ///
    /// # Errors
    /// As for every question.
    pub async fn sessions(&self, active: Option<bool>, limit: usize) -> Result<Vec<Session>, ReadError> {
        Ok(self.sessions_page(active, None, limit).await?.items)
    }

    /// The same from a cursor on.
    ///
    /// # Errors
    /// As for every question, and for a cursor that is none of this list.
    pub async fn sessions_page(
        &self,
        active: Option<bool>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Session>, ReadError> {
        self.read(move |s| s.sessions(active, after.as_deref(), limit)).await
    }

    /// A session with its attempt.
    ///
    /// # Errors
    /// As for every question.
    pub async fn session(&self, id: SessionId) -> Result<Option<(Session, Option<Attempt>)>, ReadError> {
        self.read(move |s| s.session(id)).await
    }

    /// Up to ten sessions whose id begins so.
    ///
    /// # Errors
    /// As for every question.
    pub async fn find_session_prefix(&self, prefix: &str) -> Result<Vec<SessionId>, ReadError> {
        let prefix = prefix.to_ascii_lowercase();
        self.read(move |s| s.find_session_prefix(&prefix)).await
    }

    /// All agents, each with its open sessions.
    ///
    /// # Errors
    /// As for every question.
    pub async fn agents(&self) -> Result<Vec<(Agent, Vec<SessionId>)>, ReadError> {
        self.read(|s| s.agents()).await
    }

    /// An agent.
    ///
    /// # Errors
    /// As for every question.
    pub async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, ReadError> {
        let id = id.clone();
        self.read(move |s| s.agent(&id)).await
    }

    /// All runners.
    ///
    /// # Errors
    /// As for every question.
    pub async fn runners(&self) -> Result<Vec<Runner>, ReadError> {
        self.read(|s| s.runners()).await
    }

    /// All users by name, disabled ones too.
    ///
    /// # Errors
    /// As for every question.
    pub async fn users(&self) -> Result<Vec<User>, ReadError> {
        self.read(|s| s.users()).await
    }

    /// A user.
    ///
    /// # Errors
    /// As for every question.
    pub async fn user(&self, name: &str) -> Result<Option<User>, ReadError> {
        let name = name.to_owned();
        self.read(move |s| s.user(&name)).await
    }

    /// All tokens of people and runners, revoked ones too.
    ///
    /// # Errors
    /// As for every question.
    pub async fn tokens(&self) -> Result<Vec<Token>, ReadError> {
        self.read(|s| s.tokens()).await
    }

    /// What a runner has on its hands.
    ///
    /// # Errors
    /// As for every question.
    pub async fn runner_work(&self, id: &RunnerId) -> Result<RunnerWork, ReadError> {
        let id = id.clone();
        self.read(move |s| s.runner_work(&id)).await
    }

    /// What the prompt of a task is made from.
    ///
    /// # Errors
    /// As for every question.
    pub async fn prompt_material(&self, key: &TaskKey) -> Result<Option<PromptMaterial>, ReadError> {
        let key = key.clone();
        self.read(move |s| s.prompt_material(&key)).await
    }

    /// Whether an output's bytes are in the blob of this hash.
    ///
    /// # Errors
    /// As for every question.
    pub async fn blob_used(&self, sha256: &str) -> Result<bool, ReadError> {
        let sha256 = sha256.to_owned();
        self.read(move |s| s.blob_used(&sha256)).await
    }

    /// Which events of a project may be forgotten that are older than `before`; none where there is no project.
    ///
    /// # Errors
    /// As for every question.
    pub async fn forgettable(
        &self,
        project: &ProjectId,
        before: Timestamp,
    ) -> Result<Option<Forgettable>, ReadError> {
        let project = project.clone();
        self.read(move |s| s.forgettable(&project, before)).await
    }

    /// Tasks that could not be told without the events up to there: at most so many, and how many tasks these
    /// events tell of.
    ///
    /// # Errors
    /// As for every question.
    pub async fn untold(
        &self,
        project: &ProjectId,
        up_to: u64,
        limit: usize,
    ) -> Result<(Vec<TaskId>, u64), ReadError> {
        let project = project.clone();
        self.read(move |s| Ok((s.untold(&project, up_to, limit)?, s.tasks_told_in(&project, up_to)?))).await
    }

    /// The outputs whose bytes are in the blob of this hash: at most a hundred.
    ///
    /// # Errors
    /// As for every question.
    pub async fn outputs_in(&self, sha256: &str) -> Result<Vec<(TaskKey, u32)>, ReadError> {
        let sha256 = sha256.to_owned();
        self.read(move |s| s.outputs_in(&sha256)).await
    }

    /// Of these sessions, those that the board knows and that have ended.
    ///
    /// # Errors
    /// As for every question.
    pub async fn ended_of(&self, sessions: Vec<SessionId>) -> Result<Vec<SessionId>, ReadError> {
        self.read(move |s| s.ended_of(&sessions)).await
    }

    /// Of these sessions, those that the board does not know at all.
    ///
    /// # Errors
    /// As for every question.
    pub async fn unknown_of(&self, sessions: Vec<SessionId>) -> Result<Vec<SessionId>, ReadError> {
        self.read(move |s| s.unknown_of(&sessions)).await
    }

    /// When something next becomes claimable by itself, after `now`.
    ///
    /// # Errors
    /// As for every question.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        self.read(move |s| s.next_due(now)).await
    }

    /// The board, or one project of it, at a glance.
    ///
    /// # Errors
    /// As for every question.
    pub async fn overview(&self, query: OverviewQuery, now: Timestamp) -> Result<Overview, ReadError> {
        self.read(move |s| s.overview(&query, now)).await
    }

    /// Whether the board has come to rest, or begun to work, and does not say so yet.
    ///
    /// # Errors
    /// As for every question.
    pub async fn rest_has_changed(&self, now: Timestamp) -> Result<bool, ReadError> {
        self.read(move |s| s.rest_has_changed(now)).await
    }

    /// Totals over all projects.
    ///
    /// # Errors
    /// As for every question.
    pub async fn counts(&self) -> Result<Totals, ReadError> {
        self.read(|s| s.counts()).await
    }

    /// Everything that must never be true of a board and is, in words. Looks at the whole database, part by part:
    /// on a board that works meanwhile, each part is right for a moment of its own.
    ///
    /// # Errors
    /// As for every question.
    pub async fn check(&self, _now: Timestamp) -> Result<Vec<String>, ReadError> {
        let mut found = self.inner.readers.ask_within(CHECK_LIMIT, |s| s.check_file()).await?;
        let mut task = Some(0);
        while let Some(after) = task {
            let part = self.read(move |s| s.check_tasks(after)).await?;
            found.extend(part.found);
            task = part.next;
        }
        let mut session = Some(None);
        while let Some(after) = session {
            let part = self.read(move |s| s.check_sessions(after)).await?;
            found.extend(part.found);
            session = part.next.map(Some);
        }
        let mut projects = Some(None);
        while let Some(after) = projects {
            let page = self.projects(after, PAGE_LIMIT).await?;
            for project in page.items {
                let part = move |s: &Snapshot<'_>| s.check_project(&project.id);
                found.extend(self.inner.readers.ask_within(CHECK_LIMIT, part).await?);
            }
            projects = page.next_cursor.map(Some);
        }
        found.extend(self.read(|s| s.check_stream(None)).await?);
        Ok(found)
    }
}
