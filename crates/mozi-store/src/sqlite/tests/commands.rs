//! Random commands that mostly make sense on the board as it is.

use std::{collections::BTreeMap, time::Duration};

use mozi_core::{
    AgentId, Attempt, Command, ProjectId, Reason, Request, Role, RunnerId, Session, SessionId, Status,
    TaskId, TaskKey, TaskSpec, Timestamp, Until, Usage, UserRole, VerdictMode,
    attempt::{Resources, Tail},
    command::{
        AgentHello, Cause, Claim, ConfigRead, Credential, End, EndedAs, Hello, NewOutput, NewTask, NewUser,
        Offer, Reading, Report, SessionNote, SettingChange, StartSession, TaskPatch, UserPatch,
    },
    memory::MemoryBoard,
    output::{Content, OutputType},
    project::{Dispatch, Language, OnNoVerdict, RequireOutput, RetryOrBlock, Review},
    session::{HeldUp, HoldUp},
    token::Holder,
};
use proptest::prelude::*;
use serde_json::json;

use super::dump::hash;

/// Numbers that are read as a command on the board as it is then.
#[derive(Debug, Clone)]
pub(super) struct Step {
    what: u8,
    picks: [u8; 8],
    seed: u64,
}

impl Arbitrary for Step {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        any::<(u8, [u8; 8], u64)>().prop_map(|(what, picks, seed)| Self { what, picks, seed }).boxed()
    }
}

/// What stands outside the board: the clock, and the ids and tokens handed out.
#[derive(Debug)]
pub(super) struct World {
    /// Steps so far, so that no two have the same time.
    steps: i64,
    millis: i64,
    sessions: u8,
    reboots: u8,
}

impl Default for World {
    fn default() -> Self {
        Self { steps: 0, millis: 1_700_000_000_000, sessions: 0, reboots: 0 }
    }
}

fn pick<T: Clone>(items: &[T], n: u8) -> Option<T> {
    items.get(usize::from(n).checked_rem(items.len())?).cloned()
}

fn one_of<T: Clone>(items: &[T], n: u8) -> T {
    pick(items, n).expect("a list of choices")
}

pub(super) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("an id")
}

fn agents() -> Vec<AgentId> {
    ["coder", "reviewer", "script"].map(id).to_vec()
}

impl World {
    fn now(&mut self, forward: i64) -> Timestamp {
        self.steps += 1;
        self.millis += forward;
        Timestamp::from_micros(self.millis * 1_000 + self.steps)
    }

    fn board(&mut self, command: Command) -> Request {
        let now = self.now(1);
        Request { credential: Credential::Board, via: Some("test".into()), now, seed: 1, command }
    }

    /// Two projects and a runner.
    pub(super) fn begin(&mut self) -> Vec<Request> {
        let limited = vec![
            SettingChange::DefaultAgent(Some(id("coder"))),
            SettingChange::MaxSessions(Some(1)),
            SettingChange::Review(Review::Agent(id("reviewer"))),
        ];
        let create = |id: ProjectId, settings| Command::CreateProject { id, name: None, settings };
        let token = Command::CreateToken {
            name: "laptop".into(),
            hash: hash(255),
            holder: Holder::User { user: "admin".into(), role: UserRole::Admin },
            project: None,
            expires_at: None,
        };
        let hello = self.hello([0; 8]);
        vec![
            self.board(create(id("app"), vec![])),
            self.board(create(id("Site"), limited)),
            self.board(token),
            self.board(hello),
        ]
    }

    fn hello(&self, picks: [u8; 8]) -> Command {
        let one = |(n, agent): (usize, AgentId)| AgentHello {
            id: agent,
            runtime: "command".into(),
            aliases: if picks[1].is_multiple_of(2) { vec!["开发者".into()] } else { vec![] },
            roles: if picks[2] % 4 == 3 {
                vec![Role::Executor]
            } else {
                vec![Role::Executor, Role::Reviewer]
            },
            max_sessions: u32::from(picks[3] % 3),
            verdict_mode: if n == 2 { VerdictMode::Exit } else { VerdictMode::Report },
            timeout_ms: Some(u64::from(picks[4]) * 1000),
            callback: "env".into(),
            held_back: (picks[5] % 16 == 15).then(|| "no program".into()),
        };
        let skipped = usize::from(picks[6] % 8 == 7);
        Command::Hello(Box::new(Hello {
            runner_id: id("local"),
            max_sessions: 4,
            boot_id: format!("boot-{}", self.reboots),
            pid_namespace: "4026531836".into(),
            version: "0.1.0".into(),
            agents: agents().into_iter().enumerate().skip(skipped).map(one).collect(),
        }))
    }

