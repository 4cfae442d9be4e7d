//! What must never be true of a board, whatever was asked of it. Property tests look after every command, `mozi
//! doctor` over a whole database: hence one task, session or project at a time.

use crate::{
    attempt::{Attempt, Role, Verdict},
    event::{Event, Folded, fold},
    limits,
    project::Project,
    session::{Session, SessionStatus},
    task::{Dependency, QueuePlace, Status, StatusCounts, Task},
};

/// A task with all that hangs on it.
#[derive(Debug, Clone, Copy)]
pub struct TaskRows<'a> {
    /// The task.
    pub task: &'a Task,
    /// All its attempts, by number.
    pub attempts: &'a [Attempt],
    /// What it waits for, with the statuses as they are.
    pub dependencies: &'a [Dependency],
    /// The session of its open attempt.
    pub session: Option<&'a Session>,
    /// The place in the queue as it is stored; none = not looked at.
    pub queued: Option<Option<&'a QueuePlace>>,
}

/// Violations found, in words that name where.
struct Found {
    at: String,
    all: Vec<String>,
}

impl Found {
    fn new(at: String) -> Self {
        Self { at, all: Vec::new() }
    }
    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.all.push(format!("{}: {}", self.at, what()));
        }
    }
}

/// What is wrong with a task.
pub fn task(rows: TaskRows<'_>) -> Vec<String> {
    let key = &rows.task.key;
    let mut f = Found::new(format!("task {} of project {}", key.task, key.project));
    numbers(&mut f, rows);
    hands(&mut f, rows);
    movers(&mut f, rows);
    sums(&mut f, rows);
    let mut all = f.all;
    for a in rows.attempts {
        all.extend(attempt(a));
    }
    all
}

/// Numbers without gap, one open attempt at most, and the task knows it.
fn numbers(f: &mut Found, rows: TaskRows<'_>) {
    let s = &rows.task.state;
    for (expected, a) in (1u32..).zip(rows.attempts) {
        f.must(a.number == expected, || format!("attempt {} stands where {expected} should", a.number));
        f.must(a.key == rows.task.key, || format!("attempt {} belongs to task {}", a.number, a.key.task));
    }
    let newest = rows.attempts.last().map_or(0, |a| a.number);
    f.must(s.last_attempt == newest, || {
        format!("its newest attempt is {newest}, it says {}", s.last_attempt)
    });
    let open: Vec<_> = rows.attempts.iter().filter(|a| a.is_open()).collect();
    f.must(open.len() <= 1, || format!("{} attempts are open at once", open.len()));
    let known = s.open.map(|o| (o.number, o.role));
    let real = open.first().map(|a| (a.number, a.role));
    f.must(known == real, || format!("its open attempt is {real:?}, it says {known:?}"));
    for a in open {
        let alive = rows.session.is_some_and(|x| x.is_open() && x.id == a.session_id);
        f.must(alive, || format!("attempt {} is open, its session is not", a.number));
    }
}

/// The status agrees with whose hands the task is in.
fn hands(f: &mut Found, rows: TaskRows<'_>) {
    let s = &rows.task.state;
    let at_work = rows
        .attempts
        .iter()
        .find(|a| a.is_open() && a.verdict.is_none() && a.revoked_at.is_none())
        .map(|a| (a.number, a.role));
    let fits = match s.status {
        Status::Claimed | Status::Working => at_work.is_some_and(|(_, role)| role == Role::Executor),
        Status::Review => at_work.is_none_or(|(_, role)| role == Role::Reviewer),
        Status::Pending | Status::Blocked | Status::Done | Status::Failed | Status::Cancelled => {
            at_work.is_none()
        }
    };
    f.must(fits, || match at_work {
        Some((n, role)) => format!("it is {}, but attempt {n} is at work as its {role}", s.status),
        None => format!("it is {}, but no attempt is at work", s.status),
    });
    for a in rows.attempts {
        let did = a.role == Role::Executor;
        let known = s.executors.contains(&a.agent);
        f.must(!did || known, || format!("agent {} worked on it, which it does not know", a.agent));
        let earlier = rows
            .attempts
            .iter()
            .any(|b| b.number < a.number && b.role == Role::Executor && b.agent == a.agent);
        f.must(did || !earlier, || format!("agent {} reviewed what it had worked on", a.agent));
    }
    for id in &s.executors {
        let did = rows.attempts.iter().any(|a| a.role == Role::Executor && a.agent == *id);
        f.must(did, || format!("agent {id} has not worked on it, it says so"));
    }
    f.must(s.set_by.is_none_or(|n| (1..=s.last_attempt).contains(&n)), || {
        format!("its status was set by attempt {:?}, which is not there", s.set_by)
    });
}

