//! Rows and what they stand for: which columns in which order, and how each is read.

use std::{str::FromStr, time::Duration};

use mozi_core::{
    Actor, ActorKind, Agent, AgentId, Attempt, Comment, Event, EventKind, Outcome, Output, OutputType, Pause,
    Project, ProjectId, Reason, Role, Runner, RunnerId, Session, SessionId, SessionStatus, Settings, Status,
    Task, TaskId, TaskKey, TaskSpec, TaskState, Timestamp, Token, TokenHash, Usage, User, UserRole, Verdict,
    VerdictMode,
    attempt::{Resources, Tail},
    output::Content,
    project::{Dispatch, Language, OnNoVerdict, RequireOutput, RetryOrBlock, Review},
    session::{HeldUp, HoldUp, Order},
    task::{NotBefore, OpenAttempt, StatusCounts},
    token::Holder,
};
use rusqlite::{
    Row,
    types::{FromSql, Type},
};
use serde_json::Value;

pub(super) type Sql<T> = rusqlite::Result<T>;

/// A stored value that nobody here has written.
#[derive(Debug)]
struct BadValue(String);

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the database holds {:?} where it must not", self.0)
    }
}
impl std::error::Error for BadValue {}

/// An error for a stored value that has no meaning.
pub(super) fn bad(value: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(BadValue(value.into())))
}

/// Reads the columns of a row one after the other.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn from(row: &'a Row<'a>, first: usize) -> Self {
        Self { row, next: first }
    }
    pub(super) fn get<T: FromSql>(&mut self) -> Sql<T> {
        let i = self.next;
        self.next = i.saturating_add(1);
        self.row.get(i)
    }
    fn str(&mut self) -> Sql<&'a str> {
        let i = self.next;
        self.next = i.saturating_add(1);
        Ok(self.row.get_ref(i)?.as_str()?)
    }
    pub(super) fn opt_str(&mut self) -> Sql<Option<&'a str>> {
        let i = self.next;
        self.next = i.saturating_add(1);
        Ok(self.row.get_ref(i)?.as_str_or_null()?)
    }
    pub(super) fn word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Sql<T> {
        let word = self.str()?;
        parse(word).ok_or_else(|| bad(word))
    }
    pub(super) fn opt_word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Sql<Option<T>> {
        self.opt_str()?.map(|word| parse(word).ok_or_else(|| bad(word))).transpose()
    }
    pub(super) fn id<T: FromStr>(&mut self) -> Sql<T> {
        let id = self.str()?;
        id.parse().map_err(|_| bad(id))
    }
    fn opt_id<T: FromStr>(&mut self) -> Sql<Option<T>> {
        self.opt_str()?.map(|id| id.parse().map_err(|_| bad(id))).transpose()
    }
    pub(super) fn time(&mut self) -> Sql<Timestamp> {
        self.get().map(Timestamp::from_micros)
    }
    pub(super) fn opt_time(&mut self) -> Sql<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_micros))
    }
    fn json(&mut self) -> Sql<Value> {
        let text = self.str()?;
        // What most rows hold.
        match text {
            "{}" => return Ok(Value::Object(serde_json::Map::new())),
            "[]" => return Ok(Value::Array(Vec::new())),
            _ => {}
        }
        serde_json::from_str(text).map_err(|_| bad(text))
    }
    pub(super) fn count(&mut self) -> Sql<u64> {
        self.get::<i64>().map(unsigned)
    }
    pub(super) fn opt_count(&mut self) -> Sql<Option<u64>> {
        Ok(self.get::<Option<i64>>()?.map(unsigned))
    }
    fn millis(&mut self) -> Sql<Duration> {
        self.count().map(Duration::from_millis)
    }
    pub(super) fn key(&mut self) -> Sql<TaskKey> {
        Ok(TaskKey::new(self.id()?, self.id()?))
    }
    fn actor(&mut self) -> Sql<Actor> {
        Ok(Actor { kind: self.word(ActorKind::parse)?, id: self.get()?, name: self.get()?, via: self.get()? })
    }
    fn hash(&mut self) -> Sql<Option<TokenHash>> {
        let i = self.next;
        self.next = i.saturating_add(1);
        let bytes = self.row.get_ref(i)?.as_blob_or_null()?;
        bytes.map(|b| b.try_into().map(TokenHash).map_err(|_| bad("a token hash"))).transpose()
    }
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// As the database holds counts.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// As the database holds lengths of time.
pub(super) fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn strings(value: &Value) -> Sql<Vec<String>> {
    let items = value.as_array().ok_or_else(|| bad(value.to_string()))?;
    items.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(|| bad(v.to_string()))).collect()
}