    fn offers(&mut self, n: u8) -> Vec<Offer> {
        let mut offer = || {
            // Few enough that tokens stay different, often enough the same one again.
            self.sessions = self.sessions.wrapping_add(1) % 200;
            session_offer(self.sessions)
        };
        (0..n).map(|_| offer()).collect()
    }

    #[expect(clippy::too_many_lines, reason = "one arm per command")]
    pub(super) fn request(&mut self, step: &Step, board: &MemoryBoard) -> Request {
        let p = step.picks;
        let forward = one_of(&[1, 5, 1_000, 20_000, 400_000, -100, -900_000], p[7]);
        let now = self.now(forward);
        let tasks: Vec<TaskKey> = board.tasks.keys().cloned().collect();
        let sessions: Vec<Session> = board.sessions.values().cloned().collect();
        let open: Vec<Session> = sessions.iter().filter(|s| s.is_open()).cloned().collect();
        let attempts: Vec<Attempt> = board.attempts.values().cloned().collect();
        let projects: Vec<ProjectId> = board.projects.keys().cloned().collect();
        let live: Vec<Attempt> = attempts.iter().filter(|a| a.is_open()).cloned().collect();
        let task = |n| pick(&tasks, n).unwrap_or_else(|| TaskKey::new(id("app"), id("none")));
        let session = |n| {
            let of = if p[6].is_multiple_of(4) { &sessions } else { &open };
            pick(of, n).map_or(SessionId(uuid::Uuid::from_u128(9)), |s| s.id)
        };
        // Mostly a live attempt, now and then one that has ended.
        let attempt = |n| pick(if p[6].is_multiple_of(5) { &attempts } else { &live }, n);
        let mut credential = Credential::Board;
        let detail = p[5].is_multiple_of(2).then(|| "because".to_owned());
        let command = match step.what % 34 {
            0..=3 => Self::create(p, &projects, &tasks, now),
            32 => {
                let of = task(p[0]).project;
                let tasks = tasks.iter().filter(|t| t.project == of).map(|t| t.task.clone()).collect();
                Command::SnapshotTasks { project: of, tasks }
            }
            33 => Command::ForgetEvents { project: task(p[0]).project, up_to: u64::from(p[1] % 32) },
            4 => Command::EditTask { key: task(p[0]), patch: Box::new(patch(p, now)) },
            5 => Command::SetDependency {
                key: task(p[0]),
                on: task(p[1]).task,
                until: one_of(Until::ALL, p[2]),
            },
            6 => {
                let key = pick(&board.dependencies.keys().cloned().collect::<Vec<_>>(), p[0])
                    .unwrap_or_else(|| task(p[0]));
                let on = board.dependencies.get(&key).and_then(|on| on.keys().next().cloned());
                Command::RemoveDependency { on: on.unwrap_or_else(|| task(p[1]).task), key }
            }
            7..=8 => {
                credential = Credential::Token(hash(255));
                Command::Report(Box::new(Report {
                    key: task(p[0]),
                    status: one_of(Status::ALL, p[1]),
                    detail,
                    kind: None,
                    attempt_number: None,
                    claimed_agent: None,
                }))
            }
            9..=13 => match attempt(p[0]) {
                Some(a) => {
                    credential = a.token_hash.map_or(Credential::None, Credential::Token);
                    let wanted = match a.role {
                        Role::Executor => [Status::Working, Status::Review, Status::Review, Status::Failed],
                        Role::Reviewer => [Status::Working, Status::Done, Status::Pending, Status::Pending],
                    };
                    let key = if p[4] == 0 { task(p[1]) } else { a.key.clone() };
                    Command::Report(Box::new(Report {
                        key,
                        status: one_of(&wanted, p[2]),
                        detail,
                        kind: p[3].is_multiple_of(3).then(|| "access".into()),
                        attempt_number: None,
                        claimed_agent: Some("somebody".into()),
                    }))
                }
                None => Command::Due,
            },
            14..=15 => {
                let a = attempt(p[0]);
                credential = a.as_ref().and_then(|a| a.token_hash).map_or(credential, Credential::Token);
                let bytes = vec![p[2]; usize::from(p[3])];
                Command::AddOutput(Box::new(NewOutput {
                    key: a.map_or_else(|| task(p[0]), |a| a.key),
                    output_type: one_of(OutputType::ALL, p[1]),
                    title: "a result".into(),
                    summary: detail,
                    file_name: p[4].is_multiple_of(2).then(|| "out.txt".into()),
                    sha256: format!("{:064x}", step.seed),
                    size_bytes: bytes.len() as u64,
                    content: if p[5].is_multiple_of(3) { Content::Blob } else { Content::Inline(bytes) },
                    claimed_agent: None,
                }))
            }
            16 => {
                let a = attempt(p[0]);
                credential = a.as_ref().and_then(|a| a.token_hash).map_or(credential, Credential::Token);
                let key = a.map_or_else(|| task(p[0]), |a| a.key);
                Command::AddComment { key, author: Some("某人".into()), body: "看起来不错".into() }
            }
            17..=20 => {
                let known = agents();
                let agents = if p[1] % 4 == 3 { known[..1].to_vec() } else { known };
                let mut offers = self.offers(1 + p[0] % 3);
                if p[2].is_multiple_of(8) {
                    offers[0] = session_offer(self.sessions.wrapping_sub(p[3] % 4) % 200);
                }
                let busy = if p[4].is_multiple_of(8) { vec![id("app")] } else { vec![] };
                let in_place = if p[5].is_multiple_of(8) { vec![id("app")] } else { vec![] };
                Command::Claim(Box::new(Claim { runner_id: id("local"), agents, offers, busy, in_place }))
            }
            21 => Command::StartSession(Box::new(StartSession {
                session_id: self.offers(1)[0].session_id,
                agent: one_of(&agents(), p[0]),
                message: Some("go".into()),
                verbatim: p[1].is_multiple_of(2),
                task: (!p[2].is_multiple_of(3)).then(|| task(p[3])),
            })),
            22 => {
                let session_id = session(p[0]);
                let n = session_id.0.as_bytes()[15];
                Command::TakeSession { session_id, token_hash: hash(n) }
            }
            23 => {
                Command::Started { session_id: session(p[0]), pid: Some(u32::from(p[1])), workspace: detail }
            }
            24 => Command::NoteSession {
                session_id: session(p[0]),
                note: one_of(
                    &[
                        SessionNote::Ending,
                        SessionNote::HeldUp(HeldUp { by: one_of(HoldUp::ALL, p[2]), detail: "pid 7".into() }),
                        SessionNote::Free,
                        SessionNote::Cleaned,
                    ],
                    p[1],
                ),
            },
            25..=27 => Command::End(Box::new(end(session(p[0]), p, now))),
            28 => match p[0] % 4 {
                0 => Command::StopSession { session_id: session(p[1]), why: detail },
                _ => Command::CleanSession { session_id: session(p[1]), force: p[2].is_multiple_of(2) },
            },
            29 => match p[0] % 8 {
                0 => {
                    self.reboots = self.reboots.wrapping_add(1);
                    Command::BoardStarted
                }
                1 => Command::Goodbye { runner_id: id::<RunnerId>("local") },
                _ => self.hello(p),
            },
            30 => match p[0] % 12 {
                0 => Command::PauseAgent { agent: one_of(&agents(), p[1]), detail },
                1..=2 => Command::ResumeAgent { agent: one_of(&agents(), p[1]) },
                3 if p[1].is_multiple_of(2) => Command::Due,
                3 => Command::Rest,
                4 => Command::Notice {
                    key: p[1].is_multiple_of(2).then(|| task(p[2])),
                    attempt_number: None,
                    agent: Some(id("coder")),
                    code: "outbox_refused".into(),
                    text: "a report came too late".into(),
                    more: serde_json::Map::from_iter([("n".to_owned(), json!(p[3]))]),
                },
                _ => match p[1] % 7 {
                    6 => Command::ConfigRead(match p[2] % 2 {
                        0 => ConfigRead::Refused { text: detail.clone().unwrap_or_default() },
                        _ => ConfigRead::Taken {
                            added: vec!["agents.new".into()],
                            removed: Vec::new(),
                            changed: vec!["runner.max_sessions".into()],
                            needs_restart: vec!["server.listen".into()],
                        },
                    }),
                    0 => Command::CreateUser(NewUser {
                        name: one_of(&["me", "Ann", "ann"], p[2]).into(),
                        role: one_of(UserRole::ALL, p[3]),
                        project: p[4].is_multiple_of(2).then(|| id("app")),
                        expires_at: p[5].is_multiple_of(4).then(|| now.plus(Duration::from_mins(1))),
                    }),
                    1 => Command::SetUser {
                        name: one_of(&["ME", "ann", "admin"], p[2]).into(),
                        patch: UserPatch {
                            role: p[3].is_multiple_of(2).then(|| one_of(UserRole::ALL, p[4])),
                            project: p[5]
                                .is_multiple_of(2)
                                .then(|| (!p[5].is_multiple_of(4)).then(|| id("Site"))),
                            expires_at: p[6].is_multiple_of(8).then_some(None),
                            disabled: p[6].is_multiple_of(2).then(|| p[4].is_multiple_of(4)),
                        },
                    },
                    2 => Command::Seen,
                    3 | 4 => Command::CreateToken {
                        name: one_of(&["ci", "phone"], p[2]).into(),
                        hash: hash(240 + p[3] % 8),
                        holder: match p[4] % 2 {
                            0 => Holder::Runner(id("far")),
                            _ => Holder::User { user: "me".into(), role: one_of(UserRole::ALL, p[5]) },
                        },
                        project: p[6].is_multiple_of(2).then(|| id("app")),
                        expires_at: p[5].is_multiple_of(2).then(|| now.plus(Duration::from_mins(1))),
                    },
                    _ => Command::RevokeToken { name: one_of(&["ci", "phone"], p[2]).into() },
                },
            },
            _ => Command::SetProject {
                id: one_of(&projects, p[0]),
                name: p[1].is_multiple_of(4).then(|| detail.clone()),
                settings: vec![setting(p)],
                archived: (p[1] % 8 < 3).then_some(p[1] % 8 == 2),
            },
        };
        let command = if p[7].is_multiple_of(9) && command.changes().is_some() {
            let versions = vec![u64::from(p[3] % 4), u64::from(p[4] % 12)];
            Command::IfVersion { versions, command: Box::new(command) }
        } else {
            command
        };
        if credential == Credential::Board && step.seed.is_multiple_of(16) {
            credential = Credential::Token(hash(240 + p[0] % 16));
        }
        // A token hash is the key of one credential: the generator must not give it to two.
        if let Command::CreateToken { hash, .. } = &command
            && board.tokens.values().any(|t| t.hash == *hash)
        {
            return Request { credential, via: None, now, seed: step.seed, command: Command::Due };
        }
        Request { credential, via: None, now, seed: step.seed, command }
    }

