//! Anything, asked by anybody, in any order: what must never happen does not.

use std::collections::{BTreeSet, HashSet};

use mozi_core::{
    ActorKind, Command, Event, EventKind, Outcome, Project, Reason, Refusal, Role, Status, TaskKey,
    Timestamp, Until, WaitingFor,
    archive::{Staged, settle},
    command::{
        Cause, ConfigRead, ImportLine, ImportTasks, Offer, Report, SessionNote, SettingChange, StartSession,
        TaskPatch,
    },
    event::{
        Folded, Snapshot, fold,
        snapshot::{IMPORTED, PRUNED},
    },
    memory::{Failed, MemoryBoard},
    project::{Dispatch, OnNoVerdict, RequireOutput, RetryOrBlock, Review},
    session::{HeldUp, HoldUp},
    task::StatusCounts,
    task::Task,
    transition::{Mover, permits},
    waiting::{self, Floor},
};
use proptest::prelude::*;

use crate::fixture::{Who, World, agent, hash, hello, key, local, project, secs, session_id, waiting_for};

const TASKS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const AGENTS: [&str; 4] = ["coder", "critic", "script", "stranger"];

/// One step: what, and of what. Which one is meant depends on what is there when it is its turn.
type Step = (u8, u8, u8, u8);

/// Claimed sessions, newest first in mind: steps choose among the last few.
struct Play {
    w: World,
    /// Numbers of sessions that were asked for, with a token of the same number.
    asked: Vec<u128>,
    /// What tasks came to after so many events of the board.
    snapshots: Vec<(TaskKey, usize, Snapshot)>,
}

fn pick<T: Copy>(all: &[T], n: u8) -> T {
    all[usize::from(n) % all.len()]
}

impl Play {
    fn new() -> Self {
        Self { w: World::new(), asked: Vec::new(), snapshots: Vec::new() }
    }

    fn task(n: u8) -> TaskKey {
        key(pick(&TASKS, n))
    }
    /// What people ask for: seldom what is final, or the walk would soon be over.
    fn status(n: u8) -> Status {
        match n % 24 {
            rare @ 0..=7 => pick(Status::ALL, rare),
            8..=18 => Status::Pending,
            19..=21 => Status::Blocked,
            _ => Status::Cancelled,
        }
    }
    fn agent(n: u8) -> mozi_core::AgentId {
        agent(pick(&AGENTS, n))
    }
    /// One of the last sessions, often the very last.
    fn session(&self, n: u8) -> u128 {
        let last = self.asked.len().min(6);
        if last == 0 { 900 } else { self.asked[self.asked.len() - 1 - usize::from(n) % last] }
    }
    /// An attempt that is at work, if one is; else any.
    fn worker(&self, n: u8) -> (u128, TaskKey) {
        let open: Vec<_> = self.w.board.attempts.values().filter(|a| a.is_open()).collect();
        match open.get(usize::from(n).checked_rem(open.len()).unwrap_or(0)) {
            Some(a) if !n.is_multiple_of(5) => (a.session_id.0.as_u128(), a.key.clone()),
            _ => {
                let n = self.session(n);
                let of = self.w.board.attempts.values().find(|a| a.session_id == session_id(n));
                (n, of.map_or_else(|| key("a"), |a| a.key.clone()))
            }
        }
    }
    fn person(n: u8) -> Who {
        pick(
            &[
                Who::Operator,
                Who::Admin,
                Who::Operator,
                Who::Operator,
                Who::Viewer,
                Who::Stranger,
                Who::Nobody,
            ],
            n,
        )
    }

