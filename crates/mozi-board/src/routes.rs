//! The whole route table on one screen: method, path, who may, what does it, and what the documents say of it.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    body::Body,
    extract::State,
    routing::{MethodFilter, on},
};
use futures_util::future::BoxFuture;
use http::Method;
use mozi_api::{
    agent::{Agent, PauseAgent, ResumeAgent, Runner},
    attempt::Attempt,
    event::EventPage,
    health::{Health, Version},
    house::GcReport,
    import::ImportReply,
    project::{CreateProject, PatchProject, Project},
    query::{
        CleanQuery, EventsQuery, ExpandQuery, ExportQuery, ImportQuery, LogQuery, PageQuery, PromptQuery,
        SessionsQuery, TasksQuery, WaitQuery,
    },
    report::{CommentReply, NewComment, NewOutput, OutputReply, OutputUpload, StatusReply, StatusReport},
    runner::{
        Assignment, EndSession, Hello, HelloReply, OpenSession, Poll, PollReply, RunnerNotice, SessionNote,
        StartedSession, TakeSession,
    },
    server::{Drain, Draining, ReloadConfig, Reloaded},
    session::{Session, StartSession, StopSession},
    status::{BoardStatus, StatusQuery},
    task::{CreateTask, PatchTask, PromptPreview, PutDependency, Task},
    token::{CreateToken, CreatedToken, Token},
    user::{CreateUser, PatchUser, User},
};

use crate::{
    Board, address,
    auth::Access as A,
    call::{Call, Outcome, enter, nowhere},
    openapi::Doc,
};

mod agents;
mod attempts;
mod events;
mod export;
mod house;
mod import;
mod logs;
mod meta;
mod outputs;
mod poll;
mod projects;
mod reports;
mod runners;
mod server;
mod sessions;
mod status;
mod tasks;
mod tokens;
mod users;