pub(super) const PROJECT: &str = "project_id, name, archived, version, created_at, updated_at, next_task, \
    last_event, pending, claimed, working, review, done, failed, blocked, cancelled, default_agent, dispatch, \
    reviewer, require_output, max_attempts, max_review_attempts, max_review_rounds, on_no_verdict, on_lost, \
    on_timeout, backoff_initial_ms, backoff_max_ms, max_sessions, agents_may_create, language, bootstrap";

pub(super) fn project(row: &Row<'_>) -> Sql<Project> {
    let c = &mut Columns::from(row, 0);
    let id: ProjectId = c.id()?;
    let (name, archived, version) = (c.get()?, c.get()?, c.count()?);
    let (created_at, updated_at) = (c.time()?, c.time()?);
    let (next_task, last_event) = (c.count()?, c.count()?);
    let mut counts = [0; 8];
    for n in &mut counts {
        *n = c.count()?;
    }
    let settings = Settings {
        default_agent: c.opt_id()?,
        dispatch: c.word(Dispatch::parse)?,
        review: c.word(|w| Review::parse(w).ok())?,
        require_output: c.word(RequireOutput::parse)?,
        max_attempts: c.get()?,
        max_review_attempts: c.get()?,
        max_review_rounds: c.get()?,
        on_no_verdict: c.word(OnNoVerdict::parse)?,
        on_lost: c.word(RetryOrBlock::parse)?,
        on_timeout: c.word(RetryOrBlock::parse)?,
        backoff_initial: c.millis()?,
        backoff_max: c.millis()?,
        max_sessions: c.get()?,
        agents_may_create: c.get()?,
        language: c.word(Language::parse)?,
        bootstrap: c.get()?,
    };
    Ok(Project {
        id,
        name,
        settings,
        archived,
        version,
        created_at,
        updated_at,
        next_task,
        last_event,
        counts: StatusCounts::from_array(counts),
    })
}

/// Of `tasks t JOIN task_texts x USING (id)`.
pub(super) const TASK: &str = "t.project_id, t.task_id, t.version, t.created_at, t.updated_at, t.status, t.kind, \
    t.detail, t.set_by, t.not_before, t.not_before_by_board, t.last_attempt, t.open_attempt, t.open_role, \
    t.executors, t.budget_used, t.review_used, t.repeats, t.spawn_failures, t.rounds, t.reviewer_given_up, \
    t.unmet, t.depth, t.next_output, t.next_comment, t.title, t.task_type, t.priority, t.agent, t.timeout_ms, \
    t.max_attempts, t.reviewer, t.parent, t.labels, t.created_by_kind, t.created_by_id, t.created_by_name, \
    t.created_by_via, x.must_haves, x.metadata, x.description";