    fn command(&mut self, (what, x, y, z): Step) -> (Who, Command) {
        let report = |key: TaskKey, status, detail: bool| {
            Command::Report(Box::new(Report {
                key,
                status,
                detail: detail.then(|| "because".to_owned()),
                kind: None,
                attempt_number: None,
                claimed_agent: None,
            }))
        };
        match what % 40 {
            0 if z % 16 == 1 => (Self::person(y), Self::import(x, y, z)),
            0..=3 => (Self::person(y), self.create(x, y, z)),
            4..=8 => {
                if !y.is_multiple_of(4) {
                    self.w.later(secs(u64::from(y)));
                }
                let n = usize::from(x % 3) + 1;
                let claim = self.w.claim_of(n);
                self.asked.extend(claim.offers.iter().map(|o| o.session_id.0.as_u128()));
                (Who::Runner, Command::Claim(Box::new(claim)))
            }
            9 => {
                // A lost reply: asked for again, or with a token of another.
                let n = self.session(x);
                let mut claim = self.w.claim_of(0);
                let token_hash = hash(if y.is_multiple_of(4) { n + 1_000_000 } else { n });
                claim.offers.push(Offer { session_id: session_id(n), token_hash });
                (Who::Runner, Command::Claim(Box::new(claim)))
            }
            10..=16 => {
                // What an agent says of its own task, and now and then of another.
                let (n, own) = self.worker(x);
                let status = pick(
                    &[
                        Status::Working,
                        Status::Review,
                        Status::Review,
                        Status::Pending,
                        Status::Pending,
                        Status::Done,
                        Status::Failed,
                        Status::Blocked,
                        Status::Cancelled,
                        Status::Claimed,
                    ],
                    y,
                );
                if z % 8 == 5 {
                    return (Who::Anonymous, self.nameless(&own, status, y));
                }
                (
                    Who::Attempt(n),
                    report(
                        if z.is_multiple_of(16) { Self::task(y) } else { own },
                        status,
                        !z.is_multiple_of(3),
                    ),
                )
            }
            17..=19 => {
                let (n, own) = self.worker(x);
                let mut output = World::new_output("a");
                output.key = own;
                (Who::Attempt(n), Command::AddOutput(Box::new(output)))
            }
            20 => {
                let (n, own) = self.worker(x);
                let who = if y.is_multiple_of(2) { Who::Attempt(n) } else { Self::person(z) };
                (who, Command::AddComment { key: own, author: None, body: "hm".into() })
            }
            21..=26 => (Who::Runner, self.end(x, y, z)),
            27..=28 => {
                // Somebody who looks after what waits for a person.
                let waits = |t: &&Task| t.state.status == Status::Review || t.state.open.is_none();
                let all: Vec<_> = self.w.board.tasks.values().filter(waits).map(|t| t.key.clone()).collect();
                let key = all.get(usize::from(x).checked_rem(all.len()).unwrap_or(0)).cloned();
                let status = if y.is_multiple_of(8) { Status::Done } else { Status::Pending };
                (Who::Operator, report(key.unwrap_or_else(|| Self::task(x)), status, true))
            }
            29..=30 => (Self::person(z), report(Self::task(x), Self::status(y), !z.is_multiple_of(4))),
            31 => {
                let n = self.w.number();
                self.asked.push(n);
                let start = StartSession {
                    session_id: session_id(n),
                    agent: Self::agent(x),
                    message: Some("go".into()),
                    verbatim: false,
                    task: (!z.is_multiple_of(4)).then(|| Self::task(y)),
                };
                (Who::Operator, Command::StartSession(Box::new(start)))
            }
            32 => {
                let n = self.session(x);
                (Who::Runner, Command::TakeSession { session_id: session_id(n), token_hash: hash(n) })
            }
            33 => {
                let id = session_id(self.session(x));
                let held_up = HeldUp { by: pick(HoldUp::ALL, z), detail: "something".into() };
                let note = match y % 5 {
                    0 => SessionNote::Ending,
                    1 => SessionNote::HeldUp(held_up),
                    2 => SessionNote::Free,
                    3 => SessionNote::Cleaned,
                    _ => {
                        return (
                            Who::Runner,
                            Command::Started { session_id: id, pid: None, workspace: None },
                        );
                    }
                };
                (Who::Runner, Command::NoteSession { session_id: id, note })
            }
            34 => {
                let id = session_id(self.session(x));
                let command = if y.is_multiple_of(2) {
                    Command::StopSession { session_id: id, why: None }
                } else {
                    Command::CleanSession { session_id: id, force: y % 4 > 1 }
                };
                (Self::person(z), command)
            }
            35 => (Self::person(z), self.edit(x, y, z)),
            36 => {
                let (key, on) = (Self::task(x), Self::task(y).task);
                let command = match z % 4 {
                    0 => Command::RemoveDependency { key, on },
                    _ => Command::SetDependency { key, on, until: pick(Until::ALL, z) },
                };
                (Who::Operator, command)
            }
            37 => {
                let settings = vec![Self::setting(x, y, z)];
                let archived = (y % 8 == 3).then_some(z.is_multiple_of(8));
                (Who::Admin, Command::SetProject { id: project(), name: None, settings, archived })
            }
            38 => match x % 6 {
                0 if y.is_multiple_of(4) => {
                    (Who::Operator, Command::PauseAgent { agent: Self::agent(z), detail: None })
                }
                0..=2 => (Who::Operator, Command::ResumeAgent { agent: Self::agent(y) }),
                3 if y.is_multiple_of(8) => (Who::Runner, Command::Goodbye { runner_id: local() }),
                3 if y % 8 == 1 => (Who::Board, Command::BoardStarted),
                3 if y % 8 == 2 => {
                    let text = "mozi.toml:1:1: unknown key".to_owned();
                    (Who::Board, Command::ConfigRead(ConfigRead::Refused { text }))
                }
                _ => (Who::Runner, Command::Hello(Box::new(hello()))),
            },
            _ => {
                // Time goes on, and now and then jumps.
                let micros = match x % 8 {
                    0 => -i64::from(y) * 3_600_000_000,
                    1 => i64::from(y) * 3_600_000_000,
                    _ => i64::from(y) * 10_000_000,
                };
                self.w.now = Timestamp::from_micros(self.w.now.as_micros() + micros);
                (Who::Board, if z.is_multiple_of(2) { Command::Rest } else { Command::Due })
            }
        }
    }