/// Every status that is not final has something that moves it on: a live attempt, a time, a dependency, the queue,
/// or a person. Of `review` and `blocked` a person is always the mover.
fn movers(f: &mut Found, rows: TaskRows<'_>) {
    let s = &rows.task.state;
    let unmet = rows.dependencies.iter().filter(|d| !d.is_met()).count();
    f.must(usize::try_from(s.unmet) == Ok(unmet), || {
        format!("{unmet} of its dependencies are not met, it says {}", s.unmet)
    });
    f.must(!rows.dependencies.iter().any(|d| d.on == rows.task.key.task), || "it waits for itself".into());
    let place = rows.task.queue_place();
    if s.status == Status::Pending {
        let waits = unmet > 0 || s.open.is_some();
        f.must(waits || place.is_some(), || "it is pending, and nothing will move it".into());
    }
    if let Some(queued) = rows.queued {
        f.must(queued == place.as_ref(), || {
            format!("its place in the queue should be {place:?} and is {queued:?}")
        });
    }
}

fn sums(f: &mut Found, rows: TaskRows<'_>) {
    let s = &rows.task.state;
    for (role, used) in [(Role::Executor, s.budget_used), (Role::Reviewer, s.review_used)] {
        let silent = |a: &&Attempt| a.role == role && a.verdict.is_none() && !a.is_open();
        let most = rows.attempts.iter().filter(silent).count();
        f.must(used as usize <= most, || {
            format!("{used} attempts as {role} count against its budget, only {most} ended without a verdict")
        });
    }
    let sent_back = rows.attempts.iter().filter(|a| a.verdict == Some(Verdict::Pending)).count();
    f.must(s.rounds as usize <= sent_back, || {
        format!("it counts {} rounds, reviewers sent it back {sent_back} times", s.rounds)
    });
    let outputs = rows.attempts.iter().fold(0u32, |n, a| n.saturating_add(a.outputs));
    f.must(outputs < s.next_output, || {
        format!("its attempts count {outputs} outputs, its next is number {}", s.next_output)
    });
    f.must(s.depth <= limits::CREATED_DEPTH, || format!("it lies {} deep", s.depth));
}

/// What is wrong with an attempt by itself.
pub fn attempt(a: &Attempt) -> Vec<String> {
    let key = &a.key;
    let mut f = Found::new(format!("attempt {} of task {} of project {}", a.number, key.task, key.project));
    f.must(a.is_open() == a.outcome.is_none(), || {
        format!("outcome {:?} and end {:?} do not agree", a.outcome, a.completed_at)
    });
    let bare = a.exit_code.is_none() && a.signal.is_none() && a.reason.is_none() && a.resources.is_none();
    f.must(!a.is_open() || bare, || "it is open, but its end is recorded".into());
    f.must(a.verdict.is_some() == a.verdict_at.is_some(), || "a verdict without its time".into());
    f.must(a.revoked_at.is_some() == a.revoked_why.is_some(), || "revoked without a reason".into());
    f.must(a.verdict.is_none_or(|v| Verdict::of(a.role, v.status()) == Some(v)), || {
        format!("a verdict {:?} as {}", a.verdict, a.role)
    });
    f.must(a.created_tasks <= limits::CREATED_PER_ATTEMPT, || {
        format!("it created {} tasks", a.created_tasks)
    });
    f.all
}