pub(super) fn task(row: &Row<'_>) -> Sql<Task> {
    let c = &mut Columns::from(row, 0);
    let key = c.key()?;
    let version = c.count()?;
    let (created_at, updated_at) = (c.time()?, c.time()?);
    let (status, kind, detail, set_by) = (c.word(Status::parse)?, c.get()?, c.get()?, c.get()?);
    let (at, by_board) = (c.opt_time()?, c.get()?);
    let last_attempt = c.get()?;
    let (open, open_role) = (c.get::<Option<u32>>()?, c.opt_word(Role::parse)?);
    let state = TaskState {
        status,
        kind,
        detail,
        set_by,
        not_before: at.map(|at| NotBefore { at, by_board }),
        last_attempt,
        open: open.zip(open_role).map(|(number, role)| OpenAttempt { number, role }),
        executors: strings(&c.json()?)?
            .into_iter()
            .map(|a| a.parse().map_err(|_| bad(a)))
            .collect::<Sql<_>>()?,
        budget_used: c.get()?,
        review_used: c.get()?,
        repeats: c.get()?,
        spawn_failures: c.get()?,
        rounds: c.get()?,
        reviewer_given_up: c.get()?,
        unmet: c.get()?,
        depth: c.get()?,
        next_output: c.get()?,
        next_comment: c.get()?,
    };
    let (title, task_type, priority) = (c.get()?, c.get()?, c.get()?);
    let (agent, timeout, max_attempts) = (c.opt_id()?, c.opt_count()?.map(Duration::from_millis), c.get()?);
    let (review, parent) = (c.opt_word(|w| Review::parse(w).ok())?, c.opt_id()?);
    let labels = c.json()?;
    let labels = labels.as_object().ok_or_else(|| bad("labels"))?;
    let labels = labels.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
    let created_by = c.actor()?;
    let spec = TaskSpec {
        title,
        task_type,
        priority,
        must_haves: strings(&c.json()?)?,
        agent,
        timeout,
        max_attempts,
        review,
        parent,
        labels,
        metadata: c.json()?,
        description: c.get()?,
    };
    Ok(Task { key, spec, state, created_by, created_at, updated_at, version })
}

pub(super) const ATTEMPT: &str = "project_id, task_id, attempt_number, role, agent, session_id, runner_id, boot_id, \
    pid_namespace, token_hash, verdict_mode, verdict, verdict_at, revoked_at, revoked_why, outcome, reason, \
    exit_code, signal, timeout_ms, workspace, started_at, completed_at, outputs, created_tasks, cpu_ms, \
    max_rss_bytes, metadata, tail_stdout_bytes, tail_stderr_bytes, tail_stdout, tail_stderr";

pub(super) fn attempt(row: &Row<'_>) -> Sql<Attempt> {
    let c = &mut Columns::from(row, 0);
    Ok(Attempt {
        key: c.key()?,
        number: c.get()?,
        role: c.word(Role::parse)?,
        agent: c.id()?,
        session_id: c.id()?,
        runner_id: c.id()?,
        boot_id: c.get()?,
        pid_namespace: c.get()?,
        token_hash: c.hash()?,
        verdict_mode: c.word(VerdictMode::parse)?,
        verdict: c.opt_word(Verdict::parse)?,
        verdict_at: c.opt_time()?,
        revoked_at: c.opt_time()?,
        revoked_why: c.get()?,
        outcome: c.opt_word(Outcome::parse)?,
        reason: c.opt_word(Reason::parse)?,
        exit_code: c.get()?,
        signal: c.get()?,
        timeout_ms: c.opt_count()?,
        workspace: c.get()?,
        started_at: c.time()?,
        completed_at: c.opt_time()?,
        outputs: c.get()?,
        created_tasks: c.get()?,
        resources: {
            let (cpu_ms, max_rss) = (c.opt_count()?, c.opt_count()?);
            cpu_ms.zip(max_rss).map(|(cpu_ms, max_rss_bytes)| Resources { cpu_ms, max_rss_bytes })
        },
        metadata: c.json()?,
        tail: {
            let (stdout_bytes, stderr_bytes) = (c.opt_count()?, c.opt_count()?);
            let (stdout, stderr) = (c.get::<Option<String>>()?, c.get::<Option<String>>()?);
            stdout_bytes.zip(stderr_bytes).map(|(stdout_bytes, stderr_bytes)| Tail {
                stdout: stdout.unwrap_or_default(),
                stderr: stderr.unwrap_or_default(),
                stdout_bytes,
                stderr_bytes,
            })
        },
    })
}

pub(super) const USAGE: &str = "attempt_number, model, input_tokens, output_tokens, cache_read_tokens, \
    cache_write_tokens, cost_micro_usd, reported";

pub(super) fn usage(row: &Row<'_>) -> Sql<(u32, Usage)> {
    usage_after(row, 0)
}

