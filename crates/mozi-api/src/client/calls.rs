//! The calls of people, scripts and agents.
#![expect(clippy::missing_errors_doc, reason = "every call fails as `ClientError` says and in no other way")]

use std::time::Duration;

use http::Method;
use mozi_core::{AgentId, AttemptNumber, ProjectId, SessionId, TaskId};

use super::{ByteStream, Call, Client, ClientError, Upload};
use crate::{
    agent::{Agent, PauseAgent, Runner},
    attempt::Attempt,
    event::EventPage,
    health::{Health, Version},
    import::ImportReply,
    page::Page,
    project::{CreateProject, PatchProject, Project},
    query::{
        CleanQuery, EventsQuery, Expand, ExportQuery, ImportQuery, LogQuery, PageQuery, PromptQuery,
        SessionsQuery, TasksQuery, WaitQuery,
    },
    report::{CommentReply, NewComment, NewOutput, OutputReply, StatusReply, StatusReport},
    server::{Drain, Draining, Reloaded},
    session::{Session, StartSession, StopSession},
    sse::EventStream,
    status::{BoardStatus, StatusQuery},
    task::{CreateTask, PatchTask, PromptPreview, PutDependency, Task},
    transport::Body,
};

/// How long a whole project may take on its way.
const LONG: std::time::Duration = std::time::Duration::from_hours(6);

fn task_path(project: &ProjectId, task: &TaskId) -> String {
    format!("/api/projects/{project}/tasks/{task}")
}