#[rustfmt::skip]
static TABLE: LazyLock<Vec<Route>> = LazyLock::new(|| vec![
    get("/healthz", A::OPEN, meta::health).says("Whether the program lives").answers::<Health>(),
    get("/readyz", A::OPEN, meta::ready).says("Whether the board takes requests").answers::<Health>(),
    get("/openapi.json", A::OPEN, meta::openapi).says("This document").text("application/json"),
    get("/docs", A::OPEN, meta::docs).says("This document to read").text("text/html"),
    get("/api/version", A::OPEN, meta::version).says("Which version answers").answers::<Version>(),

    get("/api/status", A::READ, status::show).says("The board at a glance: what waits for a person, runs, has ended, is stuck and why").asks::<StatusQuery>().answers::<BoardStatus>(),

    get("/api/projects", A::READ, projects::list).says("All projects, with counts by status").asks::<PageQuery>().lists::<Project>(),
    post("/api/projects", A::OPERATE, projects::create).says("Makes a project").takes::<CreateProject>().makes::<Project>().or_finds().tagged().refuses(&["duplicate_id"]),
    get("/api/projects/{p}", A::READ_EVENTS, projects::show).says("A project").answers::<Project>().tagged(),
    patch("/api/projects/{p}", A::OPERATE, projects::edit).by_person().says("Changes name, settings or archive mark").takes::<PatchProject>().answers::<Project>().tagged().if_match(),
    get("/api/projects/{p}/events", A::READ_EVENTS, events::of_project).says("Events of a project: a page, or a stream for `Accept: text/event-stream`").asks::<EventsQuery>().reads(&["Last-Event-ID"]).or_streams().refuses(&["events_expired"]).answers::<EventPage>(),
    get("/api/events", A::READ_EVENTS, events::of_all).says("Events over all projects, with opaque cursors").asks::<EventsQuery>().reads(&["Last-Event-ID"]).or_streams().refuses(&["events_expired"]).answers::<EventPage>(),

    get("/api/projects/{p}/tasks", A::READ_EVENTS, tasks::list).says("Tasks of a project").asks::<TasksQuery>().lists::<Task>(),
    post("/api/projects/{p}/tasks", A::CREATE, tasks::create).says("Makes a task").takes::<CreateTask>().makes::<Task>().or_finds().tagged().refuses(&["duplicate_id", "dependency_cycle", "project_archived"]),
    post("/api/projects/{p}/import", A::OPERATE, import::import).says("Makes many tasks, one a line, all or none; or takes in a whole project that was exported").asks::<ImportQuery>().takes_lines::<CreateTask>().answers::<ImportReply>().refuses(&["agent_context", "project_archived", "project_not_empty"]),
    get("/api/projects/{p}/export", A::READ, export::export).says("A whole project as one archive, or its tasks as new ones").asks::<ExportQuery>().text("application/x-tar"),
    get("/api/projects/{p}/tasks/{t}", A::READ_CONTRACT, tasks::show).says("A task; `expand=all` with all that hangs on it").asks::<ExpandQuery>().answers::<Task>().tagged(),
    patch("/api/projects/{p}/tasks/{t}", A::OPERATE, tasks::edit).says("Changes what a task's author says").takes::<PatchTask>().answers::<Task>().tagged().if_match().refuses(&["session_active"]),
    get("/api/projects/{p}/tasks/{t}/prompt", A::READ_OWN, tasks::prompt).says("What an agent would be told now").asks::<PromptQuery>().answers::<PromptPreview>(),
    put("/api/projects/{p}/tasks/{t}/dependencies/{other}", A::OPERATE, tasks::set_dependency).says("Lets a task wait for another").takes::<PutDependency>().answers::<Task>().tagged().if_match().refuses(&["dependency_cycle", "session_active"]),
    delete("/api/projects/{p}/tasks/{t}/dependencies/{other}", A::OPERATE, tasks::remove_dependency).says("Lets it wait no more").answers::<Task>().tagged().if_match().refuses(&["session_active"]),

    post("/api/projects/{p}/tasks/{t}/status", A::CALLBACK, reports::status).by_person().says("Reports or sets a status").takes::<StatusReport>().answers::<StatusReply>().tagged().if_match().refuses(&["transition_refused", "output_required"]),
    post("/api/projects/{p}/tasks/{t}/outputs", A::CALLBACK, outputs::add).says("Adds an output: JSON, or multipart with a file").takes::<NewOutput>().or_parts::<OutputUpload>().makes::<OutputReply>().if_match().refuses(&["path_refused"]),
    post("/api/projects/{p}/tasks/{t}/comments", A::CALLBACK, reports::comment).says("Adds a comment").takes::<NewComment>().makes::<CommentReply>().if_match(),
    get("/api/projects/{p}/tasks/{t}/outputs/{id}/content", A::READ_TASK, outputs::content).says("The bytes of an output; ranges are served").text("application/octet-stream").reads(&["Range"]).refuses(&["invalid_range"]),
    get("/api/projects/{p}/tasks/{t}/attempts", A::READ_OWN, attempts::list).says("Attempts at a task").lists::<Attempt>(),
    get("/api/projects/{p}/tasks/{t}/attempts/{n}", A::READ_OWN, attempts::show).says("An attempt").answers::<Attempt>(),
    get("/api/projects/{p}/tasks/{t}/attempts/{n}/prompt", A::READ_OWN, attempts::prompt).says("Its prompt as it was given, tokens masked").text("text/plain"),
    get("/api/projects/{p}/tasks/{t}/attempts/{n}/log", A::READ_OWN, attempts::log).says("Its log as bytes; `follow` ends when it has ended").asks::<LogQuery>().text("text/plain"),

    get("/api/sessions", A::READ, sessions::list).says("Sessions, newest first").asks::<SessionsQuery>().lists::<Session>(),
    post("/api/sessions", A::OPERATE, sessions::start).says("Starts an agent by name, at a task or without one; with `wait`, answers once it has ended").asks::<WaitQuery>().takes::<StartSession>().makes::<Session>().refuses(&["not_claimable", "duplicate_id"]),
    get("/api/sessions/{sid}", A::READ, sessions::show).says("A session; with `wait`, once it has ended").asks::<WaitQuery>().answers::<Session>(),
    delete("/api/sessions/{sid}", A::OPERATE, sessions::clean).says("Cleans up an ended session; with `force` gives up what holds up a live one").asks::<CleanQuery>().answers::<Session>().refuses(&["agent_context", "session_active"]),
    post("/api/sessions/{sid}/stop", A::OPERATE, sessions::stop).by_person().says("Stops a session; its task is held").takes::<StopSession>().answers::<Session>(),
    get("/api/sessions/{sid}/log", A::READ, sessions::log).says("Its log as bytes").asks::<LogQuery>().text("text/plain"),

    get("/api/agents", A::READ, agents::list).says("Agents that runners have named").lists::<Agent>(),
    get("/api/agents/{a}", A::READ, agents::show).says("An agent").answers::<Agent>(),
    post("/api/agents/{a}/pause", A::OPERATE, agents::pause).by_person().says("Gives an agent no more work").takes::<PauseAgent>().answers::<Agent>(),
    post("/api/agents/{a}/resume", A::OPERATE, agents::resume).by_person().says("Gives it work again").takes::<ResumeAgent>().answers::<Agent>(),
    get("/api/runners", A::READ, agents::runners).says("Runners").lists::<Runner>(),
    get("/api/users", A::READ_ADMIN, users::list).says("People").lists::<User>(),
    post("/api/users", A::ADMIN, users::create).by_person().says("Makes a user").takes::<CreateUser>().makes::<User>().or_finds().refuses(&["duplicate_id"]),
    get("/api/users/{u}", A::READ_ADMIN, users::show).says("A user").answers::<User>(),
    patch("/api/users/{u}", A::ADMIN, users::edit).by_person().says("Changes role, scope or end of a user, or disables them").takes::<PatchUser>().answers::<User>(),
    get("/api/tokens", A::READ_ADMIN, tokens::list).says("Tokens, without their secrets").lists::<Token>(),
    post("/api/tokens", A::ADMIN, tokens::create).by_person().says("Makes a token; its secret is shown once").takes::<CreateToken>().makes::<CreatedToken>().refuses(&["duplicate_id"]),
    delete("/api/tokens/{name}", A::ADMIN, tokens::revoke).by_person().says("Takes a token back").answers::<Token>(),

    post("/api/config/reload", A::STEER, server::reload).by_person().says("Reads mozi.toml again: all of it holds from now on, or nothing").takes::<ReloadConfig>().answers::<Reloaded>().refuses(&["config_refused"]),
    put("/api/server/drain", A::STEER, server::drain).by_person().says("Claims and starts nothing for a while; what runs goes on").takes::<Drain>().answers::<Draining>(),
    get("/api/backup", A::READ_ADMIN, house::backup).by_person().says("A backup of the whole board, made while it works: a tar file").text("application/x-tar").refuses(&["storage_full"]),
    get("/api/gc", A::READ_ADMIN, house::report).says("What may go: by the rule of retention, and what nothing needs").answers::<GcReport>(),
    delete("/api/gc", A::READ_ADMIN, house::gc).by_person().says("Removes it").answers::<GcReport>(),

    post("/api/runners/{r}/hello", A::RUNNER, runners::hello).says("A runner is there, with these agents").takes::<Hello>().answers::<HelloReply>(),
    post("/api/runners/{r}/poll", A::RUNNER, poll::poll).says("Asks for work and orders, waiting for them").takes::<Poll>().answers::<PollReply>().refuses(&["duplicate_id"]),
    get("/api/runners/{r}/sessions", A::READ_RUNNER, runners::sessions).says("Its open sessions, to reconcile with").answers::<Vec<OpenSession>>(),
    post("/api/runners/{r}/sessions/{sid}/take", A::RUNNER, runners::take).says("Takes up a session that was started by name").takes::<TakeSession>().answers::<Assignment>().refuses(&["session_active"]),
    post("/api/runners/{r}/sessions/{sid}/started", A::RUNNER, runners::started).says("The agent's process runs").takes::<StartedSession>().answers::<Session>().refuses(&["session_active"]),
    post("/api/runners/{r}/sessions/{sid}/note", A::RUNNER, runners::note).says("What holds up the end of a session").takes::<SessionNote>().answers::<Option<Session>>().refuses(&["session_active"]),
    post("/api/runners/{r}/sessions/{sid}/end", A::RUNNER, runners::end).says("The session has ended, proven").takes::<EndSession>().answers::<Session>(),
    post("/api/runners/{r}/notice", A::RUNNER, runners::notice).says("Something that people should see").takes::<RunnerNotice>().text("application/json"),
    post("/api/runners/{r}/goodbye", A::RUNNER, runners::goodbye).says("The runner goes").text("application/json"),
]);