    fn create(p: [u8; 8], projects: &[ProjectId], tasks: &[TaskKey], now: Timestamp) -> Command {
        let project = one_of(projects, p[0]);
        let same: Vec<_> = tasks.iter().filter(|t| t.project == project).map(|t| t.task.clone()).collect();
        let other = |n| pick(&same, n).map(|t: TaskId| (t, one_of(Until::ALL, n)));
        let mut depends_on: Vec<_> = (0..p[1] % 3).filter_map(|i| other(p[2].wrapping_add(i))).collect();
        depends_on.dedup_by(|a, b| a.0 == b.0);
        Command::CreateTask(Box::new(NewTask {
            project,
            id: p[3].is_multiple_of(3).then(|| id(&format!("Task-{}", p[3] % 9))),
            spec: TaskSpec {
                description: Some("几行字\nand more".into()),
                priority: i64::from(p[4] % 4) - 1,
                must_haves: vec!["it works".into(); usize::from(p[5] % 3)],
                agent: pick(&agents(), p[5]).filter(|_| !p[6].is_multiple_of(3)),
                timeout: p[6].is_multiple_of(2).then(|| Duration::from_secs(90)),
                max_attempts: p[2].is_multiple_of(3).then_some(2),
                review: one_of(&[None, None, Some(Review::None), Some(Review::Agent(id("reviewer")))], p[1]),
                parent: pick(&same, p[6]).filter(|_| p[2].is_multiple_of(5)),
                labels: BTreeMap::from([("area".to_owned(), p[4].to_string())]),
                metadata: json!({ "n": p[4] }),
                ..TaskSpec::titled("a task")
            },
            depends_on,
            not_before: p[5].is_multiple_of(6).then(|| now.plus(Duration::from_secs(30))),
            held: p[6].is_multiple_of(12),
            fingerprint: format!("body-{}", p[4] % 2),
        }))
    }
}