impl Client {
    /// Whether the board takes requests.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        self.json(Call::get("/readyz")).await
    }
    /// Which board this is.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.json(Call::get("/api/version")).await
    }
    /// The description of the interface.
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        self.json(Call::get("/openapi.json")).await
    }

    /// The board at a glance.
    pub async fn status(&self, query: &StatusQuery) -> Result<BoardStatus, ClientError> {
        self.json(Call::get(format!("/api/status{}", query.encode()))).await
    }

    /// Projects, by id.
    pub async fn projects(&self, page: &PageQuery) -> Result<Page<Project>, ClientError> {
        self.json(Call::get(format!("/api/projects{}", page.encode()))).await
    }
    /// A project.
    pub async fn project(&self, project: &ProjectId) -> Result<Project, ClientError> {
        self.json(Call::get(format!("/api/projects/{project}"))).await
    }
    /// A new project.
    pub async fn create_project(&self, body: &CreateProject) -> Result<Project, ClientError> {
        self.json(Call::post("/api/projects").json(body)?).await
    }
    /// Name, settings, archive mark of a project.
    pub async fn patch_project(
        &self,
        project: &ProjectId,
        body: &PatchProject,
    ) -> Result<Project, ClientError> {
        self.json(Call::new(Method::PATCH, format!("/api/projects/{project}")).json(body)?).await
    }

    /// A new task.
    pub async fn create_task(&self, project: &ProjectId, body: &CreateTask) -> Result<Task, ClientError> {
        self.json(Call::post(format!("/api/projects/{project}/tasks")).json(body)?).await
    }
    /// A whole project, or its tasks as new ones.
    pub async fn export(&self, project: &ProjectId, query: ExportQuery) -> Result<ByteStream, ClientError> {
        let path = format!("/api/projects/{project}/export{}", query.encode());
        self.bytes(Call::get(path).patient(LONG)).await
    }
    /// Many new tasks, one a line, all or none; or a whole project.
    pub async fn import(
        &self,
        project: &ProjectId,
        body: Body,
        query: ImportQuery,
        key: Option<&str>,
    ) -> Result<ImportReply, ClientError> {
        let call = Call::post(format!("/api/projects/{project}/import{}", query.encode()));
        self.json(call.sends(crate::import::LINES, body).patient(LONG).key(key)?).await
    }
    /// Tasks of a project.
    pub async fn tasks(&self, project: &ProjectId, query: &TasksQuery) -> Result<Page<Task>, ClientError> {
        self.json(Call::get(format!("/api/projects/{project}/tasks{}", query.encode()))).await
    }
    /// A task, with more of it if wanted.
    pub async fn task(
        &self,
        project: &ProjectId,
        task: &TaskId,
        expand: Expand,
    ) -> Result<Task, ClientError> {
        self.json(Call::get(format!("{}{}", task_path(project, task), expand.encode()))).await
    }
    /// Text, limits, agent of a task.
    pub async fn patch_task(
        &self,
        project: &ProjectId,
        task: &TaskId,
        body: &PatchTask,
    ) -> Result<Task, ClientError> {
        self.json(Call::new(Method::PATCH, task_path(project, task)).json(body)?).await
    }
    /// What an agent would get now.
    pub async fn task_prompt(
        &self,
        project: &ProjectId,
        task: &TaskId,
        query: &PromptQuery,
    ) -> Result<PromptPreview, ClientError> {
        self.json(Call::get(format!("{}/prompt{}", task_path(project, task), query.encode()))).await
    }
    /// One dependency more, or with another `until`.
    pub async fn put_dependency(
        &self,
        project: &ProjectId,
        task: &TaskId,
        on: &TaskId,
        body: &PutDependency,
    ) -> Result<Task, ClientError> {
        let path = format!("{}/dependencies/{on}", task_path(project, task));
        self.json(Call::new(Method::PUT, path).json(body)?).await
    }
    /// One dependency less.
    pub async fn delete_dependency(
        &self,
        project: &ProjectId,
        task: &TaskId,
        on: &TaskId,
    ) -> Result<Task, ClientError> {
        let path = format!("{}/dependencies/{on}", task_path(project, task));
        self.json(Call::new(Method::DELETE, path)).await
    }

    /// Reports a status. With a `key`, the same report again is taken once.
    pub async fn report_status(
        &self,
        project: &ProjectId,
        task: &TaskId,
        body: &StatusReport,
        key: Option<&str>,
    ) -> Result<StatusReply, ClientError> {
        self.json(Call::post(format!("{}/status", task_path(project, task))).json(body)?.key(key)?).await
    }
    /// Adds an output, as text or by path.
    pub async fn add_output(
        &self,
        project: &ProjectId,
        task: &TaskId,
        body: &NewOutput,
        key: Option<&str>,
    ) -> Result<OutputReply, ClientError> {
        self.json(Call::post(format!("{}/outputs", task_path(project, task))).json(body)?.key(key)?).await
    }
    /// Adds an output with a file.
    pub async fn upload_output(
        &self,
        project: &ProjectId,
        task: &TaskId,
        upload: &Upload,
        key: Option<&str>,
    ) -> Result<OutputReply, ClientError> {
        self.json(Call::post(format!("{}/outputs", task_path(project, task))).upload(upload)?.key(key)?).await
    }
    /// Adds a comment.
    pub async fn add_comment(
        &self,
        project: &ProjectId,
        task: &TaskId,
        body: &NewComment,
        key: Option<&str>,
    ) -> Result<CommentReply, ClientError> {
        self.json(Call::post(format!("{}/comments", task_path(project, task))).json(body)?.key(key)?).await
    }
    /// The bytes of an output.
    pub async fn output_content(
        &self,
        project: &ProjectId,
        task: &TaskId,
        output_id: u32,
    ) -> Result<ByteStream, ClientError> {
        self.bytes(Call::get(format!("{}/outputs/{output_id}/content", task_path(project, task)))).await
    }

    /// The attempts of a task, oldest first.
    pub async fn attempts(&self, project: &ProjectId, task: &TaskId) -> Result<Page<Attempt>, ClientError> {
        self.json(Call::get(format!("{}/attempts", task_path(project, task)))).await
    }
    /// An attempt.
    pub async fn attempt(
        &self,
        project: &ProjectId,
        task: &TaskId,
        number: AttemptNumber,
    ) -> Result<Attempt, ClientError> {
        self.json(Call::get(format!("{}/attempts/{number}", task_path(project, task)))).await
    }
    /// The prompt of an attempt as it was given, its token masked.
    pub async fn attempt_prompt(
        &self,
        project: &ProjectId,
        task: &TaskId,
        number: AttemptNumber,
    ) -> Result<String, ClientError> {
        self.text(Call::get(format!("{}/attempts/{number}/prompt", task_path(project, task)))).await
    }
    /// The log of an attempt.
    pub async fn attempt_log(
        &self,
        project: &ProjectId,
        task: &TaskId,
        number: AttemptNumber,
        query: &LogQuery,
    ) -> Result<ByteStream, ClientError> {
        let path = format!("{}/attempts/{number}/log{}", task_path(project, task), query.encode());
        self.bytes(Call::get(path)).await
    }

    /// Events of a project, or of all.
    pub async fn events(
        &self,
        project: Option<&ProjectId>,
        query: &EventsQuery,
    ) -> Result<EventPage, ClientError> {
        self.json(Call::get(format!("{}{}", events_path(project), query.encode()))).await
    }
    /// Events of a project, or of all, as they happen: after the one named, else from the beginning.
    pub fn event_stream(&self, project: Option<&ProjectId>, after: Option<String>) -> EventStream {
        EventStream::new(self.clone(), events_path(project), after)
    }

    /// Sessions, newest first.
    pub async fn sessions(&self, query: &SessionsQuery) -> Result<Page<Session>, ClientError> {
        self.json(Call::get(format!("/api/sessions{}", query.encode()))).await
    }
    /// Starts an agent by name.
    pub async fn start_session(&self, body: &StartSession) -> Result<Session, ClientError> {
        self.json(Call::post("/api/sessions").json(body)?).await
    }
    /// A session.
    pub async fn session(&self, session: SessionId) -> Result<Session, ClientError> {
        self.json(Call::get(format!("/api/sessions/{session}"))).await
    }
    /// A session once it has ended, or as it is after so many seconds, at most [`WaitQuery::LONGEST`].
    pub async fn session_ended(&self, session: SessionId, seconds: u64) -> Result<Session, ClientError> {
        let query = WaitQuery { wait: Some(seconds) };
        let call = Call::get(format!("/api/sessions/{session}{}", query.encode()));
        self.json(call.patient(Duration::from_secs(seconds))).await
    }
    /// Stops a session.
    pub async fn stop_session(&self, session: SessionId, body: &StopSession) -> Result<Session, ClientError> {
        self.json(Call::post(format!("/api/sessions/{session}/stop")).json(body)?).await
    }
    /// Cleans up what is left of an ended session; by force, of one that cannot be ended.
    pub async fn clean_session(&self, session: SessionId, force: bool) -> Result<(), ClientError> {
        let query = CleanQuery { force: force.then_some(true) };
        self.done(Call::new(Method::DELETE, format!("/api/sessions/{session}{}", query.encode()))).await
    }
    /// The log of a session.
    pub async fn session_log(&self, session: SessionId, query: &LogQuery) -> Result<ByteStream, ClientError> {
        self.bytes(Call::get(format!("/api/sessions/{session}/log{}", query.encode()))).await
    }

    /// All agents.
    pub async fn agents(&self) -> Result<Page<Agent>, ClientError> {
        self.json(Call::get("/api/agents")).await
    }
    /// An agent.
    pub async fn agent(&self, agent: &AgentId) -> Result<Agent, ClientError> {
        self.json(Call::get(format!("/api/agents/{agent}"))).await
    }
    /// No work for an agent.
    pub async fn pause_agent(&self, agent: &AgentId, body: &PauseAgent) -> Result<Agent, ClientError> {
        self.json(Call::post(format!("/api/agents/{agent}/pause")).json(body)?).await
    }
    /// Work again.
    pub async fn resume_agent(&self, agent: &AgentId) -> Result<Agent, ClientError> {
        self.json(Call::post(format!("/api/agents/{agent}/resume"))).await
    }
    /// The configuration is read again.
    pub async fn reload_config(&self) -> Result<Reloaded, ClientError> {
        self.json(Call::post("/api/config/reload")).await
    }
    /// Nothing is claimed for a while.
    pub async fn drain(&self, body: &Drain) -> Result<Draining, ClientError> {
        self.json(Call::new(Method::PUT, "/api/server/drain").json(body)?).await
    }
    /// All runners.
    pub async fn runners(&self) -> Result<Page<Runner>, ClientError> {
        self.json(Call::get("/api/runners")).await
    }
}

fn events_path(project: Option<&ProjectId>) -> String {
    project.map_or_else(|| "/api/events".to_owned(), |p| format!("/api/projects/{p}/events"))
}