    /// A report without a token, mostly under the name of whoever is at work.
    fn nameless(&self, key: &TaskKey, status: Status, y: u8) -> Command {
        let at_work = self.w.board.open_attempt(key).map(|a| a.agent.clone());
        let claimed = at_work.filter(|_| !y.is_multiple_of(4)).unwrap_or_else(|| Self::agent(y));
        Command::Report(Box::new(Report {
            key: key.clone(),
            status,
            detail: Some("because".to_owned()),
            kind: None,
            attempt_number: None,
            claimed_agent: Some(claimed.to_string()),
        }))
    }

    /// Whatever a project has come to, another board takes it in: what lived is settled and told, and all rules hold.
    fn check_adopted(&self) {
        let mut from = self.w.board.clone();
        let came = from.projects[&project()].clone();
        from.events.retain(|e| e.project == Some(project()));
        let (mut last_event, mut were_live) = (came.last_event, 0);
        let mut counts = [0; 8];
        for key in from.tasks.keys().cloned().collect::<Vec<_>>() {
            let mut attempts: Vec<_> = from.attempts_of(&key).cloned().collect();
            let task = from.tasks.get_mut(&key).unwrap();
            let before = task.state.status;
            settle(task, &mut attempts, self.w.now);
            were_live += u64::from(before != task.state.status);
            counts[Status::ALL.iter().position(|s| *s == task.state.status).unwrap()] += 1;
            let task = task.clone();
            if fold(from.events_of(&key)) != Some(Folded::of(&task, &attempts)) {
                last_event += 1;
                let snapshot = Snapshot::of(&task, &attempts, IMPORTED);
                let like = from.events.last().unwrap().clone();
                from.events.push(Event {
                    id: last_event,
                    task: Some(key.task.clone()),
                    kind: EventKind::TaskSnapshot(Box::new(snapshot)),
                    ..like
                });
            }
            for mut a in attempts {
                a.token_hash = None;
                from.attempts.insert((key.clone(), a.number), a);
            }
        }
        let mut to = World::new();
        to.now = self.w.now;
        let counts = StatusCounts::from_array(counts);
        let staged = Staged {
            name: "s".into(),
            project: Project { last_event, counts, ..came },
            first_event: 1,
            board_id: "elsewhere".into(),
            were_live,
        };
        to.board.staged.insert("s".into(), from);
        // `ask` looks the whole board over.
        to.ok(Who::Admin, Command::AdoptProject(Box::new(staged.clone())));
        assert!(to.board.attempts.values().all(|a| !a.is_open()));
        let live = |s: &Status| matches!(s, Status::Claimed | Status::Working);
        assert!(!to.board.tasks.values().any(|t| live(&t.state.status)));
        if !to.board.tasks.is_empty() {
            let again = to.ask(Who::Admin, Command::AdoptProject(Box::new(staged.clone())));
            assert!(matches!(again, Err(Refusal::ProjectNotEmpty { .. })), "{again:?}");
        }
        assert!(to.ask(Who::Operator, Command::AdoptProject(Box::new(staged))).is_err());
    }

