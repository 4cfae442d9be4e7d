//! What happened, and how a task's state follows from it.

use serde_json::{Map, Value, json};

use crate::{
    attempt::{ReviewVerdict, Role, Verdict},
    id::{AgentId, AttemptNumber, ProjectId, SessionId, TaskId},
    outcome::{Outcome, Reason},
    output::OutputType,
    task::Status,
    time::Timestamp,
    token::{Actor, UserRole},
};

pub use fold::{Folded, FoldedAttempt, fold};
pub use snapshot::Snapshot;

mod fold;
pub mod snapshot;

/// Something that happened, as everybody may read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// 1, 2, 3 … per project, and in the stream of what belongs to no project.
    pub id: u64,
    /// The project; none = the stream of its own.
    pub project: Option<ProjectId>,
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// The attempt, if it is about one.
    pub attempt_number: Option<AttemptNumber>,
    /// The agent, if it is about one.
    pub agent: Option<AgentId>,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the event's `detail`, named as there")]
pub enum EventKind {
    /// A project was made.
    ProjectCreated { name: Option<String> },
    /// Settings, name or archive mark changed: names and new values.
    SettingsChanged { changed: Map<String, Value> },
    /// A task was made.
    TaskCreated { title: String, status: Status, kind: Option<String>, not_before: Option<Timestamp> },
    /// Text, limits, agent or dependencies changed: their names.
    TaskEdited { changed: Vec<String>, not_before: Option<Option<Timestamp>> },
    /// What a task's events come to, where its creation is not told, or not by this board.
    TaskSnapshot(Box<Snapshot>),
    /// A task moved.
    StatusChanged(StatusChange),
    /// An attempt was opened.
    AgentStarted { role: Role, session_id: SessionId, by_name: bool },
    /// An attempt was closed.
    AgentEnded {
        outcome: Outcome,
        role: Role,
        reason: Option<Reason>,
        exit_code: Option<i32>,
        signal: Option<i32>,
        counted: bool,
        not_before: Option<Timestamp>,
    },
    /// An output was added.
    OutputAdded { output_id: u32, title: String, output_type: OutputType, size_bytes: u64 },
    /// A comment was added.
    CommentAdded { comment_id: u32, author: String },
    /// A result was decided on.
    ReviewGiven { verdict: ReviewVerdict, remark: Option<String> },
    /// An agent's process runs.
    SessionStarted { session_id: SessionId, pid: Option<u32> },
    /// A session without a task was closed.
    SessionEnded { session_id: SessionId, outcome: Outcome, reason: Option<Reason> },
    /// An agent is given no work.
    AgentPaused { until: Option<Timestamp>, reason: Option<Reason>, detail: Option<String> },
    /// It is again.
    AgentResumed,
    /// A user was made.
    UserCreated { name: String, role: UserRole, project: Option<ProjectId>, expires_at: Option<Timestamp> },
    /// Role, scope, end or validity of a user changed: names and new values.
    UserChanged { name: String, changed: Map<String, Value> },
    /// A credential was made.
    TokenCreated {
        name: String,
        role: String,
        user: Option<String>,
        project: Option<ProjectId>,
        expires_at: Option<Timestamp>,
    },
    /// A credential was taken back.
    TokenRevoked { name: String },
    /// Nothing runs any more, and nothing will be claimed by itself: how many tasks wait for people.
    Idle { review: u64, blocked: u64, pending: u64, failed: u64 },
    /// A backup was written: its size, its blobs, and how many of them were missing or damaged.
    BackupMade { size_bytes: u64, blobs: u64, damaged: u64 },
    /// The configuration was read anew: keys and tables of it.
    ConfigReloaded {
        added: Vec<String>,
        removed: Vec<String>,
        changed: Vec<String>,
        needs_restart: Vec<String>,
    },
    /// A changed configuration was not taken.
    ConfigRefused { text: String },
    /// Something was refused, given up, truncated, repeated or fallen back.
    Notice { code: String, text: String, more: Map<String, Value> },
    /// Of a newer version: kept as it is.
    Other { event_type: String, detail: Value },
}

