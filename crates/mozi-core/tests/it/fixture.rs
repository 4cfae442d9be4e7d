//! A small world: a project, people, agents and their runner. After every command the whole board is looked over.

use std::time::Duration;

use mozi_core::{
    Agent, AgentId, Attempt, Command, EventKind, Outcome, Project, ProjectId, Refusal, Reply, Request, Role,
    RunnerId, Session, SessionId, Status, Task, TaskId, TaskKey, TaskSpec, Timestamp, TokenHash, Until,
    UserRole, VerdictMode, WaitingFor,
    command::{
        AgentHello, Cause, Claim, Credential, End, Hello, NewOutput, NewTask, Offer, Reading, Report,
        SettingChange, StartSession, TaskPatch,
    },
    invariant,
    memory::{Failed, MemoryBoard},
    output::{Content, OutputType},
    token::Holder,
    waiting::{self, Floor},
};

pub(crate) fn project() -> ProjectId {
    "app".parse().unwrap()
}
pub(crate) fn agent(id: &str) -> AgentId {
    id.parse().unwrap()
}
pub(crate) fn key(task: &str) -> TaskKey {
    TaskKey::new(project(), task.parse().unwrap())
}
pub(crate) fn local() -> RunnerId {
    "local".parse().unwrap()
}
pub(crate) fn hash(n: u128) -> TokenHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&n.to_be_bytes());
    TokenHash(bytes)
}
pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId(uuid::Uuid::from_u128(n))
}
pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Admin,
    Operator,
    Viewer,
    /// An operator of another project.
    Stranger,
    Runner,
    OtherRunner,
    Nobody,
    /// A token that nobody was given.
    Forged,
    Board,
    /// Nobody, on a board that lets the agent at work report without a token.
    Anonymous,
    /// The attempt that was claimed with this number.
    Attempt(u128),
}

impl Who {
    fn credential(self) -> Credential {
        let of = |n| Credential::Token(hash(n));
        match self {
            Self::Nobody => Credential::None,
            Self::Board => Credential::Board,
            Self::Anonymous => Credential::Anonymous,
            Self::Admin => of(1),
            Self::Operator => of(2),
            Self::Viewer => of(3),
            Self::Stranger => of(4),
            Self::Runner => of(5),
            Self::OtherRunner => of(6),
            Self::Forged => of(7),
            Self::Attempt(n) => of(n),
        }
    }
}

/// An attempt that was claimed: the number is that of its session and of its token.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) n: u128,
    pub(crate) attempt: Attempt,
}

impl Claimed {
    pub(crate) fn who(&self) -> Who {
        Who::Attempt(self.n)
    }
    pub(crate) fn session(&self) -> SessionId {
        session_id(self.n)
    }
}

pub(crate) struct World {
    pub(crate) board: MemoryBoard,
    pub(crate) now: Timestamp,
    serial: u128,
}

pub(crate) fn hello_of(id: &str) -> AgentHello {
    AgentHello {
        id: agent(id),
        runtime: "command".into(),
        aliases: Vec::new(),
        roles: vec![Role::Executor, Role::Reviewer],
        max_sessions: 0,
        verdict_mode: VerdictMode::Report,
        timeout_ms: Some(7_200_000),
        callback: "env".into(),
        held_back: None,
    }
}