/// With so many other columns before it.
pub(super) fn usage_after(row: &Row<'_>, first: usize) -> Sql<(u32, Usage)> {
    let c = &mut Columns::from(row, first);
    let number = c.get()?;
    let usage = Usage {
        model: c.get()?,
        input_tokens: c.opt_count()?,
        output_tokens: c.opt_count()?,
        cache_read_tokens: c.opt_count()?,
        cache_write_tokens: c.opt_count()?,
        cost_micro_usd: c.get()?,
        reported: c.get()?,
    };
    Ok((number, usage))
}

pub(super) const SESSION: &str = "session_id, agent, runner_id, project_id, task_id, attempt_number, by_name, \
    message, verbatim, taken, status, pid, held_up_by, held_up_detail, stop_requested, forced, clean_requested, \
    started_at, completed_at, error";

pub(super) fn session(row: &Row<'_>) -> Sql<Session> {
    let c = &mut Columns::from(row, 0);
    Ok(Session {
        id: c.id::<SessionId>()?,
        agent: c.id()?,
        runner_id: c.id()?,
        attempt: {
            let (project, task, number) =
                (c.opt_id::<ProjectId>()?, c.opt_id::<TaskId>()?, c.get::<Option<u32>>()?);
            project.zip(task).zip(number).map(|((p, t), n)| (TaskKey::new(p, t), n))
        },
        order: {
            let (by_name, message, verbatim, taken) = (c.get::<bool>()?, c.get()?, c.get()?, c.get()?);
            by_name.then_some(Order { message, verbatim, taken })
        },
        status: c.word(SessionStatus::parse)?,
        pid: c.get()?,
        held_up: {
            let (by, detail) = (c.opt_word(HoldUp::parse)?, c.get::<Option<String>>()?);
            by.map(|by| HeldUp { by, detail: detail.unwrap_or_default() })
        },
        stop_requested: c.get()?,
        forced: c.get()?,
        clean_requested: c.get()?,
        started_at: c.time()?,
        completed_at: c.opt_time()?,
        error: c.get()?,
    })
}

/// The last column is null where the bytes are not asked for; see [`output`].
pub(super) const OUTPUT: &str = "project_id, task_id, output_id, attempt_number, agent, type, title, summary, \
    file_name, sha256, size_bytes, actor_kind, actor_id, actor_name, actor_via, created_at, inline";

/// With `bytes`, the column after [`OUTPUT`] is the content.
pub(super) fn output(row: &Row<'_>, bytes: bool) -> Sql<Output> {
    let c = &mut Columns::from(row, 0);
    Ok(Output {
        key: c.key()?,
        id: c.get()?,
        attempt_number: c.get()?,
        agent: c.opt_id()?,
        output_type: c.word(OutputType::parse)?,
        title: c.get()?,
        summary: c.get()?,
        file_name: c.get()?,
        sha256: c.get()?,
        size_bytes: c.count()?,
        actor: c.actor()?,
        created_at: c.time()?,
        content: match (c.get()?, bytes) {
            (false, _) => Content::Blob,
            (true, false) => Content::Inline(Vec::new()),
            (true, true) => Content::Inline(c.get::<Option<Vec<u8>>>()?.unwrap_or_default()),
        },
    })
}

pub(super) const COMMENT: &str = "project_id, task_id, comment_id, attempt_number, author, actor_kind, actor_id, \
    actor_name, actor_via, created_at, body";

pub(super) fn comment(row: &Row<'_>) -> Sql<Comment> {
    let c = &mut Columns::from(row, 0);
    Ok(Comment {
        key: c.key()?,
        id: c.get()?,
        attempt_number: c.get()?,
        author: c.get()?,
        actor: c.actor()?,
        created_at: c.time()?,
        body: c.get()?,
    })
}

pub(super) const EVENT: &str = "seq, project_id, id, task_id, attempt_number, agent, event_type, actor_kind, \
    actor_id, actor_name, actor_via, at, detail";