/// One move of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// Before.
    pub from: Status,
    /// After.
    pub to: Status,
    /// Why, in words.
    pub detail: Option<String>,
    /// Why, as a word.
    pub kind: Option<String>,
    /// The attempt whose verdict this is.
    pub verdict_of: Option<AttemptNumber>,
    /// The open attempt that lost the task by this.
    pub revoked: Option<AttemptNumber>,
}

impl EventKind {
    /// The `event_type`.
    pub fn name(&self) -> String {
        match self {
            Self::ProjectCreated { .. } => "project_created".into(),
            Self::SettingsChanged { .. } => "settings_changed".into(),
            Self::TaskCreated { .. } => "task_created".into(),
            Self::TaskEdited { .. } => "task_edited".into(),
            Self::TaskSnapshot(_) => "task_snapshot".into(),
            Self::StatusChanged(_) => "status_changed".into(),
            Self::AgentStarted { .. } => "agent_started".into(),
            Self::AgentEnded { outcome, .. } => format!("agent_{outcome}"),
            Self::OutputAdded { .. } => "output_added".into(),
            Self::CommentAdded { .. } => "comment_added".into(),
            Self::ReviewGiven { .. } => "review_given".into(),
            Self::SessionStarted { .. } => "session_started".into(),
            Self::SessionEnded { .. } => "session_ended".into(),
            Self::AgentPaused { .. } => "agent_paused".into(),
            Self::AgentResumed => "agent_resumed".into(),
            Self::UserCreated { .. } => "user_created".into(),
            Self::UserChanged { .. } => "user_changed".into(),
            Self::TokenCreated { .. } => "token_created".into(),
            Self::TokenRevoked { .. } => "token_revoked".into(),
            Self::Idle { .. } => "idle".into(),
            Self::BackupMade { .. } => "backup_made".into(),
            Self::ConfigReloaded { .. } => "config_reloaded".into(),
            Self::ConfigRefused { .. } => "config_refused".into(),
            Self::Notice { .. } => "notice".into(),
            Self::Other { event_type, detail: _ } => event_type.clone(),
        }
    }