fn session_offer(n: u8) -> Offer {
    Offer { session_id: SessionId(uuid::Uuid::from_u128(u128::from(n) | 1 << 100)), token_hash: hash(n) }
}

fn patch(p: [u8; 8], now: Timestamp) -> TaskPatch {
    TaskPatch {
        title: p[1].is_multiple_of(2).then(|| "another title".into()),
        description: p[2].is_multiple_of(2).then_some(None),
        priority: p[3].is_multiple_of(2).then_some(i64::from(p[3])),
        must_haves: p[3].is_multiple_of(3).then(Vec::new),
        agent: p[4].is_multiple_of(2).then(|| pick(&agents(), p[4] / 2)),
        timeout: p[4].is_multiple_of(3).then_some(None),
        max_attempts: p[5].is_multiple_of(3).then_some(Some(1)),
        review: p[5].is_multiple_of(4).then_some(Some(Review::Human)),
        labels: p[5].is_multiple_of(5).then(BTreeMap::new),
        metadata: p[6].is_multiple_of(2).then(|| json!({ "changed": true })),
        not_before: p[6]
            .is_multiple_of(3)
            .then(|| p[6].is_multiple_of(2).then(|| now.plus(Duration::from_secs(3)))),
        ..TaskPatch::default()
    }
}