    /// A few tasks that wait for each other, some of them there already, now and then in a circle.
    fn import(x: u8, y: u8, z: u8) -> Command {
        let line = |n: u8| {
            let mut task = World::new_task(pick(&TASKS, x.wrapping_add(n)));
            task.id = task.id.filter(|_| !y.wrapping_add(n).is_multiple_of(5));
            task.depends_on = match (x >> n) % 4 {
                0 => Vec::new(),
                1 => vec![(Self::task(x.wrapping_add(n + 1)).task, Until::Ended)],
                _ => vec![(Self::task(y.wrapping_add(n)).task, pick(Until::ALL, x))],
            };
            task.held = y.is_multiple_of(7);
            ImportLine { line: u64::from(n) + 1, task }
        };
        Command::ImportTasks(Box::new(ImportTasks {
            project: project(),
            lines: (0..=y % 4).map(line).collect(),
            bad: Vec::new(),
            check_only: z > 240,
        }))
    }

    fn create(&mut self, x: u8, y: u8, z: u8) -> Command {
        let mut new = World::new_task(pick(&TASKS, x));
        new.spec.priority = i64::from(y % 3);
        new.spec.agent =
            [None, None, Some("coder"), Some("critic"), Some("script")][usize::from(y) % 5].map(agent);
        new.spec.review = [
            None,
            None,
            Some(Review::None),
            Some(Review::Agent(agent("critic"))),
            Some(Review::Agent(agent("critic"))),
        ][usize::from(z) % 5]
            .clone();
        new.held = z % 7 == 6;
        new.not_before = (z % 5 == 4).then(|| self.w.now.plus(secs(u64::from(z))));
        new.depends_on = TASKS
            .iter()
            .enumerate()
            .filter(|(n, _)| (usize::from(z) + n) % 8 == 7 && usize::from(x) % TASKS.len() > *n)
            .map(|(_, t)| (t.parse().unwrap(), pick(Until::ALL, y)))
            .collect();
        Command::CreateTask(Box::new(new))
    }

    fn end(&self, x: u8, y: u8, z: u8) -> Command {
        let n = if z.is_multiple_of(3) { self.session(x) } else { self.worker(x).0 };
        let mut end = crate::fixture::exit(n, i32::from(y % 3));
        end.cause = pick(
            &[
                Cause::Itself,
                Cause::Itself,
                Cause::Itself,
                Cause::Grace,
                Cause::Stop,
                Cause::Deadline,
                Cause::Stall,
                Cause::OutputLimit,
                Cause::SupervisorLost,
                Cause::Reboot,
                Cause::SpawnError,
                Cause::NeverStarted,
                Cause::DryRun,
            ],
            y,
        );
        end.reason = (z.is_multiple_of(8)).then_some(pick(Reason::ALL, y));
        end.reading.reset_at = (z.is_multiple_of(16)).then(|| self.w.now.plus(secs(u64::from(y))));
        Command::End(Box::new(end))
    }

    fn edit(&self, x: u8, y: u8, z: u8) -> Command {
        let mut patch = TaskPatch::default();
        match y % 6 {
            0 => patch.agent = Some(Some(Self::agent(z))),
            1 => patch.review = Some(Some(Review::Agent(Self::agent(z)))),
            2 => patch.review = Some(None),
            3 => patch.not_before = Some((z.is_multiple_of(2)).then(|| self.w.now.plus(secs(u64::from(z))))),
            4 => patch.max_attempts = Some(Some(u32::from(z % 3) + 1)),
            _ => patch.priority = Some(i64::from(z)),
        }
        Command::EditTask { key: Self::task(x), patch: Box::new(patch) }
    }