    /// The `detail`, with points in time as microseconds since the epoch (the wire shows them as text).
    pub fn detail(&self) -> Value {
        let micros = |t: &Option<Timestamp>| t.map(Timestamp::as_micros);
        match self {
            Self::ProjectCreated { name } => json!({ "name": name }),
            Self::SettingsChanged { changed } => json!({ "changed": changed }),
            Self::TaskCreated { title, status, kind, not_before } => {
                json!({ "title": title, "status": status.as_str(), "kind": kind, "not_before_us": micros(not_before) })
            }
            Self::TaskEdited { changed, not_before } => match not_before {
                None => json!({ "changed": changed }),
                Some(at) => json!({ "changed": changed, "not_before_us": micros(at) }),
            },
            Self::TaskSnapshot(snapshot) => snapshot.detail(),
            Self::StatusChanged(c) => json!({
                "from": c.from.as_str(), "to": c.to.as_str(), "detail": c.detail, "kind": c.kind,
                "verdict_of": c.verdict_of, "revoked": c.revoked,
            }),
            Self::AgentStarted { role, session_id, by_name } => {
                json!({ "role": role.as_str(), "session_id": session_id.to_string(), "by_name": by_name })
            }
            Self::AgentEnded { outcome, role, reason, exit_code, signal, counted, not_before } => json!({
                "outcome": outcome.as_str(), "role": role.as_str(), "reason": reason.map(Reason::as_str),
                "exit_code": exit_code, "signal": signal, "counted": counted, "not_before_us": micros(not_before),
            }),
            Self::OutputAdded { output_id, title, output_type, size_bytes } => json!({
                "output_id": output_id, "title": title, "type": output_type.as_str(), "size_bytes": size_bytes,
            }),
            Self::CommentAdded { comment_id, author } => {
                json!({ "comment_id": comment_id, "author": author })
            }
            Self::ReviewGiven { verdict, remark } => json!({ "verdict": verdict.as_str(), "remark": remark }),
            Self::SessionStarted { session_id, pid } => {
                json!({ "session_id": session_id.to_string(), "pid": pid })
            }
            Self::SessionEnded { session_id, outcome, reason } => json!({
                "session_id": session_id.to_string(), "outcome": outcome.as_str(), "reason": reason.map(Reason::as_str),
            }),
            Self::AgentPaused { until, reason, detail } => {
                json!({ "until_us": micros(until), "reason": reason.map(Reason::as_str), "detail": detail })
            }
            Self::AgentResumed => json!({}),
            Self::UserCreated { name, role, project, expires_at } => json!({
                "name": name, "role": role.as_str(), "project_id": project.as_ref().map(ProjectId::as_str),
                "expires_at_us": micros(expires_at),
            }),
            Self::UserChanged { name, changed } => json!({ "name": name, "changed": changed }),
            Self::TokenCreated { name, role, user, project, expires_at } => json!({
                "name": name, "role": role, "user": user,
                "project_id": project.as_ref().map(ProjectId::as_str), "expires_at_us": micros(expires_at),
            }),
            Self::TokenRevoked { name } => json!({ "name": name }),
            Self::Idle { review, blocked, pending, failed } => {
                json!({ "review": review, "blocked": blocked, "pending": pending, "failed": failed })
            }
            Self::BackupMade { size_bytes, blobs, damaged } => {
                json!({ "size_bytes": size_bytes, "blobs": blobs, "damaged": damaged })
            }
            Self::ConfigReloaded { added, removed, changed, needs_restart } => json!({
                "added": added, "removed": removed, "changed": changed, "needs_restart": needs_restart,
            }),
            Self::ConfigRefused { text } => json!({ "text": text }),
            Self::Notice { code, text, more } => {
                let mut map = more.clone();
                map.insert("code".into(), json!(code));
                map.insert("text".into(), json!(text));
                Value::Object(map)
            }
            Self::Other { event_type: _, detail } => detail.clone(),
        }
    }

    /// Reads back what [`name`](Self::name) and [`detail`](Self::detail) gave. What does not fit is
    /// [`Other`](Self::Other): a history is never unreadable.
    pub fn parse(event_type: &str, detail: Value) -> Self {
        parse(event_type, &detail)
            .unwrap_or_else(|| Self::Other { event_type: event_type.to_owned(), detail })
    }
}