pub(super) fn event(row: &Row<'_>) -> Sql<(u64, Event)> {
    let c = &mut Columns::from(row, 0);
    let seq = c.count()?;
    let (project, id, task) = (c.opt_id()?, c.count()?, c.opt_id()?);
    let (attempt_number, agent) = (c.get()?, c.opt_id()?);
    let event_type = c.str()?;
    let actor = c.actor()?;
    let at = c.time()?;
    let kind = EventKind::parse(event_type, c.json()?);
    Ok((seq, Event { id, project, task, attempt_number, agent, actor, kind, at }))
}

pub(super) const AGENT: &str = "agent, runner_id, runtime, aliases, roles, max_sessions, verdict_mode, timeout_ms, \
    callback, configured, held_back, paused, paused_since, paused_until, paused_reason, paused_detail, \
    paused_reset_named, spawn_failures, pauses, seen_at";

pub(super) fn agent(row: &Row<'_>) -> Sql<Agent> {
    let c = &mut Columns::from(row, 0);
    Ok(Agent {
        id: c.id::<AgentId>()?,
        runner_id: c.id::<RunnerId>()?,
        runtime: c.get()?,
        aliases: strings(&c.json()?)?,
        roles: strings(&c.json()?)?
            .iter()
            .map(|r| Role::parse(r).ok_or_else(|| bad(r.clone())))
            .collect::<Sql<_>>()?,
        max_sessions: c.get()?,
        verdict_mode: c.word(VerdictMode::parse)?,
        timeout_ms: c.opt_count()?,
        callback: c.get()?,
        configured: c.get()?,
        held_back: c.get()?,
        paused: {
            let (paused, since, until) = (c.get::<bool>()?, c.opt_time()?, c.opt_time()?);
            let (reason, detail, reset_named) = (c.opt_word(Reason::parse)?, c.get()?, c.get()?);
            let since = since.unwrap_or_default();
            paused.then_some(Pause { since, until, reason, detail, reset_named })
        },
        spawn_failures: c.get()?,
        pauses: c.get()?,
        seen_at: c.time()?,
    })
}

pub(super) const RUNNER: &str = "runner_id, max_sessions, online, boot_id, pid_namespace, version, seen_at";

pub(super) fn runner(row: &Row<'_>) -> Sql<Runner> {
    let c = &mut Columns::from(row, 0);
    Ok(Runner {
        id: c.id()?,
        max_sessions: c.get()?,
        online: c.get()?,
        boot_id: c.get()?,
        pid_namespace: c.get()?,
        version: c.get()?,
        seen_at: c.time()?,
    })
}

pub(super) const TOKEN: &str = "name, token_hash, user_id, role, runner_id, project_id, created_at, expires_at, \
    last_used_at, revoked_at";

pub(super) fn token(row: &Row<'_>) -> Sql<Token> {
    let c = &mut Columns::from(row, 0);
    let (name, hash) = (c.get()?, c.hash()?.ok_or_else(|| bad("a token without a hash"))?);
    let (user, role) = (c.get::<Option<String>>()?, c.opt_word(UserRole::parse)?);
    let runner = c.opt_id()?;
    let holder = match (user, role, runner) {
        (_, _, Some(runner)) => Holder::Runner(runner),
        (Some(user), Some(role), None) => Holder::User { user, role },
        (Some(_) | None, _, None) => return Err(bad("a token of nobody")),
    };
    Ok(Token {
        name,
        hash,
        holder,
        project: c.opt_id()?,
        created_at: c.time()?,
        expires_at: c.opt_time()?,
        last_used_at: c.opt_time()?,
        revoked_at: c.opt_time()?,
    })
}

pub(super) const USER: &str = "user_id, role, project_id, created_at, expires_at, disabled_at";

pub(super) fn user(row: &Row<'_>) -> Sql<User> {
    let c = &mut Columns::from(row, 0);
    Ok(User {
        name: c.get()?,
        role: c.word(UserRole::parse)?,
        project: c.opt_id()?,
        created_at: c.time()?,
        expires_at: c.opt_time()?,
        disabled_at: c.opt_time()?,
    })
}