type Handler = Box<dyn Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// One route. There is none without a word on who may use it.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: A,
    /// A person's decision: refused to a user's credential inside an agent, where that is seen.
    pub(crate) by_person: bool,
    pub(crate) handler: Handler,
    pub(crate) doc: Doc,
}

fn route<F>(
    method: Method,
    path: &'static str,
    access: A,
    handler: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let handler: Handler = Box::new(move |call| Box::pin(handler(call)));
    Route { method, path, access, by_person: false, handler, doc: Doc::default() }
}

impl Route {
    /// It is a person's decision.
    fn by_person(mut self) -> Self {
        self.by_person = true;
        self
    }
}

macro_rules! methods {
    ($($name:ident => $method:ident),+) => {$(
        fn $name<F>(path: &'static str, access: A, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Route
        where
            F: Future<Output = Outcome> + Send + 'static,
        {
            route(Method::$method, path, access, handler)
        }
    )+};
}
methods!(get => GET, post => POST, patch => PATCH, put => PUT, delete => DELETE);

/// The table.
pub(crate) fn table() -> &'static [Route] {
    &TABLE
}

/// Method, path and credentials of every route, for tests and documents.
pub fn declared() -> Vec<(Method, &'static str, A)> {
    TABLE.iter().map(|r| (r.method.clone(), r.path, r.access)).collect()
}

/// The board as a service: the same over a socket and in process.
pub fn router(board: Arc<Board>) -> Router {
    let mut router = Router::new();
    for route in table() {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let serve = on(filter, move |State(board): State<Arc<Board>>, request: http::Request<Body>| {
            enter(board, route, request)
        });
        router = router.route(route.path, serve);
    }
    let router = router
        .fallback(|State(board): State<Arc<Board>>, request: http::Request<Body>| {
            nowhere(board, request, false)
        })
        .method_not_allowed_fallback(|State(board): State<Arc<Board>>, request: http::Request<Body>| {
            nowhere(board, request, true)
        })
        .with_state(board);
    address::with_tokens(router)
}