/// The agents of the world: `coder`, the project's default, `critic` and `script`, whose exit status is its verdict.
pub(crate) fn hello() -> Hello {
    let script = AgentHello { verdict_mode: VerdictMode::Exit, ..hello_of("script") };
    Hello {
        runner_id: local(),
        max_sessions: 8,
        boot_id: "boot-1".into(),
        pid_namespace: "pid-1".into(),
        version: "1".into(),
        agents: vec![hello_of("coder"), hello_of("critic"), script],
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let mut w = Self {
            board: MemoryBoard::new(),
            now: Timestamp::from_micros(1_800_000_000_000_000),
            serial: 1_000,
        };
        let user = |role| Holder::User { user: format!("{role}"), role };
        let tokens = [
            (Who::Admin, user(UserRole::Admin), None),
            (Who::Operator, user(UserRole::Operator), None),
            (Who::Viewer, user(UserRole::Viewer), None),
            (Who::Stranger, user(UserRole::Operator), Some("other".parse().unwrap())),
            (Who::Runner, Holder::Runner(local()), None),
            (Who::OtherRunner, Holder::Runner("remote".parse().unwrap()), None),
        ];
        for (who, holder, project) in tokens {
            let Credential::Token(hash) = who.credential() else { continue };
            let name = format!("{who:?}");
            w.ok(Who::Board, Command::CreateToken { name, hash, holder, project, expires_at: None });
        }
        let settings = vec![SettingChange::DefaultAgent(Some(agent("coder")))];
        w.ok(Who::Admin, Command::CreateProject { id: project(), name: None, settings });
        w.ok(Who::Runner, Command::Hello(Box::new(hello())));
        w
    }

    pub(crate) fn request(&self, who: Who, command: Command) -> Request {
        let (via, seed) = (None, u64::try_from(self.serial).unwrap());
        Request { credential: who.credential(), via, now: self.now, seed, command }
    }

    /// Asks; looks the whole board over; a refusal must have changed nothing.
    #[track_caller]
    pub(crate) fn ask(&mut self, who: Who, command: Command) -> Result<Reply, Refusal> {
        let request = self.request(who, command);
        let before = self.board.clone();
        let result = match self.board.submit(&request) {
            Ok(decision) => Ok(decision.reply),
            Err(Failed::Refused(refusal)) => {
                assert!(self.board == before, "a refusal changed something");
                Err(refusal)
            }
            Err(Failed::Broken(e)) => panic!("{e} ({request:?})"),
        };
        let wrong = invariant::board(&self.board);
        assert!(wrong.is_empty(), "after {request:?}:\n{}", wrong.join("\n"));
        result
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, who: Who, command: Command) -> Reply {
        self.ask(who, command).unwrap_or_else(|e| panic!("refused: {e}"))
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, who: Who, command: Command) -> &'static str {
        match self.ask(who, command) {
            Ok(reply) => panic!("it was not refused: {reply:?}"),
            Err(refusal) => refusal.code(),
        }
    }

    pub(crate) fn later(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }
    pub(crate) fn number(&mut self) -> u128 {
        self.serial += 1;
        self.serial
    }

    // --- what people do ---------------------------------------------------------------------------------------

    pub(crate) fn set(&mut self, change: SettingChange) {
        self.ok(
            Who::Admin,
            Command::SetProject { id: project(), name: None, settings: vec![change], archived: None },
        );
    }
    pub(crate) fn new_task(id: &str) -> NewTask {
        NewTask {
            project: project(),
            id: Some(id.parse().unwrap()),
            spec: TaskSpec::titled(format!("Task {id}")),
            depends_on: Vec::new(),
            not_before: None,
            held: false,
            fingerprint: id.to_owned(),
        }
    }
    /// A task of the default agent.
    #[track_caller]
    pub(crate) fn add(&mut self, id: &str) -> TaskKey {
        self.add_with(id, |_| ())
    }
    #[track_caller]
    pub(crate) fn add_with(&mut self, id: &str, with: impl FnOnce(&mut NewTask)) -> TaskKey {
        let mut new = Self::new_task(id);
        with(&mut new);
        self.ok(Who::Operator, Command::CreateTask(Box::new(new)));
        key(id)
    }
    #[track_caller]
    pub(crate) fn add_after(&mut self, id: &str, on: &str, until: Until) -> TaskKey {
        self.add_with(id, |n| n.depends_on.push((on.parse().unwrap(), until)))
    }
    #[track_caller]
    pub(crate) fn edit(&mut self, id: &str, with: impl FnOnce(&mut TaskPatch)) {
        let mut patch = TaskPatch::default();
        with(&mut patch);
        self.ok(Who::Operator, Command::EditTask { key: key(id), patch: Box::new(patch) });
    }
    pub(crate) fn say(task: &str, status: Status, detail: Option<&str>) -> Command {
        Command::Report(Box::new(Report {
            key: key(task),
            status,
            detail: detail.map(str::to_owned),
            kind: None,
            attempt_number: None,
            claimed_agent: None,
        }))
    }
    /// A person's decision, with a reason.
    #[track_caller]
    pub(crate) fn decide(&mut self, task: &str, status: Status) {
        self.ok(Who::Operator, Self::say(task, status, Some("because")));
    }

    // --- what a runner does -----------------------------------------------------------------------------------

    pub(crate) fn claim_of(&mut self, slots: usize) -> Claim {
        let offers = (0..slots)
            .map(|_| {
                let n = self.number();
                Offer { session_id: session_id(n), token_hash: hash(n) }
            })
            .collect();
        let agents = vec![agent("coder"), agent("critic"), agent("script")];
        Claim { runner_id: local(), agents, offers, busy: Vec::new(), in_place: Vec::new() }
    }
    #[track_caller]
    pub(crate) fn claim_many(&mut self, slots: usize) -> Vec<Claimed> {
        let claim = self.claim_of(slots);
        self.claim_with(claim)
    }
    #[track_caller]
    pub(crate) fn claim_with(&mut self, claim: Claim) -> Vec<Claimed> {
        let Reply::Claimed(all) = self.ok(Who::Runner, Command::Claim(Box::new(claim))) else {
            panic!("not an answer to a claim")
        };
        all.into_iter().map(|(attempt, s)| Claimed { n: s.id.0.as_u128(), attempt }).collect()
    }
    /// The one task that can be claimed now must be this one.
    #[track_caller]
    pub(crate) fn claim(&mut self, task: &str) -> Claimed {
        let got = self.claim_many(1).pop().unwrap_or_else(|| {
            panic!("task {task} is {} and waits for {:?}", self.status(task), self.waiting(task))
        });
        assert_eq!(got.attempt.key, key(task));
        got
    }
    #[track_caller]
    pub(crate) fn start_by_name(&mut self, task: Option<&str>, who: &str) -> Result<Claimed, Refusal> {
        let n = self.number();
        let start = StartSession {
            session_id: session_id(n),
            agent: agent(who),
            message: Some("go".into()),
            verbatim: false,
            task: task.map(key),
        };
        let reply = self.ask(Who::Operator, Command::StartSession(Box::new(start)))?;
        if task.is_none() {
            return Err(Refusal::NotFound { what: format!("{n}") });
        }
        let take = Command::TakeSession { session_id: session_id(n), token_hash: hash(n) };
        self.ok(Who::Runner, take);
        let Reply::Session { attempt: Some(a), .. } = reply else { panic!("no attempt") };
        Ok(Claimed { n, attempt: *a })
    }
    #[track_caller]
    pub(crate) fn end(&mut self, of: &Claimed, with: impl FnOnce(&mut End)) -> Attempt {
        self.end_session(of.n, with);
        self.board.attempts[&(of.attempt.key.clone(), of.attempt.number)].clone()
    }
    #[track_caller]
    pub(crate) fn end_session(&mut self, n: u128, with: impl FnOnce(&mut End)) -> Session {
        let mut end = exit(n, 0);
        with(&mut end);
        let Reply::Session { session, .. } = self.ok(Who::Runner, Command::End(Box::new(end))) else {
            panic!("not an answer to an end")
        };
        *session
    }

    // --- what an agent does -----------------------------------------------------------------------------------

    pub(crate) fn new_output(task: &str) -> NewOutput {
        NewOutput {
            key: key(task),
            output_type: OutputType::Document,
            title: "Result".into(),
            summary: None,
            file_name: None,
            sha256: "00".repeat(32),
            size_bytes: 2,
            content: Content::Inline(b"ok".to_vec()),
            claimed_agent: None,
        }
    }
    #[track_caller]
    pub(crate) fn deliver(&mut self, of: &Claimed) {
        let new = Self::new_output(of.attempt.key.task.as_str());
        self.ok(of.who(), Command::AddOutput(Box::new(new)));
    }
    #[track_caller]
    pub(crate) fn report(&mut self, of: &Claimed, status: Status) {
        self.ok(of.who(), Self::say(of.attempt.key.task.as_str(), status, Some("said so")));
    }
    /// An executor's whole life: an output and the verdict `review`, still running.
    #[track_caller]
    pub(crate) fn work(&mut self, task: &str) -> Claimed {
        let c = self.claim(task);
        self.deliver(&c);
        self.report(&c, Status::Review);
        c
    }
    /// The same, ended.
    #[track_caller]
    pub(crate) fn finish(&mut self, task: &str) -> Claimed {
        let c = self.work(task);
        self.end(&c, |_| ());
        c
    }

    // --- what can be seen -------------------------------------------------------------------------------------

    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> &Task {
        &self.board.tasks[&key(id)]
    }
    #[track_caller]
    pub(crate) fn status(&self, id: &str) -> Status {
        self.task(id).state.status
    }
    pub(crate) fn project(&self) -> &Project {
        &self.board.projects[&project()]
    }
    pub(crate) fn agent(&self, id: &str) -> &Agent {
        &self.board.agents[&agent(id)]
    }
    #[track_caller]
    pub(crate) fn waiting(&self, id: &str) -> Vec<WaitingFor> {
        waiting_for(&self.board, &key(id), self.now)
    }
    #[track_caller]
    pub(crate) fn waits(&self, id: &str) -> Vec<&'static str> {
        self.waiting(id).iter().map(WaitingFor::kind).collect()
    }
    /// Codes of notices, and event types of all else, of a task.
    pub(crate) fn history(&self, id: &str) -> Vec<String> {
        let name = |k: &EventKind| match k {
            EventKind::Notice { code, .. } => code.clone(),
            EventKind::StatusChanged(c) => format!("{}>{}", c.from, c.to),
            other => other.name(),
        };
        self.board.events_of(&key(id)).map(|e| name(&e.kind)).collect()
    }
}