/// What is wrong with a session, and with how it agrees with its attempt.
pub fn session(s: &Session, attempt: Option<&Attempt>) -> Vec<String> {
    let mut f = Found::new(format!("session {}", s.id));
    let ended = match s.status {
        SessionStatus::Ended(outcome) => Some(outcome),
        SessionStatus::Starting | SessionStatus::Running | SessionStatus::Ending | SessionStatus::Stuck => {
            None
        }
    };
    f.must(s.is_open() == ended.is_none(), || {
        format!("status {} and end {:?} do not agree", s.status.as_str(), s.completed_at)
    });
    f.must(s.held_up.is_some() == (s.status == SessionStatus::Stuck), || {
        format!("status {}, held up by {:?}", s.status.as_str(), s.held_up)
    });
    match (&s.attempt, attempt) {
        (None, _) => f.must(s.order.is_some(), || "it has neither task nor order".into()),
        (Some((key, n)), None) => f.must(false, || format!("attempt {n} of task {} is not there", key.task)),
        (Some((key, n)), Some(a)) => {
            let same = a.key == *key
                && a.number == *n
                && a.session_id == s.id
                && a.agent == s.agent
                && a.runner_id == s.runner_id;
            f.must(same, || format!("it does not agree with attempt {n} of task {}", key.task));
            f.must(a.outcome == ended, || {
                format!("it ended as {ended:?}, attempt {n} of task {} as {:?}", key.task, a.outcome)
            });
        }
    }
    f.all
}

/// What is wrong with a project: what it keeps must be what can be counted.
pub fn project(p: &Project, counted: StatusCounts, newest_event: u64) -> Vec<String> {
    let mut f = Found::new(format!("project {}", p.id));
    f.must(p.counts == counted, || {
        format!("it counts {:?}, there are {:?}", p.counts.to_array(), counted.to_array())
    });
    f.must(p.last_event == newest_event, || {
        format!("its newest event is {newest_event}, it says {}", p.last_event)
    });
    f.all
}

/// What is wrong with the history of a task: folding it must give its rows. `events` are all of its events.
pub fn history<'a>(
    task: &Task,
    attempts: &[Attempt],
    events: impl IntoIterator<Item = &'a Event>,
) -> Vec<String> {
    let mut f = Found::new(format!("task {} of project {}", task.key.task, task.key.project));
    let (told, real) = (fold(events), Folded::of(task, attempts));
    f.must(told.as_ref() == Some(&real), || format!("its events tell {told:?}, its rows are {real:?}"));
    f.all
}

/// What is wrong with the ids of one stream of events: 1, 2, 3 … without gap; `first` is the oldest that is kept.
pub fn stream(name: &str, first: u64, ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut f = Found::new(format!("events of {name}"));
    for (expected, id) in (first..).zip(ids) {
        f.must(id == expected, || format!("event {id} stands where {expected} should"));
    }
    f.all
}

/// Everything that is wrong with a board in memory.
#[cfg(feature = "memory")]
pub fn board(b: &crate::memory::MemoryBoard) -> Vec<String> {
    let mut all = Vec::new();
    for t in b.tasks.values() {
        let attempts: Vec<_> = b.attempts_of(&t.key).cloned().collect();
        let open = attempts.iter().find(|a| a.is_open()).and_then(|a| b.sessions.get(&a.session_id));
        let dependencies = b.dependencies_of(&t.key);
        let rows = TaskRows {
            task: t,
            attempts: &attempts,
            dependencies: &dependencies,
            session: open,
            queued: None,
        };
        all.extend(task(rows));
        all.extend(history(t, &attempts, b.events_of(&t.key)));
    }
    for s in b.sessions.values() {
        all.extend(session(s, s.attempt.as_ref().and_then(|at| b.attempts.get(at))));
    }
    for p in b.projects.values() {
        let mut counted = StatusCounts::default();
        b.tasks
            .values()
            .filter(|t| t.key.project == p.id)
            .for_each(|t| counted.shift(None, Some(t.state.status)));
        let ids: Vec<_> =
            b.events.iter().filter(|e| e.project.as_ref() == Some(&p.id)).map(|e| e.id).collect();
        all.extend(project(p, counted, ids.last().copied().unwrap_or(0)));
        let first = b.forgotten.get(&p.id).copied().unwrap_or(0).saturating_add(1);
        all.extend(stream(p.id.as_str(), first, ids));
    }
    let own: Vec<_> = b.events.iter().filter(|e| e.project.is_none()).map(|e| e.id).collect();
    if !b.at_work && !b.live().is_empty() {
        all.push("the board is at rest, and sessions are open".into());
    }
    if own.last().copied().unwrap_or(0) != b.stream_last {
        all.push(format!("events of no project: the newest is {:?}, not {}", own.last(), b.stream_last));
    }
    all.extend(stream("no project", 1, own));
    all
}