    fn setting(x: u8, y: u8, z: u8) -> SettingChange {
        match x % 12 {
            0 => SettingChange::Review(
                [Review::Human, Review::None, Review::Agent(Self::agent(z))][usize::from(y) % 3].clone(),
            ),
            1 => SettingChange::RequireOutput(pick(RequireOutput::ALL, y)),
            2 => SettingChange::OnNoVerdict(pick(OnNoVerdict::ALL, y)),
            3 => SettingChange::OnLost(pick(RetryOrBlock::ALL, y)),
            4 => SettingChange::OnTimeout(pick(RetryOrBlock::ALL, y)),
            5 => SettingChange::MaxAttempts(u32::from(y % 4) + 1),
            6 => SettingChange::MaxReviewAttempts(u32::from(y % 3) + 1),
            7 => SettingChange::MaxReviewRounds(u32::from(y % 3) + 1),
            8 => SettingChange::MaxSessions((y.is_multiple_of(4)).then_some(u32::from(z % 4) + 1)),
            9 => SettingChange::Dispatch(if y.is_multiple_of(8) { Dispatch::Manual } else { Dispatch::Auto }),
            10 => SettingChange::DefaultAgent(
                (!y.is_multiple_of(8)).then(|| Self::agent(z.saturating_sub(200))),
            ),
            _ => SettingChange::AgentsMayCreate(y.is_multiple_of(2)),
        }
    }

    fn step(&mut self, step: Step) {
        let before = self.w.board.clone();
        let (who, mut command) = self.command(step);
        // Now and then only for a version that was seen, which may be an older one.
        if step.2.is_multiple_of(7) && command.changes().is_some() {
            let versions = vec![u64::from(step.3 % 6), u64::from(step.1 % 12)];
            command = Command::IfVersion { versions, command: Box::new(command) };
        }
        let over = match who {
            Who::Attempt(n) => before
                .attempts
                .values()
                .find(|a| a.token_hash == Some(hash(n)))
                .map(|a| !a.is_open() || a.revoked_at.is_some()),
            _ => Some(false),
        };
        // `ask` looks the board over, and that a refusal has changed nothing.
        let result = self.w.ask(who, command.clone());
        if over != Some(false) {
            assert!(result.is_err(), "an attempt that is over, or unknown, was heard: {command:?}");
        }
        if let (Who::Anonymous, Ok(_), Command::Report(r)) = (who, &result, &command) {
            let open = before.open_attempt(&r.key).expect("somebody is at work");
            assert_eq!((open.role, open.revoked_at), (Role::Executor, None));
            assert_eq!(r.claimed_agent.as_deref(), Some(open.agent.as_str()));
            assert!(!matches!(r.status, Status::Done | Status::Pending), "{r:?}");
        }
        self.check_history(&before);
        let key = Self::task(step.3);
        if let Some(task) = self.w.board.tasks.get(&key) {
            let attempts: Vec<_> = self.w.board.attempts_of(&key).cloned().collect();
            let snapshot = Snapshot::of(task, &attempts, PRUNED);
            self.snapshots.push((key, self.w.board.events.len(), snapshot));
        }
    }

    /// A history that begins with a snapshot, or holds one anywhere, comes to the rows.
    fn check_snapshots(&self) {
        for (key, after, snapshot) in &self.snapshots {
            let at = self.w.board.events[*after - 1].clone();
            let parsed = EventKind::parse(
                "task_snapshot",
                EventKind::TaskSnapshot(Box::new(snapshot.clone())).detail(),
            );
            assert_eq!(parsed, EventKind::TaskSnapshot(Box::new(snapshot.clone())));
            let told = Event { task: Some(key.task.clone()), kind: parsed, ..at };
            let of_task = |e: &&Event| e.task.as_ref() == Some(&key.task);
            let (old, new) = self.w.board.events.split_at(*after);
            let (old, new): (Vec<_>, Vec<_>) =
                (old.iter().filter(of_task).collect(), new.iter().filter(of_task).collect());
            let attempts: Vec<_> = self.w.board.attempts_of(key).cloned().collect();
            let rows = Some(Folded::of(&self.w.board.tasks[key], &attempts));
            // All that was before it, the last half, nothing.
            for from in [0, old.len() / 2, old.len()] {
                let events = old[from..].iter().copied().chain([&told]).chain(new.iter().copied());
                assert_eq!(fold(events), rows, "{key:?} from its event {from} on");
            }
            let headless = old.iter().skip(1).copied();
            assert_eq!(fold(headless), None, "a history without a beginning");
        }
    }