fn end(session_id: SessionId, p: [u8; 8], now: Timestamp) -> End {
    let cause = one_of(
        &[
            Cause::Itself,
            Cause::Itself,
            Cause::Itself,
            Cause::Deadline,
            Cause::Stall,
            Cause::OutputLimit,
            Cause::Stop,
            Cause::SupervisorLost,
            Cause::Reboot,
            Cause::SpawnError,
            Cause::DryRun,
        ],
        p[1],
    );
    let usage = Usage {
        model: Some("a-model".into()),
        input_tokens: Some(u64::from(p[2])),
        output_tokens: None,
        cache_read_tokens: Some(3),
        cache_write_tokens: None,
        cost_micro_usd: Some(i64::from(p[3])),
        reported: p[3].is_multiple_of(2),
    };
    End {
        session_id,
        cause,
        exit_code: (cause == Cause::Itself).then_some(i32::from(p[2] % 3)),
        signal: (cause != Cause::Itself).then_some(9),
        error: (cause == Cause::SpawnError).then(|| "no such program".into()),
        reason: p[4].is_multiple_of(8).then_some(Reason::RateLimited),
        reading: Reading {
            ended_as: p[5].is_multiple_of(4).then_some(EndedAs::Finished),
            reason: None,
            reset_at: p[4].is_multiple_of(16).then(|| now.plus(Duration::from_hours(2))),
            final_text: p[5].is_multiple_of(2).then(|| "bye".into()),
            usage: vec![usage; usize::from(p[3] % 3)],
        },
        resources: p[6].is_multiple_of(2).then_some(Resources { cpu_ms: 7, max_rss_bytes: 1 << 20 }),
        tail: (!p[6].is_multiple_of(3)).then(|| Tail {
            stdout: "最后一行\n".into(),
            stderr: String::new(),
            stdout_bytes: 99,
            stderr_bytes: 0,
        }),
        metadata: json!({ "killed": [] }),
        tail_sha256: Some("00".repeat(32)),
    }
}

fn setting(p: [u8; 8]) -> SettingChange {
    match p[2] % 14 {
        0 => SettingChange::DefaultAgent(pick(&agents(), p[3]).filter(|_| !p[4].is_multiple_of(3))),
        1 => SettingChange::Dispatch(if p[3].is_multiple_of(4) { Dispatch::Manual } else { Dispatch::Auto }),
        2 => SettingChange::Review(one_of(
            &[Review::Human, Review::None, Review::Agent(id("reviewer")), Review::Agent(id("coder"))],
            p[3],
        )),
        3 => SettingChange::RequireOutput(one_of(RequireOutput::ALL, p[3])),
        4 => SettingChange::MaxAttempts(1 + u32::from(p[3] % 3)),
        5 => SettingChange::MaxReviewAttempts(1 + u32::from(p[3] % 3)),
        6 => SettingChange::MaxReviewRounds(1 + u32::from(p[3] % 3)),
        7 => SettingChange::OnNoVerdict(one_of(OnNoVerdict::ALL, p[3])),
        8 => SettingChange::OnLost(one_of(RetryOrBlock::ALL, p[3])),
        9 => SettingChange::OnTimeout(one_of(RetryOrBlock::ALL, p[3])),
        10 => SettingChange::BackoffMax(Duration::from_secs(10 + u64::from(p[3]))),
        11 => SettingChange::MaxSessions(p[3].is_multiple_of(2).then_some(1 + u32::from(p[3] % 3))),
        12 => SettingChange::AgentsMayCreate(p[3].is_multiple_of(2)),
        _ => SettingChange::Language(one_of(Language::ALL, p[3])),
    }
}