fn parse(event_type: &str, d: &Value) -> Option<EventKind> {
    let text = |k: &str| d.get(k).and_then(Value::as_str).map(str::to_owned);
    let word = |k: &str| d.get(k).and_then(Value::as_str);
    let small = |k: &str| d.get(k).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let signed = |k: &str| d.get(k).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let time = |k: &str| d.get(k).and_then(Value::as_i64).map(Timestamp::from_micros);
    let words = |k: &str| {
        let list = d.get(k).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let session = || word("session_id")?.parse().ok();
    let reason = || word("reason").and_then(Reason::parse);
    let project = || word("project_id").and_then(|p| p.parse().ok());
    Some(match event_type {
        "project_created" => EventKind::ProjectCreated { name: text("name") },
        "settings_changed" => EventKind::SettingsChanged { changed: d.get("changed")?.as_object()?.clone() },
        "task_created" => EventKind::TaskCreated {
            title: text("title")?,
            status: Status::parse(word("status")?)?,
            kind: text("kind"),
            not_before: time("not_before_us"),
        },
        "task_edited" => EventKind::TaskEdited {
            changed: d
                .get("changed")?
                .as_array()?
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
            not_before: d.get("not_before_us").map(|v| v.as_i64().map(Timestamp::from_micros)),
        },
        "task_snapshot" => EventKind::TaskSnapshot(Box::new(Snapshot::parse(d)?)),
        "status_changed" => EventKind::StatusChanged(StatusChange {
            from: Status::parse(word("from")?)?,
            to: Status::parse(word("to")?)?,
            detail: text("detail"),
            kind: text("kind"),
            verdict_of: small("verdict_of"),
            revoked: small("revoked"),
        }),
        "agent_started" => EventKind::AgentStarted {
            role: Role::parse(word("role")?)?,
            session_id: session()?,
            by_name: d.get("by_name").and_then(Value::as_bool).unwrap_or(false),
        },
        "output_added" => EventKind::OutputAdded {
            output_id: small("output_id")?,
            title: text("title")?,
            output_type: OutputType::parse(word("type")?)?,
            size_bytes: d.get("size_bytes")?.as_u64()?,
        },
        "comment_added" => {
            EventKind::CommentAdded { comment_id: small("comment_id")?, author: text("author")? }
        }
        "review_given" => EventKind::ReviewGiven {
            verdict: ReviewVerdict::parse(word("verdict")?)?,
            remark: text("remark"),
        },
        "session_started" => EventKind::SessionStarted { session_id: session()?, pid: small("pid") },
        "session_ended" => EventKind::SessionEnded {
            session_id: session()?,
            outcome: Outcome::parse(word("outcome")?)?,
            reason: reason(),
        },
        "agent_paused" => {
            EventKind::AgentPaused { until: time("until_us"), reason: reason(), detail: text("detail") }
        }
        "agent_resumed" => EventKind::AgentResumed,
        "user_created" => EventKind::UserCreated {
            name: text("name")?,
            role: UserRole::parse(word("role")?)?,
            project: project(),
            expires_at: time("expires_at_us"),
        },
        "user_changed" => {
            EventKind::UserChanged { name: text("name")?, changed: d.get("changed")?.as_object()?.clone() }
        }
        "token_created" => EventKind::TokenCreated {
            name: text("name")?,
            role: text("role")?,
            user: text("user"),
            project: project(),
            expires_at: time("expires_at_us"),
        },
        "token_revoked" => EventKind::TokenRevoked { name: text("name")? },
        "idle" => {
            let count = |k: &str| d.get(k).and_then(Value::as_u64);
            EventKind::Idle {
                review: count("review")?,
                blocked: count("blocked")?,
                pending: count("pending")?,
                failed: count("failed")?,
            }
        }
        "backup_made" => {
            let number = |k: &str| d.get(k)?.as_u64();
            EventKind::BackupMade {
                size_bytes: number("size_bytes")?,
                blobs: number("blobs")?,
                damaged: number("damaged")?,
            }
        }
        "config_reloaded" => EventKind::ConfigReloaded {
            added: words("added"),
            removed: words("removed"),
            changed: words("changed"),
            needs_restart: words("needs_restart"),
        },
        "config_refused" => EventKind::ConfigRefused { text: text("text")? },
        "notice" => {
            let mut more = d.as_object()?.clone();
            more.remove("code");
            more.remove("text");
            EventKind::Notice { code: text("code")?, text: text("text")?, more }
        }
        other => EventKind::AgentEnded {
            outcome: Outcome::parse(other.strip_prefix("agent_")?)?,
            role: Role::parse(word("role")?)?,
            reason: reason(),
            exit_code: signed("exit_code"),
            signal: signed("signal"),
            counted: d.get("counted")?.as_bool()?,
            not_before: time("not_before_us"),
        },
    })
}

/// A verdict that an event tells of, if it does.
pub(crate) fn executor_verdict(change: &StatusChange) -> Option<(AttemptNumber, Verdict)> {
    Some((change.verdict_of?, Verdict::of(Role::Executor, change.to)?))
}