    /// Events are only added, and every move of them is one that its actor may make.
    fn check_history(&self, before: &MemoryBoard) {
        let now = &self.w.board;
        assert!(now.events.starts_with(&before.events), "history was rewritten");
        for event in &now.events[before.events.len()..] {
            let EventKind::StatusChanged(c) = &event.kind else { continue };
            let role = event.attempt_number.and_then(|n| {
                let at = TaskKey::new(event.project.clone()?, event.task.clone()?);
                Some(now.attempts.get(&(at, n))?.role)
            });
            let mover = match (event.actor.kind, role) {
                (ActorKind::User, _) => Mover::Person,
                (ActorKind::Attempt | ActorKind::Anonymous, Some(Role::Executor)) => Mover::Executor,
                (ActorKind::Attempt, Some(Role::Reviewer)) => Mover::Reviewer,
                (ActorKind::Board, _) => Mover::Board,
                other => panic!("moved by {other:?}"),
            };
            assert!(permits(c.from, c.to, mover), "{mover:?} moved {} to {}", c.from, c.to);
        }
        // What is not told did not happen.
        for (key, task) in &now.tasks {
            let moved = before.tasks.get(key).is_none_or(|t| t.state.status != task.state.status);
            let told = now.events[before.events.len()..].iter().any(|e| {
                e.task.as_ref() == Some(&key.task)
                    && matches!(e.kind, EventKind::StatusChanged(_) | EventKind::TaskCreated { .. })
            });
            assert!(!moved || told, "{key:?} moved in silence");
        }
    }

    /// The answer to "why is this not running" is right: put first, a task is claimed if and only if it waits for
    /// nothing.
    fn check_waiting(&mut self) {
        let keys: Vec<_> = self.w.board.tasks.keys().cloned().collect();
        for key in keys {
            let mut board = self.w.board.clone();
            let task = board.tasks.get_mut(&key).unwrap();
            task.spec.priority = i64::MIN;
            let (task, claim) = (task.clone(), self.w.claim_of(1));
            let n = claim.offers[0].session_id;
            let ready = is_ready(&board, &task, self.w.now);
            let request = self.w.request(Who::Runner, Command::Claim(Box::new(claim)));
            match board.submit(&request) {
                Ok(_) => {}
                Err(Failed::Refused(e)) => panic!("{e}"),
                Err(Failed::Broken(e)) => panic!("{e}"),
            }
            let claimed = board.attempts.values().any(|a| a.session_id == n && a.key == key);
            let waits = waiting_for(&self.w.board, &key, self.w.now);
            assert_eq!(claimed, ready, "{key:?} waits for {waits:?}");
            if task.state.status == Status::Pending {
                assert_eq!(claimed, waits.is_empty(), "{key:?} waits for {waits:?}");
            }
            if !task.state.status.is_end() && !claimed {
                assert!(!waits.is_empty(), "{key:?} is {} and waits for nothing", task.state.status);
            }
        }
    }