pub(crate) fn waiting_for(board: &MemoryBoard, key: &TaskKey, now: Timestamp) -> Vec<WaitingFor> {
    let live = board.live();
    let floor = Floor { agents: &board.agents, runners: &board.runners, live: &live, busy: &[], now };
    let (task, project) = (&board.tasks[key], &board.projects[&key.project]);
    waiting::waiting_for(task, project, &board.dependencies_of(key), board.open_attempt(key), floor)
}

/// The end of a session by itself.
pub(crate) fn exit(n: u128, code: i32) -> End {
    End {
        session_id: session_id(n),
        cause: Cause::Itself,
        exit_code: Some(code),
        signal: None,
        error: None,
        reason: None,
        reading: Reading::default(),
        resources: None,
        tail: None,
        metadata: serde_json::Value::Null,
        tail_sha256: None,
    }
}

/// An end that makes an attempt without a verdict be closed with this outcome.
pub(crate) fn ends_as(end: &mut End, outcome: Outcome) {
    let (cause, code) = match outcome {
        Outcome::Completed | Outcome::NoVerdict => (Cause::Itself, Some(0)),
        Outcome::Crashed => (Cause::Itself, Some(1)),
        Outcome::TimedOut => (Cause::Deadline, None),
        Outcome::Stalled => (Cause::Stall, None),
        Outcome::Cancelled => (Cause::Stop, None),
        Outcome::OverBudget => (Cause::OutputLimit, None),
        Outcome::SpawnFailed => (Cause::SpawnError, None),
        Outcome::Lost => (Cause::SupervisorLost, None),
        Outcome::DryRun => (Cause::DryRun, None),
    };
    (end.cause, end.exit_code) = (cause, code);
}

pub(crate) fn id(task: &str) -> TaskId {
    task.parse().unwrap()
}