    /// Nothing is stuck: people who decide and a runner that works bring every task to `done`.
    fn check_end(&mut self) {
        let w = &mut self.w;
        let settings = vec![
            SettingChange::Dispatch(Dispatch::Auto),
            SettingChange::DefaultAgent(Some(agent("coder"))),
            SettingChange::MaxSessions(None),
        ];
        w.ok(Who::Admin, Command::SetProject { id: project(), name: None, settings, archived: Some(false) });
        w.ok(Who::Runner, Command::Hello(Box::new(hello())));
        for a in ["coder", "critic", "script"] {
            w.ok(Who::Operator, Command::ResumeAgent { agent: agent(a) });
        }
        let live: Vec<_> = w.board.live().iter().map(|s| s.id.0.as_u128()).collect();
        for n in live {
            w.end_session(n, |e| e.exit_code = Some(1));
        }
        let stray: Vec<_> = w
            .board
            .tasks
            .values()
            .filter(|t| t.spec.agent == Some(agent("stranger")))
            .map(|t| t.key.task.to_string())
            .collect();
        for id in stray {
            w.edit(&id, |p| p.agent = Some(None));
        }
        for _ in 0..40 {
            w.later(secs(86_400));
            w.ok(Who::Board, Command::Due);
            let open: Vec<_> =
                w.board.tasks.values().filter(|t| t.state.status != Status::Done).map(Task::clone).collect();
            if open.is_empty() {
                return;
            }
            for t in open {
                let id = t.key.task.as_str();
                match t.state.status {
                    Status::Blocked | Status::Failed | Status::Cancelled => w.decide(id, Status::Pending),
                    Status::Review => w.decide(id, Status::Done),
                    _ => {}
                }
            }
            for c in w.claim_many(8) {
                let id = c.attempt.key.task.to_string();
                match c.attempt.role {
                    Role::Executor => {
                        w.deliver(&c);
                        w.report(&c, Status::Review);
                    }
                    Role::Reviewer => w.report(&c, Status::Done),
                }
                assert!(matches!(w.status(&id), Status::Review | Status::Done));
                w.end(&c, |_| ());
            }
        }
        let stuck: Vec<_> = w
            .board
            .tasks
            .values()
            .filter(|t| t.state.status != Status::Done)
            .map(|t| (t.key.task.to_string(), t.state.status, waiting_for(&w.board, &t.key, w.now)))
            .collect();
        assert!(stuck.is_empty(), "stuck: {stuck:#?}");
    }
}

fn is_ready(board: &MemoryBoard, task: &Task, now: Timestamp) -> bool {
    let live = board.live();
    let floor = Floor { agents: &board.agents, runners: &board.runners, live: &live, busy: &[], now };
    let (project, needs) = (&board.projects[&task.key.project], board.dependencies_of(&task.key));
    let given_up = task.state.status == Status::Review && task.state.reviewer_given_up;
    let by_agent = task.state.status == Status::Pending
        || matches!(waiting::review_of(task, project), Review::Agent(_))
            && task.state.status == Status::Review;
    let found = waiting::claimability(task, project, &needs, None, floor);
    by_agent && !given_up && found.waiting_for.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_must_never_happen_does_not(steps in prop::collection::vec(any::<Step>(), 1..100)) {
        let mut play = Play::new();
        // A few tasks to begin with.
        for n in 0..3 {
            play.step((0, n, 0, 0));
        }
        for (n, step) in steps.into_iter().enumerate() {
            play.step(step);
            if n.is_multiple_of(10) {
                play.check_waiting();
            }
        }
        play.check_waiting();
        play.check_adopted();
        play.check_end();
        play.check_snapshots();
    }
}

/// A random walk that goes nowhere proves nothing: over some seeds it must have seen every status, every outcome
/// and most kinds of events.
#[test]
fn the_random_walk_gets_around() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(any::<Step>(), 400);
    let (mut statuses, mut outcomes, mut moves) = (HashSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut kinds, mut waits) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..16 {
        let mut play = Play::new();
        for step in steps.new_tree(&mut runner).unwrap().current() {
            play.step(step);
            for key in play.w.board.tasks.keys() {
                waits.extend(waiting_for(&play.w.board, key, play.w.now).iter().map(WaitingFor::kind));
            }
        }
        for e in &play.w.board.events {
            kinds.insert(e.kind.name());
            if let EventKind::StatusChanged(c) = &e.kind {
                statuses.insert(c.to);
                moves.insert((c.from, c.to));
            }
        }
        outcomes.extend(play.w.board.attempts.values().filter_map(|a| a.outcome));
    }
    assert_eq!(statuses.len(), Status::ALL.len());
    assert_eq!(outcomes.len(), Outcome::ALL.len(), "{outcomes:?}");
    // Of the 26 moves of the table.
    assert!(moves.len() >= 24, "{} moves: {moves:?}", moves.len());
    for kind in ["review_given", "notice", "agent_paused", "agent_resumed", "session_ended", "task_edited"] {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
    for kind in [
        "dependency",
        "time",
        "slot",
        "attempt",
        "attempt_ending",
        "agent_paused",
        "person",
        "review",
        "manual",
    ] {
        assert!(waits.contains(kind), "{kind} is missing in {waits:?}");
    }
}
